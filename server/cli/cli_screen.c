#include "server/cli/cli_screen.h"

#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "core/mem.h"
#include "core/utf8.h"

enum { SCREEN_LABEL = 9, SCREEN_USUAL = 80 };

size_t
screen_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
		return SIZE_MAX;
	if (size.ws_col == 0) /* it does not know */
		return SCREEN_USUAL;
	return size.ws_col >= SCREEN_LEAST ? size.ws_col : SCREEN_LEAST;
}

/* ---- colours ---- */

bool
screen_has_colours(void)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) == 1 && (no == NULL || *no == '\0') &&
	    term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
}

const char *
screen_tint(enum screen_tint tint)
{
	static const char *const begin[] = { [TINT_NONE] = "",
		[TINT_GOOD] = "\033[32m",
		[TINT_CARE] = "\033[33m",
		[TINT_BAD] = "\033[31m",
		[TINT_HEADING] = "\033[1m",
		[TINT_FAINT] = "\033[2m" };

	return screen_has_colours() ? begin[tint] : "";
}

const char *
screen_plain(enum screen_tint tint)
{
	return tint != TINT_NONE && screen_has_colours() ? "\033[0m" : "";
}

enum screen_tint
screen_tint_of(const char *word)
{
	static const struct {
		const char *word;
		enum screen_tint tint;
	} words[] = {
		{ "ok", TINT_GOOD },
		{ "passed", TINT_GOOD },
		{ "converged", TINT_GOOD },
		{ "starting", TINT_CARE },
		{ "suspended", TINT_CARE },
		{ "held", TINT_CARE },
		{ "orphan", TINT_CARE },
		{ "blocked", TINT_BAD },
		{ "forced", TINT_BAD },
		{ "behind", TINT_CARE },
		{ "fresh", TINT_CARE },
		{ "silent", TINT_CARE },
		{ "skipped", TINT_CARE },
		{ "no_tests", TINT_CARE },
		{ "could_not_run", TINT_CARE },
		{ "alarm", TINT_BAD },
		{ "unreachable", TINT_BAD },
		{ "rejecting", TINT_BAD },
		{ "failed", TINT_BAD },
		{ "error", TINT_BAD },
		{ "timed_out", TINT_BAD },
		{ "crashed", TINT_BAD },
	};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(words[i].word, word) == 0)
			return words[i].tint;
	return TINT_NONE;
}

/* ---- characters ---- */

/* wcwidth goes by the locale, and nobody's here may change the others'. */
static int
width_of(uint32_t c)
{
	static locale_t utf8;
	locale_t before;
	int width;

	if (utf8 == (locale_t)0)
		utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	if (utf8 == (locale_t)0)
		return 1;
	before = uselocale(utf8);
	width = wcwidth((wchar_t)c);
	(void)uselocale(before);
	return width;
}

/* Marks that turn the direction of what follows can make a text look like
 * another one (Unicode TR 36); line and paragraph separators break lines. */
static bool
is_harmless(uint32_t c)
{
	if (utf8_is_control(c) || c == 0x61c || c == 0x200e || c == 0x200f)
		return false;
	return (c < 0x2028 || c > 0x202e) && (c < 0x2066 || c > 0x2069) &&
	    width_of(c) >= 0;
}

/* One character from *p on, which moves behind it; 0: none that may be
 * printed. */
static uint32_t
next(const unsigned char **p, const unsigned char *end)
{
	const unsigned char *start = *p;
	uint32_t c = utf8_next(p, end);

	if (*p == start)
		(*p)++;
	return c != 0 && is_harmless(c) ? c : 0;
}

char *
screen_clean(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end = p + len;
	char *out = mem_alloc(len + 1); /* nothing gets longer */
	size_t n = 0;

	while (p < end) {
		bool blank = *p == '\t' || *p == '\n';
		uint32_t c = next(&p, end);

		if (c == 0)
			out[n++] = blank ? ' ' : '?';
		else
			n += utf8_put(out + n, c);
	}
	out[n] = '\0';
	return out;
}

static size_t
step(const unsigned char **p, const unsigned char *end)
{
	uint32_t c = next(p, end);

	return c == 0 ? 1 : (size_t)width_of(c);
}

size_t
screen_columns(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end = p + strlen(text);
	size_t n = 0;

	while (p < end)
		n += step(&p, end);
	return n;
}

size_t
screen_fit(const char *text, size_t columns)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end = p + strlen(text);
	const unsigned char *fits = p;
	size_t n = 0;

	while (p < end) {
		n += step(&p, end);
		if (n > columns)
			break;
		fits = p;
	}
	return (size_t)(fits - (const unsigned char *)text);
}

size_t
screen_fit_end(const char *text, size_t columns)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end = p + strlen(text);
	size_t left = screen_columns(text);

	while (p < end && left > columns)
		left -= step(&p, end);
	return (size_t)(p - (const unsigned char *)text);
}

/* ---- paragraphs ---- */

/* Bytes of a line that go on this one: up to the last blank that fits, or, of a
 * long word, what fits. */
static size_t
break_at(const char *line, size_t room)
{
	size_t fits = screen_fit(line, room);
	size_t n = fits;

	if (line[fits] == '\0' || line[fits] == ' ')
		return fits;
	while (n > 0 && line[n - 1] != ' ')
		n--;
	if (strspn(line, " ") >= n)
		n = fits;
	return n > 0 ? n : strlen(line);
}

static size_t
room_behind(size_t at)
{
	size_t width = screen_width();

	return width > at + SCREEN_LEAST / 4 ? width - at : SCREEN_LEAST / 4;
}

static void
print_wrapped(const char *line, size_t at, size_t indent)
{
	for (;;) {
		size_t n = break_at(line, room_behind(at));
		size_t shown = n;

		while (shown > 0 && line[shown - 1] == ' ')
			shown--;
		(void)printf("%.*s\n", (int)shown, line);
		line += n;
		line += strspn(line, " ");
		if (*line == '\0')
			return;
		(void)printf("%*s", (int)indent, "");
		at = indent;
	}
}

void
screen_text(const char *text, size_t at, size_t indent, int lines)
{
	bool first = true;

	while (text != NULL && *text != '\0' && lines-- > 0) {
		size_t len = strcspn(text, "\n");
		AUTO_STR line = screen_clean(text, len);

		if (!first)
			(void)printf("%*s", (int)indent, "");
		print_wrapped(line, first ? at : indent, indent);
		first = false;
		text += len + (text[len] == '\n');
	}
	if (text != NULL && first)
		(void)printf("\n");
	else if (text != NULL && *text != '\0')
		(void)printf("%*s...\n", (int)indent, "");
}

void
screen_fact(const char *label, const char *text)
{
	if (text == NULL)
		return;
	(void)printf("%-*s", SCREEN_LABEL, label);
	screen_text(text, SCREEN_LABEL, SCREEN_LABEL, 40);
}
