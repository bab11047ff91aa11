#include <string.h>

#include "make.h"

enum { DEPTH_MAX = 4 };

struct yaml {
	struct buf *out;
	struct dice *d;
	size_t anchors; /* &a0 … are set */
	bool tidy;      /* nothing that is refused by itself */
};

static const char *const plain[] = { "y", "n", "yes", "No", "ON", "off", "True",
	"FALSE", "true", "~", "null", "Null", "NULL", "nUll", "yEs", "0", "-0",
	"0777", "-0777", "0o17", "08", "09.5", "1_000", "0x1F", "-0x1f", "0x_1",
	"0b101", "-0b11", "+1", "-1", "1e3", "1.10", ".5", "1.", "-.5", "+.5",
	"1e+3", "1E-3", "1_0.5_0", "1:30", "12:30:45", "190:20:30.15",
	"2020-01-02", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43",
	"9223372036854775807", "9223372036854775808", "-9223372036854775808",
	"1e21", "1e20", "123456789.125", "1e-7", "0.000001", "=", "abc",
	"a b c", "a:b", "a#b", "-a", "a-b", "\xc3\xa4", "\xf0\x9f\x98\x80",
	"http://x/y", "1.2.3", "v1.0", "0.1e1", "e5", "0x", "0b2", "._", "_1",
	"1_", "-", "+", "6.", "0.", "00", "-00", "1e1000x", "Inf", "nan",
	"infinity", ".Infx", "a'b", "a\"b", "a\\b", "\xc2\xa0x",
	"x\xe2\x80\xa8y", "<<x", "true1", "0_7", "0_8", "1__0", "+0x1", "+0b1",
	"+07", "-0o7", "0O7", "0X1F", "0B1" };

/* Refused, or refused where they stand as a key. */
static const char *const hard[] = { ".inf", "-.INF", ".NaN", "+.inf", "1e400",
	"18446744073709551616", "-9223372036854775809", "99999999999999999999",
	"!!float abc", "!!int x", "!!binary '*'", "*none", "@x", "`x", "%x",
	"[", "{", "? x", "- -", "!!map x", "!!seq []",
	"!<tag:yaml.org,2002:int> 1", "!!timestamp 2020-01-02", "!!set {a}",
	"!!merge <<", "1e310" };

static const char *const tagged[] = { "!!str 1", "!!int \"3\"", "!!int 0x10",
	"!!float 1", "!!float \"1.5\"", "!!bool \"yes\"", "!!null ''",
	"!!binary aGk=", "!foo x", "!!str yes", "! 1", "!!str", "!foo 1",
	"!!str ~", "!!bool true", "!!binary \"w6Q=\"", "!!null ~", "!!int 1_0",
	"!!float 1e3", "!!str 2020-01-02" };

static const char *const quoted[] = { "\"a\"", "\"\"", "''", "'it''s'",
	"\"\\n\\t\\x41\\u263a\\U0001F600\"", "\"\\e\\0\\a\\v\\_\\N\\L\\P\"",
	"\"a\\\n   b\"", "'a\n\n   b'", "\"1\"", "'yes'", "\"~\"",
	"\"a: b # c\"", "'\\n'", "\"\\\"\"", "\"\\\\\"", "\" x \"",
	"\"\xc2\x85\"", "\"\\u2028\"", "\"\\ \"" };

static const char *const keys[] = { "a", "b", "key", "a b", "\"q\"", "'s'",
	"\"\"", "k.x", "\xc3\xa4", "c/d", "x-y", "_", "K", "\"a: b\"" };

/* They become strings. */
static const char *const odd_keys[] = { "1", "2.5", "true", "y", "off", "0777",
	"1e3", "1_0", "-1", "0x1F", "2020-01-02", "!!str 5", "\"7\"", ".5",
	"1e21", "123456789012", "=", "1:30" };
static const char *const bad_keys[] = { "~", "null", "[a, b]", "{a: b}",
	"? [a]\n", ".nan", "!!binary aGk=" };

static const char *const odd[] = { "---\n", "...\n", "\n---\n", "- ", ": ",
	"? ", "\t", "#", " #", "&x ", "*x", "!", "!!", "|", ">", "%YAML 1.1\n",
	"%YAML 1.2\n", "%TAG ! x\n", "\"", "'", "{", "}", "[", "]", ",", "\r",
	"\n", " ", "\xff", "\xef\xbb\xbf", "\x01", "\x7f", "\xc2\x85",
	"\xe2\x80\xa8", "<<: ", "<<: *a0\n", "\\/", "\\x", "\\b",
	"\xed\xa0\x80", "a: 1\n", "? ", "-\n", ":\n", "@", "`", "|2\n", ">-\n",
	"\\" };

static void add_node(struct yaml *y, size_t indent, size_t depth);
static void add_flow(struct yaml *y, size_t depth);

static void
add_indent(struct yaml *y, size_t indent)
{
	for (size_t i = 0; i < indent; i++)
		buf_add_char(y->out, ' ');
}

static void
add_scalar(struct yaml *y)
{
	size_t kind = dice_roll(y->d, 10);

	if (kind < 2)
		buf_add_str(y->out, DICE_PICK(y->d, quoted));
	else if (kind == 2)
		buf_add_str(y->out, DICE_PICK(y->d, tagged));
	else if (kind == 3 && !y->tidy)
		buf_add_str(y->out, DICE_PICK(y->d, hard));
	else
		buf_add_str(y->out, DICE_PICK(y->d, plain));
}

static void
add_key(struct yaml *y, size_t i)
{
	size_t kind = dice_roll(y->d, 20);

	if (kind == 0 && !y->tidy)
		buf_add_str(y->out, DICE_PICK(y->d, bad_keys));
	else if (kind < 3)
		buf_add_str(y->out, DICE_PICK(y->d, odd_keys));
	else if (kind < 6)
		buf_add_str(y->out, DICE_PICK(y->d, keys));
	else
		buf_printf(y->out, "k%zu", i);
}

static void
add_alias(struct yaml *y)
{
	buf_printf(y->out, "*a%zu", dice_roll(y->d, y->anchors));
}

static void
add_flow_map(struct yaml *y, size_t depth)
{
	size_t count = dice_roll(y->d, 4);

	buf_add_char(y->out, '{');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_add_str(y->out, ", ");
		add_key(y, i);
		buf_add_str(y->out, ": ");
		add_flow(y, depth + 1);
	}
	buf_add_str(y->out, count > 0 && dice_often(y->d, 10) ? ",}" : "}");
}

static void
add_flow(struct yaml *y, size_t depth)
{
	size_t kind = dice_roll(y->d, 10);
	size_t count;

	if (kind == 0 && y->anchors > 0) {
		add_alias(y);
	} else if (kind < 7 || depth >= DEPTH_MAX) {
		add_scalar(y);
	} else if (kind < 9) {
		add_flow_map(y, depth);
	} else {
		count = dice_roll(y->d, 4);
		buf_add_char(y->out, '[');
		for (size_t i = 0; i < count; i++) {
			if (i > 0)
				buf_add_str(y->out, ", ");
			add_flow(y, depth + 1);
		}
		buf_add_char(y->out, ']');
	}
}

static void
add_block_text(struct yaml *y, size_t indent)
{
	static const char *const heads[] = { "|", ">", "|-", ">-", "|+", ">+",
		"| # text", "|2-" };
	static const char *const lines[] = { "text", "", "  more", "a: b",
		"- x", "# no comment", "trailing ", "\ttab", "\xc3\xa4" };
	const char *head = DICE_PICK(y->d, heads);
	size_t count = 1 + dice_roll(y->d, 4);

	buf_printf(y->out, "%s\n", head);
	add_indent(y, indent + 2);
	buf_add_str(y->out, "first\n");
	for (size_t i = 0; i < count; i++) {
		const char *line = DICE_PICK(y->d, lines);

		if (*line != '\0')
			add_indent(y, indent + 2);
		buf_printf(y->out, "%s\n", line);
	}
}

static void
add_map(struct yaml *y, size_t indent, size_t depth)
{
	size_t count = 1 + dice_roll(y->d, depth == 0 ? 8 : 4);

	for (size_t i = 0; i < count; i++) {
		add_indent(y, indent);
		if (y->anchors > 0 && dice_often(y->d, 8)) {
			buf_add_str(y->out, "<<: ");
			if (dice_often(y->d, 70)) {
				add_alias(y);
			} else {
				buf_add_char(y->out, '[');
				add_alias(y);
				buf_add_str(y->out, ", ");
				add_alias(y);
				buf_add_char(y->out, ']');
			}
			buf_add_char(y->out, '\n');
			continue;
		}
		if (dice_often(y->d, 3)) {
			buf_add_str(y->out, "? ");
			add_key(y, i);
			buf_add_char(y->out, '\n');
			add_indent(y, indent);
			buf_add_char(y->out, ':');
		} else {
			add_key(y, i);
			buf_add_char(y->out, ':');
		}
		add_node(y, indent, depth + 1);
	}
}

static void
add_list(struct yaml *y, size_t indent, size_t depth)
{
	size_t count = 1 + dice_roll(y->d, 4);

	for (size_t i = 0; i < count; i++) {
		add_indent(y, indent);
		buf_add_char(y->out, '-');
		add_node(y, indent, depth + 1);
	}
}

/* What stands behind "key:" or "-", with the end of its line. */
static void
add_node(struct yaml *y, size_t indent, size_t depth)
{
	size_t kind = dice_roll(y->d, 20);
	size_t deeper = indent + 1 + dice_roll(y->d, 3);
	bool anchor = dice_often(y->d, 12);

	if (kind == 0 && y->anchors > 0 && !anchor) {
		buf_add_char(y->out, ' ');
		add_alias(y);
		buf_add_char(y->out, '\n');
		return;
	}
	if (anchor)
		buf_printf(y->out, " &a%zu", y->anchors);
	if (kind == 1 && !anchor) {
		buf_add_char(y->out, '\n');
	} else if (kind == 2) {
		buf_add_char(y->out, ' ');
		add_block_text(y, indent);
	} else if (kind < 11 || depth >= DEPTH_MAX) {
		buf_add_char(y->out, ' ');
		add_flow(y, depth);
		buf_add_str(y->out, dice_often(y->d, 5) ? " # c\n" : "\n");
	} else {
		buf_add_char(y->out, '\n');
		if (kind < 17)
			add_map(y, deeper, depth);
		else
			add_list(y, deeper, depth);
	}
	/* Only now: an anchor within itself is refused. */
	y->anchors += anchor;
}

static void
to_dos(struct buf *out)
{
	AUTO_BUF copy = { 0 };

	buf_init(&copy, MAKE_TEXT_MAX);
	for (size_t i = 0; i < out->len; i++) {
		if (out->data[i] == '\n')
			buf_add_char(&copy, '\r');
		buf_add_char(&copy, out->data[i]);
	}
	buf_reset(out);
	buf_add(out, copy.data, copy.len);
}

void
make_yaml(struct buf *out, struct dice *d)
{
	struct yaml y = { .out = out, .d = d, .tidy = dice_often(d, 75) };

	if (dice_often(d, 4)) {
		make_json(out, d);
		return;
	}
	if (dice_often(d, 5))
		buf_add_str(out, "# comment\n");
	if (dice_often(d, 3))
		buf_add_str(out, "%YAML 1.1\n---\n");
	else if (dice_often(d, 10))
		buf_add_str(out, "---\n");
	if (dice_often(d, 90))
		add_map(&y, 0, 0);
	else if (dice_often(d, 50))
		add_list(&y, 0, 0);
	else
		add_flow(&y, 0);
	if (dice_often(d, 5))
		buf_add_str(out,
		    dice_often(d, 50) ? "\n---\nb: 2\n" : "\n...\n");
	if (dice_often(d, 5))
		to_dos(out);
	if (dice_often(d, 25))
		dice_break(d, out, odd, sizeof odd / sizeof *odd);
}
