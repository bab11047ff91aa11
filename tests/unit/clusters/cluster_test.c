#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/cluster.h"
#include "clusters/view.h"
#include "core/mem.h"
#include "signing/key.h"
#include "world.h"

static struct world w;

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

static void
publish(const struct world_publication *p)
{
	world_verdict(&w, p->repository, p->commit, "passed");
	if (world_publish(&w, p) != ERR_OK)
		fail_msg("%s", w.e.text);
}

static json_t *
roll_back(const char *to)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "action", "rollback", "bundle",
	    "authz", "to", to, "reason", "it broke");
}

static json_t *
on_bundle(const char *action)
{
	return json_pack("{s:s, s:s, s:s}", "action", action, "bundle", "authz",
	    "reason", "because");
}

static char *
rev(int commit)
{
	char id[STORE_ID_SIZE];

	world_id(id, commit);
	return mem_strdup(id);
}

static void
must_act(json_t *fields)
{
	if (world_action(&w, fields, NULL) != ERR_OK)
		fail_msg("%s", w.e.text);
}

static void
test_publication_needs_its_verdict(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', NULL } },
		.clusters = { { "prod", "authz" } } };
	json_t *payload;

	(void)state;
	assert_int_equal(world_publish(&w, &p), ERR_CONFLICT);
	world_verdict(&w, "policies", 1, "failed");
	assert_int_equal(world_publish(&w, &p), ERR_CONFLICT);
	world_verdict(&w, "policies", 1, "passed");
	payload = world_publish_payload(&w, &p);
	json_object_set_new(payload, "identity", json_string(""));
	assert_int_equal(world_run(&w, ledger_publish, payload, NULL),
	    ERR_CONFLICT);
	assert_assigned(&w, "prod", "authz", "none");
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	assert_assigned(&w, "prod", "authz", "1 following 1");
	/* A later failure of the same commit: it may not be published again. */
	world_verdict(&w, "policies", 1, "failed");
	assert_int_equal(world_publish(&w, &p), ERR_CONFLICT);
	assert_assigned(&w, "prod", "authz", "1 following 1");
}

static void
test_unstored_content_is_refused(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', NULL } } };
	json_t *payload;

	(void)state;
	world_verdict(&w, "policies", 1, "passed");
	payload = world_publish_payload(&w, &p);
	json_object_set_new(json_array_get(json_object_get(payload, "bundles"),
				0),
	    "artifact", json_null());
	assert_int_equal(world_run(&w, ledger_publish, payload, NULL),
	    ERR_NOT_FOUND);
}

static void
test_following(void **state)
{
	struct store_assignments list;
	char id[STORE_ID_SIZE];

	(void)state;
	world_pass(&w, 3, 'a');
	assert_assigned(&w, "prod", "authz", "3 following 1");
	world_pass(&w, 2, 'b'); /* filled in: behind */
	assert_assigned(&w, "prod", "authz", "3 following 1");
	world_pass(&w, 5, 'b'); /* 4 is skipped: it failed */
	/* Its content is that of 2, whose bytes are stored. */
	assert_assigned(&w, "prod", "authz", "2 following 2");
	world_pass(&w, 6, 'b');
	assert_assigned(&w, "prod", "authz", "2 following 2");
	assert_int_equal(store_assignments(w.context.store, "prod", "authz",
			     &list, &w.e),
	    ERR_OK);
	world_id(id, 6);
	assert_string_equal(list.items[0].current_with, id);
	store_assignments_clear(&list);
	world_pass(&w, 6, 'b'); /* sent again */
	assert_assigned(&w, "prod", "authz", "2 following 2");
	world_pass(&w, 8, 'c');
	assert_assigned(&w, "prod", "authz", "8 following 3");
}

static void
test_rollback_and_resume(void **state)
{
	AUTO_STR to = rev(1);
	json_t *body;
	json_t *a;

	(void)state;
	world_pass(&w, 1, 'a');
	world_pass(&w, 2, 'b');
	assert_int_equal(world_action(&w, roll_back(to), &body), ERR_OK);
	a = json_array_get(json_object_get(body, "assignments"), 0);
	assert_string_equal(json_string_value(json_object_get(a, "revision")),
	    to);
	assert_string_equal(json_string_value(json_object_get(a, "mode")),
	    "held");
	assert_string_equal(json_string_value(json_object_get(a, "by")),
	    "admin");
	assert_int_equal(json_array_size(json_object_get(a, "quarantined")), 1);
	json_decref(body);
	world_pass(&w, 3, 'b');
	world_pass(&w, 4, 'c');
	assert_assigned(&w, "prod", "authz", "1 held 3");
	must_act(on_bundle("resume"));
	assert_assigned(&w, "prod", "authz", "4 following 4");
	world_pass(&w, 5, 'b');
	assert_assigned(&w, "prod", "authz", "2 following 5");
	assert_int_equal(store_verify_audit(w.context.store, &w.e), ERR_OK);
}

/* Neither operators nor followers lose what passed because a later attempt
 * could not run. */
static void
test_what_passed_stays_usable(void **state)
{
	AUTO_STR to = rev(1);

	(void)state;
	world_pass(&w, 1, 'a');
	world_pass(&w, 2, 'b');
	world_verdict(&w, "policies", 1, "could_not_run");
	world_verdict(&w, "policies", 2, "could_not_run");
	must_act(roll_back(to));
	assert_assigned(&w, "prod", "authz", "1 held 3");
	must_act(on_bundle("resume"));
	assert_assigned(&w, "prod", "authz", "2 following 4");
	/* A failure is an answer, and takes it back. */
	world_verdict(&w, "policies", 1, "failed");
	assert_int_equal(world_action(&w, roll_back(to), NULL), ERR_CONFLICT);
}

static void
test_pin(void **state)
{
	(void)state;
	world_pass(&w, 1, 'a');
	must_act(on_bundle("pin"));
	assert_assigned(&w, "prod", "authz", "1 held 2");
	world_pass(&w, 2, 'b');
	assert_assigned(&w, "prod", "authz", "1 held 2");
	must_act(on_bundle("resume"));
	assert_assigned(&w, "prod", "authz", "2 following 3");
}

static void
test_rollback_by_names(void **state)
{
	static const struct {
		const char *to, *expected;
	} cases[] = {
		{ "HEAD~2", "7 held 4" },
		{ "main~1", "8 held 5" },
		{ "policies@HEAD~2", "7 held 6" },
		{ "abc00008", "8 held 7" },
	};

	(void)state;
	world_pass(&w, 7, 'a');
	world_pass(&w, 8, 'b');
	world_pass(&w, 9, 'c');
	assert_assigned(&w, "prod", "authz", "9 following 3");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		must_act(roll_back(cases[i].to));
		assert_assigned(&w, "prod", "authz", cases[i].expected);
	}
}

static void
test_rollback_refusals(void **state)
{
	AUTO_STR failed = rev(2);
	AUTO_STR lacks = rev(3);
	struct world_publication p = { .repository = "policies",
		.commit = 3,
		.bundles = { { "other", 'e', NULL } },
		.clusters = { { "prod", "authz other" } } };
	json_t *fields;

	(void)state;
	world_pass(&w, 1, 'a');
	world_verdict(&w, "policies", 2, "failed");
	assert_int_equal(world_action(&w, roll_back(failed), NULL),
	    ERR_CONFLICT);
	assert_non_null(strstr(w.e.text, "failed"));
	publish(&p);
	assert_int_equal(world_action(&w, roll_back(lacks), NULL),
	    ERR_CONFLICT);
	assert_non_null(strstr(w.e.text, "does not have bundle authz"));
	assert_int_equal(world_action(&w, roll_back("abc"), NULL), ERR_OK);
	assert_int_equal(world_action(&w, roll_back("rules@HEAD"), NULL),
	    ERR_INVALID);
	assert_int_equal(world_action(&w, roll_back(""), NULL), ERR_INVALID);
	fields = roll_back(failed);
	json_object_set_new(fields, "reason", json_string(""));
	assert_int_equal(world_action(&w, fields, NULL), ERR_INVALID);
	fields = roll_back(failed);
	json_object_set_new(fields, "until", json_string("x"));
	assert_int_equal(world_action(&w, fields, NULL), ERR_INVALID);
	fields = roll_back(failed);
	json_object_set_new(fields, "clusters", json_pack("[s]", "nowhere"));
	assert_int_equal(world_action(&w, fields, NULL), ERR_NOT_FOUND);
	fields = roll_back(failed);
	json_object_set_new(fields, "clusters", json_array());
	assert_int_equal(world_action(&w, fields, NULL), ERR_INVALID);
	fields = roll_back(failed);
	json_object_set_new(fields, "bundle", json_string("nothing"));
	assert_int_equal(world_action(&w, fields, NULL), ERR_NOT_FOUND);
	assert_assigned(&w, "prod", "authz", "1 following 1");
}

static void
test_expected_serials(void **state)
{
	AUTO_STR to = rev(1);
	json_t *fields;

	(void)state;
	world_pass(&w, 1, 'a');
	world_pass(&w, 2, 'b');
	for (int i = 0; i < 2; i++) {
		fields = roll_back(to);
		json_object_set_new(fields, "expect",
		    json_pack("{s:i}", "prod", 2));
		assert_int_equal(world_action(&w, fields, NULL),
		    i == 0 ? ERR_OK : ERR_CONFLICT);
	}
	assert_non_null(strstr(w.e.text, "its serial is 3 now, not 2"));
	fields = roll_back(to);
	json_object_set_new(fields, "expect", json_pack("{s:i}", "else", 2));
	assert_int_equal(world_action(&w, fields, NULL), ERR_INVALID);
	assert_assigned(&w, "prod", "authz", "1 held 3");
}

static void
test_clusters_one_by_one(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', NULL } },
		.clusters = { { "east", "authz" }, { "west", "authz" } } };
	AUTO_STR to = rev(1);
	json_t *fields = roll_back(to);
	json_t *body;

	(void)state;
	publish(&p);
	p.commit = 2;
	p.bundles[0].content = 'b';
	publish(&p);
	json_object_set_new(fields, "clusters", json_pack("[s]", "east"));
	assert_int_equal(world_action(&w, fields, &body), ERR_OK);
	assert_int_equal(json_array_size(json_object_get(body, "assignments")),
	    1);
	json_decref(body);
	assert_assigned(&w, "east", "authz", "1 held 3");
	assert_assigned(&w, "west", "authz", "2 following 2");
	p.commit = 3;
	p.bundles[0].content = 'c';
	publish(&p);
	assert_assigned(&w, "east", "authz", "1 held 3");
	assert_assigned(&w, "west", "authz", "3 following 3");
}

/* Definitions. */

static void
test_definitions_come_from_the_newest(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 5,
		.bundles = { { "authz", 'a', NULL } },
		.clusters = { { "prod", "authz" } } };
	struct store_owner owner;

	(void)state;
	publish(&p);
	/* Older, filled in: its cluster and its bundle are history. */
	p.commit = 4;
	p.bundles[0] = (struct world_bundle){ "old", 'b', NULL };
	p.clusters[0] = (struct world_cluster){ "legacy", "old" };
	publish(&p);
	assert_assigned(&w, "legacy", "old", "none");
	assert_int_equal(store_cluster_owner(w.context.store, "legacy", &owner,
			     &w.e),
	    ERR_NOT_FOUND);
	/* A cluster newly has a bundle: the newest passing revision at once. */
	p.commit = 6;
	p.bundles[0] = (struct world_bundle){ "authz", 'a', NULL };
	p.clusters[0] = (struct world_cluster){ "prod", "authz" };
	p.clusters[1] = (struct world_cluster){ "test", "authz" };
	publish(&p);
	assert_assigned(&w, "test", "authz", "5 following 1");
	assert_assigned(&w, "prod", "authz", "5 following 1");
}

static void
test_orphans_are_served(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', NULL }, { "infra", 'b', NULL } },
		.clusters = { { "prod", "authz infra" },
		    { "test", "authz" } } };
	json_t *view;

	(void)state;
	publish(&p);
	p.commit = 2;
	p.bundles[0].content = 'c';
	p.bundles[1].name = NULL;
	p.clusters[0].bundles = "authz";
	p.clusters[1].name = NULL;
	publish(&p);
	assert_assigned(&w, "prod", "infra", "1 following 1");
	assert_assigned(&w, "prod", "authz", "2 following 2");
	assert_assigned(&w, "test", "authz", "1 following 1");
	assert_int_equal(view_cluster(w.context.store, "test", &view, &w.e),
	    ERR_OK);
	assert_true(json_is_true(json_object_get(view, "orphan")));
	assert_true(json_is_string(json_object_get(
	    json_array_get(json_object_get(view, "assignments"), 0),
	    "blocked")));
	json_decref(view);
	assert_int_equal(view_bundle(w.context.store, "infra", &view, &w.e),
	    ERR_OK);
	assert_true(json_is_true(json_object_get(view, "orphan")));
	json_decref(view);
	/* And back again. */
	p.commit = 3;
	p.clusters[1].name = "test";
	publish(&p);
	assert_assigned(&w, "test", "authz", "2 following 2");
}

static void
test_names_belong_to_one_repository(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', NULL } },
		.clusters = { { "prod", "authz" } } };

	(void)state;
	publish(&p);
	world_repository(&w, "rules", 1, 20);
	world_commit(&w, "rules", 1, 20, 0, 1);
	world_commit(&w, "rules", 1, 21, 20, 2);
	world_verdict(&w, "rules", 20, "passed");
	p.repository = "rules";
	p.commit = 20;
	p.no_clusters = true;
	assert_int_equal(world_publish(&w, &p), ERR_CONFLICT);
	assert_non_null(strstr(w.e.text, "policies"));
	assert_non_null(strstr(w.e.text, "rules"));
	/* Its clusters are not read while it does not define them. */
	p.bundles[0].name = "infra";
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	p.no_clusters = false;
	assert_int_equal(world_publish(&w, &p), ERR_CONFLICT);
	assert_non_null(strstr(w.e.text, "cluster prod"));
	/* The other repository's cluster may list our bundle. */
	p = (struct world_publication){ .repository = "policies",
		.commit = 2,
		.bundles = { { "authz", 'a', NULL } },
		.clusters = { { "prod", "authz infra" } } };
	publish(&p);
	assert_assigned(&w, "prod", "infra", "20 following 1");
	p = (struct world_publication){ .repository = "rules",
		.commit = 21,
		.bundles = { { "infra", 'b', NULL } },
		.no_clusters = true };
	publish(&p);
	assert_assigned(&w, "prod", "infra", "21 following 2");
}

static void
test_orphaned_name_changes_hands(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', NULL }, { "infra", 'b', NULL } },
		.clusters = { { "prod", "authz infra" } } };

	(void)state;
	publish(&p);
	p.commit = 2;
	p.bundles[1].name = NULL;
	publish(&p);
	world_repository(&w, "rules", 1, 20);
	world_commit(&w, "rules", 1, 20, 0, 1);
	p = (struct world_publication){ .repository = "rules",
		.commit = 20,
		.bundles = { { "infra", 'c', NULL } },
		.no_clusters = true };
	publish(&p);
	assert_assigned(&w, "prod", "infra", "20 following 2");
}

/* Sets. */

static void
test_overlap_blocks_following(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', "x/a" }, { "infra", 'b', "y" } },
		.clusters = { { "prod", "authz infra" } } };
	struct store_assignments list;
	AUTO_STR to = rev(1);

	(void)state;
	publish(&p);
	must_act(json_pack("{s:s, s:s, s:s}", "action", "pin", "bundle",
	    "infra", "reason", "x"));
	/* authz takes what infra gave up, but infra is held where it has it. */
	p.commit = 2;
	p.bundles[0] = (struct world_bundle){ "authz", 'c', "y/b" };
	p.bundles[1] = (struct world_bundle){ "infra", 'd', "z" };
	publish(&p);
	assert_assigned(&w, "prod", "authz", "1 following 1");
	assert_int_equal(store_assignments(w.context.store, "prod", "authz",
			     &list, &w.e),
	    ERR_OK);
	assert_non_null(strstr(list.items[0].blocked, "y/b"));
	assert_non_null(strstr(list.items[0].blocked, "infra"));
	store_assignments_clear(&list);
	/* The way is free: the next publication takes it. */
	must_act(json_pack("{s:s, s:s, s:s}", "action", "resume", "bundle",
	    "infra", "reason", "x"));
	world_answer_sets(&w, "loads");
	assert_assigned(&w, "prod", "infra", "2 following 4");
	assert_int_equal(world_run(&w, ledger_acked,
			     json_pack("{s:s, s:s, s:i}", "cluster", "prod",
				 "bundle", "infra", "serial", 4),
			     NULL),
	    ERR_OK);
	publish(&p);
	assert_assigned(&w, "prod", "authz", "2 following 2");
	/* An operator is told, with both names, and nothing moves. */
	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s, s:s, s:s}", "action",
				 "rollback", "bundle", "infra", "to", to,
				 "reason", "x"),
			     NULL),
	    ERR_CONFLICT);
	assert_non_null(strstr(w.e.text, "authz"));
	assert_non_null(strstr(w.e.text, "infra"));
	assert_assigned(&w, "prod", "infra", "2 following 4");
}

static void
test_resume_waits_where_it_would_overlap(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', "x" }, { "infra", 'b', "y" } },
		.clusters = { { "prod", "authz infra" } } };
	struct store_assignments list;

	(void)state;
	publish(&p);
	must_act(json_pack("{s:s, s:s, s:s}", "action", "pin", "bundle",
	    "infra", "reason", "x"));
	must_act(on_bundle("pin"));
	p.commit = 2;
	p.bundles[0] = (struct world_bundle){ "authz", 'c', "y/b" };
	p.bundles[1] = (struct world_bundle){ "infra", 'd', "z" };
	publish(&p);
	must_act(on_bundle("resume"));
	assert_assigned(&w, "prod", "authz", "1 following 3");
	assert_int_equal(store_assignments(w.context.store, "prod", "authz",
			     &list, &w.e),
	    ERR_OK);
	assert_non_null(strstr(list.items[0].blocked, "infra"));
	store_assignments_clear(&list);
}

/* Lines. */

static void
test_history_that_was_accepted_anew(void **state)
{
	(void)state;
	world_pass(&w, 3, 'a');
	world_pass(&w, 5, 'b');
	/* 14 and 15 replace 4 and 5, from 3 on. */
	world_line(&w, "policies", 2, 1, 3);
	world_commit(&w, "policies", 2, 14, 3, 4);
	world_commit(&w, "policies", 2, 15, 14, 5);
	world_repository(&w, "policies", 2, 15);
	/* Judged again, a commit of the old line moves nothing. */
	world_pass(&w, 6, 'd');
	assert_assigned(&w, "prod", "authz", "5 following 2");
	/* What both have in common is behind. */
	world_pass(&w, 3, 'a');
	assert_assigned(&w, "prod", "authz", "5 following 2");
	world_pass(&w, 14, 'c');
	assert_assigned(&w, "prod", "authz", "14 following 3");
	world_pass(&w, 15, 'e');
	assert_assigned(&w, "prod", "authz", "15 following 4");
	/* A line that is over cannot come back. */
	assert_int_equal(
	    world_run(&w, ledger_repository,
		json_pack("{s:s,s:s,s:s,s:s,s:n,s:s,s:s,s:i,s:i,s:i,s:n,s:n,"
			  "s:n}",
		    "name", "policies", "url", "x", "branch", "main", "state",
		    "ok", "alarm", "head", "", "followed", "", "line", 1,
		    "last_fetch_ms", 0, "last_success_ms", 0, "last_error",
		    "engine", "sandbox"),
		NULL),
	    ERR_CONFLICT);
}

/* Operations. */

static int64_t
operation_of(json_t *body)
{
	json_t *o = json_object_get(body, "operation");
	int64_t id =
	    strtoll(json_string_value(json_object_get(o != NULL ? o : body,
			"id")),
		NULL, 10);

	json_decref(body);
	return id;
}

static const char *
operation_state(int64_t id, char out[16])
{
	AUTO_STR text = mem_printf("%lld", (long long)id);
	json_t *view;

	assert_int_equal(view_operation(w.context.store, text, &view, &w.e),
	    ERR_OK);
	(void)snprintf(out, 16, "%s",
	    json_string_value(json_object_get(view, "state")));
	json_decref(view);
	return out;
}

static void
test_rollback_that_has_to_be_built(void **state)
{
	AUTO_STR to = rev(2);
	struct world_publication p = { .repository = "policies",
		.commit = 2,
		.bundles = { { "authz", 'b', NULL } },
		.clusters = { { "prod", "authz" } } };
	struct store_operation pending;
	json_t *body;
	char text[16];

	(void)state;
	world_pass(&w, 5, 'a');
	assert_int_equal(world_action(&w, roll_back(to), &body), ERR_OK);
	p.operation = operation_of(body);
	world_reopen(&w);
	assert_int_equal(store_next_operation(w.context.store, "policies",
			     &pending, &w.e),
	    ERR_OK);
	assert_int_equal(pending.id, p.operation);
	assert_string_equal(pending.resolved, to);
	assert_string_equal(pending.bundle, "authz");
	store_operation_clear(&pending);
	assert_int_equal(world_run(&w, ledger_operation,
			     json_pack("{s:I, s:s, s:s}", "id",
				 (json_int_t)p.operation, "state", "running",
				 "progress", "testing"),
			     NULL),
	    ERR_OK);
	assert_string_equal(operation_state(p.operation, text), "running");
	publish(&p);
	assert_string_equal(operation_state(p.operation, text), "done");
	assert_assigned(&w, "prod", "authz", "2 held 2");
	/* Sent again: it is done already. */
	must_act(on_bundle("resume"));
	assert_assigned(&w, "prod", "authz", "5 following 3");
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	assert_assigned(&w, "prod", "authz", "5 following 3");
	/* What ended stays so. */
	assert_int_equal(world_run(&w, ledger_operation,
			     json_pack("{s:I, s:s}", "id",
				 (json_int_t)p.operation, "state", "failed"),
			     NULL),
	    ERR_OK);
	assert_string_equal(operation_state(p.operation, text), "done");
}

static void
test_rollback_that_was_overtaken(void **state)
{
	AUTO_STR to = rev(2);
	struct world_publication p = { .repository = "policies",
		.commit = 2,
		.bundles = { { "authz", 'b', NULL } },
		.clusters = { { "prod", "authz" } } };
	json_t *fields = roll_back(to);
	json_t *body;
	char text[16];

	(void)state;
	world_pass(&w, 5, 'a');
	json_object_set_new(fields, "expect", json_pack("{s:i}", "prod", 1));
	assert_int_equal(world_action(&w, fields, &body), ERR_OK);
	p.operation = operation_of(body);
	must_act(on_bundle("pin"));
	publish(&p);
	assert_string_equal(operation_state(p.operation, text), "failed");
	assert_assigned(&w, "prod", "authz", "5 held 2");
}

/* What operators do while it is built is newer than what it was asked for; what
 * happens by itself is not, and neither is what was asked for before. */
static void
test_rollback_yields_to_newer_decisions(void **state)
{
	static const struct {
		const char *action, *bundle;
		const char *state, *assigned;
	} rows[] = {
		{ "pin", "authz", "failed", "5 held 2" },
		{ "resume", "authz", "failed", "6 following 4" },
		{ "pin", "infra", "done", "2 held 3" },
		{ NULL, NULL, "done", "2 held 3" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_STR to = rev(2);
		struct world_publication p = { .repository = "policies",
			.bundles = { { "authz", 'a', NULL },
			    { "infra", 'e', NULL } },
			.clusters = { { "prod", "authz infra" } } };
		json_t *body;
		char text[16];

		if (i > 0) {
			assert_int_equal(teardown(NULL), 0);
			assert_int_equal(setup(NULL), 0);
		}
		p.commit = 5;
		world_verdict(&w, "policies", 5, "passed");
		assert_int_equal(world_publish(&w, &p), ERR_OK);
		assert_int_equal(world_action(&w, roll_back(to), &body),
		    ERR_OK);
		p.operation = operation_of(body);
		if (rows[i].action != NULL)
			must_act(json_pack("{s:s, s:s, s:s}", "action", "pin",
			    "bundle", rows[i].bundle, "reason", "no"));
		if (rows[i].action != NULL &&
		    strcmp(rows[i].action, "resume") == 0)
			must_act(on_bundle("resume"));
		if (i > 0)
			world_pass(&w, 6, 'c');
		p.commit = 2;
		p.bundles[0].content = 'b';
		world_verdict(&w, "policies", 2, "passed");
		assert_int_equal(world_publish(&w, &p), ERR_OK);
		assert_string_equal(operation_state(p.operation, text),
		    rows[i].state);
		assert_assigned(&w, "prod", "authz", rows[i].assigned);
	}
}

/* Two that both have to be built: the one asked for later has the last word. */
static void
test_rollbacks_in_their_order(void **state)
{
	struct world_publication p = { .repository = "policies",
		.bundles = { { "authz", 'b', NULL } },
		.clusters = { { "prod", "authz" } } };
	int64_t ids[2];
	char text[16];

	(void)state;
	world_pass(&w, 5, 'a');
	for (int i = 0; i < 2; i++) {
		AUTO_STR to = rev(2 + i);
		json_t *body;

		assert_int_equal(world_action(&w, roll_back(to), &body),
		    ERR_OK);
		ids[i] = operation_of(body);
	}
	for (int i = 0; i < 2; i++) {
		p.commit = 2 + i;
		p.operation = ids[i];
		p.bundles[0].content = "bc"[i];
		world_verdict(&w, "policies", p.commit, "passed");
		assert_int_equal(world_publish(&w, &p), ERR_OK);
		assert_string_equal(operation_state(ids[i], text), "done");
	}
	assert_assigned(&w, "prod", "authz", "3 held 3");
}

static void
test_rollback_to_what_lacks_the_bundle_fails(void **state)
{
	AUTO_STR to = rev(2);
	struct world_publication p = { .repository = "policies",
		.commit = 2,
		.bundles = { { "other", 'b', NULL } },
		.clusters = { { "prod", "authz" } } };
	json_t *body;
	char text[16];

	(void)state;
	world_pass(&w, 5, 'a');
	assert_int_equal(world_action(&w, roll_back(to), &body), ERR_OK);
	p.operation = operation_of(body);
	publish(&p);
	assert_string_equal(operation_state(p.operation, text), "failed");
	assert_assigned(&w, "prod", "authz", "5 following 1");
}

static void
test_rollback_to_a_tag_is_looked_up(void **state)
{
	struct store_operation o;
	json_t *body;

	(void)state;
	world_pass(&w, 5, 'a');
	assert_int_equal(world_action(&w, roll_back("policies@v1.2"), &body),
	    ERR_OK);
	(void)operation_of(body);
	assert_int_equal(store_next_operation(w.context.store, "policies", &o,
			     &w.e),
	    ERR_OK);
	assert_string_equal(o.to, "v1.2");
	assert_string_equal(o.resolved, "");
	store_operation_clear(&o);
}

static void
test_repository_actions(void **state)
{
	struct store_repository r;
	json_t *body;
	int64_t first;

	(void)state;
	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s}", "action", "fetch",
				 "repository", "policies"),
			     &body),
	    ERR_OK);
	first = operation_of(body);
	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s}", "action", "fetch",
				 "repository", "policies"),
			     &body),
	    ERR_OK);
	assert_int_equal(operation_of(body), first);
	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s}", "action", "accept",
				 "repository", "policies"),
			     NULL),
	    ERR_CONFLICT);
	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s}", "action", "suspend",
				 "repository", "policies"),
			     &body),
	    ERR_OK);
	assert_string_equal(json_string_value(json_object_get(body, "state")),
	    "suspended");
	json_decref(body);
	assert_int_equal(store_repository_state(w.context.store, "policies", &r,
			     &w.e),
	    ERR_OK);
	assert_true(r.suspended);
	store_repository_clear(&r);
	world_repository(&w, "policies", 1, 9); /* does not undo it */
	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s, s:s}", "action", "unsuspend",
				 "repository", "policies", "reason", "fixed"),
			     &body),
	    ERR_OK);
	assert_string_equal(json_string_value(json_object_get(body, "state")),
	    "ok");
	json_decref(body);
	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s}", "action", "fetch",
				 "repository", "nowhere"),
			     NULL),
	    ERR_NOT_FOUND);
	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s}", "action", "retest", "rev",
				 "HEAD~1"),
			     &body),
	    ERR_OK);
	(void)operation_of(body);
}

static void
raise_alarm(int tip)
{
	char id[STORE_ID_SIZE];

	world_id(id, tip);
	assert_int_equal(
	    world_run(&w, ledger_repository,
		json_pack("{s:s,s:s,s:s,s:s,s:{s:s,s:s,s:s,s:i},s:s,s:s,s:i,"
			  "s:i,s:i,s:n,s:n,s:n}",
		    "name", "policies", "url", "x", "branch", "main", "state",
		    "alarm", "alarm", "kind", "rewritten", "message",
		    "history was rewritten", "tip", id, "since_ms", 1000,
		    "head", id, "followed", id, "line", 1, "last_fetch_ms", 0,
		    "last_success_ms", 0, "last_error", "engine", "sandbox"),
		NULL),
	    ERR_OK);
}

static int64_t
accept(void)
{
	json_t *body;

	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s}", "action", "accept",
				 "repository", "policies"),
			     &body),
	    ERR_OK);
	return operation_of(body);
}

static void
test_accept_needs_an_alarm(void **state)
{
	json_t *body;

	(void)state;
	raise_alarm(9);
	(void)accept();
	assert_int_equal(view_repository(w.context.store, "policies", &body,
			     &w.e),
	    ERR_OK);
	assert_string_equal(json_string_value(json_object_get(
				json_object_get(body, "alarm"), "since")),
	    "1970-01-01T00:00:01.000Z");
	json_decref(body);
}

/* Whatever the tip is by the time it is carried out. */
static void
test_accept_means_one_tip(void **state)
{
	AUTO_STR seen = rev(9);
	struct store_operation o;
	int64_t first;

	(void)state;
	raise_alarm(9);
	first = accept();
	assert_int_equal(accept(), first);
	raise_alarm(8);
	assert_int_not_equal(accept(), first);
	assert_int_equal(store_next_operation(w.context.store, "policies", &o,
			     &w.e),
	    ERR_OK);
	assert_int_equal(o.id, first);
	assert_string_equal(o.resolved, seen);
	store_operation_clear(&o);
}

static void
test_only_admins_act(void **state)
{
	json_t *payload;

	(void)state;
	world_pass(&w, 1, 'a');
	payload = world_action_payload(&w, w.engine, on_bundle("pin"));
	assert_int_equal(world_run(&w, ledger_action, payload, NULL),
	    ERR_DENIED);
	payload = world_action_payload(&w, "edict_guess", on_bundle("pin"));
	assert_int_equal(world_run(&w, ledger_action, payload, NULL),
	    ERR_DENIED);
	assert_int_equal(world_action(&w, on_bundle("erase"), NULL),
	    ERR_INVALID);
	assert_assigned(&w, "prod", "authz", "1 following 1");
}

/* Malformed messages: each is refused, and nothing of it stays. */

static void
test_malformed(void **state)
{
	static const struct {
		ledger_fn *run;
		const char *payload;
		enum err_code code;
	} cases[] = {
		{ ledger_repository, "{}", ERR_INVALID },
		{ ledger_commits, "{\"repository\":1}", ERR_INVALID },
		{ ledger_commits,
		    "{\"repository\":\"nowhere\",\"line\":1,\"commits\":[]}",
		    ERR_NOT_FOUND },
		{ ledger_commits,
		    "{\"repository\":\"policies\",\"line\":-2,\"commits\":[]}",
		    ERR_INVALID },
		{ ledger_commits,
		    "{\"repository\":\"policies\",\"line\":1,\"commits\":[1]}",
		    ERR_INVALID },
		{ ledger_verdict,
		    "{\"repository\":\"policies\",\"commit\":\"x\","
		    "\"verdict\":{\"state\":\"passed\",\"identity\":\"\"}}",
		    ERR_INVALID },
		{ ledger_verdict,
		    "{\"repository\":\"policies\",\"commit\":\"x\","
		    "\"verdict\":{\"state\":\"great\",\"identity\":\"\"}}",
		    ERR_INVALID },
		{ ledger_verdict,
		    "{\"repository\":\"policies\",\"commit\":\"x\","
		    "\"verdict\":{\"state\":\"failed\",\"identity\":\"\"}}",
		    ERR_NOT_FOUND },
		{ ledger_publish, "{\"repository\":\"policies\"}",
		    ERR_INVALID },
		{ ledger_operation, "{\"id\":1,\"state\":\"done\"}",
		    ERR_NOT_FOUND },
		{ ledger_operation, "{\"id\":1,\"state\":\"better\"}",
		    ERR_INVALID },
		{ ledger_action, "{\"token\":\"x\"}", ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(world_run(&w, cases[i].run,
				     json_loads(cases[i].payload, 0, NULL),
				     NULL),
		    cases[i].code);
}

/* A publication at the limits of its parts, and one above each. */
static void
test_limits_of_a_publication(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', NULL } },
		.clusters = { { "prod", "authz" } } };

	(void)state;
	world_verdict(&w, "policies", 1, "passed");
	/* 0 to 2: one of the three is too much; 3: none is. */
	for (int over = 0; over <= 3; over++) {
		json_t *payload = world_publish_payload(&w, &p);
		json_t *bundle =
		    json_array_get(json_object_get(payload, "bundles"), 0);
		json_t *cluster =
		    json_array_get(json_object_get(payload, "clusters"), 0);
		json_t *labels = json_object();
		AUTO_STR key = mem_printf("%0*d", KEY_ID_MAX + (over == 0), 0);
		AUTO_STR root =
		    mem_printf("%0*d", CLUSTER_ROOT_MAX + (over == 1), 0);

		for (int i = 0; i < CLUSTER_LABELS_MAX + (over == 2); i++) {
			AUTO_STR name = mem_printf("l%d", i);

			json_object_set_new(labels, name, json_string("x"));
		}
		json_object_set_new(cluster, "labels", labels);
		json_object_set_new(bundle, "roots", json_pack("[s]", root));
		json_object_set_new(json_object_get(bundle, "artifact"), "key",
		    json_string(key));
		assert_int_equal(world_run(&w, ledger_publish, payload, NULL),
		    over < 3 ? ERR_INVALID : ERR_OK);
	}
}

static void
test_too_many_repositories(void **state)
{
	char name[16];

	(void)state;
	for (int i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof name, "r%d", i);
		world_repository(&w, name, 1, 0);
	}
	assert_int_equal(
	    world_run(&w, ledger_repository,
		json_pack("{s:s,s:s,s:s,s:s,s:n,s:s,s:s,s:i,s:i,s:i,s:n,s:n,"
			  "s:n}",
		    "name", "r9", "url", "x", "branch", "main", "state", "ok",
		    "alarm", "head", "", "followed", "", "line", 1,
		    "last_fetch_ms", 0, "last_success_ms", 0, "last_error",
		    "engine", "sandbox"),
		NULL),
	    ERR_LIMIT);
}

/* Random operators, commits and verdicts against what must always hold. */

enum { MODEL_STEPS = 400, MODEL_COMMITS = 60 };

static uint64_t seed = 4711;

static unsigned int
roll(unsigned int sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned int)(seed >> 33) % sides;
}

static void
check_passed(const struct assignment *a, const bool passed[])
{
	for (int i = 1; i <= MODEL_COMMITS; i++) {
		char id[STORE_ID_SIZE];

		world_id(id, i);
		if (strcmp(a->current_with, id) == 0)
			assert_true(passed[i]);
	}
}

static void
check_step(const struct assignment *before, const struct assignment *after,
    bool operator, const bool passed[])
{
	assert_true(after->serial >= before->serial);
	if (strcmp(before->artifact, after->artifact) != 0)
		assert_true(after->serial > before->serial);
	assert_false(assign_quarantined(after, after->content));
	check_passed(after, passed);
	if (operator)
		return;
	assert_int_equal(before->mode, after->mode);
	assert_true(after->depth >= before->depth);
	if (before->mode == ASSIGN_HELD)
		assert_int_equal(before->serial, after->serial);
}

static bool
random_step(int *newest, bool passed[])
{
	unsigned int kind = roll(10);
	int commit;
	AUTO_STR to = NULL;

	if (kind < 6 && *newest < MODEL_COMMITS) {
		/* Sometimes an older one is filled in. */
		commit = roll(4) == 0 ? 1 + (int)roll((unsigned int)*newest)
				      : ++*newest;
		if (roll(4) == 0 && !passed[commit]) {
			world_verdict(&w, "policies", commit, "failed");
		} else {
			passed[commit] = true;
			world_pass(&w, commit, "abcdef"[commit * 7 % 6]);
		}
		return false;
	}
	commit = 1 + (int)roll((unsigned int)*newest);
	to = rev(commit);
	if (kind < 8)
		(void)world_action(&w, roll_back(to), NULL);
	else
		must_act(on_bundle(kind == 8 ? "pin" : "resume"));
	return true;
}

static void
test_model(void **state)
{
	bool passed[MODEL_COMMITS + 1] = { false, true };
	struct store_assignments before, after;
	int newest = 1;

	(void)state;
	world_line(&w, "policies", 1, 10, MODEL_COMMITS);
	world_pass(&w, 1, 'a');
	for (int i = 0; i < MODEL_STEPS; i++) {
		bool operator;

		assert_int_equal(store_assignments(w.context.store, "prod",
				     "authz", &before, &w.e),
		    ERR_OK);
		operator= random_step(&newest, passed);
		assert_int_equal(store_assignments(w.context.store, "prod",
				     "authz", &after, &w.e),
		    ERR_OK);
		check_step(&before.items[0], &after.items[0], operator, passed);
		store_assignments_clear(&before);
		store_assignments_clear(&after);
	}
	assert_int_equal(store_verify_audit(w.context.store, &w.e), ERR_OK);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_publication_needs_its_verdict),
		WORLD_TEST(test_unstored_content_is_refused),
		WORLD_TEST(test_following),
		WORLD_TEST(test_rollback_and_resume),
		WORLD_TEST(test_what_passed_stays_usable),
		WORLD_TEST(test_pin),
		WORLD_TEST(test_rollback_by_names),
		WORLD_TEST(test_rollback_refusals),
		WORLD_TEST(test_expected_serials),
		WORLD_TEST(test_clusters_one_by_one),
		WORLD_TEST(test_definitions_come_from_the_newest),
		WORLD_TEST(test_orphans_are_served),
		WORLD_TEST(test_names_belong_to_one_repository),
		WORLD_TEST(test_orphaned_name_changes_hands),
		WORLD_TEST(test_overlap_blocks_following),
		WORLD_TEST(test_resume_waits_where_it_would_overlap),
		WORLD_TEST(test_history_that_was_accepted_anew),
		WORLD_TEST(test_rollback_that_has_to_be_built),
		WORLD_TEST(test_rollback_that_was_overtaken),
		WORLD_TEST(test_rollback_yields_to_newer_decisions),
		WORLD_TEST(test_rollbacks_in_their_order),
		WORLD_TEST(test_rollback_to_what_lacks_the_bundle_fails),
		WORLD_TEST(test_rollback_to_a_tag_is_looked_up),
		WORLD_TEST(test_repository_actions),
		WORLD_TEST(test_accept_needs_an_alarm),
		WORLD_TEST(test_accept_means_one_tip),
		WORLD_TEST(test_only_admins_act),
		WORLD_TEST(test_malformed),
		WORLD_TEST(test_limits_of_a_publication),
		WORLD_TEST(test_too_many_repositories),
		WORLD_TEST(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
