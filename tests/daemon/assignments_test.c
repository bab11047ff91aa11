/* Who gets what, as operators say: whole sets at once, held until the next,
 * only tried, waited for, forced; and who came first. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/daemon/fixture.h"

static json_t *
assignment(const char *cluster, int i)
{
	json_t *c = daemon_api("GET", daemon_printf("/clusters/%s", cluster),
	    NULL, 200);

	return json_array_get(json_object_get(c, "assignments"), (size_t)i);
}

static const char *
mode_of(const char *cluster, int i)
{
	return daemon_text(assignment(cluster, i), "mode");
}

static void
wait_estate(const char *rev)
{
	daemon_wait_revision("prod-eu", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-eu", "billing", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-us", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("test", "billing", rev, DAEMON_DEADLINE_MS);
}

/* All bundles of a cluster go back together, while the others follow. */
SCENARIO(all_of_a_cluster_at_once)
{
	const char *first = daemon_estate(1);
	const char *second, *third;
	struct shell s;

	daemon_start_estate(first);
	second = daemon_estate(2);
	wait_estate(second);
	daemon_sh("edict rollback --all --to %s --cluster prod-eu --reason "
		  "'both broke'",
	    first);
	daemon_wait_revision("prod-eu", "authz", first, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-eu", "billing", first, DAEMON_DEADLINE_MS);
	third = daemon_estate(3);
	daemon_wait_revision("prod-us", "authz", third, DAEMON_DEADLINE_MS);
	daemon_wait_revision("test", "billing", third, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-eu", "billing", first, DAEMON_DEADLINE_MS);
	daemon_sh("edict resume --all --cluster prod-eu");
	wait_estate(third);
	assert_string_equal(mode_of("prod-eu", 1), "following");
	/* All or nothing: one of them is not where it was seen. */
	s = daemon_try("edict pin authz billing --reason freeze --expect "
		       "prod-eu/authz=%lld,test/billing=1",
	    (long long)daemon_number(assignment("prod-eu", 0), "serial"));
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text,
	    "bundle billing in cluster test has "
	    "changed"));
	assert_string_equal(mode_of("prod-eu", 0), "following");
	s = daemon_try("edict pin authz --all --reason x");
	assert_int_equal(s.status, 2);
}

/* A set that was never built is built first, and then goes as one. */
SCENARIO(all_of_a_commit_that_has_to_be_built)
{
	const char *first = daemon_estate(1);
	const char *second;
	struct shell s;

	(void)daemon_estate(2);
	second = daemon_estate(3);
	daemon_start_estate(second);
	s = daemon_try("edict rollback --all --to %s --reason x --dry-run",
	    first);
	assert_int_equal(s.status, 0);
	daemon_sh("edict rollback --all --to %s --reason 'far back'", first);
	wait_estate(first);
	assert_string_equal(mode_of("test", 0), "held");
}

SCENARIO(held_until_the_next_that_passes)
{
	const char *one = daemon_level(1);
	const char *two, *three;

	daemon_start(NULL);
	daemon_wait_served(one);
	two = daemon_level(2);
	daemon_wait_served(two);
	daemon_sh("edict rollback main --to %s --reason x --until-next", one);
	daemon_wait_served(one);
	assert_true(json_is_true(daemon_at(assignment("default", 0),
	    "until_next")));
	assert_non_null(strstr(daemon_sh("edict status"), "until the next"));
	/* What fails is not the next, nor is a restart. */
	daemon_wait_verdict(daemon_bad_level(3), "failed", DAEMON_DEADLINE_MS);
	daemon_restart();
	daemon_wait_served(one);
	assert_string_equal(mode_of("default", 0), "held");
	three = daemon_level(4);
	daemon_wait_served(three);
	assert_string_equal(mode_of("default", 0), "following");
	assert_non_null(strstr(daemon_sh("edict audit"), "release"));
}

/* The answer is what would happen, and nothing does. */
SCENARIO(only_tried)
{
	const char *first = daemon_estate(1);
	const char *second;
	const json_t *before, *after;
	struct shell s;
	size_t log;

	daemon_start_estate(first);
	second = daemon_estate(2);
	wait_estate(second);
	before = daemon_api("GET", "/clusters", NULL, 200);
	log = strlen(daemon_log());
	s = daemon_try("edict rollback authz --to HEAD~1 --reason x --dry-run");
	assert_int_equal(s.status, 0);
	assert_non_null(strstr(s.text, "Nothing was changed"));
	assert_non_null(strstr(s.text, daemon_printf("%.12s", first)));
	assert_non_null(strstr(s.text, daemon_printf("%.12s", second)));
	assert_non_null(strstr(s.text, "prod-us"));
	/* How the bundles differ. */
	assert_non_null(strstr(s.text, "level"));
	after = daemon_api("GET", "/clusters", NULL, 200);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(
		    daemon_number(before,
			daemon_printf("items.%zu.assignments.0.serial", i)),
		    daemon_number(after,
			daemon_printf("items.%zu.assignments.0.serial", i)));
	assert_null(strstr(daemon_log() + log, "assign.changed"));
	assert_null(strstr(daemon_sh("edict audit"), "rollback"));
	s = daemon_try("edict rollback authz --to HEAD~1 --reason x --dry-run "
		       "--json");
	assert_int_equal(s.status, 0);
	assert_non_null(strstr(s.text, "\"differences\""));
	/* What is refused would be refused. */
	s = daemon_try("edict rollback authz --to HEAD~1 --reason x --dry-run "
		       "--expect prod-eu=99");
	assert_int_equal(s.status, 1);
}

/* A root that moved from one bundle to the other: alone it does not fit. */
SCENARIO(a_clash_is_shown_before)
{
	static const char yaml[] = "bundles:\n"
				   "  one: {paths: [one], roots: [%s]}\n"
				   "  two: {paths: [two], roots: [%s]}\n";
	static const char test[] = "package t_test\n\ntest_x if true\n";
	const char *first, *second;
	struct shell s;

	first = daemon_commit("First",
	    { "edict.yaml", daemon_printf(yaml, "one, shared", "two") },
	    { "one/one.rego", "package one\n\nx := 1\n" },
	    { "one/shared.rego", "package shared\n\nx := 1\n" },
	    { "two/two.rego", "package two\n\nx := 1\n" },
	    { "t_test.rego", test });
	daemon_start(NULL);
	daemon_wait_revision("default", "one", first, DAEMON_DEADLINE_MS);
	daemon_wait_revision("default", "two", first, DAEMON_DEADLINE_MS);
	second = daemon_commit("Second",
	    { "edict.yaml", daemon_printf(yaml, "one", "two, shared") },
	    { "one/shared.rego", NULL },
	    { "two/shared.rego", "package shared\n\nx := 1\n" });
	daemon_wait_revision("default", "one", second, DAEMON_DEADLINE_MS);
	daemon_wait_revision("default", "two", second, DAEMON_DEADLINE_MS);
	s = daemon_try("edict rollback one --to %s --reason x --dry-run",
	    first);
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "default refuses it"));
	assert_non_null(strstr(s.text, "shared"));
	s = daemon_try("edict rollback one --to %s --reason x", first);
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "cannot load both"));
	daemon_sh("edict rollback one two --to %s --reason x", first);
	daemon_wait_revision("default", "one", first, DAEMON_DEADLINE_MS);
	daemon_wait_revision("default", "two", first, DAEMON_DEADLINE_MS);
}

/* ---- engines ---- */

SCENARIO(waited_for)
{
	const char *one = daemon_level(1);
	const char *two;
	struct engine *e;
	struct shell s;

	daemon_start(NULL);
	daemon_wait_served(one);
	s = daemon_try("edict pin main --reason x --wait");
	assert_int_equal(s.status, 0);
	assert_non_null(strstr(s.text, "nobody to wait for"));
	daemon_sh("edict resume main");
	e = engine_start_as("host-1", "default", ENGINE_LONG, NULL, "");
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	two = daemon_level(2);
	daemon_wait_served(two);
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	s = daemon_try("edict rollback main --to %s --reason x --wait", one);
	assert_int_equal(s.status, 0);
	/* It said so, and it is so. */
	assert_string_equal(engine_ask(e, "authz/level", NULL), "1");
	assert_non_null(strstr(s.text, "1 of 1 engines have it"));
	engine_stop(e);
	s = daemon_try("edict resume main --wait --timeout 2s");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "host-1"));
	assert_non_null(strstr(s.text, "0 of 1 engines"));
	s = daemon_try("edict pin main --reason x --wait --timeout 1s --json");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "\"missing\""));
	assert_int_equal(daemon_try("edict pin main --reason x --wait "
				    "--timeout soon")
			     .status,
	    2);
}

/* ---- force ---- */

static bool
runs_forced(const char *rev)
{
	const json_t *c =
	    daemon_api("GET", daemon_printf("/commits/%s", rev), NULL, 200);

	return json_is_true(daemon_at(c, "runs_in.0.forced"));
}

/* Signed and loaded like any other, and shown as what it is. */
SCENARIO(forced)
{
	const char *one = daemon_level(1);
	const char *bad, *broken, *three;
	const char *releaser;
	struct answer a;
	struct engine *e;
	struct shell s;

	daemon_start(NULL);
	daemon_wait_served(one);
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	bad = daemon_bad_level(2);
	daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS);
	broken = daemon_commit("Broken",
	    { "authz/authz.rego", "package authz\n\nlevel := {\n" });
	daemon_wait_verdict(broken, "failed", DAEMON_DEADLINE_MS);
	s = daemon_try("edict rollback main --to %s --reason x", bad);
	assert_int_equal(s.status, 1);
	s = daemon_try("edict rollback main --to %s --force", bad);
	assert_int_equal(s.status, 2);
	releaser = daemon_token("{\"role\":\"releaser\",\"name\":\"ada\"}");
	a = daemon_send(&(struct request){ .method = "POST",
	    .path = "/v1/bundles/main/rollback",
	    .token = releaser,
	    .body = daemon_printf("{\"to\":\"%s\",\"reason\":\"x\","
				  "\"force\":true}",
		bad) });
	assert_true(a.status == 403 || a.status == 401);
	/* What no engine could load is not served, whoever wants it. */
	s = daemon_try("edict rollback main --to %s --reason x --force",
	    broken);
	assert_int_equal(s.status, 1);
	daemon_wait_served(one);
	s = daemon_try("edict rollback main --to %s --force --reason "
		       "'the test is wrong, the outage is real'",
	    bad);
	if (s.status != 0)
		fail_msg("%s", s.text);
	assert_non_null(strstr(s.text, "forced"));
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	assert_true(json_is_true(daemon_at(assignment("default", 0),
	    "forced")));
	assert_true(runs_forced(bad));
	assert_non_null(strstr(daemon_sh("edict status"), "forced"));
	assert_non_null(strstr(daemon_sh("edict log"),
	    "default:main (forced)"));
	assert_non_null(strstr(daemon_sh("edict audit"), "force"));
	daemon_restart();
	daemon_wait_served(bad);
	assert_true(runs_forced(bad));
	/* Following is to what passed, even where that is older. */
	daemon_sh("edict resume main");
	daemon_wait_served(one);
	assert_false(json_is_true(daemon_at(assignment("default", 0),
	    "forced")));
	three = daemon_level(3);
	daemon_wait_served(three);
	engine_wait(e, "authz/level", NULL, "3", DAEMON_DEADLINE_MS);
}

/* One bundle of a commit whose other one no engine could load; processes die
 * meanwhile. */
SCENARIO(forced_alone_and_after_a_crash)
{
	const char *first = daemon_estate(1);
	const char *bad;
	json_t *operation;
	struct shell s;

	daemon_start_estate(first);
	bad = daemon_commit("Half",
	    { "authz/authz.rego", "package authz\n\nlevel := 5\n" },
	    { "billing/billing.rego", "package billing\n\nlevel := {\n" });
	daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS);
	s = daemon_try("edict rollback --all --to %s --reason x --force", bad);
	assert_int_equal(s.status, 1);
	operation = daemon_api("POST", "/bundles/authz/rollback",
	    daemon_printf("{\"to\":\"%s\",\"reason\":\"x\",\"force\":true,"
			  "\"clusters\":[\"prod-us\"]}",
		bad),
	    202);
	daemon_kill("pipeline", SIGKILL);
	daemon_kill("ledger", SIGKILL);
	daemon_wait_operation(operation, "done");
	daemon_wait_revision("prod-us", "authz", bad, DAEMON_DEADLINE_MS);
	assert_true(json_is_true(daemon_at(assignment("prod-us", 0),
	    "forced")));
	daemon_wait_revision("prod-eu", "authz", first, DAEMON_DEADLINE_MS);
	daemon_wait_revision("test", "billing", first, DAEMON_DEADLINE_MS);
	daemon_sh("edict resume --all --dry-run");
	daemon_wait_revision("prod-us", "authz", bad, DAEMON_DEADLINE_MS);
	daemon_sh("edict resume --all");
	wait_estate(first);
	daemon_sh("edict audit --verify");
}

/* ---- two operators ---- */

static bool
is_known(void *arg)
{
	return daemon_get("/v1/keys", arg, NULL).status == 200;
}

/* Both saw the same; one wins, the other is told what happened. */
SCENARIO(who_comes_second_is_told)
{
	const char *one = daemon_level(1);
	const char *two, *ada;
	struct shell s;
	long long serial;

	daemon_start(NULL);
	daemon_wait_served(one);
	two = daemon_level(2);
	daemon_wait_served(two);
	ada = daemon_token("{\"role\":\"releaser\",\"name\":\"ada\"}");
	daemon_wait("the token is known", is_known, (void *)(uintptr_t)ada,
	    DAEMON_DEADLINE_MS);
	serial = (long long)daemon_number(assignment("default", 0), "serial");
	daemon_sh("echo '%s' >ada && chmod 600 ada", ada);
	daemon_sh("edict rollback main --to %s --reason 'denies all logins' "
		  "--expect default=%lld --server %s --token-file ada",
	    one, serial, daemon_url());
	s = daemon_try("edict pin main --reason mine --expect default=%lld",
	    serial);
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text,
	    daemon_printf("its serial is %lld now, not %lld; it is held at "
			  "%.12s since",
		serial + 1, serial, one)));
	assert_non_null(strstr(s.text, "by ada: denies all logins"));
	daemon_api("POST", "/bundles/main/pin",
	    daemon_printf("{\"reason\":\"x\",\"expect\":{\"default\":%lld}}",
		serial),
	    409);
	assert_string_equal(daemon_text(assignment("default", 0), "by"), "ada");
}

/* Limits hold for what is selected, too. */
SCENARIO(selected_within_limits)
{
	const char *first = daemon_commit("Clusters",
	    { "edict.yaml",
		"clusters:\n"
		"  prod-eu: {labels: {env: prod, region: eu}}\n"
		"  prod-us: {labels: {env: prod, region: us}}\n"
		"  test: {labels: {env: test}}\n" },
	    { "a.rego", "package a\n\nx := 1\n" },
	    { "a_test.rego", "package a_test\n\ntest_x if data.a.x > 0\n" });
	const char *second, *eu;
	struct shell s;

	daemon_start(NULL);
	daemon_wait_revision("test", "main", first, DAEMON_DEADLINE_MS);
	second = daemon_commit("Two", { "a.rego", "package a\n\nx := 2\n" });
	daemon_wait_revision("prod-eu", "main", second, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-us", "main", second, DAEMON_DEADLINE_MS);
	eu = daemon_token("{\"role\":\"releaser\",\"name\":\"eu\","
			  "\"clusters\":[\"*-eu\",\"test\"]}");
	daemon_wait("the token is known", is_known, (void *)(uintptr_t)eu,
	    DAEMON_DEADLINE_MS);
	daemon_sh("echo '%s' >eu && chmod 600 eu", eu);
	s = daemon_try("edict rollback main --to %s --selector env=prod "
		       "--reason x --server %s --token-file eu",
	    first, daemon_url());
	assert_int_equal(s.status, 0);
	assert_null(strstr(s.text, "prod-us"));
	daemon_wait_revision("prod-eu", "main", first, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-us", "main", second, DAEMON_DEADLINE_MS);
	s = daemon_try("edict rollback main --to %s --selector region=us "
		       "--reason x --server %s --token-file eu",
	    first, daemon_url());
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "fits region=us"));
	daemon_sh("edict resume main --selector 'env=prod,region!=us'");
	daemon_wait_revision("prod-eu", "main", second, DAEMON_DEADLINE_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(all_of_a_cluster_at_once),
		PLAY(all_of_a_commit_that_has_to_be_built),
		PLAY(held_until_the_next_that_passes),
		PLAY(only_tried),
		PLAY(a_clash_is_shown_before),
		PLAY(waited_for),
		PLAY(forced),
		PLAY(forced_alone_and_after_a_crash),
		PLAY(who_comes_second_is_told),
		PLAY(selected_within_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
