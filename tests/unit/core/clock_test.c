/* Times as text, and back. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "core/clock.h"

static void
test_what_is_written_is_read_back(void **state)
{
	static const int64_t times[] = { 0, 1, 999, 1000, 951782399999,
		1769854502123, 253402300799999 };

	(void)state;
	for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
		char text[CLOCK_TEXT_SIZE];
		int64_t back = -1;

		clock_text(text, times[i]);
		assert_int_equal(clock_read(&back, text, NULL), ERR_OK);
		assert_int_equal(back, times[i]);
	}
}

static void
test_fractions(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{ "1970-01-01T00:00:01Z", 1000 },
		{ "1970-01-01T00:00:01.5Z", 1500 },
		{ "1970-01-01T00:00:01.05Z", 1050 },
		{ "1970-01-01T00:00:01.005Z", 1005 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int64_t ms = -1;

		assert_int_equal(clock_read(&ms, cases[i].text, NULL), ERR_OK);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void
test_what_is_no_time(void **state)
{
	static const char *const bad[] = { "", "yesterday", "2026-01-31",
		"2026-01-31T10:15:02", "2026-01-31T10:15:02.Z",
		"2026-01-31T10:15:02.1234Z", "2026-01-31T10:15:02.12aZ",
		"2026-01-31T10:15:02z", "2026-01-31T10:15:02+01:00",
		"2026-01-31T10:15:02Z ", " 2026-01-31T10:15:02Z",
		"2026-1-31T10:15:02Z", "2026-13-31T10:15:02Z",
		"2026-01-32T10:15:02Z", "2026-01-31T25:15:02Z",
		"1969-12-31T23:59:59Z", "2026-01-31 10:15:02Z" };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int64_t ms = 7;
		struct err e;

		if (clock_read(&ms, bad[i], &e) != ERR_INVALID)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(ms, 7);
		assert_non_null(strstr(e.text, "is no time"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_is_read_back),
		cmocka_unit_test(test_fractions),
		cmocka_unit_test(test_what_is_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
