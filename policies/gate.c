#include "policies/gate_private.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "signing/digest.h"

enum gate_state
gate_end(struct gate_run *r, enum gate_state state, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	buf_reset(&r->reason);
	report_text(&r->reason, text, strlen(text), GATE_REASON_MAX);
	if (text[0] != '\0' && text[strlen(text) - 1] == '\n')
		buf_add_char(&r->reason, '\n');
	mem_free(text);
	return state;
}

enum gate_state
gate_trouble(struct gate_run *r, const struct err *e)
{
	return gate_end(r, GATE_COULD_NOT_RUN, "%s", e->text);
}

void
gate_args_init(struct gate_args *a)
{
	*a = (struct gate_args){ .items = mem_array(1, sizeof(char *)) };
}

void
gate_args_add(struct gate_args *a, const char *fmt, ...)
{
	va_list ap;

	a->items = mem_grow(a->items, a->count + 2, sizeof *a->items);
	va_start(ap, fmt);
	a->items[a->count++] = mem_vprintf(fmt, ap);
	va_end(ap);
	a->items[a->count] = NULL;
}

void
gate_args_clear(struct gate_args *a)
{
	for (size_t i = 0; i < a->count; i++)
		mem_free(a->items[i]);
	mem_free(a->items);
	*a = (struct gate_args){ 0 };
}

int64_t
gate_timeout_ms(const struct gate_run *r)
{
	return r->d->gate.timeout * 1000;
}

bool
gate_panicked(const struct child_result *c)
{
	return c->status == 2 && c->out.len == 0;
}

/* The first line says what it was; a Go program's goroutines follow. */
static void
add_first_line(struct buf *out, const struct buf *text)
{
	const char *end;

	if (text->len == 0)
		return;
	end = memchr(text->data, '\n', text->len);
	report_text(out, text->data,
	    end != NULL ? (size_t)(end - text->data) : text->len, 300);
}

enum gate_state
gate_died(struct gate_run *r, const char *what, const struct child_result *c)
{
	if (c->end == CHILD_SIGNALLED)
		(void)gate_end(r, GATE_CRASHED,
		    "%s was killed by signal %d (%s); out of memory? (gate.memory_max in server.yaml)",
		    what, c->status, strsignal(c->status));
	else
		(void)gate_end(r, GATE_CRASHED,
		    "%s died with exit status %d; out of memory? (gate.memory_max in server.yaml)",
		    what, c->status);
	if (c->err.len > 0)
		buf_add_str(&r->reason, " It says: ");
	add_first_line(&r->reason, &c->err);
	return GATE_CRASHED;
}

/* A limit on CPU time is a deadline too. Go turns SIGXCPU into a panic. */
static bool
ran_out_of_time(const struct child_result *c)
{
	if (c->end == CHILD_TIMED_OUT)
		return true;
	if (c->end == CHILD_SIGNALLED)
		return c->status == SIGXCPU;
	return c->end == CHILD_EXITED && gate_panicked(c) && c->err.len > 7 &&
	    memcmp(c->err.data, "SIGXCPU", 7) == 0;
}

static enum gate_state
judge_end(struct gate_run *r, const struct child_result *c, const char *what,
    int64_t timeout_ms)
{
	if (ran_out_of_time(c))
		return gate_end(r, GATE_TIMED_OUT,
		    "opa %s did not end within %lld s: make it faster, or raise "
		    "gate.test.timeout in %s",
		    what, (long long)(timeout_ms / 1000), DEFINITION_FILE);
	switch (c->end) {
	case CHILD_EXITED:
		return GATE_PASSED;
	case CHILD_FLOODED:
		return gate_end(r, GATE_FAILED,
		    "opa %s wrote more than %d MiB: print less in tests", what,
		    GATE_OUTPUT_MAX >> 20);
	case CHILD_CANCELLED:
		return gate_end(r, GATE_COULD_NOT_RUN,
		    "opa %s was stopped by the server", what);
	case CHILD_SIGNALLED:
	case CHILD_TIMED_OUT:
	default:
		return gate_died(r, "opa", c);
	}
}

enum gate_state
gate_opa(struct gate_run *r, struct child_result *out, const char *dir,
    const struct gate_args *args, int64_t timeout_ms)
{
	const struct gate_runner *runner = r->job->runner;
	struct err e;

	if (timeout_ms < GATE_START_MS && strcmp(args->items[0], "test") != 0)
		timeout_ms = GATE_START_MS;
	if (runner->run(runner->ctx, out,
		&(struct gate_tool){ .args = (const char *const *)args->items,
		    .dir = dir,
		    .timeout_ms = timeout_ms,
		    .out_max = GATE_OUTPUT_MAX },
		&e) != ERR_OK)
		return gate_trouble(r, &e);
	return judge_end(r, out, args->items[0], timeout_ms);
}

static enum gate_state
stage_copy(struct gate_run *r)
{
	struct err e;

	if (gate_copy_source(&r->src, r->job, &e) != ERR_OK)
		return gate_trouble(r, &e);
	return GATE_PASSED;
}

static const struct {
	const char *name;
	enum gate_state (*run)(struct gate_run *r);
} stages[] = {
	{ "hygiene", stage_copy },
	{ "check", gate_stage_check },
	{ "test", gate_stage_test },
	{ "coverage", gate_stage_coverage },
	{ "command", gate_stage_commands },
};

static void
run_init(struct gate_run *r, const struct gate_job *job,
    const struct definition *d)
{
	*r = (struct gate_run){ .job = job, .d = d };
	r->strict = d->gate.strict || job->minimum->strict;
	r->coverage_min = d->gate.coverage > job->minimum->coverage
	    ? d->gate.coverage
	    : job->minimum->coverage;
	buf_init(&r->reason, 4 * GATE_REASON_MAX);
}

static void
run_clear(struct gate_run *r)
{
	mem_free(r->src);
	buf_clear(&r->reason);
	report_clear(&r->report);
	coverage_clear(&r->coverage);
}

/* Hands what was found over to the verdict. */
static struct verdict *
conclude(struct gate_run *r, enum gate_state state, const char *stage,
    int64_t started_ms)
{
	struct verdict *v = mem_zalloc(sizeof *v);

	v->state = state;
	v->started_ms = started_ms;
	v->attempts = 1;
	v->coverage = r->coverage.runs > 0 ? r->coverage.percent : -1;
	v->engine = mem_strdup(r->job->engine->version);
	v->sandbox = mem_strdup(r->job->sandbox);
	gate_identity(v->identity, r->job, r->d);
	if (state != GATE_PASSED) {
		struct buf text;

		buf_init(&text, GATE_REASON_MAX + 8);
		report_text(&text, r->reason.data, r->reason.len,
		    GATE_REASON_MAX);
		v->stage = mem_strdup(stage);
		v->reason = buf_steal(&text, NULL);
		buf_clear(&text);
	}
	v->passed = report_count(&r->report, TEST_PASSED);
	v->failed = report_count(&r->report, TEST_FAILED);
	v->errors = report_count(&r->report, TEST_ERROR);
	v->skipped = report_count(&r->report, TEST_SKIPPED);
	v->test_count = r->report.count;
	v->tests = STEAL(r->report.tests);
	r->report.count = 0;
	return v;
}

enum err_code
gate_run(struct verdict **out, const struct gate_job *job,
    const struct definition *d, struct err *e)
{
	int64_t started_ms = clock_now_ms(), from_ms = clock_mono_ms();
	enum gate_state state = GATE_PASSED;
	struct gate_run r;
	size_t i;

	(void)e;
	run_init(&r, job, d);
	for (i = 0; i < sizeof stages / sizeof *stages; i++) {
		state = stages[i].run(&r);
		if (state != GATE_PASSED)
			break;
	}
	*out = conclude(&r, state, state != GATE_PASSED ? stages[i].name : NULL,
	    started_ms);
	(*out)->duration_ms = clock_mono_ms() - from_ms;
	run_clear(&r);
	return ERR_OK;
}

enum err_code
gate_decide(struct verdict **out, const struct gate_job *job,
    const struct definition *d, struct err *e)
{
	AUTO(verdict, first) = NULL;
	int64_t from_ms = clock_mono_ms();

	TRY(gate_run(&first, job, d, e));
	if (first->state != GATE_TIMED_OUT && first->state != GATE_CRASHED) {
		*out = STEAL(first);
		return ERR_OK;
	}
	if (job->before_retry != NULL)
		job->before_retry(job->arg);
	TRY(gate_run(out, job, d, e));
	(*out)->attempts = 2;
	(*out)->started_ms = first->started_ms;
	(*out)->duration_ms = clock_mono_ms() - from_ms;
	return ERR_OK;
}

static void
add_piece(struct digest *g, const char *text)
{
	digest_add_piece(g, text, strlen(text));
}

void
gate_identity(char out[65], const struct gate_job *job,
    const struct definition *d)
{
	struct digest *g = digest_new();
	char minimum[64];

	/* The settings stand in the tree; only whether there were any at all is
	 * not the tree's to say. */
	(void)snprintf(minimum, sizeof minimum, "%d %lld %d",
	    job->minimum->strict, (long long)job->minimum->coverage,
	    d->from_file);
	/* Another number whenever a stage asks something else or refuses other
	 * things, be it in another folder: verdicts are reused by this. */
	add_piece(g, "gate 2");
	add_piece(g, job->tree->commit.tree);
	add_piece(g, minimum);
	add_piece(g, job->engine->version);
	add_piece(g, job->engine->digest);
	add_piece(g, job->commands != NULL ? job->commands : "");
	add_piece(g, job->sandbox);
	digest_end(g, out);
}
