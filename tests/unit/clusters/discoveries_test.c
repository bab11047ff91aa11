/* Discovery bundles, as the ledger knows them and as they are served. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clusters/catalog.h"
#include "clusters/payload.h"
#include "clusters/store_discovery.h"
#include "core/file.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "world.h"

static struct world w;
static struct shelf *shelf;

static int
setup(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.files = true,
		.bundles = { { "authz", 'a', NULL }, { "infra", 'b', NULL } },
		.clusters = { { "east", "authz infra" },
		    { "west", "authz" } } };

	(void)state;
	world_open(&w);
	shelf = shelf_new(w.dir, 1 << 20);
	world_repository(&w, "policies", 1, 5);
	world_line(&w, "policies", 1, 1, 5);
	world_verdict(&w, "policies", 1, "passed");
	if (world_publish(&w, &p) != ERR_OK)
		fail_msg("%s", w.e.text);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	shelf_free(shelf);
	world_close(&w);
	return 0;
}

/* The message about these bytes. */
static json_t *
message(const char *cluster, const char *bytes)
{
	char revision[DIGEST_HEX_SIZE], sha256[DIGEST_HEX_SIZE];

	digest_hex(revision, cluster, strlen(cluster));
	digest_hex(sha256, bytes, strlen(bytes));
	return json_pack("{s:s, s:s, s:{s:s, s:I, s:s, s:s}}", "cluster",
	    cluster, "revision", revision, "artifact", "sha256", sha256, "size",
	    (json_int_t)strlen(bytes), "key", "d", "content_sha256", revision);
}

static char *
write_file(const char *bytes)
{
	char sha256[DIGEST_HEX_SIZE];
	struct err e = { 0 };
	char *path, *slash;

	digest_hex(sha256, bytes, strlen(bytes));
	path = store_artifact_path(w.dir, sha256);
	slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(file_make_dirs(path, &e), ERR_OK);
	*slash = '/';
	assert_int_equal(file_replace(path, bytes, strlen(bytes), 0600, &e),
	    ERR_OK);
	return path;
}

static void
tell(const char *cluster, const char *bytes)
{
	if (world_run(&w, ledger_discovery, message(cluster, bytes), NULL) !=
	    ERR_OK)
		fail_msg("%s", w.e.text);
}

static void
assert_has(const struct catalog_entry *entry, const char *bytes)
{
	struct shelf_bytes *b = shelf_borrow(entry->item);

	assert_int_equal(entry->size, strlen(bytes));
	assert_memory_equal(shelf_data(b), bytes, entry->size);
	shelf_return(b);
}

static struct catalog *
load(struct catalog *previous)
{
	struct catalog *c = NULL;

	if (catalog_load(&c, w.context.store, shelf, previous, &w.e) != ERR_OK)
		fail_msg("%s", w.e.text);
	return c;
}

static void
each_cluster_has_its_own(void **state)
{
	char *east = write_file("east's");
	char *west = write_file("west's");
	const struct catalog_entry *entry;
	struct catalog *c, *next;

	(void)state;
	c = load(NULL);
	assert_null(catalog_discovery(c, "east"));
	tell("east", "east's");
	next = load(c);
	assert_ptr_not_equal(next, c);
	catalog_unref(c);
	c = next;
	entry = catalog_discovery(c, "east");
	assert_has(entry, "east's");
	assert_string_equal(entry->bundle, "discovery");
	assert_int_equal(strlen(entry->revision), 64);
	assert_true(entry->at_ms > 0);
	assert_null(catalog_discovery(c, "west"));
	/* It is no bundle. */
	assert_null(catalog_find(c, "east", "discovery"));
	assert_int_equal(catalog_count(c), 3);
	tell("west", "west's");
	tell("east", "east's"); /* a second time: nothing */
	next = load(c);
	assert_has(catalog_discovery(next, "west"), "west's");
	assert_int_equal(catalog_discovery(next, "east")->at_ms,
	    catalog_discovery(c, "east")->at_ms);
	catalog_unref(c);
	catalog_unref(next);
	mem_free(east);
	mem_free(west);
}

/* What was served before is served on. */
static void
a_lost_file_is_a_fault(void **state)
{
	char *one = write_file("one");
	struct catalog *c, *next;

	(void)state;
	tell("east", "one");
	c = load(NULL);
	assert_int_equal(catalog_missing(c), 0);
	tell("east", "two");
	next = load(c);
	assert_int_equal(catalog_missing(next), 1);
	assert_has(catalog_discovery(next, "east"), "one");
	assert_int_equal(catalog_discovery(next, "east")->at_ms,
	    catalog_discovery(c, "east")->at_ms);
	assert_non_null(catalog_find(next, "east", "authz"));
	catalog_unref(c);
	catalog_unref(next);
	mem_free(one);
}

static void
the_next_one_is_made_from_this(void **state)
{
	AUTO_JSON rows = NULL;
	AUTO_JSON none = NULL;
	AUTO_JSON one = NULL;

	(void)state;
	tell("west", "x");
	assert_int_equal(store_view_discovery_inputs(w.context.store, &rows,
			     &w.e),
	    ERR_OK);
	assert_int_equal(json_array_size(rows), 3);
	assert_string_equal(payload_text(json_array_get(rows, 0), "bundle"),
	    "authz");
	assert_string_equal(payload_text(json_array_get(rows, 1), "bundle"),
	    "infra");
	assert_non_null(payload_text(json_array_get(rows, 1), "key"));
	assert_null(payload_text(json_array_get(rows, 1), "discovery"));
	assert_string_equal(payload_text(json_array_get(rows, 2), "cluster"),
	    "west");
	assert_non_null(payload_text(json_array_get(rows, 2), "discovery"));
	assert_int_equal(store_view_discovery(w.context.store, "east", &none,
			     &w.e),
	    ERR_OK);
	assert_true(json_is_null(none));
	assert_int_equal(store_view_discovery(w.context.store, "west", &one,
			     &w.e),
	    ERR_OK);
	assert_string_equal(payload_text(one, "key"), "d");
}

static void
what_is_malformed_is_refused(void **state)
{
	static const struct {
		const char *at, *value;
		enum err_code code;
	} rows[] = {
		{ "cluster", "none", ERR_NOT_FOUND },
		{ "cluster", "No", ERR_INVALID },
		{ "revision", "abc", ERR_INVALID },
		{ "artifact", "abc", ERR_INVALID },
		{ "more", "abc", ERR_INVALID },
	};
	json_t *m;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		m = message("east", "x");
		(void)json_object_set_new(m, rows[i].at,
		    json_string(rows[i].value));
		assert_int_equal(world_run(&w, ledger_discovery, m, NULL),
		    rows[i].code);
	}
	m = message("east", "x");
	(void)json_object_set_new(json_object_get(m, "artifact"), "size",
	    json_integer(0));
	assert_int_equal(world_run(&w, ledger_discovery, m, NULL), ERR_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_cluster_has_its_own),
		TEST(a_lost_file_is_a_fault),
		TEST(the_next_one_is_made_from_this),
		TEST(what_is_malformed_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
