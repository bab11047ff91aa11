#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "bundler/rule.h"
#include "core/buf.h"
#include "core/mem.h"

/* "kind name@line", with commas between. tests/differential compares these
 * with the engine's own parser. */
static const struct cut {
	const char *text;
	const char *rules;
	int version;
} cuts[] = {
	{ "package a\n", "", 1 },
	{ "package a\np := 1\nq := 2", "value p@2, value q@3", 1 },
	{ "package a p := 1 q := 2", "value p@1, value q@1", 1 },
	{ "package a\nimport data.b\nimport data.c as d\np := 1",
	    "import data.b@2, import data.c as d@3, value p@4", 1 },
	{ "package a\np if q\nr if {\n  s\n}\nt := u if v",
	    "value p@2, value r@3, value t@6", 1 },
	{ "package a\np contains x if some x in y\nq contains 1",
	    "set p@2, set q@3", 1 },
	{ "package a\np := 1 if q else := 2 if r else := 3\ns := 4",
	    "value p@2, value s@3", 1 },
	{ "package a\nf(x) := y if y := x + 1\nf(1)",
	    "function f@2, function "
	    "f@3",
	    1 },
	{ "package a\ndefault p := false\ndefault f(_) := 1",
	    "value p@2, function f@3", 1 },
	{ "package a\na.b[\"c-d\"].e := 1\nx[y].z if w\nx[y] := 2",
	    "value a.b[\"c-d\"].e@2, object x@3, object x@4", 1 },
	{ "package a\np[\"q\"] := 1\nr[`s`] if t", "value p.q@2, value r.s@3",
	    1 },
	{ "package a\np := { \"a\": [1, {2}] } | q\n\tr := 1 with input as "
	  "{}\ns := `\n}\n`\nt := 1",
	    "value p@2, value r@3, value s@4, value t@7", 1 },
	{ "package a\np := x # q := 1\nr := \"# }\" == \"\\\"{\"",
	    "value p@2, value r@3", 1 },
	{ "package a\np := $\"a {x} b {count([1])}\\{\"\nq := $`{{\"a\": "
	  "1}}`\nr := $\"\"",
	    "value p@2, value q@3, value r@4", 1 },
	{ "package a\nif.x := 1\ndefault.y if true\nelse.z := 2\n"
	  "contains.q := 3\nnot.r := 4\nimport.s := 5",
	    "value if.x@2, value default.y@3, value else.z@4, value "
	    "contains.q@5, value not.r@6, value import.s@7",
	    1 },
	{ "package a\np if { q }\nin.f := 1 if { r }\nwith.x := 2",
	    "value p@2, value in.f@3, value with.x@4", 1 },
	{ "package a\np := 1\nif.a := 2\nq := 3\nin.b := 4",
	    "value p@2, value if.a@3, value q@4, value in.b@5", 1 },
	{ "package a\np := input.if.else\nq := data.default[1]",
	    "value p@2, value q@3", 1 },
	{ "package a\np if every x in xs { y }\nq if not r\ns if some a, b in c",
	    "value p@2, value q@3, value s@4", 1 },
	{ "package a\np := -1\nq := - 1\nr := a\n- b\ns := 1",
	    "value p@2, value q@3, value r@4, value s@6", 1 },
	{ "package a\r\np := 1\r\nq := 2\r\n", "value p@2, value q@3", 1 },
	{ "\xef\xbb\xbfpackage a\np := 1", "value p@2", 1 },
	/* Before 1.0. */
	{ "package a\np { q }\nr = 1 { s } else = 2 { t }\nf(x) = 1 { x }",
	    "value p@2, value r@3, function f@4", 0 },
	{ "package a\np[x] { x = 1 } { x = 2 }\nq[x] = y { z }\np[1]",
	    "set p@2, object q@3, set p@4", 0 },
	{ "package a\np.q { true }\np[\"r\"] = 1 { true }",
	    "set p@2, value p.r@3", 0 },
	{ "package a\np { q }\ncontains(x) { y }\nif { z }\nin = 1\nevery = 2",
	    "value p@2, function contains@3, value if@4, value in@5, value "
	    "every@6",
	    0 },
	{ "package a\nimport future.keywords\np contains x if x := 1",
	    "import future.keywords@2, set p@3", 0 },
	{ "package a\nimport future.keywords.every\np = x { every a in b { c }"
	  " }\nif := 1",
	    "import future.keywords.every@2, value p@3, value if@4", 0 },
	{ "package a\nimport rego.v1\np if q", "import rego.v1@2, value p@3",
	    0 },
};

static void
describe(struct buf *out, const struct rule_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		buf_printf(out, "%s%s %s@%u", i > 0 ? ", " : "",
		    rule_kind_name(l->items[i].kind), l->items[i].name,
		    l->items[i].line);
}

/* At the very end of its memory, so that a step too far is seen. */
static enum err_code
read_exactly(struct rule_list *out, const char *text, int version,
    struct err *e)
{
	size_t len = strlen(text);
	char *exact = mem_alloc(len > 0 ? len : 1);
	enum err_code code;

	memcpy(exact, text, len);
	code = rule_read(out, "f.rego", exact, len, version, e);
	mem_free(exact);
	return code;
}

static void
cuts_modules_into_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
		struct rule_list l = { 0 };
		struct err e = { 0 };
		AUTO_BUF got = { 0 };

		buf_init(&got, 4096);
		if (read_exactly(&l, cuts[i].text, cuts[i].version, &e) !=
		    ERR_OK)
			fail_msg("%s: %s", cuts[i].text, e.text);
		describe(&got, &l);
		assert_string_equal(got.data, cuts[i].rules);
		rule_list_clear(&l);
	}
}

static const struct {
	const char *a, *b;
	bool same;
} pairs[] = {
	{ "p := 1", "p:=1", true },
	{ "p := 1", "p := 1 # why", true },
	{ "p if { a; b }", "p if {\n\ta\n\t# note\n\tb\n}", true },
	{ "p if { a; not b; some c }", "p if { a\nnot b\nsome c }", true },
	{ "p := f(1,2)", "p := f( 1 ,\n 2 )", true },
	{ "p := x in [1]", "p := x in[1]", true },
	{ "p := $\"a {b} c\"", "p := $\"a { b # x\n} c\"", true },
	{ "p := 1", "p := 2", false },
	{ "p := 1", "p = 1", false },
	{ "p := \"a  b\"", "p := \"a b\"", false },
	{ "p := \"# a\"", "p := \"# b\"", false },
	{ "p := $\"a {b}\"", "p := $\"a  {b}\"", false },
	{ "p if { a; -b == 1 }", "p if { a -b == 1 }", false },
	{ "p if { a\n[b] }", "p if { a[b] }", false },
	{ "p if { a; [b] }", "p if { a[b] }", false },
	{ "p if { a;[b] }", "p if { a[b] }", false },
	{ "p if { a\n(b) }", "p if { a(b) }", false },
	{ "p if { not[x] }", "p if { not [x] }", false },
	{ "p if { a; in[x] }", "p if { a in[x] }", false },
	{ "p := ab", "p := a\nb", false },
	{ "p := 1.5", "p := 1 .5", false },
};

static void
tells_changes_from_layout(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
		struct rule_list a = { 0 };
		struct rule_list b = { 0 };
		struct err e = { 0 };
		bool same;

		if (read_exactly(&a, pairs[i].a, 1, &e) != ERR_OK ||
		    read_exactly(&b, pairs[i].b, 1, &e) != ERR_OK)
			fail_msg("%s, %s: %s", pairs[i].a, pairs[i].b, e.text);
		same = a.count == b.count &&
		    strcmp(a.items[0].hash, b.items[0].hash) == 0;
		if (same != pairs[i].same)
			fail_msg("%s, %s: %s", pairs[i].a, pairs[i].b,
			    same ? "same" : "not the same");
		rule_list_clear(&a);
		rule_list_clear(&b);
	}
}

static const struct {
	const char *text;
	const char *says;
} bads[] = {
	{ "p := (", "f.rego:1: a bracket is not closed" },
	{ "p := 1\n\nq := )", "f.rego:3: a closing bracket" },
	{ "p := [ }", "f.rego:1: a closing bracket" },
	{ "p := \"x", "f.rego:1: the string does not end" },
	{ "p := \"x\n\"", "f.rego:1: the string does not end" },
	{ "p := `x\n\n", "f.rego:1: the raw string does not end" },
	{ "p := $\"x", "the template string does not end" },
	{ "p := $\"x {", "a bracket is not closed" },
	{ "p := $`x {1}", "the template string does not end" },
	{ "p := $x", "unexpected \"$\"" },
	{ "p := \"\\", "unknown escape" },
	{ "p := \"\\x\"", "unknown escape" },
	{ "p := ^", "a character that Rego does not know" },
	{ "p := 1 \xc3\xa4", "a character that Rego does not know" },
	{ "1 := p", "f.rego:1: expected a rule" },
	{ "default `\n` := 1", "f.rego:1: expected a name" },
	{ "p. := 1", "f.rego:1: expected a name" },
	{ "import data.a as", "f.rego:1: expected a name" },
	{ "p[\"\\ud800\"] := 1", "f.rego:1: a name" },
	{ "p[`\xff`] := 1", "f.rego:1: a name is not UTF-8" },
};

static void
refuses_what_is_no_module(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
		struct rule_list l = { 0 };
		struct err e = { 0 };

		if (read_exactly(&l, bads[i].text, 1, &e) == ERR_OK ||
		    strstr(e.text, bads[i].says) == NULL)
			fail_msg("%s: wanted \"%s\", got \"%s\"", bads[i].text,
			    bads[i].says, e.text);
		rule_list_clear(&l);
	}
}

static enum err_code
read_nested(size_t depth, struct err *e)
{
	AUTO_BUF text = { 0 };
	struct rule_list l = { 0 };
	enum err_code code;

	buf_init(&text, 4 * RULE_DEPTH_MAX + 16);
	buf_add_str(&text, "p := ");
	for (size_t i = 0; i < depth; i++)
		buf_add_char(&text, '[');
	for (size_t i = 0; i < depth; i++)
		buf_add_char(&text, ']');
	code = rule_read(&l, "f.rego", text.data, text.len, 1, e);
	rule_list_clear(&l);
	return code;
}

static enum err_code
read_named(size_t len, struct err *e)
{
	AUTO_BUF text = { 0 };
	struct rule_list l = { 0 };
	enum err_code code;

	buf_init(&text, 2 * RULE_NAME_MAX);
	for (size_t i = 0; i < len; i++)
		buf_add_char(&text, 'p');
	buf_add_str(&text, " := 1");
	code = rule_read(&l, "f.rego", text.data, text.len, 1, e);
	rule_list_clear(&l);
	return code;
}

static enum err_code
read_many(size_t count, struct err *e)
{
	AUTO_BUF text = { 0 };
	struct rule_list l = { 0 };
	enum err_code code;

	buf_init(&text, 4 * (size_t)RULE_MODULE_MAX + 16);
	for (size_t i = 0; i < count; i++)
		buf_add_str(&text, "p=1\n");
	code = rule_read(&l, "f.rego", text.data, text.len, 1, e);
	if (code == ERR_OK)
		assert_int_equal(l.count, count);
	rule_list_clear(&l);
	return code;
}

static void
has_limits(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(read_nested(RULE_DEPTH_MAX, &e), ERR_OK);
	assert_int_equal(read_nested(RULE_DEPTH_MAX + 1, &e), ERR_LIMIT);
	assert_int_equal(read_named(RULE_NAME_MAX, &e), ERR_OK);
	assert_int_equal(read_named(RULE_NAME_MAX + 1, &e), ERR_LIMIT);
	assert_int_equal(read_many(RULE_MODULE_MAX, &e), ERR_OK);
	assert_int_equal(read_many(RULE_MODULE_MAX + 1, &e), ERR_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_modules_into_rules),
		cmocka_unit_test(tells_changes_from_layout),
		cmocka_unit_test(refuses_what_is_no_module),
		cmocka_unit_test(has_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
