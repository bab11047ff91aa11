#include "server/cli_delta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/utf8.h"
#include "server/cli_table.h"

enum { WIDTH = 80, WIDTH_MIN = 40, WIDTH_ANY = 100000 };

static const struct mark {
	const char *change;
	char sign;
	const char *colour;
} marks[] = {
	{ "added", '+', "\033[32m" },
	{ "removed", '-', "\033[31m" },
	{ "changed", '~', "\033[33m" },
};
enum { MARKS = sizeof marks / sizeof marks[0] };

static const struct mark *
mark_of(const json_t *item)
{
	const char *change = table_string(item, "change");

	for (size_t i = 0; change != NULL && i < MARKS; i++)
		if (strcmp(marks[i].change, change) == 0)
			return &marks[i];
	return &marks[MARKS - 1];
}

static bool
is_colourful(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL &&
	    term != NULL && strcmp(term, "dumb") != 0;
}

/* Of lines: as wide as the terminal; elsewhere they are left whole. */
static size_t
width_now(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return WIDTH_ANY;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 ||
	    size.ws_col < WIDTH_MIN)
		return WIDTH;
	return size.ws_col;
}

static void
cut(char *line, size_t width)
{
	size_t len = strlen(line);
	size_t at = 0;

	for (size_t n = 0; at < len; n++) {
		size_t step = utf8_size(line + at, len - at);

		if (n == width) {
			line[at] = '\0';
			return;
		}
		at += step > 0 ? step : 1;
	}
}

/* One line, in a mark's colour where there are colours. */
static void __attribute__((format(printf, 3, 4)))
print_line(const struct mark *m, int indent, const char *fmt, ...)
{
	bool colour = m != NULL && is_colourful();
	va_list ap;
	char *line;

	va_start(ap, fmt);
	line = mem_vprintf(fmt, ap);
	va_end(ap);
	cut(line, width_now() - (size_t)indent);
	if (colour)
		(void)fputs(m->colour, stdout);
	table_text(line, indent, 1);
	if (colour)
		(void)fputs("\033[0m", stdout);
	mem_free(line);
}

static const char *
text_at(const json_t *object, const char *key)
{
	const char *text = table_string(object, key);

	return text != NULL ? text : "";
}

/* ---- entries ---- */

static void
print_file(const json_t *item)
{
	const struct mark *m = mark_of(item);
	long long from = (long long)table_number(item, "from_size");
	long long to = (long long)table_number(item, "to_size");

	if (m->sign == '~')
		print_line(m, 2, "%c %s  %lld -> %lld bytes", m->sign,
		    text_at(item, "path"), from, to);
	else
		print_line(m, 2, "%c %s  %lld bytes", m->sign,
		    text_at(item, "path"), m->sign == '+' ? to : from);
}

static void
print_package(const json_t *item)
{
	const struct mark *m = mark_of(item);

	print_line(m, 2, "%c %s", m->sign, text_at(item, "package"));
}

static char *
place(const json_t *at)
{
	long long count = (long long)table_number(at, "definitions");

	if (count > 1)
		return mem_printf("%s:%lld (of %lld)", text_at(at, "file"),
		    (long long)table_number(at, "line"), count);
	return mem_printf("%s:%lld", text_at(at, "file"),
	    (long long)table_number(at, "line"));
}

static void
print_rule(const json_t *item)
{
	const struct mark *m = mark_of(item);
	const json_t *from = json_object_get(item, "from");
	const json_t *to = json_object_get(item, "to");
	AUTO_STR where = place(m->sign == '-' ? from : to);
	AUTO_STR before = m->sign == '~' ? place(from) : NULL;

	if (strcmp(text_at(item, "kind"), "import") == 0) {
		print_line(m, 2, "%c %s  import %s", m->sign,
		    text_at(item, "package"), text_at(item, "name"));
		return;
	}
	print_line(m, 2, "%c %s.%s  (%s)  %s%s%s", m->sign,
	    text_at(item, "package"), text_at(item, "name"),
	    text_at(item, "kind"), before != NULL ? before : "",
	    before != NULL ? " -> " : "", where);
}

static void
print_value(const json_t *item)
{
	const struct mark *m = mark_of(item);
	const char *from = table_string(item, "from");
	const char *to = table_string(item, "to");

	print_line(m, 2, "%c %s", m->sign, text_at(item, "path"));
	if (from != NULL)
		print_line(&marks[1], 6, "- %s", from);
	if (to != NULL)
		print_line(&marks[0], 6, "+ %s", to);
}

static const struct section {
	const char *key;
	void (*print)(const json_t *item);
} sections[] = {
	{ "manifest", print_value },
	{ "files", print_file },
	{ "packages", print_package },
	{ "rules", print_rule },
	{ "data", print_value },
};
enum { SECTIONS = sizeof sections / sizeof sections[0] };

/* ---- all ---- */

static void
print_counts(const struct section *s, const json_t *list)
{
	AUTO_STR line = mem_printf("%-9s", s->key);

	for (size_t i = 0; i < MARKS; i++) {
		long long n = (long long)table_number(list, marks[i].change);
		char *more = mem_printf("%s %c%lld", line, marks[i].sign, n);

		if (n == 0) {
			mem_free(more);
			continue;
		}
		mem_free(line);
		line = more;
	}
	print_line(NULL, 0, "%s", line);
}

static void
print_section(const struct section *s, const json_t *delta)
{
	const json_t *list = json_object_get(delta, s->key);
	const json_t *items = json_object_get(list, "items");
	long long more = (long long)table_number(list, "more");
	const json_t *item;
	size_t i;

	if (json_array_size(items) == 0)
		return;
	print_counts(s, list);
	json_array_foreach(items, i, item)
		s->print(item);
	if (more > 0)
		print_line(NULL, 2, "... and %lld more", more);
}

static void
print_side(const char *sign, const char *name, const json_t *side)
{
	const char *revision = table_string(side, "revision");

	print_line(NULL, 0, "%s %s  revision %.12s, %lld files, %lld bytes",
	    sign, name, revision != NULL ? revision : "-",
	    (long long)table_number(side, "files"),
	    (long long)table_number(side, "size"));
}

static void
print_unread(const json_t *delta)
{
	const json_t *list = json_object_get(delta, "unread");
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		print_line(NULL, 0, "not compared inside (%s): %s",
		    text_at(item, "side"), text_at(item, "message"));
}

void
cli_delta_print(const json_t *delta, const char *from, const char *to)
{
	print_side("---", from, json_object_get(delta, "from"));
	print_side("+++", to, json_object_get(delta, "to"));
	for (size_t i = 0; i < SECTIONS; i++)
		print_section(&sections[i], delta);
	print_unread(delta);
	if (json_is_true(json_object_get(delta, "same")))
		print_line(NULL, 0, "no difference to an engine");
}
