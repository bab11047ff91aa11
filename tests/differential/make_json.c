#include <string.h>

#include "make.h"

enum { DEPTH_MAX = 5 };

static const char *const spaces[] = { "", "", "", "", " ", "\n", "\t", "\r\n",
	"  " };

static const char *const keys[] = { "\"a\"", "\"b\"", "\"key\"", "\"\"",
	"\"a b\"", "\"c/d\"", "\"\\u0061\"", "\"\xc3\xa4\"", "\"e%20f\"",
	"\"\\ud83d\\ude00\"", "\"\\u2028\"", "\"\xe2\x80\xa8\"", "\"A\"",
	"\"1\"", "\"true\"", "\"\\\"q\\\"\"", "\"\\\\\"", "\"\\n\"", "\"a.b\"",
	"\"zz\"", "\"\x7f\"", "\"\\u0000\"" };

static const char *const pieces[] = { "a", "Z", "0", " ", "<>&", "'", "/",
	"\\/", "\\\"", "\\\\", "\\n", "\\r", "\\t", "\\u0000", "\\u0001",
	"\\u001f", "\\u0020", "\\u007F", "\\u00e9", "\\u00E9", "\\u2028",
	"\\u2029", "\\uD83D\\uDE00", "\\udbff\\udfff", "\\uffff", "\\uFFFD",
	"\\ufeff", "\x7f", "\xc3\xa9", "\xe2\x80\xa8", "\xe2\x80\xa9",
	"\xf0\x9f\x98\x80", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf",
	"\xef\xbb\xbf" };

static const char *const numbers[] = { "0", "-0", "1", "-1", "1.10", "1e3",
	"1E+2", "1e-2", "0.0", "-0.0", "0e0", "0E-0", "1.0", "100",
	"9007199254740993", "18446744073709551615", "18446744073709551616",
	"-9223372036854775809", "1e400", "-1e400", "1e-400", "123e4567",
	"0.1000000000000000055511151231257827", "4.9406564584124654e-324",
	"1234567890123456789012345678901234567890" };

static const char *const odd[] = { ",", ":", "{", "}", "[", "]", "\"", "\\",
	"\\u", "\\ud800", "\\udc00", "\\x41", "\\u12", "nul", "NaN", "-", "+1",
	".5", "1.", "01", "1e", "0x1", "//", "/**/", "'a'", "\xff", "\xc0\x80",
	"\xed\xa0\x80", "\xf5\x80\x80\x80", "\xc3", "\x01", "\xef\xbb\xbf",
	"\n{}", " 1", "true", "null", "Infinity", "\"a\":1,", "\x0c",
	"\xc2\xa0", "True" };

static void
add_space(struct buf *out, struct dice *d)
{
	if (dice_often(d, 30))
		buf_add_str(out, DICE_PICK(d, spaces));
}

static void
add_string(struct buf *out, struct dice *d)
{
	size_t count = dice_roll(d, dice_often(d, 2) ? 2000 : 8);

	buf_add_char(out, '"');
	for (size_t i = 0; i < count; i++)
		buf_add_str(out, DICE_PICK(d, pieces));
	/* Refused by a rule, so seldom. */
	if (dice_often(d, 1))
		buf_add_str(out, dice_often(d, 50) ? "\\b" : "\\u000C");
	buf_add_char(out, '"');
}

static void
add_digits(struct buf *out, struct dice *d, size_t max)
{
	size_t count = 1 + dice_roll(d, max);

	for (size_t i = 0; i < count; i++)
		buf_add_char(out, (char)('0' + dice_roll(d, 10)));
}

static void
add_number(struct buf *out, struct dice *d)
{
	if (dice_often(d, 50)) {
		buf_add_str(out, DICE_PICK(d, numbers));
		return;
	}
	if (dice_often(d, 30))
		buf_add_char(out, '-');
	buf_add_char(out, (char)('1' + dice_roll(d, 9)));
	if (dice_often(d, 60))
		add_digits(out, d, dice_often(d, 5) ? 400 : 30);
	if (dice_often(d, 40)) {
		buf_add_char(out, '.');
		add_digits(out, d, 25);
	}
	if (dice_often(d, 30)) {
		buf_add_char(out, dice_often(d, 50) ? 'e' : 'E');
		if (dice_often(d, 50))
			buf_add_char(out, dice_often(d, 50) ? '+' : '-');
		add_digits(out, d, 3);
	}
}

static void
add_key(struct buf *out, struct dice *d, size_t i)
{
	if (dice_often(d, 70))
		buf_printf(out, "\"k%zu\"", i);
	else
		buf_add_str(out, DICE_PICK(d, keys));
}

static void add_value(struct buf *out, struct dice *d, size_t depth);

static void
add_members(struct buf *out, struct dice *d, size_t depth, bool object)
{
	size_t count = dice_roll(d, dice_often(d, 1) ? 3000 / (depth + 1) : 6);
	/* Few members of a wide one are more than leaves. */
	size_t below = count > 20 ? DEPTH_MAX : depth + 1;

	buf_add_char(out, object ? '{' : '[');
	for (size_t i = 0; i < count; i++) {
		add_space(out, d);
		if (i > 0)
			buf_add_char(out, ',');
		add_space(out, d);
		if (object) {
			if (count > 20)
				buf_printf(out, "\"w%zu\"", i);
			else
				add_key(out, d, i);
			add_space(out, d);
			buf_add_char(out, ':');
			add_space(out, d);
		}
		add_value(out, d, below);
	}
	add_space(out, d);
	buf_add_char(out, object ? '}' : ']');
}

static void
add_value(struct buf *out, struct dice *d, size_t depth)
{
	static const char *const words[] = { "true", "false", "null" };
	size_t kind = dice_roll(d, depth < DEPTH_MAX ? 8 : 4);

	if (kind == 0)
		buf_add_str(out, DICE_PICK(d, words));
	else if (kind == 1)
		add_number(out, d);
	else if (kind <= 3)
		add_string(out, d);
	else
		add_members(out, d, depth, kind < 7);
}

static void
add_deep(struct buf *out, struct dice *d)
{
	/* Past the limit of 1000 now and then. */
	size_t depth = 1 + dice_roll(d, dice_often(d, 20) ? 1200 : 900);
	bool object = dice_often(d, 50);

	for (size_t i = 0; i < depth; i++)
		buf_add_str(out, object ? "{\"a\":" : "[");
	buf_add_str(out, "0");
	for (size_t i = 0; i < depth; i++)
		buf_add_char(out, object ? '}' : ']');
}

void
make_json(struct buf *out, struct dice *d)
{
	add_space(out, d);
	if (dice_often(d, 2))
		add_deep(out, d);
	else if (dice_often(d, 85))
		add_members(out, d, 0, true);
	else
		add_value(out, d, 0);
	add_space(out, d);
	if (dice_often(d, 30))
		dice_break(d, out, odd, sizeof odd / sizeof *odd);
}
