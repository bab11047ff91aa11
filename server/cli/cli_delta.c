#include "server/cli/cli_delta.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli/cli_table.h"

static const struct mark {
	const char *change;
	char sign;
	enum screen_tint tint;
} marks[] = {
	{ "added", '+', TINT_GOOD },
	{ "removed", '-', TINT_BAD },
	{ "changed", '~', TINT_CARE },
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

/* One line, in a mark's colour where there are colours. */
static void __attribute__((format(printf, 3, 4)))
print_line(const struct mark *m, int indent, const char *fmt, ...)
{
	enum screen_tint tint = m != NULL ? m->tint : TINT_NONE;
	AUTO_STR clean = NULL;
	va_list ap;
	char *line;

	va_start(ap, fmt);
	line = mem_vprintf(fmt, ap);
	va_end(ap);
	clean = screen_clean(line, strcspn(line, "\n"));
	mem_free(line);
	clean[screen_fit(clean, screen_width() - (size_t)indent)] = '\0';
	(void)printf("%s%*s%s%s\n", screen_tint(tint), indent, "", clean,
	    screen_plain(tint));
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
