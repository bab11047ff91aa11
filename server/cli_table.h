#ifndef SERVER_CLI_TABLE_H
#define SERVER_CLI_TABLE_H

/* Tables and texts for people: columns as wide as they need to be, the last one
 * cut so that a line fits the terminal, and nothing printed that could drive
 * one. One thread. */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { TABLE_COLUMNS_MAX = 10 };

struct table;

/* Headings, NULL-terminated. */
struct table *table_new(const char *const *headings);
/* As many cells as headings; NULL prints as "-". */
void table_row(struct table *t, const char *const *cells);
/* Prints and frees. */
void table_print(struct table *t);
void table_free(struct table *t); /* without printing */
size_t table_rows(const struct table *t);

/* Prints text with control characters taken out; `indent` spaces before each
 * of its lines, at most `lines` of them. */
void table_text(const char *text, int indent, int lines);

/* "3m", "2h", "5d" since an RFC 3339 time; "-" for NULL. mem_ memory. */
char *table_age(const char *time);

/* The string at key, or NULL. */
const char *table_string(const json_t *object, const char *key);
int64_t table_number(const json_t *object, const char *key);

#endif
