#include "core/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
carries_code_and_text(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(err_set(&e, ERR_LIMIT, "%s: %d", "a", 5), ERR_LIMIT);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_string_equal(e.text, "a: 5");
	assert_int_equal(err_set(NULL, ERR_IO, "x"), ERR_IO);
}

static void
chooses_the_code_from_errno(void **state)
{
	static const struct {
		int number;
		enum err_code code;
	} cases[] = {
		{ ENOENT, ERR_NOT_FOUND },
		{ ENOTDIR, ERR_NOT_FOUND },
		{ EEXIST, ERR_CONFLICT },
		{ ECONNREFUSED, ERR_UNAVAILABLE },
		{ ENOSPC, ERR_IO },
		{ EACCES, ERR_IO },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		errno = cases[i].number;
		assert_int_equal(err_errno(&e, "%s", "f"), cases[i].code);
		errno = cases[i].number;
		assert_int_equal(err_errno(NULL, "f"), cases[i].code);
	}
	errno = ENOENT;
	(void)err_errno(&e, "/x/%s", "y");
	assert_string_equal(e.text, "/x/y: No such file or directory");
}

static void
adds_the_place_in_front(void **state)
{
	struct err e;

	(void)state;
	(void)err_set(&e, ERR_INVALID, "is wrong");
	assert_int_equal(err_add(&e, "line %d", 3), ERR_INVALID);
	assert_int_equal(err_add(&e, "file"), ERR_INVALID);
	assert_string_equal(e.text, "file: line 3: is wrong");
}

static void
cuts_text_at_its_end(void **state)
{
	char long_text[2 * ERR_TEXT_MAX];
	struct err e;

	(void)state;
	memset(long_text, 'x', sizeof long_text);
	long_text[sizeof long_text - 1] = '\0';
	(void)err_set(&e, ERR_INVALID, "%s", long_text);
	assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
	(void)err_add(&e, "place");
	assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
	assert_memory_equal(e.text, "place: xx", 9);
	(void)err_add(&e, "%s", long_text);
	assert_true(strlen(e.text) < ERR_TEXT_MAX);
	assert_non_null(strstr(e.text, ": place: x"));
	errno = EIO;
	(void)err_errno(&e, "%s", long_text);
	assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
}

static enum err_code
first_of(enum err_code a, enum err_code b)
{
	TRY(a);
	TRY(b);
	return ERR_OK;
}

static void
try_returns_the_first_failure(void **state)
{
	(void)state;
	assert_int_equal(first_of(ERR_OK, ERR_OK), ERR_OK);
	assert_int_equal(first_of(ERR_OK, ERR_IO), ERR_IO);
	assert_int_equal(first_of(ERR_DENIED, ERR_IO), ERR_DENIED);
}

static void
every_code_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < ERR_CODES; i++) {
		for (int k = 0; k < i; k++)
			assert_string_not_equal(err_name((enum err_code)i),
			    err_name((enum err_code)k));
	}
	assert_string_equal(err_name(ERR_NOT_FOUND), "not_found");
	assert_string_equal(err_name(ERR_CODES), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(carries_code_and_text),
		cmocka_unit_test(chooses_the_code_from_errno),
		cmocka_unit_test(adds_the_place_in_front),
		cmocka_unit_test(cuts_text_at_its_end),
		cmocka_unit_test(try_returns_the_first_failure),
		cmocka_unit_test(every_code_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
