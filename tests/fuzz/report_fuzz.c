/* What opa prints, after it ran policies that nobody trusts. All that is kept
 * is fit for JSON and for a terminal. */

#include "policies/report.h"
#include "tests/fuzz/fuzz.h"

enum { LINES_MAX = 64 * 1024 };

static void
check_text(const char *text)
{
	if (text != NULL)
		assert(fuzz_is_text(text, strlen(text), "\n\t"));
}

static void
check_lines(const struct buf *b)
{
	assert(fuzz_is_text(b->data, b->len, "\n\t"));
}

static void
check_report(const char *text, size_t len)
{
	struct report r = { 0 };
	AUTO_BUF out = { 0 };
	struct err e;
	enum err_code code = report_add(&r, text, len, &e);

	if (code != ERR_OK)
		fuzz_refused(code, &e);
	report_sort(&r);
	for (size_t i = 0; i < r.count; i++) {
		check_text(r.tests[i].package);
		check_text(r.tests[i].name);
		check_text(r.tests[i].file);
		check_text(r.tests[i].text);
	}
	buf_init(&out, LINES_MAX);
	for (int i = 0; i < TEST_OUTCOMES; i++)
		report_name(&out, &r, (enum gate_outcome)i, 3);
	if (!out.overflow)
		check_lines(&out);
	report_clear(&r);
}

static void
check_coverage(const char *text, size_t len)
{
	struct coverage c = { 0 };
	AUTO_BUF out = { 0 };
	struct err e;
	enum err_code code = coverage_add(&c, text, len, &e);

	/* As of two bundles: then lines are added up. */
	if (code == ERR_OK)
		code = coverage_add(&c, text, len, &e);
	buf_init(&out, LINES_MAX);
	if (code != ERR_OK) {
		fuzz_refused(code, &e);
	} else {
		assert(c.percent >= 0 && c.percent <= 100);
		coverage_name(&out, &c, 3);
		if (!out.overflow)
			check_lines(&out);
	}
	coverage_clear(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	AUTO_BUF out = { 0 };

	check_report(text, size);
	check_coverage(text, size);
	buf_init(&out, LINES_MAX);
	report_errors(&out, text, size);
	if (!out.overflow)
		check_lines(&out);
	return 0;
}
