#include "policies/gate.h"

#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

static const char *const state_names[GATE_STATES] = {
	[GATE_PASSED] = "passed",
	[GATE_FAILED] = "failed",
	[GATE_TIMED_OUT] = "timed_out",
	[GATE_CRASHED] = "crashed",
	[GATE_NO_TESTS] = "no_tests",
	[GATE_COULD_NOT_RUN] = "could_not_run",
};

static const char *const outcome_names[TEST_OUTCOMES] = {
	[TEST_PASSED] = "passed",
	[TEST_FAILED] = "failed",
	[TEST_ERROR] = "error",
	[TEST_SKIPPED] = "skipped",
};

const char *
gate_state_name(enum gate_state s)
{
	return s < GATE_STATES ? state_names[s] : "unknown";
}

const char *
gate_outcome_name(enum gate_outcome o)
{
	return o < TEST_OUTCOMES ? outcome_names[o] : "unknown";
}

void
verdict_free(struct verdict *v)
{
	if (v == NULL)
		return;
	for (size_t i = 0; i < v->test_count; i++) {
		mem_free(v->tests[i].package);
		mem_free(v->tests[i].name);
		mem_free(v->tests[i].file);
		mem_free(v->tests[i].text);
	}
	mem_free(v->tests);
	mem_free(v->stage);
	mem_free(v->reason);
	mem_free(v->note);
	mem_free(v->engine);
	mem_free(v->sandbox);
	mem_free(v);
}

struct verdict *
gate_refuse(enum gate_state state, const char *stage, const struct err *reason)
{
	struct verdict *v = mem_zalloc(sizeof *v);

	v->state = state;
	v->stage = mem_strdup(stage);
	v->reason = mem_strdup(reason->text);
	v->started_ms = clock_now_ms();
	v->coverage = -1;
	v->attempts = 1;
	v->engine = mem_strdup("");
	v->sandbox = mem_strdup("");
	return v;
}

static json_t *
test_json(const struct gate_test *t)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s?}", "package",
	    t->package, "name", t->name, "file", t->file, "line",
	    (json_int_t)t->line, "duration_ns", (json_int_t)t->duration_ns,
	    "outcome", gate_outcome_name(t->outcome), "text", t->text);
}

static json_t *
counts_json(const struct verdict *v)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "passed",
	    (json_int_t)v->passed, "failed", (json_int_t)v->failed, "errors",
	    (json_int_t)v->errors, "skipped", (json_int_t)v->skipped, "total",
	    (json_int_t)v->test_count);
}

json_t *
verdict_json(const struct verdict *v)
{
	json_t *results = json_array();
	char started[CLOCK_TEXT_SIZE];

	clock_text(started, v->started_ms);
	for (size_t i = 0; i < v->test_count; i++)
		(void)json_array_append_new(results, test_json(&v->tests[i]));
	return json_pack("{s:s, s:s?, s:s?, s:s?, s:s, s:I, s:o, s:o, s:s, "
			 "s:s, s:i, s:s, s:o}",
	    "state", gate_state_name(v->state), "stage", v->stage, "reason",
	    v->reason, "note", v->note, "started_at", started, "duration_ms",
	    (json_int_t)v->duration_ms, "tests", counts_json(v), "coverage",
	    v->coverage < 0 ? json_null() : json_real(v->coverage), "engine",
	    v->engine != NULL ? v->engine : "", "sandbox",
	    v->sandbox != NULL ? v->sandbox : "", "attempts", v->attempts,
	    "identity", v->identity, "results", results);
}

static bool
find_name(const char *const *names, int count, const char *name, int *out)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0) {
			*out = i;
			return true;
		}
	}
	return false;
}

/* Days since 1970 of a date of the Gregorian calendar. */
static int64_t
days(int64_t year, int month, int day)
{
	static const int before[12] = { 0, 31, 59, 90, 120, 151, 181, 212, 243,
		273, 304, 334 };
	int64_t y = month <= 2 ? year - 1 : year;

	return (year - 1970) * 365 + before[month - 1] + day - 1 +
	    (y / 4 - y / 100 + y / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
}

/* Fixed places of "2026-01-31T10:15:02.123Z", as clock_text writes it. */
static bool
read_time(const char *s, int64_t *out)
{
	static const char pattern[] = "0000-00-00T00:00:00.000Z";
	int64_t n[7] = { 0 };
	size_t field = 0;

	if (strlen(s) != sizeof pattern - 1)
		return false;
	for (size_t i = 0; i < sizeof pattern - 1; i++) {
		if (pattern[i] != '0') {
			if (s[i] != pattern[i])
				return false;
			field++;
		} else if (s[i] >= '0' && s[i] <= '9') {
			n[field] = n[field] * 10 + (s[i] - '0');
		} else {
			return false;
		}
	}
	if (n[0] < 1970 || n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > 31 ||
	    n[3] > 23 || n[4] > 59 || n[5] > 59)
		return false;
	*out =
	    (((days(n[0], (int)n[1], (int)n[2]) * 24 + n[3]) * 60 + n[4]) * 60 +
		n[5]) *
		1000 +
	    n[6];
	return true;
}

/* A string or null: json_unpack has no format for that. */
static bool
text_or_null(char **out, const json_t *j)
{
	*out = mem_strdup(json_string_value(j));
	return json_is_string(j) || json_is_null(j);
}

static enum err_code
parse_test(struct gate_test *t, json_t *j, struct err *e)
{
	const char *package, *name, *file, *outcome;
	json_t *text;
	json_int_t line, duration;
	json_error_t error;
	int index;

	if (json_unpack_ex(j, &error, 0,
		"{s:s, s:s, s:s, s:I, s:I, s:s, s:o !}", "package", &package,
		"name", &name, "file", &file, "line", &line, "duration_ns",
		&duration, "outcome", &outcome, "text", &text) != 0)
		return err_set(e, ERR_INVALID, "verdict: results: %s",
		    error.text);
	if (!find_name(outcome_names, TEST_OUTCOMES, outcome, &index))
		return err_set(e, ERR_INVALID,
		    "verdict: results: no outcome \"%s\"", outcome);
	*t = (struct gate_test){ .package = mem_strdup(package),
		.name = mem_strdup(name),
		.file = mem_strdup(file),
		.line = line,
		.duration_ns = duration,
		.outcome = (enum gate_outcome)index };
	if (!text_or_null(&t->text, text))
		return err_set(e, ERR_INVALID,
		    "verdict: results: text is a string or null");
	return ERR_OK;
}

static enum err_code
parse_tests(struct verdict *v, const json_t *results, struct err *e)
{
	size_t count = json_array_size(results);

	if (!json_is_array(results) || count > GATE_TESTS_MAX)
		return err_set(e, ERR_INVALID,
		    "verdict: results: not a list of at most %d",
		    GATE_TESTS_MAX);
	v->tests = mem_array(count, sizeof *v->tests);
	for (size_t i = 0; i < count; i++) {
		v->test_count++; /* zeroed: may be released half read */
		TRY(parse_test(&v->tests[i], json_array_get(results, i), e));
	}
	return ERR_OK;
}

struct fields {
	const char *state, *started, *engine, *sandbox, *identity;
	json_int_t duration, passed, failed, errors, skipped, total;
	json_t *stage, *reason, *coverage, *results;
	json_t *note; /* NULL: written before there were notes */
	int attempts;
};

static enum err_code
unpack(struct fields *f, const json_t *j, struct err *e)
{
	json_error_t error;

	if (json_unpack_ex((json_t *)(uintptr_t)j, &error, 0,
		"{s:s, s:o, s:o, s?o, s:s, s:I, s:{s:I, s:I, s:I, s:I, s:I !}, "
		"s:o, s:s, s:s, s:i, s:s, s:o !}",
		"state", &f->state, "stage", &f->stage, "reason", &f->reason,
		"note", &f->note, "started_at", &f->started, "duration_ms",
		&f->duration, "tests", "passed", &f->passed, "failed",
		&f->failed, "errors", &f->errors, "skipped", &f->skipped,
		"total", &f->total, "coverage", &f->coverage, "engine",
		&f->engine, "sandbox", &f->sandbox, "attempts", &f->attempts,
		"identity", &f->identity, "results", &f->results) == 0)
		return ERR_OK;
	return err_set(e, ERR_INVALID, "verdict: %s", error.text);
}

static bool
counts_agree(const struct verdict *v, const struct fields *f)
{
	size_t n[TEST_OUTCOMES] = { 0 };

	for (size_t i = 0; i < v->test_count; i++)
		n[v->tests[i].outcome]++;
	return (json_int_t)n[TEST_PASSED] == f->passed &&
	    (json_int_t)n[TEST_FAILED] == f->failed &&
	    (json_int_t)n[TEST_ERROR] == f->errors &&
	    (json_int_t)n[TEST_SKIPPED] == f->skipped &&
	    (json_int_t)v->test_count == f->total;
}

enum err_code
verdict_parse(struct verdict **out, const json_t *j, struct err *e)
{
	AUTO(verdict, v) = mem_zalloc(sizeof *v);
	struct fields f = { 0 };
	int state;

	TRY(unpack(&f, j, e));
	if (!find_name(state_names, GATE_STATES, f.state, &state))
		return err_set(e, ERR_INVALID, "verdict: no state \"%s\"",
		    f.state);
	if (strlen(f.identity) >= sizeof v->identity ||
	    !read_time(f.started, &v->started_ms) || f.attempts < 1 ||
	    f.duration < 0 ||
	    (!json_is_null(f.coverage) && !json_is_number(f.coverage)))
		return err_set(e, ERR_INVALID,
		    "verdict: identity, started_at, attempts, duration_ms or "
		    "coverage is not as written");
	TRY(parse_tests(v, f.results, e));
	if (!counts_agree(v, &f))
		return err_set(e, ERR_INVALID,
		    "verdict: tests and results do not agree");
	if (!text_or_null(&v->stage, f.stage) ||
	    !text_or_null(&v->reason, f.reason))
		return err_set(e, ERR_INVALID,
		    "verdict: stage and reason are strings or null");
	v->note = mem_strdup(json_string_value(f.note));
	v->state = (enum gate_state)state;
	memcpy(v->identity, f.identity, strlen(f.identity) + 1);
	v->duration_ms = f.duration;
	v->coverage = json_is_null(f.coverage) ? -1
					       : json_number_value(f.coverage);
	v->passed = (size_t)f.passed;
	v->failed = (size_t)f.failed;
	v->errors = (size_t)f.errors;
	v->skipped = (size_t)f.skipped;
	v->attempts = f.attempts;
	v->engine = mem_strdup(f.engine);
	v->sandbox = mem_strdup(f.sandbox);
	*out = STEAL(v);
	return ERR_OK;
}
