#ifndef CLUSTERS_STORE_SQL_H
#define CLUSTERS_STORE_SQL_H

/* Running statements, for clusters/store*.c only. Statements are constants and
 * are kept prepared, found by the address of their text.
 *
 * Parameters are described by a string with a letter each:
 *   s  const char *, NULL is NULL       o  const char *, "" and NULL are NULL
 *   i  int64_t                          b  bool (int)
 *   j  const json_t *, as compact text with sorted keys; NULL is NULL */

#include <sqlite3.h>
#include <stdarg.h>

#include "clusters/store.h"

struct store_statement;

struct store {
	sqlite3 *db;
	char *path;
	bool snapshot;                      /* inside store_snapshot_begin */
	struct store_statement *statements; /* uthash, by address of text */
};

/* Without rows. */
enum err_code sql_run(struct store *s, struct err *e, const char *sql,
    const char *types, ...) MUST_CHECK;

/* With rows: open, next until *more is false, close. One use at a time of the
 * same statement, or a second one is prepared for the while. */
struct rows {
	struct store *store;
	sqlite3_stmt *statement;
	struct store_statement *kept; /* NULL: a second one, for the while */
};
#define AUTO_ROWS __attribute__((cleanup(rows_close))) struct rows

enum err_code rows_open(struct rows *r, struct store *s, struct err *e,
    const char *sql, const char *types, ...) MUST_CHECK;
enum err_code rows_next(struct rows *r, bool *more, struct err *e) MUST_CHECK;
void rows_close(struct rows *r);

/* open and next: NOT_FOUND (without a text) when there is no row. */
enum err_code rows_one(struct rows *r, struct store *s, struct err *e,
    const char *sql, const char *types, ...) MUST_CHECK;

/* For INSERT … RETURNING a number: runs to its end, so that all is checked. */
enum err_code sql_returning(struct store *s, struct err *e, int64_t *out,
    const char *sql, const char *types, ...) MUST_CHECK;

int64_t rows_int(const struct rows *r, int column);      /* NULL is 0 */
const char *rows_text(const struct rows *r, int column); /* NULL is "" */
char *rows_dup(const struct rows *r, int column);        /* NULL is NULL */
void rows_copy(const struct rows *r, int column, char *out, size_t size);
bool rows_null(const struct rows *r, int column);
/* Is it stored as what it is read as? A number that is whole, a text without a
 * NUL inside: the two that rows_int and rows_text show in full. */
bool rows_is_int(const struct rows *r, int column);
bool rows_is_text(const struct rows *r, int column);
enum err_code rows_json(const struct rows *r, int column, json_t **out,
    struct err *e) MUST_CHECK; /* NULL gives NULL */

/* The row as an object. A column's name is its member; a part behind ":" says
 * what it holds: "at:time" (milliseconds, shown as text; 0 and NULL are null),
 * "x:bool", "x:json" (text of JSON). */
enum err_code rows_object(const struct rows *r, json_t **out, struct err *e)
    MUST_CHECK;

/* All rows as an array of objects. */
enum err_code sql_list(struct store *s, struct err *e, json_t **out,
    const char *sql, const char *types, ...) MUST_CHECK;

/* The first column of all rows that are left, as names; the caller's. */
struct store_names;
enum err_code store_take_names(struct rows *r, struct store_names *out,
    struct err *e) MUST_CHECK;

enum err_code sql_error(struct store *s, int result, struct err *e);

/* Finalizes all that is kept. */
void sql_forget(struct store *s);

#endif
