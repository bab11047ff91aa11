#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/text.h"

static void
test_ends_with(void **state)
{
	(void)state;
	assert_true(text_ends_with("a.rego", ".rego"));
	assert_true(text_ends_with(".rego", ".rego"));
	assert_true(text_ends_with("a", ""));
	assert_false(text_ends_with("rego", ".rego"));
	assert_false(text_ends_with("a.rego.b", ".rego"));
}

static void
test_is_hex(void **state)
{
	(void)state;
	assert_true(text_is_hex("09af", 4));
	assert_true(text_is_hex("", 0));
	assert_false(text_is_hex("09af", 3));
	assert_false(text_is_hex("09af", 5));
	assert_false(text_is_hex("09aF", 4));
	assert_false(text_is_hex("09ag", 4));
	assert_false(text_is_hex("09a ", 4));
}

static void
test_path_holds(void **state)
{
	(void)state;
	assert_true(text_path_holds("a", "a"));
	assert_true(text_path_holds("a", "a/b"));
	assert_false(text_path_holds("a", "ab"));
	assert_false(text_path_holds("a/b", "a"));
	assert_true(text_path_holds("", ""));
	assert_true(text_path_holds("", "x"));
}

static void
test_span(void **state)
{
	static const struct text_set digits = {
		{ ['0' ... '9'] = true, [0xc3] = true }
	};

	(void)state;
	assert_int_equal(text_span("", &digits), 0);
	assert_int_equal(text_span("a1", &digits), 0);
	assert_int_equal(text_span("0123456789", &digits), 10);
	assert_int_equal(text_span("12/", &digits), 2);
	assert_int_equal(text_span("12:", &digits), 2);
	assert_int_equal(text_span("1\xc3\x84", &digits), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends_with),
		cmocka_unit_test(test_is_hex),
		cmocka_unit_test(test_span),
		cmocka_unit_test(test_path_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
