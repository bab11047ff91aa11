#include "make_rego.h"

#include <string.h>

struct rego {
	struct buf *out;
	struct dice *d; /* what is said */
	struct dice *layout;
};

/* ---- layout ---- */

static void
blank(struct rego *r)
{
	static const char *const blanks[] = { " ", "  ", "\n", "\t", "\n\n  ",
		" # p := 1 } \"\n", "\r\n", "\n# {[(`\n\t" };

	buf_add_str(r->out, DICE_PICK(r->layout, blanks));
}

/* Where none is needed. */
static void
maybe_blank(struct rego *r)
{
	if (dice_often(r->layout, 50))
		blank(r);
}

static void
word(struct rego *r, const char *text)
{
	blank(r);
	buf_add_str(r->out, text);
	blank(r);
}

static void
sign(struct rego *r, const char *text)
{
	maybe_blank(r);
	buf_add_str(r->out, text);
	maybe_blank(r);
}

/* Between two expressions of a body, of which the second begins with a name. */
static void
next_line(struct rego *r)
{
	if (dice_often(r->layout, 40))
		sign(r, ";");
	else
		buf_add_str(r->out,
		    dice_often(r->layout, 50) ? "\n" : " # ;\n\t");
}

/* ---- terms ---- */

static void term(struct rego *r, int depth);
static void literal(struct rego *r, int depth);

static void
variable(struct rego *r)
{
	static const char *const names[] = { "x", "y", "user_1", "Z", "if_",
		"xs" };

	buf_add_str(r->out, DICE_PICK(r->d, names));
}

static void
scalar(struct rego *r)
{
	static const char *const scalars[] = { "0", "1", "2.5", "1e3", "-7",
		"true", "false", "null", "\"\"", "\"a b\"", "\"# no } {\"",
		"\"q\\\"r\\\\\"", "\"\\u00e4\\n\"", "`raw\n# } \" \\`",
		"\"p := 1\"", "\"\xc3\xa4\"", "0.25E-2", "$\"plain\"" };

	buf_add_str(r->out, DICE_PICK(r->d, scalars));
}

static void
ref(struct rego *r, int depth)
{
	static const char *const heads[] = { "input", "data", "x", "data.lib" };
	static const char *const parts[] = { ".a", ".b_2", ".if", ".default",
		".in", ".import", ".contains", ".not", ".else" };
	size_t count = 1 + dice_roll(r->d, 3);

	buf_add_str(r->out, DICE_PICK(r->d, heads));
	while (count-- > 0) {
		if (dice_often(r->d, 60)) {
			buf_add_str(r->out, DICE_PICK(r->d, parts));
			continue;
		}
		buf_add_char(r->out, '[');
		maybe_blank(r);
		if (depth > 0 && dice_often(r->d, 30))
			term(r, depth - 1);
		else
			buf_add_str(r->out,
			    dice_often(r->d, 50) ? "\"c-d\"" : "x");
		maybe_blank(r);
		buf_add_char(r->out, ']');
	}
}

static void
list(struct rego *r, const char *open, const char *close, int depth,
    size_t least)
{
	size_t count = least + dice_roll(r->d, 3);

	buf_add_str(r->out, open);
	maybe_blank(r);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			sign(r, ",");
		term(r, depth - 1);
	}
	maybe_blank(r);
	buf_add_str(r->out, close);
}

static void
call(struct rego *r, int depth)
{
	static const char *const names[] = { "count(", "contains(",
		"json.marshal(", "data.lib.f(", "f(" };

	list(r, DICE_PICK(r->d, names), ")", depth, 1);
}

static void
object(struct rego *r, int depth)
{
	static const char *const keys[] = { "\"k\"", "\"if\"", "x", "1" };
	size_t count = dice_roll(r->d, 3);

	buf_add_char(r->out, '{');
	maybe_blank(r);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			sign(r, ",");
		buf_add_str(r->out, DICE_PICK(r->d, keys));
		sign(r, ":");
		term(r, depth - 1);
	}
	maybe_blank(r);
	buf_add_char(r->out, '}');
}

static void
body(struct rego *r, int depth)
{
	size_t count = 1 + dice_roll(r->d, 3);

	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			next_line(r);
		literal(r, depth);
	}
}

static void
comprehension(struct rego *r, int depth)
{
	bool array = dice_often(r->d, 50);

	buf_add_char(r->out, array ? '[' : '{');
	maybe_blank(r);
	variable(r);
	if (!array && dice_often(r->d, 50)) {
		sign(r, ":");
		variable(r);
	}
	sign(r, "|");
	body(r, depth - 1);
	maybe_blank(r);
	buf_add_char(r->out, array ? ']' : '}');
}

static void template(struct rego *r, int depth)
{
	char quote = dice_often(r->d, 50) ? '"' : '`';

	buf_printf(r->out, "$%c%s", quote,
	    quote == '"' ? "a \\\" \\{ # " : "raw\n\" \\{ ");
	for (size_t i = 0; i < 1 + dice_roll(r->d, 2); i++) {
		buf_add_char(r->out, '{');
		maybe_blank(r);
		if (dice_often(r->d, 50))
			variable(r);
		else
			call(r, depth - 1);
		maybe_blank(r);
		buf_add_str(r->out, "} p := 1 ");
	}
	buf_add_char(r->out, quote);
}

static void
infix(struct rego *r, int depth)
{
	static const char *const signs[] = { "+", "-", "*", "/", "%", "|",
		"&" };

	buf_add_char(r->out, '(');
	maybe_blank(r);
	ref(r, depth - 1);
	sign(r, DICE_PICK(r->d, signs));
	term(r, depth - 1);
	maybe_blank(r);
	buf_add_char(r->out, ')');
}

static void
term(struct rego *r, int depth)
{
	static void (*const deep[])(struct rego * r, int depth) = { ref, call,
		object, comprehension, template, infix };
	size_t n = dice_roll(r->d, 10);

	if (depth <= 0 || n < 2)
		scalar(r);
	else if (n == 2)
		variable(r);
	else if (n == 3)
		list(r, "[", "]", depth, 0);
	else
		deep[n - 4](r, depth);
}

/* ---- expressions; each begins with a name or with not, some, every ---- */

static void
compare_terms(struct rego *r, int depth)
{
	static const char *const signs[] = { "==", "!=", "<", ">=", "=", ":=" };

	variable(r);
	sign(r, DICE_PICK(r->d, signs));
	term(r, depth);
}

static void
member(struct rego *r, int depth)
{
	ref(r, depth);
	word(r, "in");
	term(r, depth);
}

static void
some_in(struct rego *r, int depth)
{
	buf_add_str(r->out, "some");
	blank(r);
	buf_add_char(r->out, 'x');
	if (dice_often(r->d, 50)) {
		sign(r, ",");
		buf_add_char(r->out, 'y');
	}
	word(r, "in");
	ref(r, depth);
}

static void
every_in(struct rego *r, int depth)
{
	buf_add_str(r->out, "every");
	blank(r);
	buf_add_char(r->out, 'x');
	word(r, "in");
	ref(r, depth);
	blank(r);
	buf_add_char(r->out, '{');
	maybe_blank(r);
	body(r, depth - 1);
	maybe_blank(r);
	buf_add_char(r->out, '}');
}

static void
plain(struct rego *r, int depth)
{
	if (dice_often(r->d, 50))
		ref(r, depth);
	else
		call(r, depth);
}

static void
negated(struct rego *r, int depth)
{
	buf_add_str(r->out, "not");
	blank(r);
	plain(r, depth);
}

static void
with(struct rego *r, int depth)
{
	plain(r, depth);
	for (size_t i = 0; i < 1 + dice_roll(r->d, 2); i++) {
		word(r, "with");
		buf_add_str(r->out,
		    dice_often(r->d, 50) ? "input.x" : "data.y");
		word(r, "as");
		term(r, depth - 1);
	}
}

static void
literal(struct rego *r, int depth)
{
	static void (*const all[])(struct rego * r,
	    int depth) = { compare_terms, member, some_in, negated, with,
		plain };

	if (depth > 0 && dice_often(r->d, 10))
		every_in(r, depth);
	else
		all[dice_roll(r->d, sizeof all / sizeof *all)](r, depth);
}

/* ---- rules ---- */

static void
condition(struct rego *r)
{
	blank(r);
	buf_add_str(r->out, "if");
	blank(r);
	if (dice_often(r->d, 30)) {
		literal(r, 2);
		return;
	}
	/* Two at least, or the braces would be optional. */
	buf_add_char(r->out, '{');
	maybe_blank(r);
	literal(r, 2);
	next_line(r);
	body(r, 2);
	maybe_blank(r);
	buf_add_char(r->out, '}');
}

static void
value(struct rego *r)
{
	sign(r, ":=");
	term(r, 3);
}

static void
maybe_condition(struct rego *r)
{
	if (dice_often(r->d, 60))
		condition(r);
}

static void
complete(struct rego *r, const char *name)
{
	static const char *const tails[] = { "", ".b", "[\"c-d\"]", ".if.e",
		"[`f`].g", "[\"\"]" };

	buf_printf(r->out, "%s%s", name, DICE_PICK(r->d, tails));
	value(r);
	maybe_condition(r);
}

static void
chained(struct rego *r, const char *name)
{
	buf_add_str(r->out, name);
	value(r);
	condition(r);
	for (size_t i = 0; i < 1 + dice_roll(r->d, 2); i++) {
		word(r, "else");
		value(r);
		condition(r);
	}
}

static void
set(struct rego *r, const char *name)
{
	buf_add_str(r->out, name);
	word(r, "contains");
	term(r, 2);
	maybe_condition(r);
}

static void
map(struct rego *r, const char *name)
{
	buf_printf(r->out, "%s[x]%s", name, dice_often(r->d, 50) ? ".h" : "");
	value(r);
	condition(r);
}

static void
function(struct rego *r, const char *name)
{
	buf_printf(r->out, "%s(", name);
	maybe_blank(r);
	term(r, 1);
	maybe_blank(r);
	buf_add_char(r->out, ')');
	value(r);
	maybe_condition(r);
}

static void
given(struct rego *r, const char *name)
{
	buf_add_str(r->out, "default");
	blank(r);
	buf_add_str(r->out, name);
	sign(r, ":=");
	scalar(r);
}

static void
bare(struct rego *r, const char *name)
{
	buf_add_str(r->out, name);
	condition(r);
}

static void
odd(struct rego *r, const char *name)
{
	static const char *const heads[] = { "if.a", "default.b", "else.c",
		"not[\"d\"]", "contains.e", "in.f", "import.g", "package.h",
		"some.i", "every.j", "true.k" };

	(void)name;
	buf_add_str(r->out, DICE_PICK(r->d, heads));
	value(r);
	condition(r);
}

static void
rule(struct rego *r, size_t i)
{
	static void (*const kinds[])(struct rego * r,
	    const char *name) = { complete, chained, set, map, function, given,
		bare, complete, odd };
	static const char *const names[] = { "p", "q", "allow", "Deny_2", "r",
		"s3", "t", "u", "v" };
	size_t kind = dice_roll(r->d, sizeof kinds / sizeof *kinds);

	/* One name has one kind, as the engine wants it. */
	(void)i;
	kinds[kind](r, names[kind]);
}

void
make_rego(struct buf *out, struct dice content[MAKE_REGO_RULES],
    struct dice *layout)
{
	struct rego r = { .out = out, .layout = layout };

	buf_add_str(out, "package a\n");
	for (size_t i = 0; i < MAKE_REGO_RULES; i++) {
		r.d = &content[i];
		rule(&r, i);
		/* A rule may follow in the same line. */
		buf_add_str(out, dice_often(layout, 20) ? " " : "\n");
	}
}
