#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/escape.h"

static void
escapes_are_read(void **state)
{
	static const struct {
		const char *text;
		size_t size; /* 0: none */
		uint32_t c;
	} table[] = {
		{ "\\\"", 2, '"' },
		{ "\\\\", 2, '\\' },
		{ "\\/", 2, '/' },
		{ "\\b", 2, '\b' },
		{ "\\f", 2, '\f' },
		{ "\\nx", 2, '\n' },
		{ "\\r", 2, '\r' },
		{ "\\t", 2, '\t' },
		{ "\\u0000", 6, 0 },
		{ "\\u20aC", 6, 0x20ac },
		{ "\\uFFFF0", 6, 0xffff },
		{ "\\ud800\\udc00", 12, 0x10000 },
		{ "\\udbff\\udfff", 12, 0x10ffff },
		{ "\\ud83d\\ude00\\ude00", 12, 0x1f600 },
		{ "\\ud83d", 6, 0xd83d },
		{ "\\ud83d\\u0041", 6, 0xd83d },
		{ "\\ud83d\\ud83d", 6, 0xd83d },
		{ "\\ud83dxude00", 6, 0xd83d },
		{ "\\ud83d\\ude0", 6, 0xd83d },
		{ "\\ude00\\ud83d", 6, 0xde00 },
		{ "\\", 0, 0 },
		{ "\\u", 0, 0 },
		{ "\\u123", 0, 0 },
		{ "\\u123g", 0, 0 },
		{ "\\U0041", 0, 0 },
		{ "\\a", 0, 0 },
		{ "\\'", 0, 0 },
		{ "\\0", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		uint32_t c = 0;
		size_t size =
		    escape_read(&c, table[i].text, strlen(table[i].text));

		print_message("%s\n", table[i].text);
		assert_int_equal(size, table[i].size);
		if (size > 0)
			assert_int_equal(c, table[i].c);
	}
	assert_int_equal(escape_read(&(uint32_t){ 0 }, "\\\0", 2), 0);
}

static void
halves_are_known(void **state)
{
	(void)state;
	assert_false(escape_is_half(0xd7ff));
	assert_true(escape_is_half(0xd800));
	assert_true(escape_is_half(0xdfff));
	assert_false(escape_is_half(0xe000));
}

/* Whatever is written is read back, and in the shortest form. */
static void
escapes_are_written(void **state)
{
	(void)state;
	for (unsigned char c = 0; c < 0x80; c++) {
		AUTO_BUF text = { 0 };
		uint32_t got = UINT32_MAX;

		buf_init(&text, 8);
		escape_write(&text, c);
		assert_int_equal(escape_read(&got, text.data, text.len),
		    text.len);
		assert_int_equal(got, c);
		assert_int_equal(text.len,
		    c != '\0' && strchr("\"\\\b\f\n\r\t", c) != NULL ? 2 : 6);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_are_read),
		cmocka_unit_test(halves_are_known),
		cmocka_unit_test(escapes_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
