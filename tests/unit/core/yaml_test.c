#include "core/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/canon.h"
#include "core/mem.h"
#include "tests/unit/core/reading.h"

static const struct reading format = { yaml_read, "data.yaml" };

/* What is written, and what it is to the engine: both are compared. */
static const struct pair pairs[] = {
	{ TEXT(""), "null" },
	{ TEXT("# nothing\n"), "null" },
	{ TEXT("---\n"), "null" },
	{ TEXT("a: 1\n"), "{\"a\":1}" },
	{ TEXT("\xef\xbb\xbf"
	       "a: 1\n"),
	    "{\"a\":1}" },
	/* Integers. */
	{ TEXT("[0, -0, +5, 1_000, 1__0_, 0777, 0o17, 0O17, 0x1f, 0X1F, 0b101, "
	       "-0x10, +0b1, 08, 0128, 00]"),
	    "[0,0,5,1000,10,511,15,15,31,31,5,-16,1,8,128,0]" },
	{ TEXT("[9223372036854775807, -9223372036854775808, "
	       "18446744073709551615, 0xffffffffffffffff]"),
	    "[9223372036854775807,-9223372036854775808,"
	    "18446744073709551615,18446744073709551615]" },
	{ TEXT("[0x, 0b, 0b2, 0o8, 1x, 0xg, +, -, _1, 1_a]"),
	    "[\"0x\",\"0b\",\"0b2\",\"0o8\",\"1x\",\"0xg\",\"+\",\"-\","
	    "\"_1\",\"1_a\"]" },
	/* Floats. */
	{ TEXT("[1.10, 1e3, .5, 1., -.5, +.5, 1_0.5, 1E+2, 12e03, -0.0]"),
	    "[1.1,1000,0.5,1,-0.5,0.5,10.5,100,12000,-0]" },
	{ TEXT("[1e20, 1e21, 123456789e15, 1e-6, 1e-7, 1.5e-10, 0.1, 1e300,]"),
	    "[100000000000000000000,1e+21,1.23456789e+23,0.000001,1e-7,"
	    "1.5e-10,0.1,1e+300]" },
	{ TEXT("[5.684341886080802e-14, 4.9e-324, 1.7976931348623157e308, "
	       "2.2250738585072014e-308, 9007199254740993.0, 0.3,]"),
	    "[5.684341886080802e-14,5e-324,1.7976931348623157e+308,"
	    "2.2250738585072014e-308,9007199254740992,0.3]" },
	{ TEXT("[., .., 1e, 1e+, 1.2.3, 0x1p3, .e5]"),
	    "[\".\",\"..\",\"1e\",\"1e+\",\"1.2.3\",\"0x1p3\",\".e5\"]" },
	/* Words. */
	{ TEXT("[y, Y, yes, Yes, YES, true, True, TRUE, on, On, ON]"),
	    "[true,true,true,true,true,true,true,true,true,true,true]" },
	{ TEXT("[n, N, no, No, NO, false, False, FALSE, off, Off, OFF]"),
	    "[false,false,false,false,false,false,false,false,false,false,"
	    "false]" },
	{ TEXT("[yES, oN, tRue, nO, nULL, nil, t, f]"),
	    "[\"yES\",\"oN\",\"tRue\",\"nO\",\"nULL\",\"nil\",\"t\",\"f\"]" },
	{ TEXT("- ~\n- null\n- Null\n- NULL\n-\n- ''\n"),
	    "[null,null,null,null,null,\"\"]" },
	{ TEXT("[2001-01-01, 2001-12-14T21:59:43.10-05:00, 1:30, 190:20:30, "
	       "<<, '1', \"yes\"]"),
	    "[\"2001-01-01\",\"2001-12-14T21:59:43.10-05:00\",\"1:30\","
	    "\"190:20:30\",\"<<\",\"1\",\"yes\"]" },
	/* Tags. */
	{ TEXT("[!!str 1, !!int \"3\", !!float 1, !!bool \"yes\", "
	       "!!null '', !foo 1, !!foo 1, ! 1, &x ! 1, !<tag:y.org> 2]"),
	    "[\"1\",3,1,true,null,\"1\",\"1\",\"1\",\"1\",\"2\"]" },
	{ TEXT("[!!binary aGVsbG8=, !!binary \"aGVs\\nbG8h\", !!str , !x ]"),
	    "[\"hello\",\"hello!\",\"\",\"\"]" },
	{ TEXT("%TAG !e! tag:yaml.org,2002:\n---\n!e!int 0x10\n"), "16" },
	{ TEXT("%YAML 1.1\n---\na: 1\n"), "{\"a\":1}" },
	/* Keys. */
	{ TEXT("y: 1\nno: 2\n5: 3\n1.5: 4\n0x10: 5\n1e6: 6\n.5: 7\n"),
	    "{\"0.5\":7,\"1.5\":4,\"16\":5,\"1e+06\":6,\"5\":3,\"false\":2,"
	    "\"true\":1}" },
	{ TEXT("? a\n: b\n? !!str 1\n: c\n\"\": d\n'~': e\n"),
	    "{\"\":\"d\",\"1\":\"c\",\"a\":\"b\",\"~\":\"e\"}" },
	{ TEXT("&a 1e6: x\nb: *a\nc: {*a : z}\n"),
	    "{\"1e+06\":\"x\",\"b\":1000000,\"c\":{\"1e+06\":\"z\"}}" },
	/* Aliases and merging: what comes later wins, whichever it is. */
	{ TEXT("a: &x {k: [1, yes]}\nb: *x\nc: [*x, *x]\n"),
	    "{\"a\":{\"k\":[1,true]},\"b\":{\"k\":[1,true]},"
	    "\"c\":[{\"k\":[1,true]},{\"k\":[1,true]}]}" },
	{ TEXT("[&a 1, *a, &a 2, *a]"), "[1,1,2,2]" },
	{ TEXT("[&k yes, {*k : *k}]"), "[true,{\"true\":true}]" },
	{ TEXT("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  l: 3\n"),
	    "{\"a\":{\"k\":1,\"l\":2},\"b\":{\"k\":1,\"l\":3}}" },
	{ TEXT("a: &x {k: 1, l: 2}\nb:\n  l: 3\n  <<: *x\n"),
	    "{\"a\":{\"k\":1,\"l\":2},\"b\":{\"k\":1,\"l\":2}}" },
	{ TEXT("a: &x {k: 1}\nb: &y {k: 2, m: 3}\nc: {<<: [*x, *y, {m: 4}]}\n"),
	    "{\"a\":{\"k\":1},\"b\":{\"k\":2,\"m\":3},"
	    "\"c\":{\"k\":1,\"m\":3}}" },
	{ TEXT("a: &x {<<: {k: 1}, l: 2}\nb: {<<: *x, <<: {p: 1}}\n"),
	    "{\"a\":{\"k\":1,\"l\":2},\"b\":{\"k\":1,\"l\":2,\"p\":1}}" },
	{ TEXT("\"<<\": 1\n"), "{\"<<\":1}" },
	{ TEXT("<<: []\n"), "{}" },
	/* Block scalars and folding. */
	{ TEXT("a: |\n  x\n   y\n\nb: >-\n  x\n  y\n\n  z\nc: |+\n  x\n\n"),
	    "{\"a\":\"x\\n y\\n\",\"b\":\"x y\\nz\",\"c\":\"x\\n\\n\"}" },
	{ TEXT("a: one\n  two\nb: 'it''s'\nc: \"\\u00e9\\x41\\e\\0\"\n"),
	    "{\"a\":\"one two\",\"b\":\"it's\","
	    "\"c\":\"\xc3\xa9"
	    "A\\u001b\\u0000\"}" },
	{ TEXT("a:\r\n  - b\r\n  - c: d\r\n"),
	    "{\"a\":[\"b\",{\"c\":\"d\"}]}" },
	{ TEXT("a:\tb\nc: 1\t\n"), "{\"a\":\"b\",\"c\":1}" },
	{ TEXT("{a: 1, b: [x y, 'z'], c: {}, d: [],}"),
	    "{\"a\":1,\"b\":[\"x y\",\"z\"],\"c\":{},\"d\":[]}" },
	/* The first document only; the rest is not even looked at. */
	{ TEXT("a: 1\n---\nb: [\n"), "{\"a\":1}" },
	{ TEXT("--- 1\n...\nrest\n"), "1" },
	/* What is valid JSON keeps its numbers. */
	{ TEXT("{\"a\": 1.10, \"b\": 123456789012345678901234567890}"),
	    "{\"a\":1.10,\"b\":123456789012345678901234567890}" },
	{ TEXT("\xef\xbb\xbf[1.10]"), "[1.10]" },
	{ TEXT("[\"\\/\", \"\\ud83d\\ude00\"]"),
	    "[\"/\",\"\xf0\x9f\x98\x80\"]" },
};

static void
converts(void **state)
{
	(void)state;
	reading_writes(&format, pairs, sizeof pairs / sizeof pairs[0]);
}

static void
converts_as_the_engine_does(void **state)
{
	(void)state;
	reading_agrees(&format, pairs, sizeof pairs / sizeof pairs[0]);
}

static const struct refusal refusals[] = {
	/* What JSON cannot say. */
	{ TEXT("a: .inf"), "1:4: JSON has no infinity", false },
	{ TEXT("[-.INF]"), "1:2: JSON has no infinity", false },
	{ TEXT("[.NaN]"), "1:2: JSON has no infinity", false },
	{ TEXT("a: 1\n~: 1"), "2:1: an empty key", false },
	{ TEXT("? \n: 1"), "1:2: an empty key", false },
	{ TEXT("? [a]\n: 1"), "1:3: a key cannot be a list", false },
	{ TEXT("{? {a: b} : 1}"), "1:4: a key cannot be a list", false },
	{ TEXT("18446744073709551615: 1"), "1:1: this number is too large",
	    false },
	/* Numbers that do not survive. */
	{ TEXT("[ x, 18446744073709551616]"),
	    "1:6: the number \"18446744073709551616\" does not fit", true },
	{ TEXT("- -9223372036854775809"), "1:3: the number", true },
	{ TEXT("+18446744073709551615"), "1:1: the number", true },
	{ TEXT("- 123456789012345678901234567890"), "1:3: the number", true },
	{ TEXT("0x1ffffffffffffffff"), "1:1: the number", true },
	{ TEXT("0999999999999999999999"), "1:1: the number", true },
	{ TEXT("- 1e400"), "1:3: the number", true },
	{ TEXT("- -1.5e999"), "1:3: the number", true },
	{ TEXT("- 1e-400"), "1:3: the number", true },
	{ TEXT("!!float 9007199254740993"), "1:1: the number", true },
	{ TEXT("123456789.5: x"), "1:1: this number would not survive", true },
	{ TEXT("1e300: x"), "1:1: this number would not survive", true },
	{ TEXT("0b-1"), "1:1: \"0b-1\" is an odd way", true },
	{ TEXT(".5_0"), "1:1: \".5_0\" is an odd way", true },
	/* Keys. */
	{ TEXT("a: 1\nb: 2\na: 3\n"),
	    "3:1: the key \"a\" stands twice in one object (first at 1:1)",
	    true },
	{ TEXT("1: a\n\"1\": b\n"),
	    "2:1: the key \"1\" stands twice in one object (first at 1:1), "
	    "with different types",
	    true },
	{ TEXT("yes: 1\n'true': 2\n"), "2:1: the key \"true\"", true },
	{ TEXT("1: a\n1.0: b\n"), "2:1: the key \"1\"", true },
	{ TEXT("{on: 1, y: 2}"), "1:9: the key \"true\"", true },
	{ TEXT("{\"a\": 1, \"a\": 2}"), "1:10: the key \"a\"", true },
	{ TEXT("<<: {1: a}\n\"1\": b\n"), "2:1: the key \"1\"", true },
	{ TEXT("<<: {a: 1, a: 2}\n"), "1:12: the key \"a\"", true },
	{ TEXT("a: 1\n<<: {a: 2}\na: 3\n"), "3:1: the key \"a\"", true },
	/* Tags. */
	{ TEXT("!!int 1.5"), "1:1: \"1.5\" is no !!int", false },
	{ TEXT("!!int foo"), "1:1: \"foo\" is no !!int", false },
	{ TEXT("!!int ''"), "1:1: \"\" is no !!int", false },
	{ TEXT("!!bool 1"), "1:1: \"1\" is no !!bool", false },
	{ TEXT("!!float abc"), "1:1: \"abc\" is no !!float", false },
	{ TEXT("!!null x"), "1:1: \"x\" is no !!null", false },
	{ TEXT("!!int \"\\0\""), "1:1: \"\\x00\" is no !!int", false },
	{ TEXT("!!timestamp 2001-01-01"), "1:1: !!timestamp is not", true },
	{ TEXT("!!binary a"), "1:1: this is no base64", false },
	{ TEXT("!!binary aGVsbG8"), "1:1: this is no base64", false },
	{ TEXT("!!binary a===aaaa"), "1:1: this is no base64", false },
	{ TEXT("!!binary /w=="), "1:1: !!binary with bytes", true },
	{ TEXT("!e!x 1"), "1:1: found undefined tag handle", false },
	/* Aliases. */
	{ TEXT("[*a]"), "1:2: the alias \"a\" names no anchor", false },
	{ TEXT("[*a, &a 1]"), "1:2: the alias \"a\" names no anchor", false },
	{ TEXT("&a [1, *a]"), "1:8: the anchor \"a\" contains itself", false },
	{ TEXT("&a {<<: *a}"), "1:9: the anchor \"a\" contains", false },
	{ TEXT("<<: 1"), "1:5: << takes an object", false },
	{ TEXT("<<: [{a: 1}, [{b: 1}]]"), "1:14: << takes an object", false },
	{ TEXT("a: &x 1\n<<: *x\n"), "2:5: << takes an object", false },
	/* Structure. */
	{ TEXT("%YAML 1.2\n---\na: 1\n"), "1:1: %YAML 1.2 is not supported",
	    false },
	{ TEXT("%YAML 2.0\n---\na: 1\n"), "1:1: found incompatible YAML",
	    false },
	{ TEXT("a:\n\t- 1\n"), "2:1: found character that cannot start",
	    false },
	{ TEXT("- 1\n-\tx\n"), "2:2: found character that cannot", false },
	{ TEXT("a: b: c\n"), "1:5: mapping values are not allowed", false },
	{ TEXT("a: [1\n"), "2:1: did not find expected ',' or ']'", false },
	{ TEXT("a: \"x\n"), "2:1: found unexpected end of stream", false },
	{ TEXT("a: @x"), "1:4: found character that cannot start", false },
	{ TEXT("a: 1\n b: 2\n"), "2:3: mapping values", false },
	{ TEXT("\"\\x4\""), "1:4: did not find expected hexdecimal", false },
	{ TEXT("a: \"\\/\"\n"), "1:4: OPA does not take the escape", false },
	{ TEXT("[a?b]"), "1:2: OPA does not take a ?", false },
	{ TEXT("[!foo,]"), "1:2: OPA does not take a comma", false },
	/* Bytes. */
	{ TEXT("a: 1\nb: \xff\n"), "2:4: invalid leading UTF-8 octet", false },
	{ TEXT("a: \x01\n"), "1:4: control characters are not allowed", false },
	{ TEXT("a: \0\n"), "1:4: control characters are not allowed", false },
	{ TEXT("a\n\xef\xbb\xbf"
	       "b\n"),
	    "2:1: a byte order mark", true },
	{ TEXT("\"\\ud83d\""), "1:4: found invalid Unicode", false },
	{ TEXT("\xff\xfe"
	       "1\0"),
	    "1:1: invalid leading UTF-8 octet", true },
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

/* count lists in each other, as blocks: in brackets it would be JSON. */
static void
nest(struct buf *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_add_str(b, "- ");
	buf_add_str(b, "x\n");
}

static enum err_code
verdict(const struct buf *b, struct err *e)
{
	AUTO(document, d) = NULL;

	return yaml_read(&d, "t", b->data, b->len, e);
}

static void
keeps_the_depth_limit(void **state)
{
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 1 << 20);
	nest(&b, YAML_DEPTH_MAX);
	assert_int_equal(verdict(&b, &e), ERR_OK);
	buf_reset(&b);
	nest(&b, YAML_DEPTH_MAX + 1);
	assert_int_equal(verdict(&b, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "nested deeper than 200"));
	/* Halves that are put together by an alias. */
	buf_reset(&b);
	buf_add_str(&b, "- &a\n  ");
	nest(&b, YAML_DEPTH_MAX / 2);
	buf_add_str(&b, "- ");
	nest(&b, YAML_DEPTH_MAX / 2);
	b.len -= 2;
	buf_add_str(&b, "*a\n");
	assert_int_equal(verdict(&b, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "once aliases are expanded"));
}

/* Each level names the one before ten times: 10^levels values. */
static void
bomb(struct buf *b, unsigned int levels, const char *leaf)
{
	buf_printf(b, "l0: &l0 %s\n", leaf);
	for (unsigned int i = 1; i <= levels; i++) {
		buf_printf(b, "l%u: &l%u [", i, i);
		for (int k = 0; k < 10; k++)
			buf_printf(b, "%s*l%u", k > 0 ? ", " : "", i - 1);
		buf_add_str(b, "]\n");
	}
}

static void
stops_alias_bombs(void **state)
{
	AUTO_BUF b = { 0 };
	AUTO_BUF out = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 1 << 20);
	buf_init(&out, 1 << 20);
	bomb(&b, 2, "x");
	assert_int_equal(verdict(&b, &e), ERR_OK);
	reading_write(&out, &format, b.data, b.len);
	buf_reset(&b);
	bomb(&b, 9, "x");
	assert_int_equal(verdict(&b, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "comes from aliases"));
	/* By merging. */
	buf_reset(&b);
	buf_add_str(&b, "m0: &m0 {a: 1, b: 2}\n");
	for (unsigned int i = 1; i <= 20; i++)
		buf_printf(&b, "m%u: &m%u {<<: [*m%u, *m%u, *m%u]}\n", i, i,
		    i - 1, i - 1, i - 1);
	assert_int_equal(verdict(&b, &e), ERR_LIMIT);
}

static void
stops_text_bombs(void **state)
{
	enum { LONG = 1 << 20, TIMES = CANON_SIZE_MAX / LONG };
	AUTO_STR leaf = mem_alloc(LONG + 1);
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	memset(leaf, 'x', LONG);
	leaf[LONG] = '\0';
	buf_init(&b, 4 << 20);
	buf_printf(&b, "- &a %s\n", leaf);
	for (int i = 1; i < TIMES; i++)
		buf_add_str(&b, "- *a\n");
	assert_int_equal(verdict(&b, &e), ERR_OK);
	buf_add_str(&b, "- *a\n");
	assert_int_equal(verdict(&b, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "too much text"));
}

static void
keeps_the_size_limit(void **state)
{
	struct document *d = NULL;
	struct err e;

	(void)state;
	assert_int_equal(yaml_read(&d, "t", "1", YAML_SIZE_MAX + 1ul, &e),
	    ERR_LIMIT);
	assert_string_equal(e.text, "t: larger than 64 MiB");
}

/* A list in brackets of count items, each followed by a comma: no JSON. */
static void
fill_list(struct buf *b, size_t count, const char *item)
{
	buf_reset(b);
	buf_add_char(b, '[');
	for (size_t i = 0; i < count; i++)
		buf_add_str(b, item);
	buf_add_char(b, ']');
}

static void
keeps_the_values_limit(void **state)
{
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 32 << 20);
	/* The list and the document count as well. */
	fill_list(&b, YAML_NODES_MAX - 2, "a,");
	assert_int_equal(verdict(&b, &e), ERR_OK);
	fill_list(&b, YAML_NODES_MAX - 1, "a,");
	assert_int_equal(verdict(&b, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "too many values"));
}

/* Were the text walked anew for each of them, this would take many minutes. */
static void
reads_many_strings_in_one_walk(void **state)
{
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 16 << 20);
	fill_list(&b, 50000, "\"a/b\", &x c, !t d,\n");
	assert_int_equal(verdict(&b, &e), ERR_OK);
}

static void
knows_the_place_of_each_value(void **state)
{
	static const char text[] = "# c\na:\n  - b: [1, yes]\n    c: 'x'\n";
	AUTO(document, d) = NULL;
	const struct value *v;
	struct err e;

	(void)state;
	assert_int_equal(yaml_read(&d, "t", TEXT(text), &e), ERR_OK);
	v = value_get(document_root(d), "a");
	assert_int_equal(v->line, 3);
	assert_int_equal(v->column, 3);
	assert_int_equal(v->items[0]->keys[1]->line, 4);
	assert_int_equal(v->items[0]->keys[1]->column, 5);
	v = value_get(v->items[0], "b");
	assert_int_equal(v->items[1]->line, 3);
	assert_int_equal(v->items[1]->column, 12);
	assert_int_equal(v->items[1]->kind, VALUE_BOOL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(converts),
		cmocka_unit_test(converts_as_the_engine_does),
		cmocka_unit_test(refuses_with_the_place),
		cmocka_unit_test(refuses_what_the_engine_refuses),
		cmocka_unit_test(keeps_the_depth_limit),
		cmocka_unit_test(stops_alias_bombs),
		cmocka_unit_test(stops_text_bombs),
		cmocka_unit_test(keeps_the_size_limit),
		cmocka_unit_test(keeps_the_values_limit),
		cmocka_unit_test(reads_many_strings_in_one_walk),
		cmocka_unit_test(knows_the_place_of_each_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
