/* The real engine at work under confinement: see role.h. */

#include "core/confine.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/mem.h"
#include "tests/unit/core/role.h"

/* gate: the real engine, under the limits that gates are run with. */

struct engine {
	struct confine_program program;
	struct confine_path paths[CONFINE_PROGRAM_PATHS + 1];
	struct child_spec spec;
};

static const char *const engine_env[] = { "GOMEMLIMIT=429496729",
	"GOMAXPROCS=2", NULL };

static void
engine_init(struct engine *g, const char *const *argv)
{
	const char *path = getenv("EDICT_OPA");
	struct err e = { 0 };

	if (path == NULL)
		path = "build/tools/opa";
	AUTO_STR whole = realpath(path, NULL);
	if (whole == NULL)
		fail_msg("no opa at %s; scripts/build makes it", path);
	if (confine_program_paths(&g->program, whole, &e) != ERR_OK)
		fail_msg("%s", e.text);
	memcpy(g->paths, g->program.paths, sizeof g->program.paths);
	g->paths[0].path = mem_strdup(whole);
	g->paths[g->program.count] =
	    (struct confine_path){ role_folder, CONFINE_PATH_READ, false };
	g->spec = (struct child_spec){
		.name = "opa",
		.path = g->paths[0].path,
		.argv = argv,
		.envp = engine_env,
		.cwd = role_folder,
		.stdin_fd = -1,
		.rules = {
			.calls = CONFINE_READ_FILES | CONFINE_EXEC |
			    CONFINE_GO,
			.paths = g->paths,
			.path_count = g->program.count + 1,
			.data_max = 512 << 20,
			.cpu_seconds = 121,
			.files_max = 64,
			.threads_extra = 64,
			.no_file_growth = true,
		},
	};
}

static void
run_engine(struct child_result *r, const char *const *argv)
{
	struct engine g;
	struct err e = { 0 };

	engine_init(&g, argv);
	if (child_run(r, &g.spec, TIMEOUT_MS, OUT_MAX, &e) != ERR_OK)
		fail_msg("%s", e.text);
	mem_free((char *)(uintptr_t)g.spec.path);
}

static void
put(const char *name, const char *text)
{
	AUTO_STR path = file_path(role_folder, name);
	struct err e;

	assert_int_equal(file_replace(path, text, strlen(text), 0600, &e),
	    ERR_OK);
}

static void
put_policies(int tests)
{
	AUTO_BUF b = { 0 };

	buf_init(&b, 1 << 20);
	put("p.rego", "package p\n\nallow if input.user == data.admins[_]\n");
	put("data.json", "{\"admins\": [\"ann\"]}");
	buf_add_str(&b, "package p_test\n\nimport data.p\n\n");
	for (int i = 0; i < tests; i++)
		buf_printf(&b,
		    "test_%d if {\n\tcount([x | some x in numbers.range(1, "
		    "200); x %% 7 == %d]) > 0\n\tp.allow with input as "
		    "{\"user\": \"ann\"}\n}\n\n",
		    i, i % 7);
	put("p_test.rego", b.data);
}

static void
expect_engine(const char *const *argv, const char *text)
{
	struct child_result r;

	run_engine(&r, argv);
	if (r.end != CHILD_EXITED || r.status != 0)
		fail_msg("opa %s: %s %d: %s", argv[1], child_end_name(r.end),
		    r.status, r.err.data);
	if (strstr(r.out.data, text) == NULL)
		fail_msg("opa %s: %s", argv[1], r.out.data);
	child_result_clear(&r);
}

static void
test_gate(void **state)
{
	const char *const version[] = { "opa", "version", NULL };
	const char *const check[] = { "opa", "check", "--strict", ".", NULL };
	const char *const test[] = { "opa", "test", "--parallel", "8", ".",
		NULL };
	const char *const json[] = { "opa", "test", "--format", "json", ".",
		NULL };
	const char *const coverage[] = { "opa", "test", "--coverage", ".",
		NULL };

	(void)state;
	put_policies(60);
	expect_engine(version, "Version: 1.");
	expect_engine(check, "");
	expect_engine(test, "PASS: 60/60");
	expect_engine(json, "\"test_59\"");
	expect_engine(coverage, "\"coverage\"");
}

static void
test_gate_build(void **state)
{
	const char *const build[] = { "opa", "build", "-b", ".", "-o",
		"/dev/stdout", NULL };
	const char *const build_file[] = { "opa", "build", "-b", ".", "-o",
		"bundle.tar.gz", NULL };
	struct child_result r;

	(void)state;
	put_policies(1);
	run_engine(&r, build);
	if (r.status != 0)
		fail_msg("%s", r.err.data);
	assert_true(r.out.len > 100);
	assert_memory_equal(r.out.data, "\x1f\x8b", 2);
	child_result_clear(&r);
	/* And not anywhere else. */
	run_engine(&r, build_file);
	assert_int_not_equal(r.status, 0);
	child_result_clear(&r);
}

/* Rego that wants out: no network, no environment, no end. */
static void
test_gate_hostile(void **state)
{
	const char *const test[] = { "opa", "test", ".", NULL };
	struct child_result r;
	struct engine g;
	struct err e;

	(void)state;
	put("a_test.rego",
	    "package a_test\n\n"
	    "test_http if {\n\tr := http.send({\"method\": \"get\", \"url\": "
	    "\"http://127.0.0.1:1/\", \"raise_error\": false})\n"
	    "\tcontains(r.error.message, \"operation not permitted\")\n}\n");
	expect_engine(test, "PASS: 1/1");

	put("a_test.rego",
	    "package a_test\n\n"
	    "test_env if count(opa.runtime().env) == 2\n");
	expect_engine(test, "PASS: 1/1");

	put("a_test.rego",
	    "package a_test\n\n"
	    "test_long if count([1 | some x in numbers.range(1, 100000); some "
	    "y in numbers.range(1, 100000); x < y]) == 0\n");
	engine_init(&g, test);
	assert_int_equal(child_run(&r, &g.spec, 2000, OUT_MAX, &e), ERR_OK);
	mem_free((char *)(uintptr_t)g.spec.path);
	assert_int_not_equal(r.end, CHILD_EXITED);
	child_result_clear(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_gate),
		CASE(test_gate_build),
		CASE(test_gate_hostile),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
