#include "policies/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

#define AT "\"location\":{\"file\":\"a_test.rego\",\"row\":3,\"col\":1}"

static enum err_code
add(struct report *r, const char *text, struct err *e)
{
	return report_add(r, text, strlen(text), e);
}

static void
results_are_read(void **state)
{
	struct report r = { 0 };
	struct buf b;
	struct err e;

	(void)state;
	assert_int_equal(add(&r, "[]", &e), ERR_OK);
	assert_int_equal(r.count, 0);
	assert_int_equal(
	    add(&r,
		"[{" AT ",\"package\":\"data.b\",\"name\":\"test_z\","
		"\"duration\":12,\"output\":\"aGVsbG8K\"},"
		"{" AT ",\"package\":\"data.a\",\"name\":\"test_f\","
		"\"fail\":true},"
		"{" AT ",\"package\":\"data.a\",\"name\":\"test_e\","
		"\"error\":{\"code\":\"eval_conflict_error\","
		"\"message\":\"two values\"}},"
		"{" AT ",\"package\":\"data.a\",\"name\":\"test_e2\","
		"\"error\":{}},"
		"{" AT ",\"package\":\"data.a\",\"name\":\"todo_test_s\","
		"\"skip\":true},"
		"{" AT ",\"package\":\"data.c\",\"name\":\"test_p\","
		"\"fail\":true,\"sub_results\":{\"one\":{\"name\":\"one\"},"
		"\"two\":{\"name\":\"two\",\"sub_results\":{\"x\":{\"name\":"
		"\"x\",\"fail\":true}}}}}]",
		&e),
	    ERR_OK);
	report_sort(&r);
	assert_int_equal(r.count, 6);
	assert_int_equal(report_count(&r, TEST_PASSED), 1);
	assert_int_equal(report_count(&r, TEST_FAILED), 2);
	assert_int_equal(report_count(&r, TEST_ERROR), 2);
	assert_int_equal(report_count(&r, TEST_SKIPPED), 1);
	assert_string_equal(r.tests[0].name, "test_e");
	assert_string_equal(r.tests[0].text, "eval_conflict_error: two values");
	assert_non_null(r.tests[1].text);
	assert_null(r.tests[2].text);
	assert_string_equal(r.tests[4].package, "data.b");
	assert_string_equal(r.tests[4].text, "hello");
	assert_int_equal(r.tests[4].duration_ns, 12);
	assert_int_equal(r.tests[4].line, 3);
	assert_string_equal(r.tests[5].text, "case two/x failed");
	assert_null(r.timed_out);

	buf_init(&b, 4096);
	report_name(&b, &r, TEST_FAILED, 1);
	assert_string_equal(b.data,
	    "\na_test.rego:3: data.a.test_f\nand 1 more");
	buf_clear(&b);
	report_clear(&r);
}

static void
an_ended_test_is_named(void **state)
{
	struct report r = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(
	    add(&r,
		"[{" AT ",\"package\":\"data.a\",\"name\":\"test_h\","
		"\"error\":{\"code\":\"eval_cancel_error\",\"message\":"
		"\"context deadline exceeded\"}}]",
		&e),
	    ERR_OK);
	assert_string_equal(r.timed_out, "data.a.test_h");
	assert_int_equal(r.tests[0].outcome, TEST_ERROR);
	report_clear(&r);
}

static void
what_is_no_result_is_refused(void **state)
{
	static const char *const texts[] = { "", " ", "{}", "null", "[", "[]x",
		"[] []", "[1]", "[{}]", "[null]", "[[]]",
		"[{\"package\":1,\"name\":\"x\"}]", "[{\"name\":\"x\"}]",
		"[{\"package\":\"\\ud800\",\"name\":\"x\"}]", "PASS: 1/1\n",
		"[]\nPASS" };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct report r = { 0 };
		struct err e = { 0 };

		if (add(&r, texts[i], &e) != ERR_INVALID || e.text[0] == '\0')
			fail_msg("%s", texts[i]);
		report_clear(&r);
	}
}

/* Odd types where opa would never write them leave fields empty. */
static void
odd_fields_are_survived(void **state)
{
	static const char *const texts[] = {
		"[{\"package\":\"p\",\"name\":\"n\"}]",
		"[{\"package\":\"p\",\"name\":\"n\",\"location\":[]}]",
		"[{\"package\":\"p\",\"name\":\"n\",\"duration\":\"x\"}]",
		"[{\"package\":\"p\",\"name\":\"n\",\"trace\":{}}]",
		"[{\"package\":\"p\",\"name\":\"n\",\"output\":1}]",
		"[{\"package\":\"p\",\"name\":\"n\",\"output\":\"%%%%\"}]",
		"[{\"package\":\"p\",\"name\":\"n\",\"output\":\"abc\"}]",
		"[{\"package\":\"p\",\"name\":\"n\",\"output\":\"====\"}]",
		"[{\"package\":\"p\",\"name\":\"n\",\"sub_results\":[1]}]",
		"[{\"package\":\"p\",\"name\":\"n\",\"sub_results\":{\"a\":1}}]",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct report r = { 0 };
		struct err e = { 0 };

		if (add(&r, texts[i], &e) != ERR_OK)
			fail_msg("%s: %s", texts[i], e.text);
		assert_int_equal(r.tests[0].outcome, TEST_PASSED);
		report_clear(&r);
	}
}

static void
texts_are_made_fit(void **state)
{
	static const struct {
		const char *in, *out;
		size_t len, max;
	} cases[] = {
		{ " a\n", "a", 3, 10 },
		{ "a\nb\tc", "a\nb\tc", 5, 10 },
		{ "a\033[31m", "a?[31m", 6, 10 },
		{ "a\0b", "a?b", 3, 10 },
		{ "a\xff"
		  "b",
		    "a?b", 3, 10 },
		{ "\xc3\xa4", "\xc3\xa4", 2, 10 },
		{ "\xc3\xa4\xc3\xa4", "\xc3\xa4 \xe2\x80\xa6", 4, 3 },
		{ "abc", "abc", 3, 3 },
		{ "abcd", "abc \xe2\x80\xa6", 4, 3 },
		{ "\xc2\x9b", "?", 2, 10 },
		{ "", "", 0, 10 },
		{ " \n ", "", 3, 10 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf b;

		buf_init(&b, 64);
		report_text(&b, cases[i].in, cases[i].len, cases[i].max);
		assert_string_equal(b.data, cases[i].out);
		buf_clear(&b);
	}
}

static void
errors_are_told_once(void **state)
{
	static const char text[] =
	    "{\"errors\":[{\"message\":\"unexpected }\",\"code\":"
	    "\"rego_parse_error\",\"location\":{\"file\":\"b.rego\",\"row\":5,"
	    "\"col\":1}},{\"message\":\"no place\",\"code\":\"x\"}]}";
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	report_errors(&b, text, strlen(text));
	report_errors(&b, text, strlen(text));
	report_errors(&b, "plain words\n", 12);
	report_errors(&b, "", 0);
	assert_string_equal(b.data,
	    "b.rego:5:1: rego_parse_error: unexpected }\nx: no place\n"
	    "plain words");
	buf_clear(&b);
}

static void
usage_is_left_out(void **state)
{
	static const char text[] =
	    "Error: invalid argument \"v9.4.0\" for \"--capabilities\" flag: "
	    "no such file\nUsage:\n  opa check <path> [flags]\n";
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	report_errors(&b, text, sizeof text - 1);
	assert_non_null(strstr(b.data, "\"--capabilities\" flag: no such"));
	assert_non_null(strstr(b.data, "capabilities in edict.yaml"));
	assert_null(strstr(b.data, "opa check <path>"));
	buf_clear(&b);
}

static void
coverage_adds_up(void **state)
{
	static const char one[] =
	    "{\"files\":{\"a.rego\":{\"coverage\":50},\"b.rego\":"
	    "{\"coverage\":100}},\"covered_lines\":3,\"not_covered_lines\":1,"
	    "\"coverage\":75}";
	static const char two[] = "{\"files\":{\"c.rego\":{\"coverage\":0}},"
				  "\"not_covered_lines\":4,\"coverage\":0}";
	struct coverage c = { 0 };
	struct buf b;
	struct err e;

	(void)state;
	assert_int_equal(coverage_add(&c, one, strlen(one), &e), ERR_OK);
	assert_true(c.percent > 74.9 && c.percent < 75.1);
	assert_int_equal(coverage_add(&c, two, strlen(two), &e), ERR_OK);
	assert_true(c.percent > 37.4 && c.percent < 37.6);
	buf_init(&b, 4096);
	coverage_name(&b, &c, 5);
	assert_string_equal(b.data, "c.rego 0.0 %, a.rego 50.0 %");
	buf_clear(&b);
	coverage_clear(&c);
	assert_int_equal(coverage_add(&c, "{}", 2, &e), ERR_INVALID);
	assert_int_equal(coverage_add(&c, "[]", 2, &e), ERR_INVALID);
	assert_int_equal(coverage_add(&c, "PASS", 4, &e), ERR_INVALID);
	coverage_clear(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_are_read),
		cmocka_unit_test(an_ended_test_is_named),
		cmocka_unit_test(what_is_no_result_is_refused),
		cmocka_unit_test(odd_fields_are_survived),
		cmocka_unit_test(texts_are_made_fit),
		cmocka_unit_test(errors_are_told_once),
		cmocka_unit_test(usage_is_left_out),
		cmocka_unit_test(coverage_adds_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
