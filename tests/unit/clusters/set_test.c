#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/cluster.h"
#include "clusters/store_set.h"
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

static const char *
blocked(const char *cluster, const char *bundle)
{
	static char text[ASSIGN_BLOCKED_MAX + 1];
	struct store_assignments list;

	assert_int_equal(store_assignments(w.context.store, cluster, bundle,
			     &list, &w.e),
	    ERR_OK);
	assert_int_equal(list.count, 1);
	(void)snprintf(text, sizeof text, "%s",
	    list.items[0].blocked != NULL ? list.items[0].blocked : "");
	store_assignments_clear(&list);
	return text;
}

static void
acked(const char *cluster, const char *bundle, int serial)
{
	assert_int_equal(world_run(&w, ledger_acked,
			     json_pack("{s:s, s:s, s:i}", "cluster", cluster,
				 "bundle", bundle, "serial", serial),
			     NULL),
	    ERR_OK);
	world_answer_sets(&w, "loads");
}

/* infra gives up a root and authz takes it: infra goes first. */
static struct world_publication
move_root(void)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', "x" }, { "infra", 'b', "y" } },
		.clusters = { { "prod", "authz infra" } } };

	publish(&p);
	p.commit = 2;
	p.bundles[0] = (struct world_bundle){ "authz", 'c', "y/sub" };
	p.bundles[1] = (struct world_bundle){ "infra", 'd', "z" };
	publish(&p);
	assert_assigned(&w, "prod", "authz", "1 following 1");
	assert_assigned(&w, "prod", "infra", "2 following 2");
	assert_non_null(strstr(blocked("prod", "authz"), "infra"));
	assert_non_null(strstr(blocked("prod", "authz"), "y/sub"));
	return p;
}

static void
test_a_root_moves_between_bundles(void **state)
{
	struct world_publication p = move_root();

	(void)state;
	/* Another one does not move it either, nor a serial that is older. */
	publish(&p);
	acked("prod", "infra", 1);
	acked("prod", "authz", 9);
	acked("other", "infra", 2);
	assert_assigned(&w, "prod", "authz", "1 following 1");
	acked("prod", "infra", 2);
	assert_assigned(&w, "prod", "authz", "2 following 2");
	assert_string_equal(blocked("prod", "authz"), "");
}

static void
test_a_root_is_waited_for_no_longer_than_that(void **state)
{
	(void)state;
	move_root();
	w.context.handover_ms = 3600 * 1000;
	assert_int_equal(world_run(&w, ledger_tick, json_object(), NULL),
	    ERR_OK);
	assert_assigned(&w, "prod", "authz", "1 following 1");
	w.context.handover_ms = 0;
	assert_int_equal(world_run(&w, ledger_tick, json_object(), NULL),
	    ERR_OK);
	world_answer_sets(&w, "loads");
	assert_assigned(&w, "prod", "authz", "2 following 2");
}

/* Given up in one commit and taken in the next: the same. */
static void
test_a_root_that_was_just_given_up_is_waited_for(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', "x" }, { "infra", 'b', "y" } },
		.clusters = { { "prod", "authz infra" } } };

	(void)state;
	publish(&p);
	p.commit = 2;
	p.bundles[1] = (struct world_bundle){ "infra", 'd', "z" };
	publish(&p);
	assert_assigned(&w, "prod", "infra", "2 following 2");
	p.commit = 3;
	p.bundles[0] = (struct world_bundle){ "authz", 'c', "y" };
	publish(&p);
	assert_assigned(&w, "prod", "authz", "1 following 1");
	acked("prod", "infra", 2);
	assert_assigned(&w, "prod", "authz", "3 following 2");
}

/* No engine could ever get there, in whatever order. */
static void
test_bundles_that_swap_their_roots_stay(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', "x" }, { "infra", 'b', "y" } },
		.clusters = { { "prod", "authz infra" } } };

	(void)state;
	publish(&p);
	p.commit = 2;
	p.bundles[0] = (struct world_bundle){ "authz", 'c', "y" };
	p.bundles[1] = (struct world_bundle){ "infra", 'd', "x" };
	publish(&p);
	assert_assigned(&w, "prod", "authz", "1 following 1");
	assert_assigned(&w, "prod", "infra", "1 following 1");
	assert_non_null(strstr(blocked("prod", "authz"), "infra"));
	assert_non_null(strstr(blocked("prod", "infra"), "authz"));
}

/* ---- sets ---- */

static json_t *
sets_of(const struct world_publication *p)
{
	json_t *reply = NULL;

	assert_int_equal(world_run(&w, ledger_sets,
			     json_pack("{s:s, s:o}", "engine", WORLD_ENGINE,
				 "publication", world_publish_payload(&w, p)),
			     &reply),
	    ERR_OK);
	return reply;
}

static void
answer(const struct world_publication *p, const char *state)
{
	json_t *reply = sets_of(p);
	json_t *sets = json_object_get(reply, "sets");

	assert_int_equal(json_array_size(sets), 1);
	assert_int_equal(world_run(&w, ledger_set,
			     world_set_answer(json_array_get(sets, 0), state),
			     NULL),
	    ERR_OK);
	json_decref(reply);
}

static size_t
unknown(const struct world_publication *p)
{
	json_t *reply = sets_of(p);
	size_t count = json_array_size(json_object_get(reply, "sets"));

	json_decref(reply);
	return count;
}

/* Publishes as if nobody had asked the engine. */
static void
publish_unasked(const struct world_publication *p)
{
	assert_int_equal(world_run(&w, ledger_publish,
			     world_publish_payload(&w, p), NULL),
	    ERR_OK);
}

static struct world_publication
two_bundles(void)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', "x" }, { "infra", 'b', "y" } },
		.clusters = { { "prod", "authz infra" },
		    { "also", "authz infra" }, { "one", "authz" } } };

	publish(&p);
	p.commit = 2;
	p.bundles[0].content = 'c';
	p.bundles[1].content = 'd';
	world_verdict(&w, "policies", 2, "passed");
	return p;
}

static void
test_a_set_is_asked_about_once(void **state)
{
	struct world_publication p = two_bundles();

	(void)state;
	/* Two clusters, one question; and asking changes nothing. */
	assert_int_equal(unknown(&p), 1);
	assert_int_equal(unknown(&p), 1);
	assert_assigned(&w, "prod", "authz", "1 following 1");
	answer(&p, "loads");
	assert_int_equal(unknown(&p), 0);
	publish_unasked(&p);
	assert_assigned(&w, "prod", "authz", "2 following 2");
	assert_assigned(&w, "also", "infra", "2 following 2");
}

static void
test_what_nobody_knows_waits(void **state)
{
	struct world_publication p = two_bundles();

	(void)state;
	publish_unasked(&p);
	assert_assigned(&w, "one", "authz", "2 following 2");
	assert_assigned(&w, "prod", "authz", "1 following 1");
	assert_assigned(&w, "prod", "infra", "1 following 1");
	assert_non_null(strstr(blocked("prod", "authz"), "authz and infra"));
	world_answer_sets(&w, "loads");
	assert_assigned(&w, "prod", "authz", "2 following 2");
	assert_assigned(&w, "also", "infra", "2 following 2");
	assert_string_equal(blocked("prod", "authz"), "");
}

/* As many move as do fit: here the first of the two. */
static void
test_what_does_not_load_stays(void **state)
{
	struct world_publication p = two_bundles();

	(void)state;
	answer(&p, "refused"); /* both; but each beside the old other */
	publish_unasked(&p);
	world_answer_sets(&w, "loads");
	assert_assigned(&w, "prod", "authz", "2 following 2");
	assert_assigned(&w, "prod", "infra", "1 following 1");
	assert_non_null(strstr(blocked("prod", "infra"), "authz and infra"));
	assert_assigned(&w, "one", "authz", "2 following 2");
}

/* Goes back to commit 1 with authz; infra stays at 2: a set nobody knows. */
static int64_t
ask_for_unknown(void)
{
	AUTO_STR to = rev(1);
	struct world_publication p = two_bundles();
	json_t *body = NULL;
	int64_t id;

	answer(&p, "loads");
	publish_unasked(&p);
	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s, s:s, s:s, s:[s]}", "action",
				 "rollback", "bundle", "authz", "to", to,
				 "reason", "x", "clusters", "prod"),
			     &body),
	    ERR_OK);
	id = operation_of(body);
	assert_assigned(&w, "prod", "authz", "2 following 2");
	return id;
}

static void
test_an_operator_waits_for_the_answer(void **state)
{
	int64_t id = ask_for_unknown();
	struct store_operation op;
	char text[16];

	(void)state;
	/* It is nothing for the pipeline. */
	assert_int_equal(store_next_operation(w.context.store, "policies", &op,
			     &w.e),
	    ERR_NOT_FOUND);
	assert_string_equal(operation_state(id, text), "pending");
	world_answer_sets(&w, "loads");
	assert_string_equal(operation_state(id, text), "done");
	assert_assigned(&w, "prod", "authz", "1 held 3");
	assert_assigned(&w, "also", "authz", "2 following 2");
}

static void
test_an_operator_is_refused_with_both_names(void **state)
{
	AUTO_STR to = rev(1);
	int64_t id = ask_for_unknown();
	char text[16];

	(void)state;
	world_answer_sets(&w, "refused");
	assert_string_equal(operation_state(id, text), "failed");
	assert_assigned(&w, "prod", "authz", "2 following 2");
	/* Known by now: at once. */
	assert_int_equal(world_action(&w,
			     json_pack("{s:s, s:s, s:s, s:s, s:[s]}", "action",
				 "rollback", "bundle", "authz", "to", to,
				 "reason", "x", "clusters", "prod"),
			     NULL),
	    ERR_CONFLICT);
	assert_non_null(strstr(w.e.text, "authz and infra"));
}

/* Nobody can be asked, at night: our own look at the roots has to do. */
static void
test_an_operator_does_not_wait_for_ever(void **state)
{
	int64_t id = ask_for_unknown();
	char text[16];

	(void)state;
	world_answer_sets_once(&w, "could_not_run");
	assert_string_equal(operation_state(id, text), "done");
	assert_assigned(&w, "prod", "authz", "1 held 3");
	/* It is asked about still; what was had before needs nobody. */
	must_act(json_pack("{s:s, s:s}", "action", "resume", "bundle",
	    "authz"));
	assert_assigned(&w, "prod", "authz", "2 following 4");
}

/* Another engine may say something else: what follows asks it. */
static void
test_another_engine_is_asked_again(void **state)
{
	struct world_publication p = two_bundles();
	json_t *reply = NULL;

	(void)state;
	answer(&p, "loads");
	assert_int_equal(world_run(&w, ledger_sets,
			     json_pack("{s:s, s:o}", "engine",
				 "f00000000000000000000000000000000"
				 "0000000000000000000000000000000",
				 "publication", world_publish_payload(&w, &p)),
			     &reply),
	    ERR_OK);
	assert_int_equal(json_array_size(json_object_get(reply, "sets")), 1);
	json_decref(reply);
	assert_int_equal(unknown(&p), 0);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_a_root_moves_between_bundles),
		WORLD_TEST(test_a_root_is_waited_for_no_longer_than_that),
		WORLD_TEST(test_a_root_that_was_just_given_up_is_waited_for),
		WORLD_TEST(test_bundles_that_swap_their_roots_stay),
		WORLD_TEST(test_a_set_is_asked_about_once),
		WORLD_TEST(test_what_nobody_knows_waits),
		WORLD_TEST(test_what_does_not_load_stays),
		WORLD_TEST(test_an_operator_waits_for_the_answer),
		WORLD_TEST(test_an_operator_is_refused_with_both_names),
		WORLD_TEST(test_an_operator_does_not_wait_for_ever),
		WORLD_TEST(test_another_engine_is_asked_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
