#ifndef SERVER_CLI_TABLE_H
#define SERVER_CLI_TABLE_H

/* Tables for people: columns as wide as they need to be, on a terminal no wider
 * together than it is, so that what has to give is cut, with "…". What goes into
 * a file or a pipe is not cut. Nothing printed could drive a terminal
 * (server/cli/cli_screen.h). One thread. */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "server/cli/cli_screen.h"

enum { TABLE_COLUMNS_MAX = 10 };

struct table;

/* Headings, NULL-terminated; borrowed. */
struct table *table_new(const char *const *headings);
/* This column holds words for states: they get their colours. */
void table_states(struct table *t, size_t column);
/* Of this column the end matters: it is cut at its beginning. */
void table_ends(struct table *t, size_t column);

/* As many cells as headings; NULL prints as "-". */
void table_row(struct table *t, const char *const *cells);
/* The last row's cell is of this colour, whatever it says. */
void table_paint(struct table *t, size_t column, enum screen_tint tint);
/* Said below the last row, indented, and not cut. */
void table_note(struct table *t, enum screen_tint tint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Prints and frees. */
void table_print(struct table *t);
void table_free(struct table *t); /* without printing */
size_t table_rows(const struct table *t);

/* Prints text with control characters taken out; `indent` spaces before each
 * of its lines, at most `lines` of them. */
void table_text(const char *text, int indent, int lines);

/* "3m", "2h", "5d" since an RFC 3339 time; "-" for NULL. mem_ memory. */
char *table_age(const char *time);

/* The beginning of an id, as long as tables show it; "-" for NULL. mem_
 * memory. */
char *table_brief(const char *id);

/* The string at key, or NULL. */
const char *table_string(const json_t *object, const char *key);
int64_t table_number(const json_t *object, const char *key);

#endif
