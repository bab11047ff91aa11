#include <stdlib.h>
#include <string.h>

#include "tests/daemon/fixture.h"

/* What must never be served, each pushed after a good commit. */
struct sample {
	const char *name;
	struct daemon_file files[4];
	const char *shell; /* run in the clone before the commit, or NULL */
	const char *state, *stage;
	const char *reason[3]; /* what the reason says, among others */
};

#define TEST_OF(body)         \
	"package b_test\n\n"  \
	"import data.authz\n" \
	"\n" body

/* A loop that the engine does not end by itself for a long while. */
#define LOOP                                                                    \
	"test_hang if {\n\tsome i in numbers.range(1, 100000)\n"                \
	"\tsome j in numbers.range(1, 100000)\n\ti * j == authz.level - 1000\n" \
	"}\n"

/* More numbers than the memory that is allowed has room for. */
#define BOMB                                                           \
	"test_bomb if {\n\ta := numbers.range(1, 20000000)\n"          \
	"\tb := numbers.range(1, 20000000)\n\tcount(a) + count(b) == " \
	"authz.level\n}\n"

static const struct sample samples[] = {
	{ "a failing test",
	    { { "authz/b_test.rego",
		TEST_OF("test_no if {\n\tprint(\"seen\", 4711)\n"
			"\tauthz.level == 99\n}\n") } },
	    NULL, "failed", "test",
	    { "authz/b_test.rego", "data.b_test.test_no", "seen 4711" } },
	{ "a hanging test",
	    { { "authz/b_test.rego", TEST_OF(LOOP) },
		{ "edict.yaml", "gate: {test: {timeout: 1s}}\n" } },
	    NULL, "timed_out", "test", { NULL } },
	{ "a test that eats all memory",
	    { { "authz/b_test.rego", TEST_OF(BOMB) } }, NULL, "crashed", "test",
	    { NULL } },
	{ "no tests", { { NULL, NULL } }, "rm authz/authz_test.rego",
	    "no_tests", "test", { NULL } },
	{ "a syntax error",
	    { { "authz/broken.rego", "package broken\n\nallow if {\n" } }, NULL,
	    "failed", "check", { "authz/broken.rego:", "rego_parse_error" } },
	{ "a strict violation",
	    { { "authz/unused.rego", "package unused\n\nimport data.x\n" } },
	    NULL, "failed", "check", { "authz/unused.rego:3", "unused" } },
	{ "a bad edict.yaml",
	    { { "edict.yaml", "bundles:\n  main:\n    pathz: [authz]\n" } },
	    NULL, "failed", "definition", { "edict.yaml:3:5", "pathz" } },
	{ "a cluster with an unknown bundle",
	    { { "edict.yaml",
		"bundles: {main: {}}\nclusters:\n  one: {bundles: [other]}\n" } },
	    NULL, "failed", "definition", { "edict.yaml:3:", "other" } },
	{ "overlapping roots",
	    { { "edict.yaml",
		"bundles:\n  main: {}\n  second: {paths: [authz]}\n"
		"clusters: {default: {bundles: [main, second]}}\n" } },
	    NULL, "failed", "bundle", { "main", "second", "authz" } },
	{ "data that is not JSON", { { "authz/data.json", "{\"a\": 1,}\n" } },
	    NULL, "failed", NULL, { "authz/data.json" } },
	{ "a symbolic link", { { NULL, NULL } },
	    "ln -s /etc/passwd authz/x.json", "failed", "hygiene",
	    { "authz/x.json" } },
	{ "what only an archive holds",
	    { { "authz/b_test.rego",
		"package b_test\n\ntest_ok if data.helper.ok\n" } },
	    "mkdir ../helper && echo 'package helper' >../helper/a.rego && "
	    "echo 'ok := true' >>../helper/a.rego && "
	    "tar -czf authz/helper.tar.gz -C ../helper a.rego",
	    "failed", "test", { "data.b_test.test_ok" } },
	{ "a submodule", { { NULL, NULL } },
	    "git update-index --add --cacheinfo "
	    "160000,1111111111111111111111111111111111111111,sub",
	    "failed", "hygiene", { "sub" } },
};

static void
check_reason(const struct sample *s, const json_t *commit)
{
	const char *stage = daemon_text(commit, "verdict.stage");
	const char *reason = daemon_text(commit, "verdict.reason");

	assert_non_null(reason);
	if (s->stage != NULL && (stage == NULL || strcmp(stage, s->stage) != 0))
		fail_msg("%s: ended at %s, not %s: %s", s->name, stage,
		    s->stage, reason);
	for (size_t i = 0; i < 3 && s->reason[i] != NULL; i++)
		if (strstr(reason, s->reason[i]) == NULL)
			fail_msg("%s: %s is not in: %s", s->name, s->reason[i],
			    reason);
}

/* Each sample is the good commit's tree with one thing wrong. */
static const char *
push_sample(const struct sample *s, const char *good)
{
	daemon_sh("cd work && git read-tree -u --reset %s", good);
	for (size_t i = 0; s->files[i].path != NULL; i++)
		daemon_write(daemon_printf("work/%s", s->files[i].path),
		    s->files[i].text);
	return daemon_sh("cd work && git add -A && %s && %s "
			 "git commit -q -m '%s' && "
			 "git push -q origin HEAD:main && git rev-parse HEAD",
	    s->shell != NULL ? s->shell : "true",
	    s->shell != NULL && strstr(s->shell, "update-index") == NULL
		? "git add -A &&"
		: "",
	    s->name);
}

SCENARIO(what_does_not_pass_is_never_served)
{
	const char *good = daemon_level(1);
	struct answer before, after;

	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories: {remote: {url: \"%s\"}}\n"
				    "gate: {memory_max: 192MiB}\n",
		daemon_path("remote.git")) });
	daemon_wait_served(good);
	before = daemon_get("/bundles/main", daemon_engine(), NULL);
	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
		const struct sample *s = &samples[i];
		const char *bad = push_sample(s, good);
		int64_t begin = daemon_now_ms();
		json_t *commit =
		    daemon_wait_verdict(bad, s->state, DAEMON_DEADLINE_MS);

		print_message("%s: %s after %lld ms\n", s->name, s->state,
		    (long long)(daemon_now_ms() - begin));
		check_reason(s, commit);
		assert_int_equal(json_array_size(daemon_at(commit, "runs_in")),
		    0);
		after = daemon_get("/bundles/main", daemon_engine(), NULL);
		assert_int_equal(after.status, 200);
		assert_string_equal(answer_header(&after, "ETag"),
		    answer_header(&before, "ETag"));
		daemon_api("GET",
		    daemon_printf("/bundles/main/revisions/%s", bad), NULL,
		    404);
	}
	/* And a good one goes through after all that. */
	daemon_sh("cd work && git read-tree -u --reset %s", good);
	daemon_wait_served(daemon_level(2));
}

SCENARIO(every_test_is_kept)
{
	const char *bad = daemon_bad_level(1);
	json_t *commit;
	const json_t *results;

	daemon_start(NULL);
	commit = daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS);
	assert_int_equal(daemon_number(commit, "verdict.tests.total"), 2);
	assert_int_equal(daemon_number(commit, "verdict.tests.passed"), 1);
	assert_int_equal(daemon_number(commit, "verdict.tests.failed"), 1);
	results = daemon_at(commit, "verdicts.0.results");
	assert_int_equal(json_array_size(results), 2);
	assert_string_equal(daemon_text(results, "0.name"), "test_allow");
	assert_string_equal(daemon_text(results, "0.outcome"), "passed");
	assert_string_equal(daemon_text(results, "1.name"), "test_level");
	assert_string_equal(daemon_text(results, "1.outcome"), "failed");
	assert_string_equal(daemon_text(results, "1.package"),
	    "data.authz_test");
	assert_string_equal(daemon_text(results, "1.file"), LEVEL_TEST);
	assert_int_equal(daemon_number(results, "1.line"), 5);
	assert_true(daemon_number(results, "1.duration_ns") > 0);
	assert_string_equal(daemon_text(commit, "verdict.engine"),
	    daemon_sh("'%s' version | sed -n 's/^Version: //p'", engine_opa()));
	assert_int_equal(daemon_number(commit, "verdict.attempts"), 1);
}

SCENARIO(a_retest_stands_beside_the_first_verdict)
{
	const char *bad = daemon_bad_level(1);
	json_t *commit;
	const char *text;

	daemon_start(NULL);
	commit = daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS);
	assert_int_equal(json_array_size(daemon_at(commit, "verdicts")), 1);
	daemon_wait_operation(daemon_api("POST",
				  daemon_printf("/commits/%s/retest", bad),
				  "{\"reason\":\"again\"}", 202),
	    "done");
	commit = daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS);
	assert_int_equal(json_array_size(daemon_at(commit, "verdicts")), 2);
	text = daemon_try("edict retest HEAD").text;
	assert_non_null(strstr(text, "failed"));
	commit = daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS);
	assert_int_equal(json_array_size(daemon_at(commit, "verdicts")), 3);
}

/* An engine that fails the first time: a stand-in that hands over to the real
 * one when it is told to. */
SCENARIO(what_passes_at_last_is_served)
{
	const char *rev;
	const char *fake = daemon_path("opa");

	daemon_write("opa",
	    daemon_printf("#!/bin/sh\n"
			  "case $1 in test) exit 9 ;; esac\nexec '%s' \"$@\"\n",
		engine_opa()));
	daemon_sh("chmod 755 opa");
	rev = daemon_level(1);
	daemon_start(&(struct daemon_options){ .opa = fake });
	daemon_wait_log("gate.rejected", 0);
	daemon_stop();
	daemon_sh("cp '%s' opa.new && mv opa.new opa", engine_opa());
	daemon_restart();
	daemon_try("edict retest %s", rev);
	daemon_wait_served(rev);
}

/* The server's children are held as those of the command line on the same
 * machine, and the verdict says so. */
SCENARIO(a_verdict_says_what_held_the_engine)
{
	const char *rev = daemon_level(1);
	json_t *commit;
	json_t *local;

	daemon_start(NULL);
	commit = daemon_wait_verdict(rev, "passed", DAEMON_DEADLINE_MS);
	local = json_loads(daemon_sh("edict check work --rev HEAD --json"), 0,
	    NULL);
	assert_non_null(local);
	assert_non_null(strstr(daemon_text(local, "sandbox"), "seccomp"));
	assert_string_equal(daemon_text(commit, "verdict.sandbox"),
	    daemon_text(local, "sandbox"));
	json_decref(local);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(what_does_not_pass_is_never_served),
		PLAY(every_test_is_kept),
		PLAY(a_retest_stands_beside_the_first_verdict),
		PLAY(what_passes_at_last_is_served),
		PLAY(a_verdict_says_what_held_the_engine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
