#include "clusters/store_sql.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "core/clock.h"
#include "core/mem.h"

struct store_statement {
	const char *sql; /* the key is this address */
	sqlite3_stmt *statement;
	bool busy;
	UT_hash_handle hh;
};

static enum err_code
code_of(int result)
{
	switch (result & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_UNAVAILABLE;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_CORRUPT;
	case SQLITE_CONSTRAINT:
		return ERR_CONFLICT;
	case SQLITE_TOOBIG:
		return ERR_LIMIT;
	default:
		return ERR_IO;
	}
}

enum err_code
sql_error(struct store *s, int result, struct err *e)
{
	enum err_code code = code_of(result);

	if (code == ERR_CORRUPT)
		return err_set(e, code,
		    "%s: the database is damaged (%s); stop the server and "
		    "restore it from a backup",
		    s->path, sqlite3_errmsg(s->db));
	return err_set(e, code, "%s: %s", s->path, sqlite3_errmsg(s->db));
}

static enum err_code
prepare(struct store *s, const char *sql, unsigned int flags,
    sqlite3_stmt **out, struct err *e)
{
	int result = sqlite3_prepare_v3(s->db, sql, -1, flags, out, NULL);

	return result == SQLITE_OK ? ERR_OK : sql_error(s, result, e);
}

static enum err_code
statement_take(struct store *s, const char *sql, struct rows *r, struct err *e)
{
	struct store_statement *kept;

	r->store = s;
	HASH_FIND_PTR(s->statements, &sql, kept);
	if (kept != NULL && kept->busy)
		return prepare(s, sql, 0, &r->statement, e);
	if (kept == NULL) {
		sqlite3_stmt *statement;

		TRY(prepare(s, sql, SQLITE_PREPARE_PERSISTENT, &statement, e));
		kept = mem_zalloc(sizeof *kept);
		kept->sql = sql;
		kept->statement = statement;
		HASH_ADD_PTR(s->statements, sql, kept);
	}
	kept->busy = true;
	r->statement = kept->statement;
	r->kept = kept;
	return ERR_OK;
}

void
sql_forget(struct store *s)
{
	struct store_statement *kept, *next;

	HASH_ITER(hh, s->statements, kept, next) {
		HASH_DEL(s->statements, kept);
		sqlite3_finalize(kept->statement);
		mem_free(kept);
	}
}

static int
bind_json(sqlite3_stmt *st, int at, const json_t *value)
{
	char *text;

	if (value == NULL)
		return sqlite3_bind_null(st, at);
	text =
	    json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	assert(text != NULL);
	return sqlite3_bind_text64(st, at, text, strlen(text), free,
	    SQLITE_UTF8);
}

static int
bind_text(sqlite3_stmt *st, int at, const char *text)
{
	if (text == NULL)
		return sqlite3_bind_null(st, at);
	return sqlite3_bind_text64(st, at, text, strlen(text), SQLITE_TRANSIENT,
	    SQLITE_UTF8);
}

static enum err_code
bind_all(struct rows *r, const char *types, va_list ap, struct err *e)
{
	sqlite3_stmt *st = r->statement;
	int result = SQLITE_OK;

	assert((size_t)sqlite3_bind_parameter_count(st) == strlen(types));
	for (int at = 1; types[at - 1] != '\0' && result == SQLITE_OK; at++) {
		const char *text;

		switch (types[at - 1]) {
		case 's':
			result = bind_text(st, at, va_arg(ap, const char *));
			break;
		case 'o':
			text = va_arg(ap, const char *);
			if (text != NULL && *text == '\0')
				text = NULL;
			result = bind_text(st, at, text);
			break;
		case 'i':
			result =
			    sqlite3_bind_int64(st, at, va_arg(ap, int64_t));
			break;
		case 'b':
			result = sqlite3_bind_int64(st, at, va_arg(ap, int));
			break;
		case 'j':
			result = bind_json(st, at, va_arg(ap, const json_t *));
			break;
		default:
			abort(); /* no such letter */
		}
	}
	return result == SQLITE_OK ? ERR_OK : sql_error(r->store, result, e);
}

static enum err_code
rows_vopen(struct rows *r, struct store *s, struct err *e, const char *sql,
    const char *types, va_list ap)
{
	enum err_code code;

	*r = (struct rows){ 0 };
	TRY(statement_take(s, sql, r, e));
	code = bind_all(r, types, ap, e);
	if (code != ERR_OK)
		rows_close(r);
	return code;
}

enum err_code
rows_open(struct rows *r, struct store *s, struct err *e, const char *sql,
    const char *types, ...)
{
	enum err_code code;
	va_list ap;

	va_start(ap, types);
	code = rows_vopen(r, s, e, sql, types, ap);
	va_end(ap);
	return code;
}

enum err_code
rows_next(struct rows *r, bool *more, struct err *e)
{
	int result = sqlite3_step(r->statement);

	*more = result == SQLITE_ROW;
	if (result == SQLITE_ROW || result == SQLITE_DONE)
		return ERR_OK;
	return sql_error(r->store, result, e);
}

void
rows_close(struct rows *r)
{
	if (r->statement == NULL)
		return;
	if (r->kept == NULL) {
		sqlite3_finalize(r->statement);
	} else {
		sqlite3_reset(r->statement);
		sqlite3_clear_bindings(r->statement);
		r->kept->busy = false;
	}
	*r = (struct rows){ 0 };
}

enum err_code
rows_one(struct rows *r, struct store *s, struct err *e, const char *sql,
    const char *types, ...)
{
	enum err_code code;
	bool more;
	va_list ap;

	va_start(ap, types);
	code = rows_vopen(r, s, e, sql, types, ap);
	va_end(ap);
	if (code != ERR_OK)
		return code;
	TRY(rows_next(r, &more, e));
	return more ? ERR_OK : ERR_NOT_FOUND;
}

enum err_code
sql_run(struct store *s, struct err *e, const char *sql, const char *types, ...)
{
	AUTO_ROWS r = { 0 };
	enum err_code code;
	bool more;
	va_list ap;

	va_start(ap, types);
	code = rows_vopen(&r, s, e, sql, types, ap);
	va_end(ap);
	if (code != ERR_OK)
		return code;
	return rows_next(&r, &more, e);
}

enum err_code
sql_returning(struct store *s, struct err *e, int64_t *out, const char *sql,
    const char *types, ...)
{
	AUTO_ROWS r = { 0 };
	enum err_code code;
	bool more;
	va_list ap;

	va_start(ap, types);
	code = rows_vopen(&r, s, e, sql, types, ap);
	va_end(ap);
	if (code != ERR_OK)
		return code;
	TRY(rows_next(&r, &more, e));
	if (!more)
		return ERR_OK;
	*out = rows_int(&r, 0);
	return rows_next(&r, &more, e);
}

int64_t
rows_int(const struct rows *r, int column)
{
	return sqlite3_column_int64(r->statement, column);
}

bool
rows_null(const struct rows *r, int column)
{
	return sqlite3_column_type(r->statement, column) == SQLITE_NULL;
}

bool
rows_is_int(const struct rows *r, int column)
{
	return sqlite3_column_type(r->statement, column) == SQLITE_INTEGER;
}

bool
rows_is_text(const struct rows *r, int column)
{
	return sqlite3_column_type(r->statement, column) == SQLITE_TEXT &&
	    strlen(rows_text(r, column)) ==
	    (size_t)sqlite3_column_bytes(r->statement, column);
}

const char *
rows_text(const struct rows *r, int column)
{
	const unsigned char *text = sqlite3_column_text(r->statement, column);

	return text == NULL ? "" : (const char *)text;
}

char *
rows_dup(const struct rows *r, int column)
{
	return rows_null(r, column) ? NULL : mem_strdup(rows_text(r, column));
}

void
rows_copy(const struct rows *r, int column, char *out, size_t size)
{
	(void)snprintf(out, size, "%s", rows_text(r, column));
}

enum err_code
rows_json(const struct rows *r, int column, json_t **out, struct err *e)
{
	json_error_t why;
	json_t *value;

	if (rows_null(r, column)) {
		*out = NULL;
		return ERR_OK;
	}
	value = json_loads(rows_text(r, column),
	    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (value == NULL)
		return err_set(e, ERR_CORRUPT,
		    "%s: column %s does not hold JSON: %s", r->store->path,
		    sqlite3_column_name(r->statement, column), why.text);
	*out = value;
	return ERR_OK;
}

static json_t *
time_value(int64_t at_ms)
{
	char text[CLOCK_TEXT_SIZE];

	if (at_ms == 0)
		return json_null();
	clock_text(text, at_ms);
	return json_string(text);
}

static enum err_code
column_value(const struct rows *r, int column, const char *type, json_t **out,
    struct err *e)
{
	if (strcmp(type, ":time") == 0)
		*out = time_value(rows_int(r, column));
	else if (rows_null(r, column))
		*out = json_null();
	else if (strcmp(type, ":json") == 0)
		return rows_json(r, column, out, e);
	else if (strcmp(type, ":bool") == 0)
		*out = json_boolean(rows_int(r, column) != 0);
	else if (sqlite3_column_type(r->statement, column) == SQLITE_INTEGER)
		*out = json_integer(rows_int(r, column));
	else
		*out = json_string(rows_text(r, column));
	if (*out == NULL)
		return err_set(e, ERR_CORRUPT, "%s: a text is not UTF-8",
		    r->store->path);
	return ERR_OK;
}

enum err_code
rows_object(const struct rows *r, json_t **out, struct err *e)
{
	int count = sqlite3_column_count(r->statement);
	json_t *object = json_object();

	for (int i = 0; i < count; i++) {
		const char *name = sqlite3_column_name(r->statement, i);
		size_t len = strcspn(name, ":");
		AUTO_STR key = mem_strndup(name, len);
		json_t *value = NULL;
		enum err_code code = column_value(r, i, name + len, &value, e);

		if (code != ERR_OK) {
			json_decref(object);
			return code;
		}
		json_object_set_new(object, key, value);
	}
	*out = object;
	return ERR_OK;
}

enum err_code
sql_list(struct store *s, struct err *e, json_t **out, const char *sql,
    const char *types, ...)
{
	AUTO_ROWS r = { 0 };
	json_t *list = json_array();
	enum err_code code;
	bool more = true;
	va_list ap;

	va_start(ap, types);
	code = rows_vopen(&r, s, e, sql, types, ap);
	va_end(ap);
	while (code == ERR_OK) {
		json_t *row;

		code = rows_next(&r, &more, e);
		if (code != ERR_OK || !more)
			break;
		code = rows_object(&r, &row, e);
		if (code == ERR_OK)
			json_array_append_new(list, row);
	}
	if (code != ERR_OK) {
		json_decref(list);
		return code;
	}
	*out = list;
	return ERR_OK;
}
