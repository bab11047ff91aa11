/* What operators do to several bundles and clusters at once. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_audit.h"
#include "clusters/store_removed.h"
#include "core/mem.h"
#include "world.h"

static struct world w;

/* Bundles authz and billing; clusters east with both, west with authz. */
static void
estate(int commit, char authz, char billing)
{
	struct world_publication p = { .repository = "policies",
		.commit = commit,
		.bundles = { { "authz", authz, NULL },
		    { "billing", billing, NULL } },
		.clusters = { { "east", "authz billing" },
		    { "west", "authz" } } };

	world_verdict(&w, "policies", commit, "passed");
	if (world_publish(&w, &p) != ERR_OK)
		fail_msg("%s", w.e.text);
}

static int
setup(void **state)
{
	(void)state;
	world_open(&w);
	world_repository(&w, "policies", 1, 9);
	world_line(&w, "policies", 1, 1, 9);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

/* fields is JSON with ' for ", of an action but token and peer. */
static json_t *
parse(const char *fields)
{
	char *text = mem_strdup(fields);
	json_t *j;

	for (char *p = text; *p != '\0'; p++)
		if (*p == '\'')
			*p = '"';
	j = json_loads(text, 0, NULL);
	if (j == NULL)
		fail_msg("%s", fields);
	mem_free(text);
	return j;
}

static enum err_code
act_as(const char *token, const char *fields, json_t **body)
{
	json_t *reply = NULL;
	enum err_code code = world_run(&w, ledger_action,
	    world_action_payload(&w, token, parse(fields)), &reply);

	if (code == ERR_OK && body != NULL)
		*body = json_incref(json_object_get(reply, "body"));
	json_decref(reply);
	if (code == ERR_OK)
		world_answer_sets(&w, "loads"); /* what it waits for */
	return code;
}

static enum err_code
act(const char *fields)
{
	return act_as(NULL, fields, NULL);
}

#define assert_done(fields)                       \
	do {                                      \
		if (act(fields) != ERR_OK)        \
			fail_msg("%s", w.e.text); \
	} while (0)
#define assert_refused(code, words, fields)                       \
	do {                                                      \
		assert_int_equal(act(fields), code);              \
		if (strstr(w.e.text, words) == NULL)              \
			fail_msg("%s, not: %s", w.e.text, words); \
	} while (0)

static char *
token(const char *fields)
{
	json_t *body = NULL;
	char *text;

	if (act_as(NULL, fields, &body) != ERR_OK)
		fail_msg("%s", w.e.text);
	text = mem_strdup(payload_text(body, "token"));
	json_decref(body);
	return text;
}

#define TO_FIRST "'to':'abc00001','reason':'x','action':'rollback'"

static void
test_all_goes_as_a_set(void **state)
{
	(void)state;
	estate(1, 'a', 'b');
	estate(2, 'c', 'd');
	assert_done("{" TO_FIRST ",'clusters':['east']}");
	assert_assigned(&w, "east", "authz", "1 held 3");
	assert_assigned(&w, "east", "billing", "1 held 3");
	assert_assigned(&w, "west", "authz", "2 following 2");
	assert_done("{'action':'resume','bundles':['authz','billing']}");
	assert_assigned(&w, "east", "authz", "2 following 4");
	assert_assigned(&w, "east", "billing", "2 following 4");
	assert_assigned(&w, "west", "authz", "2 following 3");
	assert_done("{'action':'pin','reason':'x'}");
	assert_assigned(&w, "east", "billing", "2 held 5");
	assert_assigned(&w, "west", "authz", "2 held 4");
	assert_refused(ERR_NOT_FOUND, "no bundle is called none",
	    "{" TO_FIRST ",'bundles':['authz','none']}");
	assert_refused(ERR_NOT_FOUND,
	    "none of these clusters has bundle billing",
	    "{" TO_FIRST ",'bundles':['billing'],'clusters':['west']}");
	assert_refused(ERR_INVALID, "names none",
	    "{" TO_FIRST ",'bundles':[]}");
	assert_refused(ERR_INVALID, "give one of them",
	    "{" TO_FIRST ",'bundle':'authz','bundles':['authz']}");
	assert_refused(ERR_INVALID, "give one of them",
	    "{" TO_FIRST ",'clusters':['east'],'selector':'env'}");
}

/* A cluster of nothing but another repository's bundles. */
static void
test_bundles_of_another_repository(void **state)
{
	struct world_publication p = { .repository = "rules",
		.commit = 20,
		.bundles = { { "infra", 'a', NULL } },
		.no_clusters = true };

	(void)state;
	world_repository(&w, "rules", 1, 20);
	world_commit(&w, "rules", 1, 20, 0, 1);
	world_verdict(&w, "rules", 20, "passed");
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	p = (struct world_publication){ .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'b', NULL } },
		.clusters = { { "prod", "authz infra" }, { "lab", "infra" } } };
	world_verdict(&w, "policies", 1, "passed");
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	assert_assigned(&w, "prod", "infra", "20 following 1");
	assert_assigned(&w, "lab", "infra", "20 following 1");
	assert_refused(ERR_INVALID, "several repositories (rules and policies)",
	    "{'action':'rollback','to':'HEAD','reason':'x'}");
	assert_done("{'action':'rollback','to':'rules@HEAD','reason':'x'}");
	assert_assigned(&w, "prod", "infra", "20 held 2");
	assert_assigned(&w, "lab", "infra", "20 held 2");
	assert_assigned(&w, "prod", "authz", "1 following 1");
}

/* Roots that change hands: one bundle alone does not fit, both do. */
static void
test_roots_that_change_hands(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', "x" }, { "billing", 'b', "y" } },
		.clusters = { { "east", "authz billing" } } };

	(void)state;
	world_verdict(&w, "policies", 1, "passed");
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	world_verdict(&w, "policies", 2, "passed");
	p.commit = 2;
	p.bundles[0] = (struct world_bundle){ "authz", 'c', "y" };
	p.bundles[1] = (struct world_bundle){ "billing", 'd', "x" };
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	if (act("{'action':'rollback','to':'abc00002','reason':'x'}") != ERR_OK)
		fail_msg("%s", w.e.text);
	assert_assigned(&w, "east", "authz", "2 held 2");
	assert_assigned(&w, "east", "billing", "2 held 2");
	assert_refused(ERR_CONFLICT, "engines cannot load both",
	    "{" TO_FIRST ",'bundle':'authz'}");
	assert_done("{" TO_FIRST "}");
	assert_assigned(&w, "east", "authz", "1 held 3");
	assert_assigned(&w, "east", "billing", "1 held 3");
}

static void
test_selected(void **state)
{
	AUTO_STR in = NULL;
	AUTO_STR out = NULL;
	json_t *body = NULL;

	(void)state;
	estate(1, 'a', 'b');
	estate(2, 'c', 'd');
	in = token("{'action':'token.create','name':'in','role':'releaser',"
		   "'clusters':['west']}");
	out = token("{'action':'token.create','name':'out','role':'releaser',"
		    "'clusters':['no*']}");
	/* Labels are env=test everywhere: only west is theirs. */
	assert_int_equal(act_as(in, "{" TO_FIRST ",'selector':'env=test'}",
			     &body),
	    ERR_OK);
	assert_int_equal(json_array_size(json_object_get(body, "assignments")),
	    1);
	json_decref(body);
	assert_assigned(&w, "west", "authz", "1 held 3");
	assert_assigned(&w, "east", "authz", "2 following 2");
	/* All are all of theirs, and to name another is to name none. */
	assert_int_equal(act_as(in, "{'action':'resume'}", NULL), ERR_OK);
	assert_assigned(&w, "west", "authz", "2 following 4");
	assert_assigned(&w, "east", "authz", "2 following 2");
	assert_int_equal(act_as(in, "{" TO_FIRST ",'clusters':['east']}", NULL),
	    ERR_NOT_FOUND);
	assert_string_equal(w.e.text, "cluster east has none of these bundles");
	/* What is out of reach looks like what is not there. */
	assert_int_equal(act_as(out, "{" TO_FIRST ",'selector':'env=test'}",
			     NULL),
	    ERR_NOT_FOUND);
	assert_string_equal(w.e.text, "no cluster fits env=test");
	assert_int_equal(act_as(out,
			     "{" TO_FIRST
			     ",'bundle':'authz','selector':'env=test'}",
			     NULL),
	    ERR_NOT_FOUND);
	assert_string_equal(w.e.text,
	    "no cluster with bundle authz fits env=test");
	assert_int_equal(act_as(in,
			     "{" TO_FIRST
			     ",'bundle':'billing','selector':'env=test'}",
			     NULL),
	    ERR_NOT_FOUND);
	assert_refused(ERR_INVALID, "selector: column 5",
	    "{" TO_FIRST ",'selector':'env,'}");
	assert_refused(ERR_NOT_FOUND, "no cluster fits env=prod",
	    "{" TO_FIRST ",'selector':'env=prod'}");
	assert_done("{" TO_FIRST ",'bundle':'authz','selector':'env!=prod'}");
	assert_assigned(&w, "east", "authz", "1 held 3");
	assert_assigned(&w, "east", "billing", "2 following 2");
}

static void
test_until_the_next(void **state)
{
	(void)state;
	world_pass(&w, 1, 'a');
	world_pass(&w, 3, 'b');
	assert_done("{" TO_FIRST ",'bundle':'authz','until_next':true}");
	assert_assigned(&w, "prod", "authz", "1 held 3");
	/* Filled in, between the two: not the next. */
	world_pass(&w, 2, 'c');
	assert_assigned(&w, "prod", "authz", "1 held 3");
	/* Fails, or is what was rolled back from. */
	world_verdict(&w, "policies", 4, "failed");
	world_pass(&w, 5, 'b');
	assert_assigned(&w, "prod", "authz", "1 held 3");
	/* Taken back: nothing new to load, but it follows again. */
	world_pass(&w, 6, 'a');
	assert_assigned(&w, "prod", "authz", "1 following 4");
	world_pass(&w, 7, 'd');
	assert_assigned(&w, "prod", "authz", "7 following 5");
	/* It stays in quarantine. */
	world_pass(&w, 8, 'b');
	assert_assigned(&w, "prod", "authz", "7 following 5");
	assert_done("{'action':'pin','bundle':'authz','reason':'x',"
		    "'until_next':true}");
	world_pass(&w, 9, 'e');
	assert_assigned(&w, "prod", "authz", "9 following 7");
	assert_int_equal(store_verify_audit(w.context.store, &w.e), ERR_OK);
}

/* Another decision ends it. */
static void
test_until_the_next_ends(void **state)
{
	(void)state;
	world_pass(&w, 1, 'a');
	world_pass(&w, 2, 'b');
	assert_done("{" TO_FIRST ",'bundle':'authz','until_next':true}");
	assert_done("{'action':'pin','bundle':'authz','reason':'x'}");
	world_pass(&w, 3, 'c');
	assert_assigned(&w, "prod", "authz", "1 held 4");
}

static size_t
count_events(const char *kind)
{
	struct store_audit_filter f = { .kind = kind };
	json_t *rows = NULL;
	size_t n;

	assert_int_equal(store_list_audit(w.context.store, &f, INT64_MAX, 100,
			     &rows, &w.e),
	    ERR_OK);
	n = json_array_size(rows);
	json_decref(rows);
	return n;
}

static void
test_dry_run(void **state)
{
	json_t *body = NULL;
	json_t *change;

	(void)state;
	estate(1, 'a', 'b');
	estate(2, 'c', 'b');
	assert_int_equal(act_as(NULL, "{" TO_FIRST ",'dry_run':true}", &body),
	    ERR_OK);
	assert_int_equal(json_array_size(json_object_get(body, "changes")), 3);
	assert_int_equal(json_array_size(json_object_get(body, "refused")), 0);
	assert_true(json_is_null(json_object_get(body, "build")));
	change = json_array_get(json_object_get(body, "changes"), 0);
	assert_string_equal(payload_text(change, "bundle"), "authz");
	assert_memory_equal(payload_text(change, "from"), "abc00002", 8);
	assert_memory_equal(payload_text(change, "to"), "abc00001", 8);
	assert_true(json_is_true(json_object_get(change, "moves")));
	assert_int_equal(json_array_size(json_object_get(body, "unchecked")),
	    0);
	assert_int_equal(json_integer_value(json_object_get(change, "serial")),
	    2);
	/* The content of billing is the same. */
	change = json_array_get(json_object_get(body, "changes"), 2);
	assert_string_equal(payload_text(change, "bundle"), "billing");
	assert_false(json_is_true(json_object_get(change, "moves")));
	json_decref(body);
	assert_assigned(&w, "east", "authz", "2 following 2");
	assert_int_equal(count_events("rollback"), 0);
	/* Bundles that never were together: the engine has to be asked. */
	estate(3, 'c', 'd');
	assert_int_equal(act_as(NULL,
			     "{" TO_FIRST ",'bundle':'authz','dry_run':true}",
			     &body),
	    ERR_OK);
	assert_int_equal(json_array_size(json_object_get(body, "changes")), 2);
	assert_string_equal(json_string_value(json_array_get(
				json_object_get(body, "unchecked"), 0)),
	    "east");
	json_decref(body);
	/* What is not built is said to be so, and nothing is asked for. */
	assert_int_equal(act_as(NULL,
			     "{'action':'rollback','to':'abc00005',"
			     "'reason':'x','dry_run':true}",
			     &body),
	    ERR_OK);
	assert_memory_equal(payload_text(body, "build"), "abc00005", 8);
	json_decref(body);
	assert_int_equal(count_events("rollback"), 0);
	assert_refused(ERR_CONFLICT, "its serial is 2 now, not 1",
	    "{" TO_FIRST ",'bundle':'authz','dry_run':true,"
	    "'expect':{'east':1}}");
}

static void
test_dry_run_shows_every_clash(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', "x" }, { "billing", 'b', "y" } },
		.clusters = { { "east", "authz" }, { "north", "authz billing" },
		    { "west", "authz billing" } } };
	json_t *body = NULL;

	(void)state;
	world_verdict(&w, "policies", 1, "passed");
	p.bundles[1].root = "z";
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	world_verdict(&w, "policies", 2, "passed");
	p.commit = 2;
	p.bundles[0] = (struct world_bundle){ "authz", 'c', "z/a" };
	p.bundles[1] = (struct world_bundle){ "billing", 'd', "y" };
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	assert_done("{'action':'rollback','bundles':['authz','billing'],"
		    "'to':'abc00002','reason':'x'}");
	assert_int_equal(act_as(NULL,
			     "{" TO_FIRST ",'bundle':'billing',"
			     "'dry_run':true}",
			     &body),
	    ERR_OK);
	assert_int_equal(json_array_size(json_object_get(body, "refused")), 2);
	assert_int_equal(json_array_size(json_object_get(body, "changes")), 0);
	json_decref(body);
	assert_int_equal(act_as(NULL,
			     "{'action':'rollback','bundle':'billing',"
			     "'to':'abc00001','reason':'x'}",
			     NULL),
	    ERR_CONFLICT);
}

/* Who comes too late is told who was first, when, and with what. */
static void
test_who_was_first(void **state)
{
	AUTO_STR ada = NULL;

	(void)state;
	estate(1, 'a', 'b');
	estate(2, 'c', 'd');
	ada = token("{'action':'token.create','name':'ada','role':'releaser'}");
	assert_int_equal(act_as(ada,
			     "{'action':'rollback','to':'abc00001',"
			     "'reason':'it broke','bundle':'authz',"
			     "'expect':{'east':2,'west':2}}",
			     NULL),
	    ERR_OK);
	assert_refused(ERR_CONFLICT,
	    "bundle authz in cluster east has changed: its serial is 3 now, "
	    "not 2; it is held at abc000010000 since 20",
	    "{'action':'resume','bundle':'authz','expect':{'east':2}}");
	assert_non_null(strstr(w.e.text, ", by ada: it broke; look again"));
	assert_refused(ERR_CONFLICT, "bundle authz in cluster west",
	    "{'action':'pin','reason':'x',"
	    "'expect':{'east/authz':3,'west/authz':2}}");
	assert_refused(ERR_INVALID, "is not among those to change",
	    "{'action':'pin','reason':'x','expect':{'east':3}}");
	assert_assigned(&w, "east", "billing", "2 following 2");
}

#define FORCE                                                  \
	"{'action':'rollback','to':'abc00001','reason':'now'," \
	"'bundle':'authz','force':true}"

static void
assert_forced(bool forced)
{
	struct store_assignments list;

	assert_int_equal(store_assignments(w.context.store, "prod", "authz",
			     &list, &w.e),
	    ERR_OK);
	assert_int_equal(list.items[0].forced, forced);
	store_assignments_clear(&list);
}

static void
test_force_what_is_stored(void **state)
{
	AUTO_STR ada = NULL;

	(void)state;
	world_pass(&w, 1, 'a');
	world_pass(&w, 2, 'b');
	world_verdict(&w, "policies", 1, "failed");
	ada = token("{'action':'token.create','name':'ada','role':'releaser'}");
	assert_int_equal(act_as(ada, FORCE, NULL), ERR_DENIED);
	assert_non_null(strstr(w.e.text, "not an admin's"));
	assert_refused(ERR_CONFLICT, "its verdict is failed",
	    "{" TO_FIRST ",'bundle':'authz'}");
	assert_done(FORCE);
	assert_assigned(&w, "prod", "authz", "1 held 3");
	assert_forced(true);
	assert_int_equal(count_events("force"), 1);
	/* It is what runs, whoever pins it. */
	assert_done("{'action':'pin','bundle':'authz','reason':'x'}");
	assert_forced(true);
	assert_done("{'action':'resume','bundle':'authz'}");
	assert_assigned(&w, "prod", "authz", "2 following 5");
	assert_forced(false);
	/* What passed is not forced, whatever was said. */
	assert_done("{'action':'rollback','to':'abc00002','reason':'now',"
		    "'bundle':'authz','force':true}");
	assert_forced(false);
}

static int64_t
forced_operation(void)
{
	json_t *body = NULL;
	int64_t id;

	if (act_as(NULL,
		"{'action':'rollback','to':'abc00003','reason':'now',"
		"'bundle':'authz','force':true}",
		&body) != ERR_OK)
		fail_msg("%s", w.e.text);
	id = strtoll(payload_text(json_object_get(body, "operation"), "id"),
	    NULL, 10);
	json_decref(body);
	return id;
}

static json_t *
forced_publication(int64_t operation)
{
	struct world_publication p = { .repository = "policies",
		.commit = 3,
		.bundles = { { "authz", 'f', NULL } },
		.clusters = { { "prod", "authz" }, { "new", "authz" } },
		.operation = operation };
	json_t *payload = world_publish_payload(&w, &p);

	json_object_set_new(payload, "forced", json_true());
	return payload;
}

/* Only what an admin asked for, and nobody follows to it. */
static void
test_force_what_is_built(void **state)
{
	json_t *body = NULL;
	int64_t id;

	(void)state;
	world_pass(&w, 1, 'a');
	world_pass(&w, 2, 'b');
	/* Asked for while nothing was known of it, and not to be forced. */
	assert_int_equal(act_as(NULL,
			     "{'action':'rollback','to':'abc00003',"
			     "'reason':'x','bundle':'authz'}",
			     &body),
	    ERR_OK);
	json_decref(body);
	world_verdict(&w, "policies", 3, "failed");
	assert_int_equal(world_run(&w, ledger_publish, forced_publication(1),
			     NULL),
	    ERR_CONFLICT);
	assert_int_equal(world_run(&w, ledger_publish, forced_publication(0),
			     NULL),
	    ERR_NOT_FOUND);
	id = forced_operation();
	assert_int_equal(world_run(&w, ledger_publish, forced_publication(id),
			     NULL),
	    ERR_OK);
	assert_assigned(&w, "prod", "authz", "3 held 3");
	assert_assigned(&w, "new", "authz", "none");
	assert_forced(true);
	/* Once. */
	assert_int_equal(world_run(&w, ledger_publish, forced_publication(id),
			     NULL),
	    ERR_CONFLICT);
	/* Back to what passed, though that is older. */
	assert_done("{'action':'resume','bundle':'authz'}");
	assert_assigned(&w, "prod", "authz", "2 following 4");
	assert_forced(false);
	world_pass(&w, 5, 'c');
	assert_assigned(&w, "prod", "authz", "5 following 5");
}

static void
test_orphans_are_removed(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 2,
		.bundles = { { "authz", 'a', NULL } },
		.clusters = { { "east", "authz" } } };

	(void)state;
	estate(1, 'a', 'b');
	assert_refused(ERR_CONFLICT, "cluster west is defined in edict.yaml",
	    "{'action':'cluster.remove','cluster':'west'}");
	assert_refused(ERR_CONFLICT, "gives cluster east bundle billing",
	    "{'action':'cluster.remove','cluster':'east','bundle':'billing'}");
	assert_refused(ERR_NOT_FOUND, "no cluster is called north",
	    "{'action':'cluster.remove','cluster':'north'}");
	world_verdict(&w, "policies", 2, "passed");
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	assert_assigned(&w, "west", "authz", "1 following 1");
	assert_assigned(&w, "east", "billing", "1 following 1");
	assert_done("{'action':'pin','bundle':'authz','clusters':['west'],"
		    "'reason':'x'}");
	assert_done("{'action':'cluster.remove','cluster':'west',"
		    "'reason':'gone'}");
	assert_assigned(&w, "west", "authz", "none");
	assert_done("{'action':'cluster.remove','cluster':'east',"
		    "'bundle':'billing'}");
	assert_assigned(&w, "east", "billing", "none");
	assert_assigned(&w, "east", "authz", "1 following 1");
	assert_int_equal(count_events("cluster.remove"), 2);
	/* Serials go on where they ended. */
	estate(3, 'c', 'd');
	assert_assigned(&w, "west", "authz", "3 following 3");
	assert_assigned(&w, "east", "billing", "3 following 2");
}

static void
test_who_may_remove(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 2,
		.bundles = { { "authz", 'a', NULL } } };
	AUTO_STR west = NULL;
	AUTO_STR part = NULL;

	(void)state;
	estate(1, 'a', 'b');
	world_verdict(&w, "policies", 2, "passed");
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	west = token("{'action':'token.create','name':'west',"
		     "'role':'releaser','clusters':['west']}");
	part = token("{'action':'token.create','name':'part',"
		     "'role':'releaser','bundles':['authz']}");
	assert_int_equal(act_as(west,
			     "{'action':'cluster.remove','cluster':'east'}",
			     NULL),
	    ERR_NOT_FOUND);
	assert_string_equal(w.e.text, "no cluster is called east");
	assert_int_equal(act_as(part,
			     "{'action':'cluster.remove','cluster':'east'}",
			     NULL),
	    ERR_DENIED);
	assert_int_equal(act_as(west,
			     "{'action':'cluster.remove','cluster':'west'}",
			     NULL),
	    ERR_OK);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_all_goes_as_a_set),
		TEST(test_bundles_of_another_repository),
		TEST(test_roots_that_change_hands),
		TEST(test_selected),
		TEST(test_until_the_next),
		TEST(test_until_the_next_ends),
		TEST(test_dry_run),
		TEST(test_dry_run_shows_every_clash),
		TEST(test_who_was_first),
		TEST(test_force_what_is_stored),
		TEST(test_force_what_is_built),
		TEST(test_orphans_are_removed),
		TEST(test_who_may_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
