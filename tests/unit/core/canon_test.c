#include "core/canon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/unit/core/reading.h"

static const struct reading format = { canon_read, "data.json" };

/* What is read, and what is written again. */
static const struct pair pairs[] = {
	{ TEXT("null"), "null" },
	{ TEXT(" true\n"), "true" },
	{ TEXT("false"), "false" },
	{ TEXT("0"), "0" },
	{ TEXT("-0"), "-0" },
	{ TEXT("1.10"), "1.10" },
	{ TEXT("1E5"), "1E5" },
	{ TEXT("-12.5e-07"), "-12.5e-07" },
	{ TEXT("1234567890123456789012345678901234567890"),
	    "1234567890123456789012345678901234567890" },
	{ TEXT("1.000000000000000000000000000000000001"),
	    "1.000000000000000000000000000000000001" },
	{ TEXT("\"\""), "\"\"" },
	{ TEXT("\"a\\/b\""), "\"a/b\"" },
	{ TEXT("\"<>&\x7f'\""), "\"<>&\x7f'\"" },
	{ TEXT("\"\\u0000\\u0001\\b\\f\\n\\r\\t\\u001F\\\"\\\\\""),
	    "\"\\u0000\\u0001\\b\\f\\n\\r\\t\\u001f\\\"\\\\\"" },
	{ TEXT("\"\\u2028\\u2029\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\""),
	    "\"\\u2028\\u2029\\u2028\\u2029\xe2\x80\xaa\"" },
	{ TEXT("\"\\u00e9\\u65e5\\ud83d\\ude00\""),
	    "\"\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80\"" },
	{ TEXT("\"\\u003c\\ufffd\\uFFFF\""), "\"<\xef\xbf\xbd\xef\xbf\xbf\"" },
	{ TEXT("[]"), "[]" },
	{ TEXT("[ 1 , [ ] ,\t{ } ]"), "[1,[],{}]" },
	{ TEXT("{}"), "{}" },
	{ TEXT("{\"b\":1,\"a\":{\"d\":[],\"c\":null}}"),
	    "{\"a\":{\"c\":null,\"d\":[]},\"b\":1}" },
	/* By bytes: upper before lower, shorter first, UTF-8 last. */
	{ TEXT("{\"ab\":1,\"\xc3\xa9\":2,\"a\":3,\"\":4,\"B\":5,\"a\\u0000\":6,"
	       "\"\xf0\x9f\x98\x80\":7,\"\xef\xbf\xbd\":8}"),
	    "{\"\":4,\"B\":5,\"a\":3,\"a\\u0000\":6,\"ab\":1,\"\xc3\xa9\":2,"
	    "\"\xef\xbf\xbd\":8,\"\xf0\x9f\x98\x80\":7}" },
};

static void
writes_the_canonical_form(void **state)
{
	(void)state;
	reading_writes(&format, pairs, sizeof pairs / sizeof pairs[0]);
}

static void
reads_as_the_engine_does(void **state)
{
	(void)state;
	reading_agrees(&format, pairs, sizeof pairs / sizeof pairs[0]);
}

static const struct refusal refusals[] = {
	{ TEXT(""), "1:1: the text ends where a value", false },
	{ TEXT(" \n "), "2:2: the text ends where a value", false },
	{ TEXT("nul"), "1:1: a value was expected, not \"n\"", false },
	{ TEXT("True"), "1:1: a value was expected, not \"T\"", false },
	{ TEXT("truex"), "1:5: the end of the text", false },
	{ TEXT("NaN"), "1:1: a value", false },
	{ TEXT("'a'"), "1:1: a value", false },
	{ TEXT("01"), "1:1: a number does not begin with", false },
	{ TEXT("-"), "1:2: the text ends where a digit", false },
	{ TEXT("-a"), "1:2: a digit was expected, not \"a\"", false },
	{ TEXT("+1"), "1:1: a value", false },
	{ TEXT(".5"), "1:1: a value", false },
	{ TEXT("1."), "1:3: the text ends where a digit", false },
	{ TEXT("1.e5"), "1:3: a digit", false },
	{ TEXT("1e"), "1:3: the text ends where a digit", false },
	{ TEXT("1e+"), "1:4: the text ends where a digit", false },
	{ TEXT("0x10"), "1:2: the end of the text was expected, not \"x\"",
	    false },
	{ TEXT("1_0"), "1:2: the end of the text", false },
	{ TEXT("[1 2]"), "1:4: \",\" or \"]\" was expected, not \"2\"", false },
	{ TEXT("[1,]"), "1:4: a value was expected, not \"]\"", false },
	{ TEXT("[,1]"), "1:2: a value", false },
	{ TEXT("[1"), "1:3: the text ends where \",\" or \"]\"", false },
	{ TEXT("["), "1:2: the text ends where a value", false },
	{ TEXT("[1}"), "1:3: \",\" or \"]\"", false },
	{ TEXT("]"), "1:1: a value", false },
	{ TEXT("{\"a\":1,}"), "1:8: a key in double quotes", false },
	{ TEXT("{a:1}"), "1:2: a key in double quotes", false },
	{ TEXT("{\"a\" 1}"), "1:6: \":\" after the key", false },
	{ TEXT("{\"a\":}"), "1:6: a value", false },
	{ TEXT("{\"a\"}"), "1:5: \":\" after the key", false },
	{ TEXT("{1:2}"), "1:2: a key", false },
	{ TEXT("{\"a\":1]"), "1:7: \",\" or \"}\"", false },
	{ TEXT("// c\n1"), "1:1: a value", false },
	{ TEXT("1\n2"), "2:1: the end of the text was expected, not \"2\"",
	    false },
	{ TEXT("1\0"), "1:2: the end of the text was expected, not \"\\x00\"",
	    false },
	{ TEXT("\"a"), "1:1: this string is never closed", false },
	{ TEXT("\"a\\"), "1:3: unknown escape", false },
	{ TEXT("\"a\\x41\""), "1:3: unknown escape", false },
	{ TEXT("\"\\u12\""), "1:2: \\u needs four", false },
	{ TEXT("\"\\u12g4\""), "1:2: \\u needs four", false },
	{ TEXT("\"a\nb\""), "1:3: control characters", false },
	{ TEXT("\"a\0b\""), "1:3: control characters", false },
	{ TEXT("\xef\xbb\xbf{}"), "1:1: begins with a byte order mark", false },
	/* The engine keeps the last of two keys and puts U+FFFD for what is
	 * no character. */
	{ TEXT("{\"a\":1,\n \"b\":2, \"a\":3}"),
	    "2:9: the key \"a\" stands twice in one object (first at 1:2)",
	    true },
	{ TEXT("{\"a\":1,\"\\u0061\":3}"), "1:8: the key \"a\"", true },
	{ TEXT("[{\"x\":{\"\":1,\"\":1}}]"), "1:13: the key \"\"", true },
	{ TEXT("\"\\ud83d\""), "1:2: half of a surrogate pair", true },
	{ TEXT("\"\\ud83dx\""), "1:2: half of a surrogate pair", true },
	{ TEXT("\"\\ud83d\\u0041\""), "1:2: half of", true },
	{ TEXT("\"\\ude00\\ud83d\""), "1:2: half of", true },
	{ TEXT("\"\x80\""), "1:2: not valid UTF-8", true },
	{ TEXT("\"\xc0\xaf\""), "1:2: not valid UTF-8", true },
	{ TEXT("\"\xed\xa0\x80\""), "1:2: not valid UTF-8", true },
	{ TEXT("\"\xf4\x90\x80\x80\""), "1:2: not valid UTF-8", true },
	{ TEXT("\"ab\xe2\x82\""), "1:4: not valid UTF-8", true },
	{ TEXT("{\"\xff\":1}"), "1:3: not valid UTF-8", true },
};

static void
refuses_with_the_place(void **state)
{
	(void)state;
	reading_refuses(&format, refusals,
	    sizeof refusals / sizeof refusals[0]);
}

static void
refuses_what_the_engine_refuses(void **state)
{
	(void)state;
	reading_refusals_agree(&format, refusals,
	    sizeof refusals / sizeof refusals[0]);
}

/* count times open, then close. */
static void
nest(struct buf *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_add_str(b, i % 2 == 0 ? "[" : "{\"a\":");
	buf_add_str(b, "1");
	for (size_t i = count; i-- > 0;)
		buf_add_char(b, i % 2 == 0 ? ']' : '}');
}

static void
keeps_the_depth_limit(void **state)
{
	AUTO(document, d) = NULL;
	AUTO_BUF b = { 0 };
	AUTO_BUF out = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 1 << 20);
	buf_init(&out, 1 << 20);
	nest(&b, CANON_DEPTH_MAX);
	assert_int_equal(canon_read(&d, "t", b.data, b.len, &e), ERR_OK);
	canon_write(&out, document_root(d));
	assert_string_equal(out.data, b.data);
	document_free(STEAL(d));
	buf_reset(&b);
	nest(&b, CANON_DEPTH_MAX + 1);
	assert_int_equal(canon_read(&d, "t", b.data, b.len, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "nested deeper than 1000"));
	/* Nothing but opening brackets: no memory for each. */
	buf_reset(&b);
	for (size_t i = 0; i < 100000; i++)
		buf_add_char(&b, '[');
	assert_int_equal(canon_read(&d, "t", b.data, b.len, &e), ERR_LIMIT);
}

static void
keeps_the_number_limit(void **state)
{
	AUTO(document, d) = NULL;
	AUTO_STR digits = mem_alloc(CANON_NUMBER_MAX + 2);
	struct err e;

	(void)state;
	memset(digits, '7', CANON_NUMBER_MAX + 1);
	assert_int_equal(canon_read(&d, "t", digits, CANON_NUMBER_MAX, &e),
	    ERR_OK);
	assert_int_equal(document_root(d)->text_len, CANON_NUMBER_MAX);
	document_free(STEAL(d));
	assert_int_equal(canon_read(&d, "t", digits, CANON_NUMBER_MAX + 1, &e),
	    ERR_LIMIT);
	assert_string_equal(e.text, "t:1:1: a number longer than 4096 bytes");
}

static void
keeps_the_values_limit(void **state)
{
	AUTO(document, d) = NULL;
	/* The array is a value as well. */
	size_t count = CANON_VALUES_MAX - 1;
	AUTO_STR text = mem_alloc(2 * count + 8);
	size_t len = 0;
	struct err e;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		text[len++] = i == 0 ? '[' : ',';
		text[len++] = '1';
	}
	text[len++] = ']';
	assert_int_equal(canon_read(&d, "t", text, len, &e), ERR_OK);
	assert_int_equal(document_root(d)->count, count);
	document_free(STEAL(d));
	memcpy(text + len - 1, ",1]", 3);
	assert_int_equal(canon_read(&d, "t", text, len + 2, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "more than 8388608 values"));
}

static void
keeps_the_size_limit(void **state)
{
	struct document *d = NULL;
	struct err e;

	(void)state;
	/* Never looked at: only the length counts. */
	assert_int_equal(canon_read(&d, "t", "1", CANON_SIZE_MAX + 1ul, &e),
	    ERR_LIMIT);
	assert_string_equal(e.text, "t: larger than 256 MiB");
}

static void
knows_the_place_of_each_value(void **state)
{
	static const char text[] = "{\n  \"k\": [1,\n\t\"\xc3\xa9\", {}]}";
	AUTO(document, d) = NULL;
	const struct value *list;
	struct err e;

	(void)state;
	assert_int_equal(canon_read(&d, "t", TEXT(text), &e), ERR_OK);
	list = value_get(document_root(d), "k");
	assert_non_null(list);
	assert_null(value_get(document_root(d), "l"));
	assert_int_equal(document_root(d)->keys[0]->line, 2);
	assert_int_equal(document_root(d)->keys[0]->column, 3);
	assert_int_equal(list->line, 2);
	assert_int_equal(list->column, 8);
	assert_int_equal(list->items[1]->line, 3);
	assert_int_equal(list->items[1]->column, 2);
	assert_int_equal(list->items[2]->column, 8);
	assert_string_equal(list->items[1]->text, "\xc3\xa9");
}

static void
sorts_many_keys_and_finds_a_twin(void **state)
{
	enum { COUNT = 50000 };
	AUTO(document, d) = NULL;
	AUTO_BUF b = { 0 };
	AUTO_BUF out = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 8 << 20);
	buf_init(&out, 8 << 20);
	for (unsigned int i = 0; i < COUNT; i++)
		buf_printf(&b, "%s\"%u\":%u", i == 0 ? "{" : ",",
		    i * 2654435761u, i);
	buf_add_char(&b, '}');
	reading_write(&out, &format, b.data, b.len);
	assert_memory_equal(out.data, "{\"0\":0,", 7);
	b.len--;
	buf_add_str(&b, ",\"2654435761\":0}");
	assert_int_equal(canon_read(&d, "t", b.data, b.len, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "the key \"2654435761\" stands twice"));
}

static void
stops_when_the_buffer_is_full(void **state)
{
	AUTO(document, d) = NULL;
	AUTO_BUF out = { 0 };
	struct err e;

	(void)state;
	buf_init(&out, 6);
	assert_int_equal(canon_read(&d, "t", TEXT("[1,2,3,4]"), &e), ERR_OK);
	canon_write(&out, document_root(d));
	assert_int_equal(buf_check(&out, "t", &e), ERR_LIMIT);
}

static void
quotes_what_messages_show(void **state)
{
	char out[VALUE_QUOTE_SIZE];
	char raw[200];

	(void)state;
	assert_string_equal(value_quote(out, TEXT("a\"\\\n\xff\xc3\xa9")),
	    "\"a\\\"\\\\\\x0a\\xff\xc3\xa9\"");
	memset(raw, '\x01', sizeof raw);
	value_quote(out, raw, sizeof raw);
	assert_true(strlen(out) < VALUE_QUOTE_SIZE);
	assert_string_equal(out + strlen(out) - 4, "\xe2\x80\xa6\"");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_canonical_form),
		cmocka_unit_test(reads_as_the_engine_does),
		cmocka_unit_test(refuses_with_the_place),
		cmocka_unit_test(refuses_what_the_engine_refuses),
		cmocka_unit_test(keeps_the_depth_limit),
		cmocka_unit_test(keeps_the_number_limit),
		cmocka_unit_test(keeps_the_values_limit),
		cmocka_unit_test(keeps_the_size_limit),
		cmocka_unit_test(knows_the_place_of_each_value),
		cmocka_unit_test(sorts_many_keys_and_finds_a_twin),
		cmocka_unit_test(stops_when_the_buffer_is_full),
		cmocka_unit_test(quotes_what_messages_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
