/* What a discovery bundle is made of, and what the engine makes of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "bundler/discovery.h"
#include "core/mem.h"
#include "fixture.h"
#include "signing/digest.h"

static struct bundle *
make(const char *cluster, const char *text)
{
	struct bundle *b = NULL;
	struct err e = { 0 };

	if (discovery_bundle(&b, cluster, text, strlen(text), &e) != ERR_OK)
		fail_msg("%s", e.text);
	return b;
}

static void
one_document_at_its_place(void **state)
{
	AUTO(bundle, b) =
	    make("prod", "{ \"keys\": {},\n \"bundles\": {\"a\": 1.0} }");
	AUTO_STR manifest =
	    mem_printf("{\"metadata\":{\"edict\":{\"cluster\":\"prod\","
		       "\"format\":1}},\"rego_version\":1,\"revision\":\"%s\","
		       "\"roots\":[\"discovery\"]}",
		b->content);

	(void)state;
	assert_int_equal(b->count, 2);
	fixture_has(b, ".manifest", manifest);
	fixture_has(b, "discovery/data.json",
	    "{\"bundles\":{\"a\":1.0},\"keys\":{}}");
	assert_string_equal(b->name, "discovery/prod");
	assert_int_equal(b->root_count, 1);
	assert_int_equal(b->unpacked, b->files[0].len + b->files[1].len);
	assert_true(digest_is_hex(b->content));
}

/* However it was written down; another cluster's is another one. */
static void
the_revision_is_of_what_it_says(void **state)
{
	AUTO(bundle, a) = make("prod", "{\"x\":{\"b\":1,\"a\":[2,3]}}");
	AUTO(bundle, b) = make("prod", " {\"x\" : {\"a\":[2, 3],\"b\":1}}\n");
	AUTO(bundle, c) = make("test", "{\"x\":{\"b\":1,\"a\":[2,3]}}");
	AUTO(bundle, d) = make("prod", "{\"x\":{\"b\":1,\"a\":[3,2]}}");

	(void)state;
	assert_string_equal(a->content, b->content);
	assert_string_equal(a->files[0].hash, b->files[0].hash);
	assert_string_not_equal(a->content, c->content);
	assert_string_not_equal(a->content, d->content);
}

static void
what_is_none_is_refused(void **state)
{
	static const struct {
		const char *text;
		enum err_code code;
	} rows[] = {
		{ "", ERR_INVALID },
		{ "[]", ERR_INVALID },
		{ "{\"a\":1,\"a\":2}", ERR_INVALID },
		{ "{} {}", ERR_INVALID },
	};
	struct bundle *b = NULL;
	struct err e = { 0 };
	char *large = mem_zalloc(DISCOVERY_SIZE_MAX + 1);

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(discovery_bundle(&b, "prod", rows[i].text,
				     strlen(rows[i].text), &e),
		    rows[i].code);
	memset(large, ' ', DISCOVERY_SIZE_MAX + 1);
	large[0] = '{';
	large[1] = '}';
	assert_int_equal(discovery_bundle(&b, "prod", large,
			     DISCOVERY_SIZE_MAX + 1, &e),
	    ERR_LIMIT);
	assert_non_null(strstr(e.text, "prod"));
	assert_int_equal(discovery_bundle(&b, "prod", large, DISCOVERY_SIZE_MAX,
			     &e),
	    ERR_OK);
	bundle_free(b);
	mem_free(large);
}

static void
the_engine_reads_it(void **state)
{
	AUTO(bundle, b) = make("prod",
	    "{\"bundles\":{\"a\":{\"n\":1.10}},\"keys\":{\"k\":\"a\\nb\"}}");
	struct buf out = { 0 };
	AUTO_BUF bytes = { 0 };
	char *folder = fixture_folder();
	struct err e = { 0 };

	(void)state;
	buf_init(&bytes, 1 << 20);
	assert_int_equal(bundle_pack(&bytes, b, &e), ERR_OK);
	fixture_write(folder, "d.tar.gz", bytes.data, bytes.len);
	assert_int_equal(fixture_run(&out,
			     "%s eval --format raw -b %s/d.tar.gz "
			     "data.discovery",
			     fixture_opa(), folder),
	    0);
	assert_non_null(strstr(out.data, "1.10"));
	assert_non_null(strstr(out.data, "a\\nb"));
	assert_int_equal(fixture_run(&out,
			     "%s inspect --format json %s/d.tar.gz",
			     fixture_opa(), folder),
	    0);
	assert_non_null(strstr(out.data, b->content));
	buf_clear(&out);
	fixture_folder_end(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_document_at_its_place),
		cmocka_unit_test(the_revision_is_of_what_it_says),
		cmocka_unit_test(what_is_none_is_refused),
		cmocka_unit_test(the_engine_reads_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
