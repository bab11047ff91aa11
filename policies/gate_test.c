#include "policies/gate_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

enum {
	NAMED_TESTS = 5, /* in a reason; the verdict has them all */
	NAMED_FILES = 5
};

/* One run of `opa test`: the whole repository, or one bundle. */
struct run {
	char *dir;
	int version;
	const char *bundle; /* NULL: the repository */
	const char *capabilities;
	bool mixed; /* files of both versions: a manifest tells which */
	struct gate_places places;
};

static void
run_clear(struct run *t)
{
	mem_free(t->dir);
	gate_places_clear(&t->places);
}

/* opa ends one test a little before the whole run is ended: then it can say
 * which test it was. */
static int64_t
one_test_ms(const struct gate_run *r)
{
	return gate_timeout_ms(r) / 10 * 9;
}

static void
add_paths(struct gate_args *args, const struct gate_run *r, const struct run *t)
{
	const struct spec_strings *paths = &r->d->gate.test_paths;

	gate_args_add(args, "--");
	for (size_t i = 0; t->bundle == NULL && i < paths->count; i++)
		gate_args_add(args, "%s", paths->items[i]);
	if (t->bundle != NULL || paths->count == 0)
		gate_args_add(args, ".");
}

/* -z: a todo_test_ is shown as skipped, but is no reason to refuse a commit. */
static void
add_flags(struct gate_args *args, const struct gate_run *r, const struct run *t,
    bool coverage)
{
	const struct definition_gate *g = &r->d->gate;

	gate_args_add(args, "test");
	gate_args_add(args, "--format=json");
	gate_args_add(args, "-z");
	gate_args_add(args, "--timeout=%lldms", (long long)one_test_ms(r));
	/* With -b engines before 1.19 say 100 % whatever the tests cover. */
	if (coverage)
		gate_args_add(args, "--coverage");
	if (t->mixed || (g->mode == MODE_BUNDLE && !coverage))
		gate_args_add(args, "--bundle");
	if (t->version == 0)
		gate_args_add(args, "--v0-compatible");
	if (g->schemas != NULL)
		gate_args_add(args, "--schema=../src/%s", g->schemas);
	gate_add_capabilities(args, t->capabilities);
	for (size_t i = 0; i < g->ignore.count; i++)
		gate_args_add(args, "--ignore=%s", g->ignore.items[i]);
	add_paths(args, r, t);
}

static enum gate_state
run_opa(struct gate_run *r, struct child_result *c, const struct run *t,
    bool coverage)
{
	struct gate_args args;
	enum gate_state state;

	gate_args_init(&args);
	add_flags(&args, r, t, coverage);
	state = gate_opa(r, c, t->dir, &args, gate_timeout_ms(r));
	gate_args_clear(&args);
	return state;
}

/* A bundle's files are tested where they are in the bundle, but people know
 * them by where they are in the repository. */
static void
name_files(struct report *report, size_t from, const struct gate_places *places)
{
	for (size_t i = from; i < report->count; i++) {
		struct gate_test *t = &report->tests[i];
		char *path = mem_strdup(gate_places_find(places, t->file));

		mem_free(t->file);
		t->file = path;
	}
}

/* A todo_test_ is skipped, so it shows nothing: where tests are asked for, it is
 * none. */
static size_t
count_ran(const struct report *report, size_t from)
{
	size_t ran = 0;

	for (size_t i = from; i < report->count; i++)
		ran += report->tests[i].outcome != TEST_SKIPPED;
	return ran;
}

static const char *
but_skipped(size_t skipped)
{
	return skipped > 0 ? " but skipped ones (todo_test_)" : "";
}

/* Exit status and results have to tell the same story. */
static enum gate_state
read_results(struct gate_run *r, const struct run *t,
    const struct child_result *c)
{
	size_t before = r->report.count;
	bool bad = false;
	struct err e;

	if (gate_panicked(c))
		return gate_died(r, "opa test", c);
	if (report_add(&r->report, c->out.data, c->out.len, &e) != ERR_OK)
		return gate_trouble(r, &e);
	name_files(&r->report, before, &t->places);
	for (size_t i = before; i < r->report.count; i++)
		bad = bad || r->report.tests[i].outcome == TEST_FAILED ||
		    r->report.tests[i].outcome == TEST_ERROR;
	if (bad != (c->status == 2))
		return gate_end(r, GATE_COULD_NOT_RUN,
		    "opa test: its exit status %d and its results disagree",
		    c->status);
	if (count_ran(&r->report, before) == 0 && t->bundle != NULL &&
	    r->d->gate.empty == EMPTY_FAIL)
		return gate_end(r, GATE_NO_TESTS,
		    "bundle %s has no tests%s: add test_ rules to files named "
		    "*_test.rego, or set gate.test.empty: pass in %s",
		    t->bundle, but_skipped(r->report.count - before),
		    DEFINITION_FILE);
	return GATE_PASSED;
}

/* Load and compile errors: status 1, text on stderr, no results. */
static enum gate_state
read_refusal(struct gate_run *r, const struct child_result *c)
{
	struct buf text;

	buf_init(&text, GATE_OUTPUT_MAX);
	report_errors(&text, c->err.data, c->err.len);
	(void)gate_end(r, GATE_FAILED, "opa test cannot load this: %s",
	    text.len > 0 ? text.data : "it does not say why");
	buf_clear(&text);
	return GATE_FAILED;
}

static enum gate_state
test_one(struct gate_run *r, const struct run *t)
{
	struct child_result c = { 0 };
	enum gate_state state = run_opa(r, &c, t, false);

	if (state == GATE_PASSED) {
		if (c.status == 0 || c.status == 2)
			state = read_results(r, t, &c);
		else if (c.status == 1)
			state = read_refusal(r, &c);
		else
			state = gate_died(r, "opa test", &c);
	}
	child_result_clear(&c);
	return state;
}

static bool
counts_in_bundles(const char *version)
{
	char *end;
	long major = strtol(version, &end, 10);
	long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;

	return major > 1 || (major == 1 && minor >= 19);
}

/* As `opa test` does: failing below 2 means a test failed in this run only. */
static enum gate_state
cover_one(struct gate_run *r, const struct run *t)
{
	struct child_result c = { 0 };
	enum gate_state state;
	struct err e;

	if (t->mixed && !counts_in_bundles(r->job->engine->version))
		return gate_end(r, GATE_FAILED,
		    "bundle %s has files of two Rego versions, and opa %s "
		    "counts all of such a bundle as covered: give its files one "
		    "version, or the server opa 1.19 or newer",
		    t->bundle, r->job->engine->version);
	state = run_opa(r, &c, t, true);

	if (state == GATE_PASSED && c.status == 0) {
		if (coverage_add(&r->coverage, c.out.data, c.out.len, &e) !=
		    ERR_OK)
			state = gate_trouble(r, &e);
	} else if (state == GATE_PASSED && gate_panicked(&c)) {
		state = gate_died(r, "opa test --coverage", &c);
	} else if (state == GATE_PASSED) {
		const struct buf *said = c.err.len > 0 ? &c.err : &c.out;

		state = gate_end(r, GATE_FAILED,
		    "the tests passed, but not when run again for coverage:\n");
		report_text(&r->reason, said->data, said->len,
		    GATE_REASON_MAX / 2);
	}
	child_result_clear(&c);
	return state;
}

typedef enum gate_state run_fn(struct gate_run *r, const struct run *t);

static enum gate_state
for_repository(struct gate_run *r, run_fn *one)
{
	const struct definition_bundle *b = r->d->bundles.items;
	struct run t = { .dir = mem_strdup(r->src),
		.capabilities = r->d->gate.capabilities };
	enum gate_state state;

	/* The check has seen to it that all have the same. */
	t.version = gate_rego_version(r->job->tree, &b[0]);
	state = one(r, &t);
	run_clear(&t);
	return state;
}

static enum gate_state
for_bundle(struct gate_run *r, const struct definition_bundle *b, run_fn *one)
{
	struct run t = { .bundle = b->name,
		.capabilities = definition_capabilities(r->d, b) };
	enum gate_state state;
	enum err_code code;
	struct err e;

	t.version = gate_rego_version(r->job->tree, b);
	code = gate_copy_bundle(&t.dir, &t.places, r->job, b, &e);
	if (code == ERR_OK)
		code = gate_write_versions(&t.mixed, t.dir, r->job->tree, b,
		    true, &e);
	if (code == ERR_OK)
		state = one(r, &t);
	else if (code == ERR_CONFLICT)
		state = gate_end(r, GATE_FAILED, "%s", e.text);
	else
		state = gate_trouble(r, &e);
	run_clear(&t);
	return state;
}

static enum gate_state
for_each(struct gate_run *r, run_fn *one)
{
	const struct definition_bundle *bundles = r->d->bundles.items;
	enum gate_state state = GATE_PASSED;

	if (r->d->gate.scope == SCOPE_REPOSITORY)
		return for_repository(r, one);
	for (size_t i = 0; i < r->d->bundles.count && state == GATE_PASSED; i++)
		state = for_bundle(r, &bundles[i], one);
	return state;
}

static enum gate_state
refuse_tests(struct gate_run *r)
{
	size_t failed = report_count(&r->report, TEST_FAILED);
	size_t errors = report_count(&r->report, TEST_ERROR);

	(void)gate_end(r, GATE_FAILED, "%zu of %zu tests failed",
	    failed + errors, r->report.count);
	report_name(&r->reason, &r->report, TEST_FAILED, NAMED_TESTS);
	report_name(&r->reason, &r->report, TEST_ERROR, NAMED_TESTS);
	return GATE_FAILED;
}

enum gate_state
gate_stage_test(struct gate_run *r)
{
	enum gate_state state = for_each(r, test_one);

	report_sort(&r->report);
	if (state != GATE_PASSED)
		return state;
	if (r->report.timed_out != NULL)
		return gate_end(r, GATE_TIMED_OUT,
		    "%s did not end within %lld ms: make it faster, or raise "
		    "gate.test.timeout in %s",
		    r->report.timed_out, (long long)one_test_ms(r),
		    DEFINITION_FILE);
	if (report_count(&r->report, TEST_FAILED) > 0 ||
	    report_count(&r->report, TEST_ERROR) > 0)
		return refuse_tests(r);
	if (count_ran(&r->report, 0) == 0 && r->d->gate.empty == EMPTY_FAIL)
		return gate_end(r, GATE_NO_TESTS,
		    "there are no tests%s: add test_ rules to files named "
		    "*_test.rego, or set gate.test.empty: pass in %s",
		    but_skipped(r->report.count), DEFINITION_FILE);
	return GATE_PASSED;
}

enum gate_state
gate_stage_coverage(struct gate_run *r)
{
	enum gate_state state;

	if (r->coverage_min <= 0)
		return GATE_PASSED;
	state = for_each(r, cover_one);
	if (state != GATE_PASSED ||
	    r->coverage.percent + 1e-9 >= (double)r->coverage_min)
		return state;
	(void)gate_end(r, GATE_FAILED,
	    "the tests cover %.1f %% of the lines, %lld %% are asked for; "
	    "least covered:",
	    r->coverage.percent, (long long)r->coverage_min);
	buf_add_char(&r->reason, ' ');
	coverage_name(&r->reason, &r->coverage, NAMED_FILES);
	return GATE_FAILED;
}

static enum gate_state
refuse_command(struct gate_run *r, const struct definition_command *cmd,
    const struct child_result *c)
{
	(void)gate_end(r, GATE_FAILED, "command %s: exit status %d\n",
	    cmd->name, c->status);
	report_text(&r->reason, c->out.data, c->out.len, GATE_REASON_MAX / 2);
	if (c->out.len > 0 && c->err.len > 0)
		buf_add_char(&r->reason, '\n');
	report_text(&r->reason, c->err.data, c->err.len, GATE_REASON_MAX / 4);
	return GATE_FAILED;
}

static enum gate_state
read_command(struct gate_run *r, const struct definition_command *cmd,
    const struct child_result *c)
{
	switch (c->end) {
	case CHILD_EXITED:
		return c->status == 0 ? GATE_PASSED : refuse_command(r, cmd, c);
	case CHILD_TIMED_OUT:
		return gate_end(r, GATE_TIMED_OUT,
		    "command %s: did not end within its time", cmd->name);
	case CHILD_FLOODED:
		return gate_end(r, GATE_FAILED,
		    "command %s: wrote more than %d MiB", cmd->name,
		    GATE_OUTPUT_MAX >> 20);
	case CHILD_CANCELLED:
		return gate_end(r, GATE_COULD_NOT_RUN,
		    "command %s: stopped by the server", cmd->name);
	case CHILD_SIGNALLED:
	default:
		return gate_end(r, GATE_CRASHED,
		    "command %s: killed by signal %d (%s)", cmd->name,
		    c->status, strsignal(c->status));
	}
}

static enum gate_state
run_command(struct gate_run *r, const char *dir,
    const struct definition_command *cmd)
{
	const struct gate_runner *runner = r->job->runner;
	struct child_result c = { 0 };
	struct gate_args args;
	enum gate_state state;
	enum err_code code;
	struct err e;

	gate_args_init(&args);
	for (size_t i = 1; i < cmd->run.count; i++)
		gate_args_add(&args, "%s", cmd->run.items[i]);
	code = runner->run(runner->ctx, &c,
	    &(struct gate_tool){ .command = cmd->run.items[0],
		.args = (const char *const *)args.items,
		.dir = dir,
		.timeout_ms = gate_timeout_ms(r),
		.out_max = GATE_OUTPUT_MAX },
	    &e);
	if (code == ERR_OK)
		state = read_command(r, cmd, &c);
	else if (code == ERR_DENIED || code == ERR_NOT_FOUND)
		state = gate_end(r, GATE_FAILED, "command %s: %s", cmd->name,
		    e.text);
	else
		state = gate_trouble(r, &e);
	gate_args_clear(&args);
	child_result_clear(&c);
	return state;
}

enum gate_state
gate_stage_commands(struct gate_run *r)
{
	const struct definition_command *cmds = r->d->gate.commands.items;
	enum gate_state state = GATE_PASSED;
	AUTO_STR dir = NULL;
	struct err e;

	if (r->d->gate.commands.count == 0)
		return GATE_PASSED;
	if (gate_copy_all(&dir, r->job, &e) != ERR_OK)
		return gate_trouble(r, &e);
	for (size_t i = 0;
	     i < r->d->gate.commands.count && state == GATE_PASSED; i++)
		state = run_command(r, dir, &cmds[i]);
	return state;
}
