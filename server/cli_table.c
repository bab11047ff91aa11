#include "server/cli_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"

enum { TABLE_LEAST = 40, TABLE_GAP = 2 };

struct table {
	const char *const *headings;
	size_t columns;
	char **cells; /* row after row */
	size_t rows;
};

/* Characters, not bytes: continuation bytes of UTF-8 take no room. */
static size_t
width_of(const char *text)
{
	size_t n = 0;

	for (const char *p = text; *p != '\0'; p++)
		n += ((unsigned char)*p & 0xc0) != 0x80;
	return n;
}

/* Control characters become a question mark, C1 ones (as UTF-8) too. */
static char *
harmless(const char *text)
{
	char *copy = mem_strdup(text != NULL ? text : "-");

	for (char *p = copy; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c == 0x7f)
			*p = '?';
		else if (c == 0xc2 && (unsigned char)p[1] >= 0x80 &&
		    (unsigned char)p[1] < 0xa0)
			p[0] = p[1] = '?';
	}
	return copy;
}

struct table *
table_new(const char *const *headings)
{
	struct table *t = mem_zalloc(sizeof *t);

	t->headings = headings;
	while (headings[t->columns] != NULL)
		t->columns++;
	return t;
}

void
table_row(struct table *t, const char *const *cells)
{
	t->cells =
	    mem_grow(t->cells, (t->rows + 1) * t->columns, sizeof *t->cells);
	for (size_t i = 0; i < t->columns; i++)
		t->cells[t->rows * t->columns + i] = harmless(cells[i]);
	t->rows++;
}

/* What goes into a file or a pipe is not cut. */
static size_t
terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
		return SIZE_MAX;
	return size.ws_col >= TABLE_LEAST ? size.ws_col : TABLE_LEAST;
}

/* Bytes of text that fit into so many columns. */
static int
bytes_in(const char *text, size_t columns)
{
	size_t n = 0;
	const char *p = text;

	while (*p != '\0') {
		if (((unsigned char)*p & 0xc0) != 0x80 && n++ == columns)
			break;
		p++;
	}
	return (int)(p - text);
}

static void
print_row(const struct table *t, const char *const *cells, const size_t *widths,
    size_t most)
{
	size_t used = 0;

	for (size_t i = 0; i < t->columns; i++) {
		size_t width = width_of(cells[i]);

		if (i + 1 == t->columns) {
			size_t left = most > used ? most - used : 1;

			(void)printf("%.*s\n", bytes_in(cells[i], left),
			    cells[i]);
			return;
		}
		(void)printf("%s%*s", cells[i],
		    (int)(widths[i] - width + TABLE_GAP), "");
		used += widths[i] + TABLE_GAP;
	}
}

void
table_print(struct table *t)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < t->columns; i++) {
		widths[i] = width_of(t->headings[i]);
		for (size_t k = 0; k < t->rows; k++) {
			size_t n = width_of(t->cells[k * t->columns + i]);

			if (n > widths[i])
				widths[i] = n;
		}
	}
	print_row(t, t->headings, widths, terminal_width());
	for (size_t k = 0; k < t->rows; k++)
		print_row(t, (const char *const *)&t->cells[k * t->columns],
		    widths, terminal_width());
	table_free(t);
}

size_t
table_rows(const struct table *t)
{
	return t->rows;
}

void
table_free(struct table *t)
{
	for (size_t i = 0; i < t->rows * t->columns; i++)
		mem_free(t->cells[i]);
	mem_free(t->cells);
	mem_free(t);
}

void
table_text(const char *text, int indent, int lines)
{
	while (text != NULL && *text != '\0' && lines-- > 0) {
		size_t len = strcspn(text, "\n");
		AUTO_STR line = mem_strndup(text, len);
		AUTO_STR clean = harmless(line);

		(void)printf("%*s%s\n", indent, "", clean);
		text += len + (text[len] == '\n');
	}
	if (text != NULL && *text != '\0')
		(void)printf("%*s...\n", indent, "");
}

char *
table_age(const char *time_text)
{
	struct tm tm = { 0 };
	int64_t seconds;

	if (time_text == NULL ||
	    strptime(time_text, "%Y-%m-%dT%H:%M:%S", &tm) == NULL)
		return mem_strdup("-");
	seconds = clock_now_ms() / 1000 - (int64_t)timegm(&tm);
	if (seconds < 0)
		seconds = 0;
	if (seconds < 120)
		return mem_printf("%llds", (long long)seconds);
	if (seconds < 7200)
		return mem_printf("%lldm", (long long)seconds / 60);
	if (seconds < 172800)
		return mem_printf("%lldh", (long long)seconds / 3600);
	return mem_printf("%lldd", (long long)seconds / 86400);
}

const char *
table_string(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

int64_t
table_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}
