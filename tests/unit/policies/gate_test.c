#include "policies/gate.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/gate_local.h"
#include "signing/digest.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define COMMIT "1111111111111111111111111111111111111111"

/* The real engine, confined, in a folder of its own. */
struct bench {
	char work[64];
	const char *opa;
	const char *engine[1];
	struct gate_local local;
	struct gate_runner runner;
	struct gate_engine facts;
	struct gate_minimum minimum;
	char sandbox[64];
	int retries;
	int64_t command_ms; /* what a command of edict.yaml may take */
};

static struct bench bench;

static int
bench_open(void **state)
{
	struct err e;
	char work[] = "/tmp/edict-gate-XXXXXX";

	(void)state;
	bench.opa = getenv("EDICT_OPA");
	if (bench.opa == NULL) {
		print_error("EDICT_OPA has to name the opa program\n");
		return -1;
	}
	if (mkdtemp(work) == NULL)
		return -1;
	(void)snprintf(bench.work, sizeof bench.work, "%s", work);
	bench.engine[0] = bench.opa;
	bench.local = (struct gate_local){ .engine = bench.engine,
		.engine_count = 1,
		.work = bench.work };
	bench.runner = gate_local_runner(&bench.local);
	gate_local_sandbox(bench.sandbox);
	if (gate_ask_engine(&bench.facts, bench.opa, &bench.runner, bench.work,
		&e) != ERR_OK) {
		print_error("%s\n", e.text);
		return -1;
	}
	return 0;
}

static int
bench_close(void **state)
{
	struct err e;

	(void)state;
	return file_remove_tree(bench.work, &e) == ERR_OK ? 0 : -1;
}

static struct gate_job
job_of(const struct tree *t)
{
	return (struct gate_job){ .repository = "policies",
		.tree = t,
		.work = bench.work,
		.engine = &bench.facts,
		.minimum = &bench.minimum,
		.sandbox = bench.sandbox,
		.runner = &bench.runner };
}

#define FILE_OF(path, text)                  \
	{                                    \
		path, text, sizeof(text) - 1 \
	}
#define POLICY              \
	FILE_OF("a/a.rego", \
	    "package a\n\nallow if input.x == 1\n\nallow if input.y == 2\n")
#define GOOD_TEST                                 \
	FILE_OF("a/a_test.rego",                  \
	    "package a_test\n\nimport data.a\n\n" \
	    "test_x if a.allow with input as {\"x\": 1}\n")

enum { FILES_MAX = 6 };

struct sample {
	const char *name;
	struct tree_file files[FILES_MAX];
	enum gate_state state;
	const char *stage;
	const char *reason[4]; /* what the reason says, among others */
	size_t passed, failed, errors, skipped;
};

static struct verdict *
judge(const struct tree_file *files, size_t count)
{
	AUTO(tree, t) = NULL;
	AUTO(definition, d) = NULL;
	struct verdict *v = NULL;
	struct gate_job job;
	struct err e;

	while (count > 0 && files[count - 1].path == NULL)
		count--;
	if (tree_from_memory(&t, files, count, COMMIT, &e) != ERR_OK ||
	    definition_read(&d, t, &e) != ERR_OK)
		fail_msg("%s", e.text);
	job = job_of(t);
	assert_int_equal(gate_run(&v, &job, d, &e), ERR_OK);
	return v;
}

static const char *
or_none(const char *text)
{
	return text != NULL ? text : "(none)";
}

static void
check_sample(const struct sample *s)
{
	AUTO(verdict, v) = judge(s->files, FILES_MAX);
	bool same = v->state == s->state &&
	    strcmp(or_none(v->stage), or_none(s->stage)) == 0 &&
	    v->passed == s->passed && v->failed == s->failed &&
	    v->errors == s->errors && v->skipped == s->skipped;

	for (size_t i = 0; i < COUNT(s->reason) && s->reason[i] != NULL; i++)
		same = same && v->reason != NULL &&
		    strstr(v->reason, s->reason[i]) != NULL;
	if (!same)
		fail_msg("%s: %s at %s, %zu %zu %zu %zu: %s", s->name,
		    gate_state_name(v->state), or_none(v->stage), v->passed,
		    v->failed, v->errors, v->skipped, or_none(v->reason));
	assert_string_equal(v->engine, bench.facts.version);
	assert_string_equal(v->sandbox, bench.sandbox);
	assert_int_equal(strlen(v->identity), 64);
	assert_true(v->state != GATE_PASSED || v->reason == NULL);
}

#define EDICT(text) FILE_OF("edict.yaml", text)

static const struct sample samples[] = {
	{ "pass", { POLICY, GOOD_TEST }, GATE_PASSED, NULL, { NULL }, 1, 0, 0,
	    0 },
	{ "a failing test",
	    { POLICY, GOOD_TEST,
		FILE_OF("a/b_test.rego",
		    "package b_test\n\nimport data.a\n\ntest_no if {\n"
		    "\tprint(\"seen\", input)\n"
		    "\ta.allow with input as {\"x\": 3}\n}\n") },
	    GATE_FAILED, "test",
	    { "1 of 2 tests failed", "a/b_test.rego:5: data.b_test.test_no",
		"seen" },
	    1, 1, 0, 0 },
	{ "an error in a test",
	    { POLICY, GOOD_TEST,
		FILE_OF("a/b_test.rego",
		    "package b_test\n\np(x) := 1 if x > 0\n\n"
		    "p(x) := 2 if x > 1\n\ntest_e if p(3) == 1\n") },
	    GATE_FAILED, "test", { "test_e", "eval_conflict_error" }, 1, 0, 1,
	    0 },
	{ "a parse error",
	    { FILE_OF("a/a.rego", "package a\n\nallow if {\n\tx :=\n}\n"),
		GOOD_TEST },
	    GATE_FAILED, "check", { "a/a.rego:5:1: rego_parse_error" }, 0, 0, 0,
	    0 },
	{ "a parse error in a test",
	    { POLICY, FILE_OF("a/a_test.rego", "package a_test\n\nx = {\n") },
	    GATE_FAILED, "check", { "a/a_test.rego:", "rego_parse_error" }, 0,
	    0, 0, 0 },
	{ "a strict violation",
	    { FILE_OF("a/a.rego", "package a\n\nimport data.b\n\nallow := 1\n"),
		GOOD_TEST },
	    GATE_FAILED, "check", { "a/a.rego:3:1", "unused" }, 0, 0, 0, 0 },
	{ "not strict",
	    { EDICT("gate: {check: {strict: false}}\n"),
		FILE_OF("a/a.rego",
		    "package a\n\nimport data.b\n\nallow if input.x == 1\n"),
		GOOD_TEST },
	    GATE_PASSED, NULL, { NULL }, 1, 0, 0, 0 },
	{ "no tests", { POLICY }, GATE_NO_TESTS, "test", { "no tests" }, 0, 0,
	    0, 0 },
	{ "no tests, and that is fine",
	    { EDICT("gate: {test: {empty: pass}}\n"), POLICY }, GATE_PASSED,
	    NULL, { NULL }, 0, 0, 0, 0 },
	{ "todo tests are skipped",
	    { POLICY, GOOD_TEST,
		FILE_OF("a/b_test.rego",
		    "package b_test\n\ntodo_test_later if false\n") },
	    GATE_PASSED, NULL, { NULL }, 1, 0, 0, 1 },
	{ "todo tests alone show nothing",
	    { POLICY,
		FILE_OF("a/b_test.rego",
		    "package b_test\n\ntodo_test_later if false\n") },
	    GATE_NO_TESTS, "test", { "no tests", "todo_test_" }, 0, 0, 0, 1 },
	{ "todo tests alone, and that is fine",
	    { EDICT("gate: {test: {empty: pass}}\n"), POLICY,
		FILE_OF("a/b_test.rego",
		    "package b_test\n\ntodo_test_later if false\n") },
	    GATE_PASSED, NULL, { NULL }, 0, 0, 0, 1 },
	{ "one name twice",
	    { POLICY,
		FILE_OF("a/b_test.rego",
		    "package b_test\n\ntest_t if true\n\ntest_t if false\n") },
	    GATE_FAILED, "test", { "test_t" }, 1, 1, 0, 0 },
	{ "cases of one test",
	    { POLICY,
		FILE_OF("a/b_test.rego",
		    "package b_test\n\ntest_c[name] if {\n"
		    "\tsome name, x in {\"one\": 1, \"two\": 2}\n"
		    "\tx == 1\n}\n") },
	    GATE_FAILED, "test", { "case two failed" }, 0, 1, 0, 0 },
	{ "JSON that clashes",
	    { POLICY, GOOD_TEST, FILE_OF("a/x.json", "[1]") }, GATE_FAILED,
	    "test", { "a/allow" }, 0, 0, 0, 0 },
	{ "JSON that clashes, ignored",
	    { EDICT("gate: {test: {ignore: [x.json]}}\n"), POLICY, GOOD_TEST,
		FILE_OF("a/x.json", "[1]") },
	    GATE_PASSED, NULL, { NULL }, 1, 0, 0, 0 },
	{ "hidden files are not seen",
	    { POLICY, GOOD_TEST, FILE_OF(".ci/x.json", "[1]"),
		FILE_OF("a/.y.yaml", "- 1\n"),
		FILE_OF(".h/x.rego", "package {\n") },
	    GATE_PASSED, NULL, { NULL }, 1, 0, 0, 0 },
	{ "coverage reached",
	    { EDICT("gate: {test: {coverage: 60}}\n"), POLICY, GOOD_TEST },
	    GATE_PASSED, NULL, { NULL }, 1, 0, 0, 0 },
	{ "coverage missed",
	    { EDICT("gate: {test: {coverage: 100}}\n"), POLICY, GOOD_TEST },
	    GATE_FAILED, "coverage",
	    { "100 %", "least covered: a/a.rego 50.0 %" }, 1, 0, 0, 0 },
	{ "old rego",
	    { EDICT("bundles: {main: {rego_version: 0}}\n"),
		FILE_OF("a/a.rego", "package a\n\nallow { input.x == 1 }\n"),
		FILE_OF("a/a_test.rego",
		    "package a_test\n\nimport data.a\n\n"
		    "test_x { a.allow with input as {\"x\": 1} }\n") },
	    GATE_PASSED, NULL, { NULL }, 1, 0, 0, 0 },
	{ "old rego by manifest",
	    { FILE_OF(".manifest", "{\"rego_version\": 0}"),
		FILE_OF("a/a.rego", "package a\n\nallow { input.x == 1 }\n"),
		FILE_OF("a/a_test.rego",
		    "package a_test\n\nimport data.a\n\n"
		    "test_x { a.allow with input as {\"x\": 1} }\n") },
	    GATE_PASSED, NULL, { NULL }, 1, 0, 0, 0 },
	{ "old rego unsaid",
	    { FILE_OF("a/a.rego", "package a\n\nallow { input.x == 1 }\n"),
		GOOD_TEST },
	    GATE_FAILED, "check", { "a/a.rego:3:", "`if` keyword" }, 0, 0, 0,
	    0 },
	{ "two rego versions need their own runs",
	    { EDICT("bundles: {a: {paths: [a], rego_version: 0}, "
		    "b: {paths: [b]}}\n"),
		FILE_OF("a/a.rego", "package a\n\nallow { input.x == 1 }\n"),
		FILE_OF("b/b.rego", "package b\n\nallow if input.x == 1\n") },
	    GATE_FAILED, "check", { "scope: bundle", "a and b" }, 0, 0, 0, 0 },
	{ "two rego versions in their own runs",
	    { EDICT("bundles: {a: {paths: [a], rego_version: 0}, "
		    "b: {paths: [b]}}\ngate: {test: {scope: bundle}}\n"),
		FILE_OF("a/a.rego", "package a\n\nallow { input.x == 1 }\n"),
		FILE_OF("a/a_test.rego",
		    "package a_test\n\nimport data.a\n\n"
		    "test_x { a.allow with input as {\"x\": 1} }\n"),
		FILE_OF("b/b.rego", "package b\n\nallow if input.x == 1\n"),
		FILE_OF("b/b_test.rego",
		    "package b_test\n\nimport data.b\n\n"
		    "test_x if b.allow with input as {\"x\": 1}\n") },
	    GATE_PASSED, NULL, { NULL }, 2, 0, 0, 0 },
	{ "a bundle that forgot its library",
	    { EDICT("bundles: {a: {paths: [a]}}\n"),
		FILE_OF("a/a.rego",
		    "package a\n\nimport data.lib\n\nallow if lib.f(1)\n"),
		FILE_OF("lib/lib.rego", "package lib\n\nf(x) if x > 0\n"),
		FILE_OF("a/a_test.rego",
		    "package a_test\n\nimport data.a\n\ntest_x if a.allow\n") },
	    GATE_FAILED, "check", { "a/a.rego:5:", "undefined function" }, 0, 0,
	    0, 0 },
	{ "a bundle by itself has only its own data",
	    { EDICT("bundles: {a: {paths: [{from: p, to: a}, "
		    "{from: d, to: roles}], exclude: [\"**/no\"]}}\n"
		    "gate: {test: {scope: bundle}}\n"),
		FILE_OF("p/a.rego",
		    "package a\n\nallow if data.roles.x == 1\n"),
		FILE_OF("d/data.json", "{\"x\": 1}"),
		FILE_OF("other/data.json", "{\"z\": 1}"),
		FILE_OF("d/fixture.json", "{\"y\": 1}"),
		FILE_OF("p/a_test.rego",
		    "package a_test\n\nimport data.a\n\ntest_x if a.allow\n\n"
		    "test_y if not data.roles.y\n\ntest_z if not data.other\n\n"
		    "test_w if false\n") },
	    GATE_FAILED, "test", { "1 of 4", "p/a_test.rego:11:" }, 3, 1, 0,
	    0 },
	{ "each bundle needs tests of its own",
	    { EDICT("bundles: {a: {paths: [a]}, b: {paths: [b]}}\n"
		    "gate: {test: {scope: bundle}}\n"),
		POLICY, GOOD_TEST,
		FILE_OF("b/b.rego", "package b\n\nallow := true\n") },
	    GATE_NO_TESTS, "test", { "bundle b has no tests" }, 1, 0, 0, 0 },
	{ "a bundle's todo tests are no tests of its own",
	    { EDICT("bundles: {a: {paths: [a]}, b: {paths: [b]}}\n"
		    "gate: {test: {scope: bundle}}\n"),
		POLICY, GOOD_TEST,
		FILE_OF("b/b.rego", "package b\n\nallow := true\n"),
		FILE_OF("b/b_test.rego",
		    "package b_test\n\ntodo_test_b if false\n") },
	    GATE_NO_TESTS, "test", { "bundle b has no tests", "todo_test_" }, 1,
	    0, 0, 1 },
	{ "bundle mode loads data files only",
	    { EDICT("gate: {test: {mode: bundle}}\n"), POLICY, GOOD_TEST,
		FILE_OF("a/x.json", "[1]") },
	    GATE_PASSED, NULL, { NULL }, 1, 0, 0, 0 },
	{ "a schema is broken",
	    { EDICT("gate: {check: {schemas: schemas}}\n"),
		FILE_OF("schemas/input.json",
		    "{\"type\": \"object\", \"properties\": "
		    "{\"x\": {\"type\": \"integer\"}}}"),
		FILE_OF("a/a.rego",
		    "# METADATA\n# schemas:\n#   - input: schema.input\n"
		    "package a\n\nallow if input.nosuch == 1\n"),
		GOOD_TEST },
	    GATE_FAILED, "check", { "a/a.rego:6:", "input.nosuch" }, 0, 0, 0,
	    0 },
	{ "odd names",
	    { FILE_OF("a b/x:y.rego", "package x\n\nallow := 1\n"),
		FILE_OF("-v/x.rego", "package y\n\nallow := 1\n"),
		FILE_OF("-c_test.rego", "package t_test\n\ntest_a if true\n"),
		FILE_OF("\xc3\xa4/$(x).rego", "package z\n\nallow := 1\n"),
		FILE_OF("x:y/d.json", "{\"k\": 1}") },
	    GATE_PASSED, NULL, { NULL }, 1, 0, 0, 0 },
	{ "a command that nobody allowed",
	    { EDICT("gate: {commands: [{name: lint, run: [regal]}]}\n"), POLICY,
		GOOD_TEST },
	    GATE_FAILED, "command", { "lint", "regal" }, 1, 0, 0, 0 },
};

static void
commits_are_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(samples); i++)
		check_sample(&samples[i]);
}

#define HANG                                                           \
	FILE_OF("a/a_test.rego",                                       \
	    "package a_test\n\ntest_hang if {\n\tcount([x |\n"         \
	    "\t\tsome i in numbers.range(1, 100000)\n"                 \
	    "\t\tsome j in numbers.range(1, 100000)\n\t\tx := i * j\n" \
	    "\t]) == 1\n}\n\ntest_ok if true\n")

static void
count_retry(void *arg)
{
	(*(int *)arg)++;
}

static void
a_hang_is_tried_twice(void **state)
{
	static const struct tree_file files[] = {
		EDICT("gate: {test: {timeout: 1s}}\n"), POLICY, HANG
	};
	AUTO(tree, t) = NULL;
	AUTO(definition, d) = NULL;
	AUTO(verdict, v) = NULL;
	struct gate_job job;
	struct err e;
	int retries = 0;

	(void)state;
	assert_int_equal(tree_from_memory(&t, files, COUNT(files), COMMIT, &e),
	    ERR_OK);
	assert_int_equal(definition_read(&d, t, &e), ERR_OK);
	job = job_of(t);
	job.before_retry = count_retry;
	job.arg = &retries;
	assert_int_equal(gate_decide(&v, &job, d, &e), ERR_OK);
	assert_int_equal(v->state, GATE_TIMED_OUT);
	assert_string_equal(v->stage, "test");
	assert_int_equal(v->attempts, 2);
	assert_int_equal(retries, 1);
}

/* Go ends with exit status 2 and no results: not a failed test. */
static void
eating_memory_is_a_crash(void **state)
{
	static const struct tree_file files[] = { POLICY,
		FILE_OF("a/a_test.rego",
		    "package a_test\n\ntest_m if {\n"
		    "\ta := numbers.range(1, 20000000)\n"
		    "\tb := numbers.range(1, 20000000)\n"
		    "\tcount(a) + count(b) == 1\n}\n") };
	AUTO(verdict, v) = NULL;

	(void)state;
	bench.local.memory_max = INT64_C(192) << 20;
	v = judge(files, COUNT(files));
	bench.local.memory_max = 0;
	if (v->state != GATE_CRASHED)
		fail_msg("%s: %s", gate_state_name(v->state),
		    or_none(v->reason));
	assert_string_equal(v->stage, "test");
	assert_non_null(strstr(v->reason, "out of memory?"));
}

static void
a_flood_is_refused(void **state)
{
	static const struct tree_file files[] = { POLICY,
		FILE_OF("a/a_test.rego",
		    "package a_test\n\ntest_f if {\n\ts := concat(\"\", "
		    "[x | some _ in numbers.range(1, 100000); "
		    "x := \"0123456789\"])\n"
		    "\tevery _ in numbers.range(1, 30) { print(s) }\n}\n") };
	AUTO(verdict, v) = judge(files, COUNT(files));

	(void)state;
	if (v->state != GATE_FAILED || strstr(v->reason, "print less") == NULL)
		fail_msg("%s: %s", gate_state_name(v->state),
		    or_none(v->reason));
}

static void
the_servers_minimum_holds(void **state)
{
	static const struct tree_file files[] = {
		EDICT("gate: {check: {strict: false}}\n"),
		FILE_OF("a/a.rego", "package a\n\nimport data.b\n\nx := 1\n"),
		GOOD_TEST
	};
	static const struct tree_file uncovered[] = { POLICY, GOOD_TEST };
	AUTO(verdict, strict) = NULL;
	AUTO(verdict, coverage) = NULL;

	(void)state;
	bench.minimum.strict = true;
	strict = judge(files, COUNT(files));
	bench.minimum = (struct gate_minimum){ .coverage = 100 };
	coverage = judge(uncovered, COUNT(uncovered));
	bench.minimum = (struct gate_minimum){ 0 };
	assert_int_equal(strict->state, GATE_FAILED);
	assert_string_equal(strict->stage, "check");
	assert_int_equal(coverage->state, GATE_FAILED);
	assert_string_equal(coverage->stage, "coverage");
	assert_true(coverage->coverage > 0 && coverage->coverage < 100);
}

/* Files of two versions make it a bundle, of which opa before 1.19 counts all
 * as covered. */
static void
coverage_needs_an_engine_that_counts(void **state)
{
	static const struct tree_file files[] = { EDICT("bundles: {a: {}}\n"
							"gate: {test: {scope: "
							"bundle, coverage: "
							"10}}\n"),
		FILE_OF(".manifest",
		    "{\"rego_version\": 1, \"file_rego_versions\": "
		    "{\"/old.rego\": 0}}"),
		FILE_OF("old.rego", "package old\n\nallow { input.x == 1 }\n"),
		POLICY, GOOD_TEST };
	struct gate_engine known = bench.facts;
	AUTO(verdict, now) = judge(files, COUNT(files));
	AUTO(verdict, before) = NULL;

	(void)state;
	assert_int_equal(now->state, GATE_PASSED);
	(void)snprintf(bench.facts.version, sizeof bench.facts.version,
	    "1.18.0");
	before = judge(files, COUNT(files));
	bench.facts = known;
	assert_int_equal(before->state, GATE_FAILED);
	assert_string_equal(before->stage, "coverage");
	assert_non_null(strstr(before->reason, "opa 1.18.0 counts all"));
}

/* Policies cannot reach files or the network, or learn of the machine. */
static void
tests_see_nothing_of_the_machine(void **state)
{
	static const struct tree_file files[] = { POLICY,
		FILE_OF("a/a_test.rego",
		    "package a_test\n\ntest_env if {\n"
		    "\tkeys := {k | some k, _ in opa.runtime().env}\n"
		    "\tkeys - {\"GOMEMLIMIT\", \"GOMAXPROCS\", \"GOGC\"} == set()\n}\n\n"
		    "test_net if {\n\tresponse := http.send({\"method\": "
		    "\"get\", \"url\": \"http://127.0.0.1:9/\", "
		    "\"raise_error\": false})\n"
		    "\tresponse.status_code == 0\n}\n") };
	AUTO(verdict, v) = judge(files, COUNT(files));

	(void)state;
	if (v->state != GATE_PASSED)
		fail_msg("%s: %s", gate_state_name(v->state),
		    or_none(v->reason));
}

/* A runner that answers by itself: what the engine would never say. */
struct answer {
	const char *when; /* first argument: check, test */
	enum child_end end;
	int status;
	const char *out, *err;
	enum err_code code;
};

static enum err_code
answer(void *ctx, struct child_result *out, const struct gate_tool *tool,
    struct err *e)
{
	const struct answer *a = ctx;
	bool now = strcmp(tool->args[0], a->when) == 0;

	if (now && a->code != ERR_OK)
		return err_set(e, a->code, "no room");
	*out = (struct child_result){ .end = now ? a->end : CHILD_EXITED,
		.status = now ? a->status : 0 };
	buf_init(&out->out, GATE_OUTPUT_MAX);
	buf_init(&out->err, GATE_OUTPUT_MAX);
	if (now && a->out != NULL)
		buf_add_str(&out->out, a->out);
	if (now && a->err != NULL)
		buf_add_str(&out->err, a->err);
	return ERR_OK;
}

#define ONE_TEST "[{\"package\":\"data.a\",\"name\":\"test_x\"}]"
#define ONE_FAIL "[{\"package\":\"data.a\",\"name\":\"test_x\",\"fail\":true}]"

static void
strange_engines_are_not_believed(void **state)
{
	static const struct {
		struct answer answer;
		enum gate_state state;
		const char *reason;
	} cases[] = {
		{ { "test", CHILD_EXITED, 0, ONE_TEST, NULL, 0 }, GATE_PASSED,
		    NULL },
		{ { "test", CHILD_EXITED, 2, ONE_FAIL, NULL, 0 }, GATE_FAILED,
		    "1 of 1" },
		{ { "test", CHILD_EXITED, 0, ONE_FAIL, NULL, 0 },
		    GATE_COULD_NOT_RUN, "disagree" },
		{ { "test", CHILD_EXITED, 2, ONE_TEST, NULL, 0 },
		    GATE_COULD_NOT_RUN, "disagree" },
		{ { "test", CHILD_EXITED, 0, ONE_TEST "x", NULL, 0 },
		    GATE_COULD_NOT_RUN, "cannot be read" },
		{ { "test", CHILD_EXITED, 0, "", NULL, 0 }, GATE_COULD_NOT_RUN,
		    "cannot be read" },
		{ { "test", CHILD_EXITED, 0, "PASS: 1/1\n", NULL, 0 },
		    GATE_COULD_NOT_RUN, "cannot be read" },
		{ { "test", CHILD_EXITED, 2, "",
		      "runtime: out of memory\n\ngoroutine 1", 0 },
		    GATE_CRASHED, "runtime: out of memory" },
		{ { "test", CHILD_EXITED, 2, "",
		      "SIGXCPU: cpu limit exceeded\n", 0 },
		    GATE_TIMED_OUT, "did not end" },
		{ { "test", CHILD_EXITED, 1, "", "1 error occurred: x.rego:1",
		      0 },
		    GATE_FAILED, "x.rego:1" },
		{ { "test", CHILD_EXITED, 127, "", "", 0 }, GATE_CRASHED,
		    "127" },
		{ { "test", CHILD_SIGNALLED, SIGKILL, "", "", 0 }, GATE_CRASHED,
		    "signal 9" },
		{ { "test", CHILD_SIGNALLED, SIGXCPU, "", "", 0 },
		    GATE_TIMED_OUT, "did not end" },
		{ { "test", CHILD_TIMED_OUT, 0, "", "", 0 }, GATE_TIMED_OUT,
		    "gate.test.timeout" },
		{ { "test", CHILD_FLOODED, 0, "", "", 0 }, GATE_FAILED,
		    "print less" },
		{ { "test", CHILD_CANCELLED, 0, "", "", 0 }, GATE_COULD_NOT_RUN,
		    "stopped" },
		{ { "test", CHILD_EXITED, 0, "", "", ERR_IO },
		    GATE_COULD_NOT_RUN, "no room" },
		{ { "check", CHILD_EXITED, 1, "", "", 0 }, GATE_CRASHED,
		    "status 1" },
		{ { "check", CHILD_EXITED, 1, "", "words", 0 }, GATE_FAILED,
		    "words" },
		{ { "check", CHILD_EXITED, 3, "", "words", 0 }, GATE_CRASHED,
		    "words" },
		{ { "check", CHILD_SIGNALLED, SIGSEGV, "", "", 0 },
		    GATE_CRASHED, "signal 11" },
	};
	static const struct tree_file files[] = { POLICY, GOOD_TEST };
	struct gate_runner real = bench.runner;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO(verdict, v) = NULL;
		struct answer a = cases[i].answer;

		bench.runner = (struct gate_runner){ answer, &a };
		v = judge(files, COUNT(files));
		bench.runner = real;
		if (v->state != cases[i].state ||
		    (cases[i].reason != NULL &&
			(v->reason == NULL ||
			    strstr(v->reason, cases[i].reason) == NULL)))
			fail_msg("%zu: %s: %s", i, gate_state_name(v->state),
			    or_none(v->reason));
	}
}

static enum err_code
allow_shell(void *arg, const char *name, struct gate_program *p, struct err *e)
{
	(void)arg;
	if (strcmp(name, "sh") != 0)
		return err_set(e, ERR_DENIED, "no command %s", name);
	p->command_path = "/bin/sh";
	p->scratch = 1 << 20;
	p->processes = 8;
	p->timeout_max_ms = bench.command_ms;
	return ERR_OK;
}

static void
commands_decide_too(void **state)
{
	static const struct {
		const char *edict;
		enum gate_state state;
		const char *reason;
	} cases[] = {
		{ "gate: {commands: [{name: ok, run: [sh, -c, \"test -f "
		  "a/a.rego && test -f .regal/config.yaml && test -f "
		  "edict.yaml\"]}]}\n",
		    GATE_PASSED, NULL },
		{ "gate: {commands: [{name: bad, run: [sh, -c, \"echo line 3; "
		  "echo oops >&2; exit 3\"]}]}\n",
		    GATE_FAILED, "command bad: exit status 3\nline 3\noops" },
		{ "gate: {commands: [{name: tmp, run: [sh, -c, \"echo x > "
		  "$TMPDIR/f && test -s $TMPDIR/f\"]}]}\n",
		    GATE_PASSED, NULL },
		{ "gate: {commands: [{name: w, run: [sh, -c, \"echo x > "
		  "a/new\"]}]}\n",
		    GATE_FAILED, "command w" },
		{ "gate: {commands: [{name: etc, run: [sh, -c, \"read x < "
		  "/etc/passwd\"]}]}\n",
		    GATE_FAILED, "command etc" },
		{ "gate: {commands: [{name: slow, run: [sh, -c, \"while :; do "
		  ":; done\"]}]}\n",
		    GATE_TIMED_OUT, "command slow" },
		{ "gate: {commands: [{name: die, run: [sh, -c, \"kill -9 "
		  "$$\"]}]}\n",
		    GATE_CRASHED, "signal 9" },
		{ "gate: {commands: [{name: two, run: [sh, -c, \"exit 0\"]}, "
		  "{name: x, run: [other]}]}\n",
		    GATE_FAILED, "no command other" },
	};

	(void)state;
	bench.local.command = allow_shell;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct tree_file files[] = { POLICY, GOOD_TEST,
			FILE_OF(".regal/config.yaml", "rules: {}\n"),
			{ "edict.yaml", cases[i].edict,
			    strlen(cases[i].edict) } };
		AUTO(verdict, v) = NULL;

		bench.command_ms = cases[i].state == GATE_TIMED_OUT ? 1000
								    : 60000;
		v = judge(files, COUNT(files));
		if (v->state != cases[i].state ||
		    (cases[i].reason != NULL &&
			strstr(v->reason, cases[i].reason) == NULL))
			fail_msg("%zu: %s: %s", i, gate_state_name(v->state),
			    or_none(v->reason));
	}
	bench.local.command = NULL;
}

/* As when opa was asked less: that was another question. */
static void
name_as_before(char out[65], const struct gate_job *job)
{
	const char *const pieces[] = { "gate 1", job->tree->commit.tree,
		"0 0 0", job->engine->version, job->engine->digest, "",
		job->sandbox };
	struct digest *g = digest_new();

	for (size_t i = 0; i < COUNT(pieces); i++)
		digest_add_piece(g, pieces[i], strlen(pieces[i]));
	digest_end(g, out);
}

static void
the_question_decides_the_identity(void **state)
{
	static const struct tree_file files[] = { POLICY, GOOD_TEST };
	AUTO(tree, t) = NULL;
	AUTO(tree, other) = NULL;
	AUTO(definition, d) = NULL;
	struct gate_minimum minimum = { .coverage = 1 };
	struct gate_engine engine = bench.facts;
	struct gate_job job;
	struct err e;
	char ids[7][65];

	(void)state;
	assert_int_equal(tree_from_memory(&t, files, 2, COMMIT, &e), ERR_OK);
	assert_int_equal(tree_from_memory(&other, files, 1, COMMIT, &e),
	    ERR_OK);
	assert_int_equal(definition_read(&d, t, &e), ERR_OK);
	job = job_of(t);
	gate_identity(ids[0], &job, d);
	gate_identity(ids[1], &job, d);
	assert_string_equal(ids[0], ids[1]);
	job.tree = other;
	gate_identity(ids[1], &job, d);
	job = job_of(t);
	job.minimum = &minimum;
	gate_identity(ids[2], &job, d);
	job = job_of(t);
	job.sandbox = "none";
	gate_identity(ids[3], &job, d);
	job = job_of(t);
	engine.digest[0] = engine.digest[0] == 'a' ? 'b' : 'a';
	job.engine = &engine;
	gate_identity(ids[4], &job, d);
	job = job_of(t);
	job.commands = "x";
	gate_identity(ids[5], &job, d);
	job = job_of(t);
	name_as_before(ids[6], &job);
	for (size_t i = 0; i < 7; i++) {
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(ids[i], ids[k]);
	}
}

static void
the_engine_is_known(void **state)
{
	struct gate_engine facts;
	struct answer old = { "version", CHILD_EXITED, 0,
		"Version: 0.70.0\nWebAssembly: available\n", NULL, 0 };
	struct answer next = { "version", CHILD_EXITED, 0,
		"Version: 1.0.0-dev\nWebAssembly: available\n", NULL, 0 };
	struct answer odd = { "version", CHILD_EXITED, 0, "hello\n", NULL, 0 };
	struct answer dead = { "version", CHILD_SIGNALLED, 9, "", "", 0 };
	struct gate_runner runner = { answer, &old };
	struct err e;

	(void)state;
	assert_int_equal(strlen(bench.facts.digest), 64);
	assert_true(bench.facts.version[0] == '1');
	assert_int_equal(gate_ask_engine(&facts, "/bin/sh", &runner, "/", &e),
	    ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "0.70.0"));
	runner.ctx = &next;
	assert_int_equal(gate_ask_engine(&facts, "/bin/sh", &runner, "/", &e),
	    ERR_OK);
	assert_true(facts.wasm);
	assert_string_equal(facts.version, "1.0.0-dev");
	runner.ctx = &odd;
	assert_int_equal(gate_ask_engine(&facts, "/bin/sh", &runner, "/", &e),
	    ERR_INVALID);
	runner.ctx = &dead;
	assert_int_equal(gate_ask_engine(&facts, "/bin/sh", &runner, "/", &e),
	    ERR_UNAVAILABLE);
	assert_int_equal(gate_ask_engine(&facts, "/no/such", &runner, "/", &e),
	    ERR_NOT_FOUND);
}

/* An artifact as an engine would load it; the bundler's tests sign real ones. */
static void
an_artifact_is_loaded(void **state)
{
	AUTO_STR folder = file_path(bench.work, "made");
	AUTO_STR source = file_path(folder, "a.rego");
	const char *const args[] = { "build", "-b", "made", "-o", "/dev/stdout",
		NULL };
	struct gate_job job = job_of(NULL);
	struct gate_artifact a = { .bundle = "a",
		.key_id = "k",
		.algorithm = "RS256" };
	struct child_result c = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(file_make_dirs(folder, &e), ERR_OK);
	assert_int_equal(file_replace(source, "package a\n\nx := 1\n", 18, 0600,
			     &e),
	    ERR_OK);
	assert_int_equal(bench.runner.run(bench.runner.ctx, &c,
			     &(struct gate_tool){ NULL, args, bench.work,
				 GATE_START_MS, GATE_OUTPUT_MAX },
			     &e),
	    ERR_OK);
	assert_int_equal(c.status, 0);
	a.data = c.out.data;
	a.len = c.out.len;
	if (gate_load(&job, &a, &e) != ERR_OK)
		fail_msg("%s", e.text);
	/* Unsigned, where a signature is asked for. */
	a.public_pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n"
		       "-----END PUBLIC KEY-----\n";
	assert_int_equal(gate_load(&job, &a, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "bundle a: opa build: "));
	child_result_clear(&c);
	a = (struct gate_artifact){ "rubbish", 7, "a", "k", "RS256", NULL };
	assert_int_equal(gate_load(&job, &a, &e), ERR_INVALID);
	/* Our folder's trouble is not the bundle's fault. */
	job.work = "/dev/null";
	assert_int_equal(gate_load(&job, &a, &e), ERR_IO);
}

/* How long the child would have had. */
static enum err_code
note_time(void *ctx, struct child_result *out, const struct gate_tool *tool,
    struct err *e)
{
	*(int64_t *)ctx = tool->timeout_ms;
	*out = (struct child_result){ 0 };
	return err_set(e, ERR_UNAVAILABLE, "not run");
}

/* Ten thousand policies take opa the better part of a minute. */
static void
loading_has_the_time_that_many_policies_need(void **state)
{
	const struct gate_artifact a = { "x", 1, "a", "k", "RS256", NULL };
	int64_t timeout_ms = 0;
	struct gate_runner runner = { note_time, &timeout_ms };
	struct gate_job job = job_of(NULL);
	struct err e;

	(void)state;
	job.runner = &runner;
	assert_int_equal(gate_load(&job, &a, &e), ERR_UNAVAILABLE);
	assert_true(timeout_ms >= 600000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commits_are_judged),
		cmocka_unit_test(a_hang_is_tried_twice),
		cmocka_unit_test(eating_memory_is_a_crash),
		cmocka_unit_test(a_flood_is_refused),
		cmocka_unit_test(the_servers_minimum_holds),
		cmocka_unit_test(coverage_needs_an_engine_that_counts),
		cmocka_unit_test(tests_see_nothing_of_the_machine),
		cmocka_unit_test(strange_engines_are_not_believed),
		cmocka_unit_test(commands_decide_too),
		cmocka_unit_test(the_question_decides_the_identity),
		cmocka_unit_test(the_engine_is_known),
		cmocka_unit_test(an_artifact_is_loaded),
		cmocka_unit_test(loading_has_the_time_that_many_policies_need),
	};

	return cmocka_run_group_tests(tests, bench_open, bench_close);
}
