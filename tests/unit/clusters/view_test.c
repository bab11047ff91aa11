#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "clusters/view.h"
#include "core/mem.h"
#include "world.h"

static struct world w;
static struct store *s;

static const char *
text_of(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text == NULL ? "(null)" : text;
}

static int
setup(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 2,
		.bundles = { { "authz", 'a', NULL }, { "infra", 'b', NULL } },
		.clusters = { { "east", "authz infra" },
		    { "west", "authz" } } };

	(void)state;
	world_open(&w);
	s = w.context.store;
	world_repository(&w, "policies", 1, 5);
	world_line(&w, "policies", 1, 1, 5);
	for (int i = 2; i <= 4; i++) {
		p.commit = i;
		p.bundles[0].content = "  aac"[i];
		world_verdict(&w, "policies", i, "passed");
		assert_int_equal(world_publish(&w, &p), ERR_OK);
	}
	world_verdict(&w, "policies", 5, "failed");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

/* Every member the API promises, and no other. */
static void
assert_members(const json_t *object, const char *names)
{
	AUTO_STR copy = mem_strdup(names);
	size_t count = 0;
	char *save = NULL;

	for (char *name = strtok_r(copy, " ", &save); name != NULL;
	     name = strtok_r(NULL, " ", &save)) {
		if (json_object_get(object, name) == NULL)
			fail_msg("%s is missing", name);
		count++;
	}
	assert_int_equal(json_object_size(object), count);
}

#define COMMIT                                                             \
	"repository revision parent tree author authored_at committed_at " \
	"subject depth verdict runs_in"
#define VERDICT                                                              \
	"state stage reason started_at duration_ms coverage engine sandbox " \
	"attempts tests"
#define REVISION                                                    \
	"bundle repository revision content roots stored artifact " \
	"published_at"
#define ASSIGNMENT                                                           \
	"cluster bundle revision current_with content etag key mode serial " \
	"by at "                                                             \
	"reason quarantined blocked forced until_next subject orphan"

static void
test_repository_object(void **state)
{
	json_t *j;

	(void)state;
	assert_int_equal(view_repository(s, "policies", &j, &w.e), ERR_OK);
	assert_members(j,
	    "name url branch state suspended alarm head followed "
	    "last_fetch_at last_success_at last_error engine "
	    "sandbox");
	assert_string_equal(text_of(j, "last_fetch_at"),
	    "1970-01-01T00:00:01.000Z");
	json_decref(j);
	assert_int_equal(view_repository(s, "rules", &j, &w.e), ERR_NOT_FOUND);
}

static void
test_commit_objects(void **state)
{
	struct view_page page = { 0 };
	json_t *j;
	json_t *item;
	char id[STORE_ID_SIZE];

	(void)state;
	assert_int_equal(view_commits(s, "policies", &page, &j, &w.e), ERR_OK);
	assert_int_equal(json_array_size(json_object_get(j, "items")), 5);
	assert_true(json_is_null(json_object_get(j, "next")));
	item = json_array_get(json_object_get(j, "items"), 0);
	assert_members(item, COMMIT);
	assert_members(json_object_get(item, "verdict"), VERDICT);
	world_id(id, 5);
	assert_string_equal(text_of(item, "revision"), id);
	item = json_array_get(json_object_get(j, "items"), 4);
	assert_true(json_is_null(json_object_get(item, "verdict")));
	assert_true(json_is_null(json_object_get(item, "parent")));
	json_decref(j);

	assert_int_equal(view_commit(s, "HEAD~1", &j, &w.e), ERR_OK);
	assert_members(j, COMMIT " verdicts bundles");
	item = json_array_get(json_object_get(j, "verdicts"), 0);
	assert_members(item, VERDICT " results");
	assert_members(json_array_get(json_object_get(item, "results"), 0),
	    "package name file line duration_ns outcome text");
	assert_int_equal(json_array_size(json_object_get(j, "runs_in")), 3);
	assert_members(json_array_get(json_object_get(j, "bundles"), 0),
	    REVISION);
	json_decref(j);
}

static void
test_revision_objects(void **state)
{
	struct view_page page = { 0 };
	struct store_artifact a;
	json_t *j;
	char id[STORE_ID_SIZE];

	(void)state;
	assert_int_equal(view_revisions(s, "authz", &page, &j, &w.e), ERR_OK);
	assert_int_equal(json_array_size(json_object_get(j, "items")), 3);
	json_decref(j);
	world_id(id, 2);
	assert_int_equal(view_revision(s, "authz", id, &j, &w.e), ERR_OK);
	assert_members(j, REVISION);
	assert_members(json_object_get(j, "artifact"), "sha256 etag size key");
	assert_true(json_is_true(json_object_get(j, "stored")));
	json_decref(j);
	/* Equal content: nothing was built, but there is something to get. */
	assert_int_equal(view_revision(s, "authz", "main~2", &j, &w.e), ERR_OK);
	assert_false(json_is_true(json_object_get(j, "stored")));
	assert_true(json_is_null(json_object_get(j, "artifact")));
	json_decref(j);
	assert_int_equal(view_artifact(s, "authz", "main~2", &a, &w.e), ERR_OK);
	assert_string_equal(a.revision, id);
	assert_int_equal(view_revision(s, "authz", "main~4", &j, &w.e),
	    ERR_NOT_FOUND);
}

static void
test_cluster_and_bundle_objects(void **state)
{
	json_t *j;

	(void)state;
	assert_int_equal(view_cluster(s, "east", &j, &w.e), ERR_OK);
	assert_members(j,
	    "name repository labels orphan assignments "
	    "discovery");
	assert_members(json_array_get(json_object_get(j, "assignments"), 1),
	    ASSIGNMENT);
	json_decref(j);
	assert_int_equal(view_bundle(s, "authz", &j, &w.e), ERR_OK);
	assert_members(j, "name repository orphan latest assignments");
	assert_members(json_object_get(j, "latest"), REVISION);
	assert_int_equal(json_array_size(json_object_get(j, "assignments")), 2);
	json_decref(j);
	assert_int_equal(view_cluster(s, "north", &j, &w.e), ERR_NOT_FOUND);
	assert_int_equal(view_bundle(s, "north", &j, &w.e), ERR_NOT_FOUND);
}

static void
test_operation_object(void **state)
{
	json_t *j;
	AUTO_STR id = NULL;

	(void)state;
	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s, s:s, s:s}", "action",
				 "rollback", "bundle", "authz", "to", "v1",
				 "reason", "x"),
			     &j),
	    ERR_OK);
	id = mem_strdup(text_of(json_object_get(j, "operation"), "id"));
	json_decref(j);
	assert_int_equal(view_operation(s, id, &j, &w.e), ERR_OK);
	assert_members(j,
	    "id kind state repository bundle bundles to by reason forced "
	    "created_at finished_at progress error assignments result");
	assert_true(json_is_null(json_object_get(j, "finished_at")));
	json_decref(j);
	assert_int_equal(view_operation(s, "99", &j, &w.e), ERR_NOT_FOUND);
	assert_int_equal(view_operation(s, "1 OR 1", &j, &w.e), ERR_NOT_FOUND);
}

/* Pages are complete, in order, and have nothing twice. */
typedef enum err_code list_fn(const struct view_page *page, json_t **out);

static enum err_code
list_commits(const struct view_page *page, json_t **out)
{
	return view_commits(s, NULL, page, out, &w.e);
}
static enum err_code
list_revisions(const struct view_page *page, json_t **out)
{
	return view_revisions(s, "authz", page, out, &w.e);
}
static enum err_code
list_bundles(const struct view_page *page, json_t **out)
{
	return view_bundles(s, page, out, &w.e);
}
static enum err_code
list_clusters(const struct view_page *page, json_t **out)
{
	return view_clusters(s, page, out, &w.e);
}
static enum err_code
list_audit(const struct view_page *page, json_t **out)
{
	return view_audit(s, &(struct store_audit_filter){ 0 }, page, out,
	    &w.e);
}

static void
check_pages(list_fn *list)
{
	struct view_page page = { .limit = VIEW_LIMIT_MAX };
	json_t *all;
	json_t *part;
	AUTO_STR next = NULL;
	size_t seen = 0;

	assert_int_equal(list(&page, &all), ERR_OK);
	page.limit = 1;
	do {
		page.next = next;
		assert_int_equal(list(&page, &part), ERR_OK);
		assert_true(json_equal(
		    json_array_get(json_object_get(part, "items"), 0),
		    json_array_get(json_object_get(all, "items"), seen++)));
		mem_free(next);
		next = mem_strdup(json_string_value(json_object_get(part,
		    "next")));
		json_decref(part);
	} while (next != NULL);
	assert_int_equal(seen, json_array_size(json_object_get(all, "items")));
	assert_true(seen > 1);
	json_decref(all);
	page = (struct view_page){ .limit = VIEW_LIMIT_MAX + 1 };
	assert_int_equal(list(&page, &all), ERR_INVALID);
	page = (struct view_page){ .limit = -1 };
	assert_int_equal(list(&page, &all), ERR_INVALID);
	page = (struct view_page){ .next = "'; --" };
	assert_int_equal(list(&page, &all), ERR_INVALID);
}

static void
test_pages(void **state)
{
	(void)state;
	check_pages(list_commits);
	check_pages(list_revisions);
	check_pages(list_bundles);
	check_pages(list_clusters);
	check_pages(list_audit);
}

static void
test_revs(void **state)
{
	static const struct {
		const char *rev;
		int commit; /* 0: none */
		enum err_code code;
	} cases[] = {
		{ "HEAD", 5, ERR_OK },
		{ "main", 5, ERR_OK },
		{ "HEAD~", 4, ERR_OK },
		{ "HEAD~1", 4, ERR_OK },
		{ "HEAD~1~2", 2, ERR_OK },
		{ "HEAD~0", 5, ERR_OK },
		{ "main~4", 1, ERR_OK },
		{ "main~5", 0, ERR_NOT_FOUND },
		{ "policies@main", 5, ERR_OK },
		{ "rules@main", 0, ERR_NOT_FOUND },
		{ "abc00003", 3, ERR_OK },
		{ "abc00003~1", 2, ERR_OK },
		{ "policies@abc00003", 3, ERR_OK },
		{ "abc0", 0, ERR_INVALID }, /* several */
		{ "abc", 0, ERR_NOT_FOUND },
		{ "abc00009", 0, ERR_NOT_FOUND },
		{ "ABC00003", 0, ERR_NOT_FOUND },
		{ "v1.0", 0, ERR_NOT_FOUND },
		{ "", 0, ERR_INVALID },
		{ "~1", 0, ERR_INVALID },
		{ "HEAD~x", 0, ERR_INVALID },
		{ "HEAD~12345678", 0, ERR_INVALID },
		{ "HEAD~9999999", 0, ERR_INVALID },
		{ "@HEAD", 0, ERR_INVALID },
		{ "A B@HEAD", 0, ERR_INVALID },
		{ "%", 0, ERR_NOT_FOUND },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct view_rev rev;
		char id[STORE_ID_SIZE];
		enum err_code code =
		    view_resolve(s, NULL, cases[i].rev, &rev, &w.e);

		if (code != cases[i].code)
			fail_msg("%s: %s", cases[i].rev, err_name(code));
		world_id(id, cases[i].commit);
		if (code == ERR_OK)
			assert_string_equal(rev.commit, id);
	}
}

static void
test_several_repositories(void **state)
{
	struct view_page page = { 0 };
	struct view_rev rev;
	json_t *j;

	(void)state;
	world_repository(&w, "rules", 1, 3);
	world_line(&w, "rules", 1, 1, 3);
	assert_int_equal(view_resolve(s, NULL, "HEAD", &rev, &w.e),
	    ERR_INVALID);
	assert_int_equal(view_resolve(s, NULL, "abc00003", &rev, &w.e),
	    ERR_INVALID);
	assert_int_equal(view_resolve(s, NULL, "abc00004", &rev, &w.e), ERR_OK);
	assert_int_equal(view_resolve(s, NULL, "rules@HEAD~1", &rev, &w.e),
	    ERR_OK);
	assert_string_equal(rev.repository, "rules");
	assert_int_equal(view_resolve(s, "policies", "rules@HEAD", &rev, &w.e),
	    ERR_INVALID);
	assert_int_equal(view_commits(s, NULL, &page, &j, &w.e), ERR_INVALID);
	assert_int_equal(view_commits(s, "rules", &page, &j, &w.e), ERR_OK);
	assert_int_equal(json_array_size(json_object_get(j, "items")), 3);
	json_decref(j);
	assert_int_equal(view_commits(s, "nowhere", &page, &j, &w.e),
	    ERR_NOT_FOUND);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_repository_object),
		WORLD_TEST(test_commit_objects),
		WORLD_TEST(test_revision_objects),
		WORLD_TEST(test_cluster_and_bundle_objects),
		WORLD_TEST(test_operation_object),
		WORLD_TEST(test_pages),
		WORLD_TEST(test_revs),
		WORLD_TEST(test_several_repositories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
