/* What a terminal makes of text, and that nothing drives it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "core/mem.h"
#include "server/cli/cli_screen.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void
test_nothing_drives_a_terminal(void **state)
{
	static const struct {
		const char *text, *clean;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "a\tb\nc", "a b c" },
		{ "\033[31mred", "?[31mred" },
		{ "a\rb\bc\007d\177e", "a?b?c?d?e" },
		{ "\xc2\x9b"
		  "31m",
		    "?31m" },              /* CSI in one character */
		{ "\x9b\xff\xc3", "???" }, /* no UTF-8 */
		{ "\xe2\x80\xae"
		  "abc\xe2\x81\xa6",
		    "?abc?" }, /* turned around */
		{ "\xe2\x80\xa8\xe2\x80\xa9", "??" },
		{ "\xc3\xa4 \xe6\x97\xa5", "\xc3\xa4 \xe6\x97\xa5" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		AUTO_STR got = screen_clean(rows[i].text, strlen(rows[i].text));

		assert_string_equal(got, rows[i].clean);
	}
	AUTO_STR nul = screen_clean("a\0b", 3);
	assert_string_equal(nul, "a?b");
}

static void
test_columns(void **state)
{
	static const struct {
		const char *text;
		size_t columns;
	} rows[] = {
		{ "", 0 },
		{ "abc", 3 },
		{ "\xc3\xa4", 1 },
		{ "e\xcc\x81", 1 },                /* an accent that joins */
		{ "\xe6\x97\xa5\xe6\x9c\xac", 4 }, /* wide */
		{ "\xf0\x9f\x9a\x80", 2 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(screen_columns(rows[i].text), rows[i].columns);
}

static void
test_what_fits(void **state)
{
	static const struct {
		const char *text;
		size_t columns, bytes, from_end;
	} rows[] = {
		{ "abc", 3, 3, 0 },
		{ "abc", 2, 2, 1 },
		{ "abc", 0, 0, 3 },
		{ "\xe6\x97\xa5\xe6\x9c\xac", 4, 6, 0 },
		{ "\xe6\x97\xa5\xe6\x9c\xac", 3, 3, 3 },
		{ "\xe6\x97\xa5\xe6\x9c\xac", 1, 0, 6 },
		{ "ae\xcc\x81", 2, 4, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(screen_fit(rows[i].text, rows[i].columns),
		    rows[i].bytes);
		assert_int_equal(screen_fit_end(rows[i].text, rows[i].columns),
		    rows[i].from_end);
	}
}

static void
test_a_file_is_no_terminal(void **state)
{
	int kept = dup(STDOUT_FILENO);
	int none = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)state;
	(void)fflush(stdout);
	assert_int_equal(dup2(none, STDOUT_FILENO), STDOUT_FILENO);
	assert_int_equal(setenv("TERM", "xterm", 1), 0);
	assert_false(screen_has_colours());
	assert_true(screen_width() == SIZE_MAX);
	assert_string_equal(screen_tint(TINT_BAD), "");
	assert_string_equal(screen_plain(TINT_BAD), "");
	assert_int_equal(dup2(kept, STDOUT_FILENO), STDOUT_FILENO);
	(void)close(none);
	(void)close(kept);
	assert_int_equal(screen_tint_of("failed"), TINT_BAD);
	assert_int_equal(screen_tint_of("passed"), TINT_GOOD);
	assert_int_equal(screen_tint_of("anything"), TINT_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_drives_a_terminal),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_what_fits),
		cmocka_unit_test(test_a_file_is_no_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
