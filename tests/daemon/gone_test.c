#include <string.h>
#include <unistd.h>

#include "tests/daemon/fixture.h"

/* Polls and rollbacks to what is stored, by a server that has nothing but its
 * own folder. Ends as it began: at the revision `now`. */
static void
check_serving(const char *now, const char *earlier)
{
	struct answer before =
	    daemon_get("/bundles/main", daemon_engine(), NULL);
	struct answer after;

	assert_int_equal(before.status, 200);
	assert_int_equal(daemon_get("/bundles/main", daemon_engine(),
			     daemon_printf("If-None-Match: %s",
				 answer_header(&before, "ETag")))
			     .status,
	    304);
	daemon_sh("edict rollback main --to %s --reason 'still works'",
	    earlier);
	daemon_wait_served(earlier);
	after = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_string_not_equal(answer_header(&before, "ETag"),
	    answer_header(&after, "ETag"));
	daemon_sh("edict resume main");
	daemon_wait_served(now);
	after = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_string_equal(answer_header(&before, "ETag"),
	    answer_header(&after, "ETag"));
	assert_int_equal(after.len, before.len);
	assert_memory_equal(after.body, before.body, after.len);
}

/* Everything that is not the server's goes away. */
SCENARIO(without_git_and_engine_it_serves_and_rolls_back)
{
	const char *one = daemon_level(1);
	const char *two, *three;
	const char *opa = daemon_path("opa");
	struct engine *e;

	daemon_sh("cp '%s' opa", engine_opa());
	daemon_start(&(struct daemon_options){ .opa = opa });
	daemon_wait_served(one);
	two = daemon_level(2);
	daemon_wait_served(two);
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);

	daemon_sh("mv remote.git away.git && mv opa opa.away");
	check_serving(two, one);
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	daemon_sh("edict rollback main --to HEAD~1 --reason 'for the engine'");
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	daemon_sh("edict resume main");
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);

	daemon_restart();
	check_serving(two, one);
	daemon_wait_state("remote", "unreachable");
	assert_int_equal(daemon_get("/healthz", NULL, NULL).status, 200);

	/* They come back, without a restart. */
	daemon_sh("mv away.git remote.git && mv opa.away opa");
	three = daemon_level(3);
	daemon_api("POST", "/repositories/remote/fetch", "{}", 202);
	daemon_wait_served(three);
}

/* Git is there, the engine is not: the verdict says so, and once it is back,
 * the commit is judged. */
SCENARIO(without_an_engine_a_commit_waits)
{
	const char *one = daemon_level(1);
	const char *two;
	const char *opa = daemon_path("opa");
	json_t *commit;

	daemon_sh("cp '%s' opa", engine_opa());
	daemon_start(&(struct daemon_options){ .opa = opa });
	daemon_wait_served(one);
	daemon_sh("mv opa opa.away");
	two = daemon_level(2);
	commit = daemon_wait_verdict(two, "could_not_run", DAEMON_DEADLINE_MS);
	assert_non_null(strstr(daemon_text(commit, "verdict.reason"), "opa"));
	daemon_wait_served(one);
	daemon_sh("mv opa.away opa");
	daemon_wait_served(two);
	daemon_wait_verdict(two, "passed", DAEMON_DEADLINE_MS);
}

/* The mirror is fetched anew; nothing that is served waits for it. */
SCENARIO(a_lost_mirror_is_made_again)
{
	const char *one = daemon_level(1);
	const char *two;

	daemon_start(NULL);
	daemon_wait_served(one);
	two = daemon_level(2);
	daemon_wait_served(two);
	daemon_stop();
	daemon_sh("rm -r data/repos data/work");
	daemon_restart();
	daemon_wait_served(two);
	daemon_sh("edict rollback main --to %s --reason 'stored'", one);
	daemon_wait_served(one);
	daemon_sh("edict resume main");
	daemon_api("POST", "/repositories/remote/fetch", "{}", 202);
	daemon_wait_served(daemon_level(3));
}

/* Losing the mirror must not be a way around the alarm: a history that does not
 * bring back what was followed is another one. */
SCENARIO(a_lost_mirror_keeps_the_alarm)
{
	const char *one = daemon_level(1);
	const char *other;
	json_t *r;

	daemon_start(NULL);
	daemon_wait_served(one);
	daemon_stop();
	daemon_sh("rm -r data/repos");
	daemon_sh("cd work && git checkout -q --orphan other && "
		  "sed -i s/1/7/g authz/*.rego && git add -A && "
		  "git commit -q -m Other && git push -q -f origin HEAD:main");
	other = daemon_sh("git -C work rev-parse HEAD");
	daemon_restart();
	r = daemon_wait_state("remote", "alarm");
	assert_string_equal(daemon_text(r, "alarm.kind"), "unrelated");
	daemon_wait_served(one);
	daemon_sh("edict accept remote");
	daemon_wait_served(other);
}

/* What opa says when it is broken is not what it says of a commit. */
SCENARIO(a_broken_engine_is_not_the_commits_fault)
{
	const char *one = daemon_level(1);
	const char *two;
	const char *opa = daemon_path("opa");

	daemon_sh("cp '%s' opa", engine_opa());
	daemon_start(&(struct daemon_options){ .opa = opa });
	daemon_wait_served(one);
	daemon_sh("mv opa opa.away && printf '#!/bin/sh\nexit 1\n' >opa.new && "
		  "chmod 755 opa.new && mv opa.new opa");
	two = daemon_level(2);
	(void)daemon_wait_verdict(two, "could_not_run", DAEMON_DEADLINE_MS);
	daemon_wait_served(one);
	daemon_sh("mv opa.away opa");
	daemon_wait_served(two);
}

/* The disk is in the way of the bundle, not of the tests: they are run once. */
SCENARIO(tests_are_not_run_again_for_a_disk)
{
	const char *one = daemon_level(1);
	const char *two, *started;

	daemon_start(NULL);
	daemon_wait_served(one);
	daemon_sh("mv data/contents away && touch data/contents");
	two = daemon_level(2);
	started = daemon_text(daemon_wait_verdict(two, "could_not_run",
				  DAEMON_DEADLINE_MS),
	    "verdict.started_at");
	daemon_sh("rm data/contents && mv away data/contents");
	daemon_wait_served(two);
	assert_string_equal(daemon_text(daemon_wait_verdict(two, "passed",
					    DAEMON_DEADLINE_MS),
				"verdict.started_at"),
	    started);
}

/* An upgrade of the engine, and a repository that was put in place of another,
 * are used without a restart of the server. */
SCENARIO(what_was_replaced_is_used)
{
	const char *one = daemon_level(1);
	const char *opa = daemon_path("opa");
	const char *two, *three;

	daemon_sh("cp '%s' opa", engine_opa());
	daemon_start(&(struct daemon_options){ .opa = opa });
	daemon_wait_served(one);
	daemon_sh("cp '%s' opa.new && mv opa.new opa", engine_opa());
	two = daemon_level(2);
	daemon_wait_served(two);
	daemon_sh("cp -r remote.git new.git && mv remote.git old.git && "
		  "mv new.git remote.git");
	three = daemon_level(3);
	daemon_wait_served(three);
	assert_int_equal(daemon_get("/readyz", NULL, NULL).status, 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(without_git_and_engine_it_serves_and_rolls_back),
		PLAY(without_an_engine_a_commit_waits),
		PLAY(a_lost_mirror_is_made_again),
		PLAY(a_lost_mirror_keeps_the_alarm),
		PLAY(a_broken_engine_is_not_the_commits_fault),
		PLAY(tests_are_not_run_again_for_a_disk),
		PLAY(what_was_replaced_is_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
