/* What discovery bundles say, from what is assigned and which keys there are. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/payload.h"
#include "server/pipeline/discovery_document.h"

static const struct conf_discovery settings = { .persist = true,
	.wait = 45,
	.min_delay = 5,
	.max_delay = 15 };

/* The keys as the keeper lists them. */
#define KEYS                                                                  \
	"[{\"id\":\"old\",\"algorithm\":\"RS256\",\"kind\":\"bundle\","       \
	"\"public\":\"OLD\",\"retired_at\":\"2026-01-01T00:00:00Z\"},"        \
	"{\"id\":\"now\",\"algorithm\":\"ES256\",\"kind\":\"bundle\","        \
	"\"public\":\"NOW\"},"                                                \
	"{\"id\":\"next\",\"algorithm\":\"RS256\",\"kind\":\"bundle\","       \
	"\"public\":\"NEXT\"},"                                               \
	"{\"id\":\"shared\",\"algorithm\":\"HS256\",\"kind\":\"bundle\"},"    \
	"{\"id\":\"d\",\"algorithm\":\"RS256\",\"kind\":\"discovery\","       \
	"\"public\":\"D\"},"                                                  \
	"{\"id\":\"a\",\"algorithm\":\"ES256\",\"kind\":\"audit\",\"public\"" \
	":\"A\"}]"

/* The text of the document, or the code and why in e. */
static char *
make(const char *bundles, const struct conf_discovery *c, struct err *e)
{
	AUTO_JSON rows = json_loads(bundles, 0, NULL);
	AUTO_JSON keys = json_loads(KEYS, 0, NULL);
	AUTO_JSON out = NULL;

	assert_non_null(rows);
	assert_non_null(keys);
	if (discovery_document(&out,
		&(struct discovery_input){ .cluster = "prod",
		    .bundles = rows,
		    .keys = keys,
		    .settings = c },
		e) != ERR_OK)
		return NULL;
	return json_dumps(out, JSON_COMPACT | JSON_SORT_KEYS);
}

static void
it_says_what_engines_need(void **state)
{
	struct err e = { 0 };
	char *text =
	    make("[{\"bundle\":\"authz\",\"key\":\"now\"}]", &settings, &e);

	(void)state;
	assert_string_equal(text,
	    "{\"bundles\":{\"authz\":{\"persist\":true,\"polling\":{"
	    "\"long_polling_timeout_seconds\":45,\"max_delay_seconds\":15,"
	    "\"min_delay_seconds\":5},\"resource\":"
	    "\"clusters/prod/bundles/authz\",\"service\":\"edict\","
	    "\"signing\":{\"keyid\":\"now\",\"scope\":\"authz\"}}},"
	    "\"keys\":{\"next\":{\"algorithm\":\"RS256\",\"key\":\"NEXT\"},"
	    "\"now\":{\"algorithm\":\"ES256\",\"key\":\"NOW\"}},"
	    "\"status\":{\"service\":\"edict\"}}");
	free(text);
}

/* Engines refuse to wait for 0 seconds, and a cluster may have nothing. */
static void
settings_and_nothing(void **state)
{
	const struct conf_discovery plain = { .min_delay = 1, .max_delay = 1 };
	struct err e = { 0 };
	char *text = make("[{\"bundle\":\"a\",\"key\":\"now\"}]", &plain, &e);

	(void)state;
	assert_non_null(strstr(text, "\"persist\":false"));
	assert_null(strstr(text, "long_polling"));
	free(text);
	text = make("[{\"bundle\":null,\"key\":null}]", &plain, &e);
	assert_non_null(strstr(text, "\"bundles\":{}"));
	free(text);
}

/* A retired key is told only while something is signed with it. */
static void
retired_keys_go_last(void **state)
{
	struct err e = { 0 };
	char *text = make("[{\"bundle\":\"a\",\"key\":\"old\"},"
			  "{\"bundle\":\"b\",\"key\":\"now\"}]",
	    &settings, &e);

	(void)state;
	assert_non_null(strstr(text, "\"OLD\""));
	assert_non_null(strstr(text, "\"keyid\":\"old\",\"scope\":\"a\""));
	free(text);
}

static void
what_cannot_be_told_is_said(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_null(make("[{\"bundle\":\"a\",\"key\":\"shared\"}]", &settings,
	    &e));
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "bundle a"));
	assert_non_null(strstr(e.text, "HS256"));
	assert_null(make("[{\"bundle\":\"a\",\"key\":\"gone\"}]", &settings,
	    &e));
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_non_null(strstr(e.text, "gone"));
}

static void
delays_have_an_order(void **state)
{
	struct conf_discovery c = settings;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(conf_discovery_check(&c, &e), ERR_OK);
	c.min_delay = c.max_delay;
	assert_int_equal(conf_discovery_check(&c, &e), ERR_OK);
	c.min_delay++;
	assert_int_equal(conf_discovery_check(&c, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "min_delay"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_what_engines_need),
		cmocka_unit_test(settings_and_nothing),
		cmocka_unit_test(retired_keys_go_last),
		cmocka_unit_test(what_cannot_be_told_is_said),
		cmocka_unit_test(delays_have_an_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
