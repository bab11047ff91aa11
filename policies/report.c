#include "policies/report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "policies/definition.h"

static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

void
report_text(struct buf *out, const char *text, size_t len, size_t max)
{
	const unsigned char *p, *end;
	size_t added = 0;

	while (len > 0 && is_space(*text))
		text++, len--;
	while (len > 0 && is_space(text[len - 1]))
		len--;
	p = (const unsigned char *)text;
	end = p + len;
	while (p < end) {
		const unsigned char *start = p;
		uint32_t c = utf8_next(&p, end);

		if (c == 0)
			p++;
		if (added + (size_t)(p - start) > max) {
			buf_add_str(out, " …");
			return;
		}
		added += (size_t)(p - start);
		if (c == 0 || (utf8_is_control(c) && c != '\n' && c != '\t'))
			buf_add_char(out, '?');
		else
			buf_add(out, start, (size_t)(p - start));
	}
}

static char *
clean(const char *text, size_t len, size_t max)
{
	struct buf b;
	char *s;

	buf_init(&b, max + 8);
	report_text(&b, text, len, max);
	s = buf_steal(&b, NULL);
	buf_clear(&b);
	return s;
}

static char *
clean_string(const json_t *j)
{
	if (!json_is_string(j))
		return mem_strdup("");
	return clean(json_string_value(j), json_string_length(j),
	    TREE_PATH_MAX);
}

static void
test_clear(struct gate_test *t)
{
	mem_free(t->package);
	mem_free(t->name);
	mem_free(t->file);
	mem_free(t->text);
}

void
report_clear(struct report *r)
{
	for (size_t i = 0; i < r->count; i++)
		test_clear(&r->tests[i]);
	mem_free(r->tests);
	mem_free(r->timed_out);
	*r = (struct report){ 0 };
}

/* print() output: base64 with padding. */
static void
add_output(struct buf *out, const json_t *j)
{
	size_t len = json_string_length(j);
	const char *text = json_string_value(j);
	AUTO_STR bytes = NULL;
	size_t got;

	if (text == NULL || len > GATE_OUTPUT_MAX)
		return;
	bytes = mem_alloc(len);
	if (!base64_read(bytes, &got, text, len) || got == 0)
		return;
	if (out->len > 0)
		buf_add_char(out, '\n');
	report_text(out, bytes, got, GATE_TEXT_MAX / 2);
}

/* The cases of `test_x[case] if …`: which of them failed. */
static void
add_cases(struct buf *out, const json_t *cases, const char *prefix, int depth)
{
	const char *name;
	json_t *one;

	if (!json_is_object(cases) || depth > REPORT_DEPTH_MAX)
		return;
	json_object_foreach((json_t *)(uintptr_t)cases, name, one) {
		AUTO_STR path = mem_printf("%s%s%s", prefix,
		    prefix[0] != '\0' ? "/" : "", name);
		const json_t *below = json_object_get(one, "sub_results");

		if (out->len >= GATE_TEXT_MAX / 4)
			return;
		if (json_object_size(below) > 0) {
			add_cases(out, below, path, depth + 1);
		} else if (json_is_true(json_object_get(one, "fail"))) {
			buf_add_str(out, out->len > 0 ? "\ncase " : "case ");
			report_text(out, path, strlen(path), 200);
			buf_add_str(out, " failed");
		}
	}
}

/* An error may be {}: opa does not always say. */
static void
add_error(struct buf *out, const json_t *error)
{
	const json_t *code = json_object_get(error, "code");
	const json_t *message = json_object_get(error, "message");

	if (json_is_string(code))
		report_text(out, json_string_value(code),
		    json_string_length(code), 200);
	if (json_is_string(message)) {
		buf_add_str(out, out->len > 0 ? ": " : "");
		report_text(out, json_string_value(message),
		    json_string_length(message), GATE_TEXT_MAX / 4);
	}
	if (out->len == 0)
		buf_add_str(out, "opa says no more than that it is an error");
}

static char *
test_text(const json_t *j)
{
	const json_t *error = json_object_get(j, "error");
	struct buf b;
	char *text = NULL;

	buf_init(&b, GATE_TEXT_MAX);
	if (error != NULL)
		add_error(&b, error);
	add_cases(&b, json_object_get(j, "sub_results"), "", 0);
	add_output(&b, json_object_get(j, "output"));
	if (b.len > 0)
		text = buf_steal(&b, NULL);
	buf_clear(&b);
	return text;
}

static enum gate_outcome
outcome_of(const json_t *j)
{
	if (json_object_get(j, "error") != NULL)
		return TEST_ERROR;
	if (json_is_true(json_object_get(j, "fail")))
		return TEST_FAILED;
	if (json_is_true(json_object_get(j, "skip")))
		return TEST_SKIPPED;
	return TEST_PASSED;
}

/* How opa ends a test at its --timeout. */
static bool
was_cancelled(const json_t *j)
{
	const char *code =
	    json_string_value(json_object_get(json_object_get(j, "error"),
		"code"));

	return code != NULL && strcmp(code, "eval_cancel_error") == 0;
}

static enum err_code
add_test(struct report *r, const json_t *j, struct err *e)
{
	const json_t *location = json_object_get(j, "location");
	struct gate_test *t;

	if (!json_is_string(json_object_get(j, "name")) ||
	    !json_is_string(json_object_get(j, "package")))
		return err_set(e, ERR_INVALID,
		    "a test result without package and name");
	if (r->count == GATE_TESTS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d tests",
		    GATE_TESTS_MAX);
	if (r->count == r->room) {
		r->room = r->room > 0 ? r->room * 2 : 64;
		r->tests = mem_grow(r->tests, r->room, sizeof *r->tests);
	}
	t = &r->tests[r->count++];
	*t = (struct gate_test){
		.package = clean_string(json_object_get(j, "package")),
		.name = clean_string(json_object_get(j, "name")),
		.file = clean_string(json_object_get(location, "file")),
		.line = json_integer_value(json_object_get(location, "row")),
		.duration_ns =
		    json_integer_value(json_object_get(j, "duration")),
		.outcome = outcome_of(j),
		.text = test_text(j),
	};
	if (was_cancelled(j) && r->timed_out == NULL)
		r->timed_out = mem_printf("%s.%s", t->package, t->name);
	return ERR_OK;
}

/* One whole JSON text and nothing after it. */
static enum err_code
read_json(json_t **out, const char *text, size_t len, const char *what,
    struct err *e)
{
	json_error_t error;

	*out = json_loadb(text, len, JSON_ALLOW_NUL, &error);
	if (*out != NULL)
		return ERR_OK;
	return err_set(e, ERR_INVALID, "opa's %s cannot be read: %s", what,
	    error.text);
}

enum err_code
report_add(struct report *r, const char *text, size_t len, struct err *e)
{
	enum err_code code = ERR_OK;
	json_t *all;

	TRY(read_json(&all, text, len, "test results", e));
	if (!json_is_array(all))
		code = err_set(e, ERR_INVALID,
		    "opa's test results cannot be read: not a list");
	for (size_t i = 0; code == ERR_OK && i < json_array_size(all); i++)
		code = add_test(r, json_array_get(all, i), e);
	json_decref(all);
	return code;
}

static int
test_order(const void *a, const void *b)
{
	const struct gate_test *x = a, *y = b;
	int order = strcmp(x->package, y->package);

	if (order == 0)
		order = strcmp(x->name, y->name);
	if (order == 0)
		order = strcmp(x->file, y->file);
	if (order == 0)
		order = (x->line > y->line) - (x->line < y->line);
	return order;
}

void
report_sort(struct report *r)
{
	if (r->count > 0)
		qsort(r->tests, r->count, sizeof *r->tests, test_order);
}

size_t
report_count(const struct report *r, enum gate_outcome outcome)
{
	size_t n = 0;

	for (size_t i = 0; i < r->count; i++)
		n += r->tests[i].outcome == outcome;
	return n;
}

void
report_name(struct buf *out, const struct report *r, enum gate_outcome outcome,
    size_t max)
{
	size_t total = report_count(r, outcome), shown = 0;

	for (size_t i = 0; i < r->count && shown < max; i++) {
		const struct gate_test *t = &r->tests[i];

		if (t->outcome != outcome)
			continue;
		shown++;
		buf_printf(out, "\n%s:%lld: %s.%s", t->file, (long long)t->line,
		    t->package, t->name);
		if (t->text != NULL) {
			buf_add_str(out, ": ");
			report_text(out, t->text, strlen(t->text), 300);
		}
	}
	if (total > shown)
		buf_printf(out, "\nand %zu more", total - shown);
}

void
coverage_clear(struct coverage *c)
{
	for (size_t i = 0; i < c->count; i++)
		mem_free(c->files[i].path);
	mem_free(c->files);
	*c = (struct coverage){ 0 };
}

static void
add_files(struct coverage *c, const json_t *files)
{
	const char *path;
	json_t *one;

	c->files = mem_grow(c->files, c->count + json_object_size(files),
	    sizeof *c->files);
	json_object_foreach((json_t *)(uintptr_t)files, path, one) {
		c->files[c->count++] = (struct coverage_file){
			clean(path, strlen(path), TREE_PATH_MAX),
			json_number_value(json_object_get(one, "coverage"))
		};
	}
}

/* Is it a number of percent? */
static bool
is_percent(const json_t *j)
{
	return json_is_number(j) && json_number_value(j) >= 0 &&
	    json_number_value(j) <= 100;
}

/* A number of lines that can be added to many others. */
static int64_t
lines_of(const json_t *all, const char *name)
{
	int64_t n = json_integer_value(json_object_get(all, name));

	return n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : n;
}

/* One run: opa's own figure. Several: over their lines, added up. */
static void
add_percent(struct coverage *c, const json_t *all)
{
	c->covered += lines_of(all, "covered_lines");
	c->not_covered += lines_of(all, "not_covered_lines");
	c->percent = json_number_value(json_object_get(all, "coverage"));
	if (c->runs++ > 0 && c->covered + c->not_covered > 0)
		c->percent = 100.0 * (double)c->covered /
		    (double)(c->covered + c->not_covered);
}

enum err_code
coverage_add(struct coverage *c, const char *text, size_t len, struct err *e)
{
	const json_t *files;
	json_t *all;
	enum err_code code = ERR_OK;

	TRY(read_json(&all, text, len, "coverage report", e));
	files = json_object_get(all, "files");
	if (!json_is_object(files) ||
	    !is_percent(json_object_get(all, "coverage"))) {
		code = err_set(e, ERR_INVALID,
		    "opa's coverage report has no files and coverage");
	} else {
		add_files(c, files);
		add_percent(c, all);
	}
	json_decref(all);
	return code;
}

static int
coverage_order(const void *a, const void *b)
{
	const struct coverage_file *x = a, *y = b;

	if (x->percent < y->percent)
		return -1;
	if (x->percent > y->percent)
		return 1;
	return strcmp(x->path, y->path);
}

void
coverage_name(struct buf *out, struct coverage *c, size_t max)
{
	if (c->count > 0)
		qsort(c->files, c->count, sizeof *c->files, coverage_order);
	for (size_t i = 0; i < c->count && i < max; i++) {
		if (c->files[i].percent >= 100)
			return;
		buf_printf(out, "%s%s %.1f %%", i > 0 ? ", " : "",
		    c->files[i].path, c->files[i].percent);
	}
}

static bool
has_line(const struct buf *out, const char *line)
{
	size_t len = strlen(line);

	for (const char *p = out->data; (p = strstr(p, line)) != NULL; p++) {
		if ((p == out->data || p[-1] == '\n') &&
		    (p[len] == '\0' || p[len] == '\n'))
			return true;
	}
	return false;
}

static void
add_line(struct buf *out, const char *line)
{
	if (line[0] == '\0' || has_line(out, line))
		return;
	if (out->len > 0)
		buf_add_char(out, '\n');
	buf_add_str(out, line);
}

static void
one_error(struct buf *out, const json_t *j)
{
	const json_t *at = json_object_get(j, "location");
	AUTO_STR file = clean_string(json_object_get(at, "file"));
	AUTO_STR code = clean_string(json_object_get(j, "code"));
	AUTO_STR message = clean_string(json_object_get(j, "message"));
	AUTO_STR line = NULL;
	long long row = json_integer_value(json_object_get(at, "row"));
	long long column = json_integer_value(json_object_get(at, "col"));

	if (file[0] != '\0')
		line = mem_printf("%s:%lld:%lld: %s%s%s", file, row, column,
		    code, code[0] != '\0' ? ": " : "", message);
	else
		line = mem_printf("%s%s%s", code, code[0] != '\0' ? ": " : "",
		    message);
	add_line(out, line);
}

size_t
report_before_usage(const char *text, size_t len)
{
	static const char usage[] = "\nUsage:\n";
	const char *end = memmem(text, len, usage, sizeof usage - 1);

	return end != NULL ? (size_t)(end - text) : len;
}

static void
plain_errors(struct buf *out, const char *text, size_t len)
{
	AUTO_STR plain =
	    clean(text, report_before_usage(text, len), GATE_REASON_MAX / 2);

	add_line(out, plain);
	if (strstr(plain, "\"--capabilities\" flag") != NULL)
		add_line(out,
		    "capabilities in " DEFINITION_FILE " has to be a version "
		    "that this opa has (opa capabilities lists them), or a "
		    "file of the repository");
}

void
report_errors(struct buf *out, const char *text, size_t len)
{
	json_t *all = json_loadb(text, len, JSON_ALLOW_NUL, NULL);
	const json_t *errors = json_object_get(all, "errors");
	size_t count = json_array_size(errors);

	if (count == 0)
		plain_errors(out, text, len);
	for (size_t i = 0; i < count && i < REPORT_ERRORS_MAX; i++)
		one_error(out, json_array_get(errors, i));
	if (count > REPORT_ERRORS_MAX)
		buf_printf(out, "\nand %zu more", count - REPORT_ERRORS_MAX);
	json_decref(all);
}
