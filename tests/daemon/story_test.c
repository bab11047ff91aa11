#include <string.h>

#include "tests/daemon/fixture.h"

/* What a push may take until a waiting engine answers by it: 2 s is promised, by
 * the program as it is installed. */
#ifdef EDICT_SANITIZED
enum { PUSH_MS = DAEMON_DEADLINE_MS };
#else
enum { PUSH_MS = 2000 };
#endif

SCENARIO(a_commit_is_served)
{
	const char *first = daemon_level(1);
	struct answer a;

	daemon_start(NULL);
	daemon_wait_served(first);
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(daemon_text(daemon_wait_verdict(first, "passed", 0),
				"runs_in.0.cluster"),
	    "default");
}

SCENARIO(engines_follow_every_passing_commit)
{
	struct engine *engines[2];
	int64_t ms;
	const char *rev = daemon_level(1);

	daemon_start(NULL);
	daemon_wait_served(rev);
	engines[0] = engine_start("default", ENGINE_LONG);
	engines[1] = engine_start("default", ENGINE_PLAIN);
	for (size_t i = 0; i < 2; i++)
		engine_wait(engines[i], "authz/level", NULL, "1",
		    DAEMON_DEADLINE_MS);
	rev = daemon_level(2);
	ms = engine_wait(engines[0], "authz/level", NULL, "2",
	    DAEMON_DEADLINE_MS);
	print_message("a push was answered by after %lld ms\n", (long long)ms);
	assert_true(ms <= PUSH_MS);
	engine_wait(engines[1], "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	assert_string_equal(engine_ask(engines[0],
				"system/bundles/main/manifest/revision", NULL),
	    daemon_printf("\"%s\"", rev));
}

SCENARIO(a_failing_commit_is_never_served)
{
	const char *good = daemon_level(1);
	struct engine *e;
	const char *bad;
	const char *reason;
	struct answer before, after;

	daemon_start(NULL);
	daemon_wait_served(good);
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	before = daemon_get("/bundles/main", daemon_engine(), NULL);
	bad = daemon_bad_level(2);
	reason =
	    daemon_text(daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS),
		"verdict.reason");
	assert_non_null(strstr(reason, "test_level"));
	assert_non_null(strstr(reason, LEVEL_TEST));
	/* The next one is judged after it, and leaves it out. */
	daemon_wait_verdict(daemon_bad_level(3), "failed", DAEMON_DEADLINE_MS);
	after = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_string_equal(answer_header(&before, "ETag"),
	    answer_header(&after, "ETag"));
	assert_string_equal(engine_ask(e, "authz/level", NULL), "1");
	daemon_api("GET", daemon_printf("/bundles/main/revisions/%s", bad),
	    NULL, 404);
	assert_string_equal(daemon_text(daemon_api("GET", "/clusters/default",
					    NULL, 200),
				"assignments.0.revision"),
	    good);
}

SCENARIO(a_rollback_holds_until_resume)
{
	const char *one = daemon_level(1);
	const char *two, *three;
	struct engine *e;
	int64_t ms;

	daemon_start(NULL);
	daemon_wait_served(one);
	two = daemon_level(2);
	daemon_wait_served(two);
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);

	daemon_sh("edict rollback main --to HEAD~1 --reason 'denies logins'");
	ms = engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	print_message("a rollback was answered by after %lld ms\n",
	    (long long)ms);
	assert_true(ms <= PUSH_MS);

	three = daemon_level(3);
	daemon_wait_verdict(three, "passed", DAEMON_DEADLINE_MS);
	/* Built, but not for whoever is held. */
	daemon_wait_log(daemon_printf("commit.published repo=remote commit=%s",
			    three),
	    0);
	assert_string_equal(engine_ask(e, "authz/level", NULL), "1");
	daemon_wait_served(one);

	daemon_sh("edict resume main --reason 'fixed'");
	engine_wait(e, "authz/level", NULL, "3", DAEMON_DEADLINE_MS);
	daemon_wait_served(three);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(a_commit_is_served),
		PLAY(engines_follow_every_passing_commit),
		PLAY(a_failing_commit_is_never_served),
		PLAY(a_rollback_holds_until_resume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
