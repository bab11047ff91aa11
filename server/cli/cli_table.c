#include "server/cli/cli_table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/mem.h"

enum {
	TABLE_GAP = 2,
	TABLE_INDENT = 4,
	TABLE_BRIEF = 12,
	/* What a column keeps while others can give. */
	TABLE_LAST = 16,
	TABLE_LAST_LEAST = 10,
	TABLE_NAME = 20,
	TABLE_NAME_LEAST = 12,
	TABLE_NARROWEST = 4
};

#define ELLIPSIS "\xe2\x80\xa6"

struct table_cell {
	char *text; /* clean */
	enum screen_tint tint;
};

struct table_line {
	char *text;
	enum screen_tint tint;
	size_t row; /* below which it stands */
};

struct table {
	const char *const *headings;
	size_t columns;
	bool states[TABLE_COLUMNS_MAX];
	bool ends[TABLE_COLUMNS_MAX];
	struct table_cell *cells; /* row after row */
	size_t rows;
	struct table_line *notes;
	size_t note_count;
};

struct table *
table_new(const char *const *headings)
{
	struct table *t = mem_zalloc(sizeof *t);

	t->headings = headings;
	while (headings[t->columns] != NULL)
		t->columns++;
	assert(t->columns <= TABLE_COLUMNS_MAX);
	return t;
}

void
table_states(struct table *t, size_t column)
{
	t->states[column] = true;
}

void
table_ends(struct table *t, size_t column)
{
	t->ends[column] = true;
}

void
table_row(struct table *t, const char *const *cells)
{
	t->cells =
	    mem_grow(t->cells, (t->rows + 1) * t->columns, sizeof *t->cells);
	for (size_t i = 0; i < t->columns; i++) {
		const char *text = cells[i] != NULL ? cells[i] : "-";
		struct table_cell *c = &t->cells[t->rows * t->columns + i];

		c->text = screen_clean(text, strlen(text));
		c->tint = t->states[i] ? screen_tint_of(text) : TINT_NONE;
	}
	t->rows++;
}

void
table_paint(struct table *t, size_t column, enum screen_tint tint)
{
	assert(t->rows > 0);
	t->cells[(t->rows - 1) * t->columns + column].tint = tint;
}

void
table_note(struct table *t, enum screen_tint tint, const char *fmt, ...)
{
	struct table_line *n;
	va_list ap;

	assert(t->rows > 0);
	t->notes = mem_grow(t->notes, t->note_count + 1, sizeof *t->notes);
	n = &t->notes[t->note_count++];
	n->tint = tint;
	n->row = t->rows - 1;
	va_start(ap, fmt);
	n->text = mem_vprintf(fmt, ap);
	va_end(ap);
}

/* ---- widths ---- */

static void
measure(const struct table *t, size_t *widths)
{
	for (size_t i = 0; i < t->columns; i++) {
		widths[i] = screen_columns(t->headings[i]);
		for (size_t k = 0; k < t->rows; k++) {
			size_t n =
			    screen_columns(t->cells[k * t->columns + i].text);

			if (n > widths[i])
				widths[i] = n;
		}
	}
}

static size_t
sum_of(const struct table *t, const size_t *widths)
{
	size_t sum = (t->columns - 1) * TABLE_GAP;

	for (size_t i = 0; i < t->columns; i++)
		sum += widths[i];
	return sum;
}

/* The column with most to give above what it keeps. */
static size_t *
widest(const struct table *t, size_t *widths, size_t kept, size_t last_kept)
{
	size_t *most = NULL;
	size_t most_spare = 0;

	for (size_t i = 0; i < t->columns; i++) {
		size_t keeps = i + 1 == t->columns ? last_kept : kept;
		size_t spare = widths[i] > keeps ? widths[i] - keeps : 0;

		if (spare > most_spare) {
			most = &widths[i];
			most_spare = spare;
		}
	}
	return most;
}

/* The last column gives first, then the widest, down to what is no use. */
static void
squeeze(const struct table *t, size_t *widths, size_t width)
{
	const struct {
		size_t kept, last_kept;
	} rounds[] = {
		{ SIZE_MAX, TABLE_LAST },
		{ TABLE_NAME, TABLE_LAST_LEAST },
		{ TABLE_NAME_LEAST, TABLE_LAST_LEAST },
		{ TABLE_NARROWEST, TABLE_NARROWEST },
	};
	size_t sum = sum_of(t, widths);

	for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++)
		while (sum > width) {
			size_t *w = widest(t, widths, rounds[i].kept,
			    rounds[i].last_kept);

			if (w == NULL)
				break;
			(*w)--;
			sum--;
		}
}

/* ---- printing ---- */

static void
print_cell(const char *text, enum screen_tint tint, size_t width, bool end,
    bool last)
{
	size_t n = screen_columns(text);

	(void)fputs(screen_tint(tint), stdout);
	if (n <= width) {
		(void)fputs(text, stdout);
	} else if (end) {
		text += screen_fit_end(text, width - 1);
		n = screen_columns(text) + 1;
		(void)printf(ELLIPSIS "%s", text);
	} else {
		size_t bytes = screen_fit(text, width - 1);
		AUTO_STR fits = mem_strndup(text, bytes);

		n = screen_columns(fits) + 1;
		(void)printf("%s" ELLIPSIS, fits);
	}
	(void)fputs(screen_plain(tint), stdout);
	if (last)
		(void)printf("\n");
	else
		(void)printf("%*s", (int)(width - n + TABLE_GAP), "");
}

static void
print_headings(const struct table *t, const size_t *widths)
{
	for (size_t i = 0; i < t->columns; i++)
		print_cell(t->headings[i], TINT_HEADING, widths[i], false,
		    i + 1 == t->columns);
}

static void
print_row(const struct table *t, size_t row, const size_t *widths)
{
	const struct table_cell *c = &t->cells[row * t->columns];

	for (size_t i = 0; i < t->columns; i++)
		print_cell(c[i].text, c[i].tint, widths[i], t->ends[i],
		    i + 1 == t->columns);
}

static void
print_note(const struct table_line *n)
{
	(void)printf("%*s%s", TABLE_INDENT, "", screen_tint(n->tint));
	screen_text(n->text, TABLE_INDENT, TABLE_INDENT + 2, 5);
	(void)fputs(screen_plain(n->tint), stdout);
}

void
table_print(struct table *t)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };
	size_t note = 0;

	measure(t, widths);
	squeeze(t, widths, screen_width());
	print_headings(t, widths);
	for (size_t k = 0; k < t->rows; k++) {
		print_row(t, k, widths);
		for (; note < t->note_count && t->notes[note].row == k; note++)
			print_note(&t->notes[note]);
	}
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
		mem_free(t->cells[i].text);
	for (size_t i = 0; i < t->note_count; i++)
		mem_free(t->notes[i].text);
	mem_free(t->cells);
	mem_free(t->notes);
	mem_free(t);
}

/* ---- small things ---- */

void
table_text(const char *text, int indent, int lines)
{
	if (text == NULL || *text == '\0')
		return;
	(void)printf("%*s", indent, "");
	screen_text(text, (size_t)indent, (size_t)indent, lines);
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

char *
table_brief(const char *id)
{
	return id == NULL ? mem_strdup("-")
			  : mem_strndup(id, strnlen(id, TABLE_BRIEF));
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
