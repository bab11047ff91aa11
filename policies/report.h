#ifndef POLICIES_REPORT_H
#define POLICIES_REPORT_H

/* What opa writes, read with suspicion: test results, coverage, and errors of
 * `opa check`. It comes from a child that ran untrusted policies, so all is
 * bounded, and texts are made fit for JSON and terminals: control characters
 * and bytes that are not UTF-8 become "?". Pure; any thread. */

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"
#include "policies/gate.h"

enum {
	REPORT_DEPTH_MAX = 16, /* nested sub_results */
	REPORT_ERRORS_MAX = 50 /* errors of one check that are kept */
};

/* The tests of one run or of several. */
struct report {
	struct gate_test *tests;
	size_t count;
	size_t room;
	/* The first test that opa itself ended, at its --timeout, or NULL. */
	char *timed_out;
};
void report_clear(struct report *r);

/* Adds the results of one `opa test --format json`. INVALID when the text is
 * not exactly one array of results; LIMIT above GATE_TESTS_MAX. */
enum err_code report_add(struct report *r, const char *text, size_t len,
    struct err *e) MUST_CHECK;

/* By package, name, file, line: opa's own order varies. */
void report_sort(struct report *r);

size_t report_count(const struct report *r, enum gate_outcome outcome);

/* "data.infra.s3_test.test_x (infra/s3_test.rego:12)", for the first tests with
 * that outcome, a line each with its text, at most max; then how many more. */
void report_name(struct buf *out, const struct report *r,
    enum gate_outcome outcome, size_t max);

/* `opa test --coverage --format json`, of one run or added up over several. */
struct coverage_file {
	char *path;
	double percent;
};
struct coverage {
	struct coverage_file *files; /* least covered first, after _sort */
	size_t count;
	double percent; /* of all lines; what opa says when it was one run */
	int64_t covered, not_covered;
	size_t runs;
};
void coverage_clear(struct coverage *c);
enum err_code coverage_add(struct coverage *c, const char *text, size_t len,
    struct err *e) MUST_CHECK;
/* "a.rego 10 %, b.rego 40 %": the least covered, at most max. */
void coverage_name(struct buf *out, struct coverage *c, size_t max);

/* Appends what `opa check --format json` put on stderr, one line each:
 * "infra/s3.rego:12:3: rego_parse_error: unexpected token". A line that is in
 * out already is not added again. Text that is no such JSON is appended
 * up to opa's usage; where it is about capabilities, with advice. */
void report_errors(struct buf *out, const char *text, size_t len);

/* Length of text up to the list of its flags that opa prints below an error
 * about one of them. */
size_t report_before_usage(const char *text, size_t len);

/* Appends text that a child wrote, at most max bytes of it and then an
 * ellipsis, white space at both ends left out. */
void report_text(struct buf *out, const char *text, size_t len, size_t max);

#endif
