#include "core/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

static void
holds_any_bytes_and_a_nul_behind(void **state)
{
	AUTO_BUF b = { 0 };

	(void)state;
	buf_init(&b, 100);
	assert_string_equal(b.data, "");
	buf_add(&b, "a\0b", 3);
	buf_add_char(&b, '\0');
	buf_add_str(&b, "cd");
	buf_add(&b, "", 0);
	assert_int_equal(b.len, 6);
	assert_memory_equal(b.data, "a\0b\0cd", 7);
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.data, "");
}

static void
grows_to_its_maximum_only(void **state)
{
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 5);
	buf_add_str(&b, "12345");
	assert_int_equal(buf_check(&b, "text", &e), ERR_OK);
	buf_add_char(&b, '6');
	assert_int_equal(buf_check(&b, "text", &e), ERR_LIMIT);
	assert_string_equal(e.text, "text: larger than 5 bytes");
	assert_string_equal(b.data, "12345");
	/* And nothing that would fit comes after what did not. */
	buf_reset(&b);
	buf_add_str(&b, "1234");
	buf_add_str(&b, "56");
	buf_add_char(&b, '5');
	assert_string_equal(b.data, "1234");
	assert_int_equal(buf_check(&b, "text", &e), ERR_LIMIT);
	buf_reset(&b);
	assert_int_equal(buf_check(&b, "text", &e), ERR_OK);
}

static void
takes_no_length_that_wraps(void **state)
{
	AUTO_BUF b = { 0 };

	(void)state;
	buf_init(&b, 10);
	buf_add_char(&b, 'x');
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_true(b.overflow);
	assert_int_equal(b.len, 1);
}

static void
prints_long_and_short(void **state)
{
	AUTO_BUF b = { 0 };
	AUTO_STR long_text = mem_alloc(1001);

	(void)state;
	memset(long_text, 'x', 1000);
	long_text[1000] = '\0';
	buf_init(&b, 2000);
	buf_printf(&b, "%d-%s", 7, "a");
	assert_string_equal(b.data, "7-a");
	for (size_t len = 254; len <= 257; len++) {
		buf_reset(&b);
		buf_printf(&b, "%.*s", (int)len, long_text);
		assert_int_equal(b.len, len);
		assert_int_equal(strlen(b.data), len);
	}
	buf_printf(&b, "%s", long_text);
	assert_int_equal(b.len, 1257);
}

static void
is_filled_in_place_and_stolen(void **state)
{
	AUTO_STR data = NULL;
	AUTO_BUF b = { 0 };
	size_t len;
	char *room;

	(void)state;
	buf_init(&b, 100);
	room = buf_reserve(&b, 100);
	assert_non_null(room);
	memcpy(room, "abc", 3);
	buf_commit(&b, 3);
	assert_string_equal(b.data, "abc");
	data = buf_steal(&b, &len);
	assert_int_equal(len, 3);
	assert_string_equal(data, "abc");
	assert_string_equal(b.data, "");
	buf_add_str(&b, "again");
	assert_string_equal(b.data, "again");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_any_bytes_and_a_nul_behind),
		cmocka_unit_test(grows_to_its_maximum_only),
		cmocka_unit_test(takes_no_length_that_wraps),
		cmocka_unit_test(prints_long_and_short),
		cmocka_unit_test(is_filled_in_place_and_stolen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
