/* The bundles of one cluster, which its engines load together. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/daemon/fixture.h"

/* Two bundles that each load alone; which of app and lib refers to the other
 * makes the difference: both at once are a recursion. */
#define ESTATE                                                  \
	"bundles: {app: {paths: [app]}, lib: {paths: [lib]}}\n" \
	"clusters:\n"                                           \
	"  prod: {bundles: [app, lib]}\n"                       \
	"  alone: {bundles: [lib]}\n"
#define TEST "package a_test\n\ntest_x if data.app.x > 0\n"

static const char *
app(const char *x)
{
	return daemon_printf("package app\n\nx := %s\n", x);
}

static const char *
lib(const char *y)
{
	return daemon_printf("package lib\n\ny := %s\n", y);
}

static const char *
commit(const char *x, const char *y)
{
	return daemon_commit("A change", { "edict.yaml", ESTATE },
	    { "app/app.rego", app(x) }, { "lib/lib.rego", lib(y) },
	    { "a_test.rego", TEST });
}

static json_t *
assignment(const char *cluster, const char *bundle)
{
	const json_t *c = daemon_api("GET",
	    daemon_printf("/clusters/%s", cluster), NULL, 200);
	size_t i;
	json_t *a;

	json_array_foreach(daemon_at(c, "assignments"), i, a)
		if (strcmp(daemon_text(a, "bundle"), bundle) == 0)
			return a;
	fail_msg("cluster %s has no bundle %s", cluster, bundle);
	return NULL;
}

static void
check_at(const char *bundle, const char *rev)
{
	assert_string_equal(daemon_text(assignment("prod", bundle), "revision"),
	    rev);
}

struct cause {
	const char *bundle, *text;
};

static bool
is_blocked(void *arg)
{
	struct cause *c = arg;
	const char *seen =
	    daemon_text(assignment("prod", c->bundle), "blocked");

	return seen != NULL && strstr(seen, c->text) != NULL;
}

static void
wait_blocked(const char *bundle, const char *text)
{
	struct cause c = { bundle, text };

	daemon_wait(daemon_printf("%s is blocked: %s", bundle, text),
	    is_blocked, &c, DAEMON_DEADLINE_MS);
}

static void
wait_both(const char *rev)
{
	daemon_wait_revision("prod", "app", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod", "lib", rev, DAEMON_DEADLINE_MS);
}

static json_t *
rollback(const char *bundle, const char *to, const char *cluster, long status)
{
	return daemon_api("POST", daemon_printf("/bundles/%s/rollback", bundle),
	    daemon_printf("{\"to\":\"%s\",\"reason\":\"a test\","
			  "\"clusters\":[\"%s\"]}",
		to, cluster),
	    status);
}

static int
checks(void)
{
	const char *at = daemon_log();
	int count = 0;

	while ((at = strstr(at, "set.checked")) != NULL) {
		count++;
		at++;
	}
	return count;
}

SCENARIO(what_is_loaded_together_is_loaded_once)
{
	const char *one = commit("1", "1");
	const char *two;

	daemon_start(NULL);
	wait_both(one);
	assert_int_equal(checks(), 1);
	two = commit("2", "1");
	daemon_wait_revision("prod", "app", two, DAEMON_DEADLINE_MS);
	assert_int_equal(checks(), 2);
	daemon_wait_log(daemon_printf("commit.published repo=remote commit=%s",
			    daemon_commit("Words", { "README", "words\n" })),
	    0);
	/* Had before: at once, and nobody is asked. */
	rollback("app", one, "prod", 200);
	check_at("app", one);
	daemon_api("POST", "/bundles/app/resume", "{}", 200);
	check_at("app", two);
	assert_int_equal(checks(), 2);
}

SCENARIO(what_does_not_load_together_is_refused_with_both_names)
{
	const char *one = commit("1", "data.app.x + 1");
	const char *two;
	json_t *answer;
	const char *text;

	daemon_start(NULL);
	wait_both(one);
	two = commit("data.lib.y", "2");
	wait_both(two);
	/* The other cluster has no such trouble. */
	rollback("lib", one, "alone", 200);
	/* The engine is asked, and says why. */
	answer =
	    daemon_wait_operation(rollback("lib", one, "prod", 202), "failed");
	assert_string_equal(daemon_text(answer, "error.code"), "conflict");
	text = daemon_text(answer, "error.message");
	assert_non_null(strstr(text, "app and lib"));
	assert_non_null(strstr(text, "recursive"));
	/* It is known by now; and both together were had before. */
	answer = rollback("lib", one, "prod", 409);
	text = daemon_text(answer, "error.message");
	assert_non_null(strstr(text, "app and lib"));
	check_at("lib", two);
	daemon_sh("edict rollback app lib --to %s --cluster prod --reason x",
	    one);
	check_at("lib", one);
	check_at("app", one);
}

SCENARIO(what_follows_waits_and_says_why)
{
	const char *one = commit("1", "data.app.x + 1");
	const char *two;
	struct shell s;

	daemon_start(NULL);
	wait_both(one);
	daemon_sh("edict pin lib --cluster prod --reason 'a freeze'");
	two = commit("data.lib.y", "2");
	daemon_wait_revision("alone", "lib", two, DAEMON_DEADLINE_MS);
	wait_blocked("app", "app and lib cannot be loaded together");
	check_at("app", one);
	s = daemon_try("edict status");
	assert_non_null(strstr(s.text, "blocked"));
	assert_non_null(strstr(s.text, "cannot be loaded together"));
	/* Restarts change nothing; with the other it fits. */
	daemon_restart();
	check_at("app", one);
	daemon_sh("edict resume lib --cluster prod");
	wait_both(two);
	assert_null(daemon_text(assignment("prod", "app"), "blocked"));
}

/* Two of each; {app one, lib two} was never had. */
static void
begin_at_two(const char *opa, const char **one, const char **two)
{
	daemon_sh("cp '%s' opa", engine_opa());
	*one = commit("1", "1");
	daemon_start(&(struct daemon_options){ .opa = opa });
	wait_both(*one);
	*two = commit("2", "2");
	wait_both(*two);
}

static const json_t *
newest_rollback(void)
{
	return daemon_at(daemon_api("GET", "/audit?kind=rollback&limit=1", NULL,
			     200),
	    "items.0");
}

/* Nobody can be asked; going back is possible all the same. */
SCENARIO(without_an_engine_operators_go_back)
{
	const char *one, *two;
	size_t from;

	begin_at_two(daemon_path("opa"), &one, &two);
	daemon_sh("mv opa opa.away");
	daemon_wait_operation(rollback("app", one, "prod", 202), "done");
	check_at("app", one);
	check_at("lib", two);
	assert_non_null(daemon_at(newest_rollback(), "detail.unchecked"));
	/* What was had before needs nobody. */
	rollback("app", two, "prod", 200);
	check_at("app", two);
	assert_null(daemon_at(newest_rollback(), "detail.unchecked"));
	/* It is looked at when the engine is back. */
	from = strlen(daemon_log());
	daemon_sh("mv opa.away opa");
	daemon_wait_log("state=loads", from);
}

SCENARIO(without_the_pipeline_operators_go_back)
{
	const char *one, *two;
	pid_t pipeline;

	begin_at_two(daemon_path("opa"), &one, &two);
	pipeline = daemon_process("pipeline");
	assert_int_equal(kill(pipeline, SIGSTOP), 0);
	daemon_wait_operation(rollback("app", one, "prod", 202), "done");
	check_at("app", one);
	rollback("app", two, "prod", 200);
	check_at("app", two);
	assert_int_equal(kill(pipeline, SIGCONT), 0);
}

/* Each bundle has a version of its own; the engine takes both. */
SCENARIO(rego_versions_may_differ_where_the_engine_takes_both)
{
	const char *one = daemon_commit("Old and new",
	    { "edict.yaml",
		"bundles:\n"
		"  app: {paths: [app], rego_version: 0}\n"
		"  lib: {paths: [lib]}\n"
		"clusters: {prod: {bundles: [app, lib]}}\n"
		"gate: {test: {scope: bundle, empty: pass}}\n" },
	    { "app/app.rego", "package app\n\nx = 1 { data.lib.y }\n" },
	    { "lib/lib.rego", "package lib\n\ny if true\n" },
	    { "lib/lib_test.rego",
		"package lib_test\n\ntest_y if data.lib.y\n" });
	struct engine *e;

	daemon_start(NULL);
	wait_both(one);
	assert_int_equal(checks(), 1);
	e = engine_start("prod", ENGINE_LONG);
	engine_wait(e, "app/x", NULL, "1", DAEMON_DEADLINE_MS);
}

/* ---- roots that move from one bundle to another ---- */

#define MOVE_TEST "package a_test\n\ntest_x if data.app.x + data.moved.z > 0\n"

static const char *
before_move(void)
{
	return daemon_commit("Before", { "edict.yaml", ESTATE },
	    { "app/app.rego", app("1") }, { "lib/lib.rego", lib("1") },
	    { "lib/moved/moved.rego", "package moved\n\nz := 1\n" },
	    { "a_test.rego", MOVE_TEST });
}

/* From lib, which goes second by its name. */
static const char *
move(void)
{
	return daemon_commit("The move", { "lib/moved/moved.rego", NULL },
	    { "app/moved/moved.rego", "package moved\n\nz := 2\n" });
}

static void
check_no_failure(struct engine *e)
{
	const char *log = engine_log(e);

	assert_null(strstr(log, "activation failed"));
	assert_null(strstr(log, "overlapping roots"));
}

SCENARIO(a_root_moves_and_engines_never_fail)
{
	const char *one = before_move();
	struct engine *e, *plain;
	const char *two, *three;

	daemon_start(NULL);
	wait_both(one);
	e = engine_start("prod", ENGINE_LONG);
	plain = engine_start("prod", ENGINE_PLAIN);
	engine_wait(e, "moved/z", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(plain, "moved/z", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(plain, "app/x", NULL, "1", DAEMON_DEADLINE_MS);
	two = move();
	daemon_wait_revision("prod", "lib", two, DAEMON_DEADLINE_MS);
	wait_both(two);
	engine_wait(e, "moved/z", NULL, "2", DAEMON_DEADLINE_MS);
	engine_wait(plain, "moved/z", NULL, "2", DAEMON_DEADLINE_MS);
	daemon_wait_log("roots.free cluster=prod bundle=lib", 0);
	/* And back again, to the one that goes first by its name. */
	three = daemon_commit("Back", { "app/moved/moved.rego", NULL },
	    { "app/app.rego", app("3") },
	    { "lib/moved/moved.rego", "package moved\n\nz := 3\n" });
	wait_both(three);
	engine_wait(e, "moved/z", NULL, "3", DAEMON_DEADLINE_MS);
	engine_wait(plain, "moved/z", NULL, "3", DAEMON_DEADLINE_MS);
	check_no_failure(e);
	check_no_failure(plain);
}

/* An engine that hangs is waited for, but not for ever; meanwhile it is shown,
 * and restarts change nothing. */
SCENARIO(a_root_is_waited_for_until_a_time_out)
{
	const char *one = before_move();
	struct engine *e;
	const char *two;
	int64_t from;

	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories: {remote: {url: '%s'}}\n"
				    "sets: {handover_timeout: 25s}\n",
		daemon_path("remote.git")) });
	wait_both(one);
	e = engine_start("prod", ENGINE_LONG);
	engine_wait(e, "moved/z", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(e, "app/x", NULL, "1", DAEMON_DEADLINE_MS);
	assert_int_equal(kill(engine_pid(e), SIGSTOP), 0);
	from = daemon_now_ms();
	two = move();
	daemon_wait_revision("prod", "lib", two, DAEMON_DEADLINE_MS);
	wait_blocked("app", "moves here from bundle lib");
	daemon_kill("ledger", SIGKILL);
	wait_blocked("app", "moves here from bundle lib");
	check_at("app", one);
	daemon_wait_revision("prod", "app", two, DAEMON_DEADLINE_MS);
	assert_true(daemon_now_ms() - from > 24000);
	assert_int_equal(kill(engine_pid(e), SIGCONT), 0);
	engine_wait(e, "moved/z", NULL, "2", 120000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(what_is_loaded_together_is_loaded_once),
		PLAY(what_does_not_load_together_is_refused_with_both_names),
		PLAY(what_follows_waits_and_says_why),
		PLAY(without_an_engine_operators_go_back),
		PLAY(without_the_pipeline_operators_go_back),
		PLAY(rego_versions_may_differ_where_the_engine_takes_both),
		PLAY(a_root_moves_and_engines_never_fail),
		PLAY(a_root_is_waited_for_until_a_time_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
