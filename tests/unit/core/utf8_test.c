#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/utf8.h"

#define TEXT(s) s, sizeof s - 1

/* RFC 3629: first and last character of each length, and what lies beside. */
static const struct {
	const char *text;
	size_t len;
	size_t size; /* 0: no character */
	uint32_t code;
} characters[] = {
	{ TEXT("\x01"), 1, 0x1 }, { TEXT("\x7f"), 1, 0x7f },
	{ TEXT("\xc2\x80"), 2, 0x80 }, { TEXT("\xdf\xbf"), 2, 0x7ff },
	{ TEXT("\xe0\xa0\x80"), 3, 0x800 }, { TEXT("\xed\x9f\xbf"), 3, 0xd7ff },
	{ TEXT("\xee\x80\x80"), 3, 0xe000 },
	{ TEXT("\xef\xbf\xbf"), 3, 0xffff },
	{ TEXT("\xf0\x90\x80\x80"), 4, 0x10000 },
	{ TEXT("\xf4\x8f\xbf\xbf"), 4, 0x10ffff }, { TEXT("\x80"), 0, 0 },
	{ TEXT("\xbf"), 0, 0 }, { TEXT("\xc0\xaf"), 0, 0 }, /* overlong / */
	{ TEXT("\xc1\xbf"), 0, 0 },                         /* overlong */
	{ TEXT("\xe0\x9f\xbf"), 0, 0 },                     /* overlong */
	{ TEXT("\xf0\x8f\xbf\xbf"), 0, 0 },                 /* overlong */
	{ TEXT("\xed\xa0\x80"), 0, 0 },                     /* a surrogate */
	{ TEXT("\xed\xbf\xbf"), 0, 0 },                     /* a surrogate */
	{ TEXT("\xf4\x90\x80\x80"), 0, 0 },                 /* over U+10FFFF */
	{ TEXT("\xf5\x80\x80\x80"), 0, 0 },                 /* over U+10FFFF */
	{ TEXT("\xff"), 0, 0 }, { TEXT("\xc2"), 0, 0 },     /* cut */
	{ TEXT("\xe2\x82"), 0, 0 }, { TEXT("\xf0\x9f\x98"), 0, 0 },
	{ TEXT("\xc2\x41"), 0, 0 },         /* no continuation */
	{ TEXT("\xe2\x82\xc0"), 0, 0 },     /* no continuation */
	{ TEXT("\xf0\x9f\x98\x40"), 0, 0 }, /* no continuation */
};

static void
characters_are_told_from_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof characters / sizeof *characters; i++) {
		const char *text = characters[i].text;
		const unsigned char *p = (const unsigned char *)text;
		const unsigned char *end = p + characters[i].len;
		char made[UTF8_CHARACTER_MAX];
		size_t size = characters[i].size;

		print_message("character %zu\n", i);
		assert_int_equal(utf8_size(text, characters[i].len), size);
		assert_int_equal(utf8_is_valid(text, characters[i].len),
		    size > 0);
		assert_int_equal(utf8_next(&p, end), characters[i].code);
		assert_int_equal(p - (const unsigned char *)text, size);
		if (size == 0)
			continue;
		assert_int_equal(utf8_put(made, characters[i].code), size);
		assert_memory_equal(made, text, size);
	}
	assert_int_equal(utf8_size("", 0), 0);
	assert_int_equal(utf8_size(TEXT("\0")), 1);
	assert_true(utf8_is_valid("", 0));
	assert_false(utf8_is_valid(TEXT("a\xe2\x82\xac\xff")));
}

static void
a_nul_is_no_character_to_walk_over(void **state)
{
	static const unsigned char text[] = { 'a', '\0' };
	const unsigned char *p = text;

	(void)state;
	assert_int_equal(utf8_next(&p, text + 2), 'a');
	assert_int_equal(utf8_next(&p, text + 2), 0);
	assert_ptr_equal(p, text + 1);
}

static void
repair_leaves_what_is_whole(void **state)
{
	char text[] = "a\xe2\x82\xac\xff\xe2\x82";

	(void)state;
	utf8_repair(text);
	assert_string_equal(text, "a\xe2\x82\xac???");
}

static void
clean_copies_end_between_characters(void **state)
{
	static const struct {
		const char *text;
		size_t len, max;
		const char *clean;
	} table[] = {
		{ TEXT("plain"), 5, "plain" },
		{ TEXT("plain"), 4, "plai" },
		{ TEXT("a\xe2\x82\xac"), 4, "a\xe2\x82\xac" },
		{ TEXT("a\xe2\x82\xac"), 3, "a" },
		{ TEXT("a\0\n\x1b[31m\x7f\xc2\x9b"
		       "b"),
		    99, "a[31mb" },
		{ TEXT("\xff!"), 9, "\xef\xbf\xbd!" },
		{ "", 0, 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		AUTO_STR got =
		    utf8_clean(table[i].text, table[i].len, table[i].max);

		assert_string_equal(got, table[i].clean);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters_are_told_from_others),
		cmocka_unit_test(a_nul_is_no_character_to_walk_over),
		cmocka_unit_test(repair_leaves_what_is_whole),
		cmocka_unit_test(clean_copies_end_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
