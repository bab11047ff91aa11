#include "clusters/store_copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_audit.h"
#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

enum err_code
store_copy(const char *data_dir, const char *to, struct err *e)
{
	struct store *opened = NULL;

	TRY(store_open_copy(&opened, data_dir, e));
	AUTO(store, s) = opened;
	if (sql_run(s, e, "VACUUM INTO ?1", "s", to) != ERR_OK)
		return err_add(e, "copy of the database");
	return ERR_OK;
}

/* ---- files ---- */

static int
compare_files(const void *a, const void *b)
{
	const struct store_file *x = a;
	const struct store_file *y = b;

	if (x->is_content != y->is_content)
		return x->is_content ? 1 : -1;
	return strcmp(x->sha256, y->sha256);
}

static enum err_code
take_files(struct store_files *out, struct rows *r, struct err *e)
{
	for (;;) {
		struct store_file *f;
		bool more;

		TRY(rows_next(r, &more, e));
		if (!more)
			return ERR_OK;
		out->items =
		    mem_grow(out->items, out->count + 1, sizeof *out->items);
		f = &out->items[out->count++];
		rows_copy(r, 0, f->sha256, sizeof f->sha256);
		f->is_content = rows_int(r, 1) != 0;
	}
}

enum err_code
store_take_files(struct rows *r, struct store_files *out, struct err *e)
{
	struct store_files all = { 0 };
	enum err_code code = take_files(&all, r, e);

	if (code != ERR_OK) {
		store_files_clear(&all);
		return code;
	}
	if (all.count > 0)
		qsort(all.items, all.count, sizeof *all.items, compare_files);
	*out = all;
	return ERR_OK;
}

enum err_code
store_files(struct store *s, struct store_files *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_open(&r, s, e,
	    "SELECT sha256, 0 FROM artifacts"
	    " UNION SELECT content_sha256, 1 FROM artifacts"
	    " UNION SELECT sha256, 0 FROM discoveries"
	    " UNION SELECT content_sha256, 1 FROM discoveries",
	    ""));
	return store_take_files(&r, out, e);
}

bool
store_files_has(const struct store_files *f, const char *sha256,
    bool is_content)
{
	struct store_file key = { .is_content = is_content };

	(void)snprintf(key.sha256, sizeof key.sha256, "%s", sha256);
	return f->count > 0 &&
	    bsearch(&key, f->items, f->count, sizeof key, compare_files) !=
	    NULL;
}

void
store_files_clear(struct store_files *f)
{
	mem_free(f->items);
	*f = (struct store_files){ 0 };
}

/* ---- serials ---- */

enum err_code
store_serial_floor(struct store *s, int64_t *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT CAST(value AS INTEGER) FROM meta"
	    " WHERE name = 'serial_floor'",
	    "");

	*out = 0;
	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code == ERR_OK)
		*out = rows_int(&r, 0);
	return code;
}

static enum err_code
highest_serial(struct store *s, int64_t *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	int64_t floor;

	TRY(store_serial_floor(s, &floor, e));
	TRY(rows_one(&r, s, e,
	    "SELECT coalesce(max(serial), 0) FROM"
	    " (SELECT serial FROM assignments UNION ALL"
	    "  SELECT serial FROM removed) AS both_kinds",
	    ""));
	*out = rows_int(&r, 0) > floor ? rows_int(&r, 0) : floor;
	return ERR_OK;
}

enum err_code
store_facts(struct store *s, struct store_facts *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	*out = (struct store_facts){ .schema = STORE_VERSION };
	TRY(store_audit_head(s, &out->head, e));
	TRY(highest_serial(s, &out->serial, e));
	TRY(rows_one(&r, s, e,
	    "SELECT (SELECT count(*) FROM assignments),"
	    " (SELECT count(*) FROM artifacts)",
	    ""));
	out->assignments = rows_int(&r, 0);
	out->artifacts = rows_int(&r, 1);
	return ERR_OK;
}

/* ---- after a restore ---- */

/* Nobody changes one assignment a million times between two backups. */
static enum err_code
begin_epoch(struct store *s, int64_t *epoch, struct err *e)
{
	AUTO_STR text = NULL;
	int64_t highest;

	TRY(highest_serial(s, &highest, e));
	*epoch = (highest / STORE_EPOCH + 1) * STORE_EPOCH;
	TRY(sql_run(s, e, "UPDATE assignments SET serial = ?1 + serial % ?2",
	    "ii", *epoch, (int64_t)STORE_EPOCH));
	text = mem_printf("%lld", (long long)*epoch);
	return sql_run(s, e,
	    "INSERT INTO meta (name, value) VALUES ('serial_floor', ?1)"
	    " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
	    "s", text);
}

/* What was under way then was done, or is not wanted any more. */
static enum err_code
end_operations(struct store *s, struct err *e)
{
	AUTO_JSON error = json_pack("{s:s, s:s}", "code", "unavailable",
	    "message", "the server was restored from a backup; ask again");

	return sql_run(s, e,
	    "UPDATE operations SET state = 'failed', error = ?1,"
	    " finished_ms = ?2 WHERE state IN ('pending', 'running')",
	    "ji", error, clock_now_ms());
}

static enum err_code
note(struct store *s, const struct store_restore *r, int64_t epoch,
    struct err *e)
{
	AUTO_JSON detail = json_pack("{s:s, s:s, s:I}", "backup_at",
	    r->backup_at, "manifest_sha256", r->manifest_sha256, "epoch",
	    (json_int_t)epoch);

	return store_add_event(s,
	    &(struct store_event){ r->who, "", "restore", "store", detail }, e);
}

/* Ours has tables and indexes; what runs by itself was put in. */
static enum err_code
check_schema(struct store *s, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT name FROM sqlite_master"
	    " WHERE type NOT IN ('table', 'index') LIMIT 1",
	    "");

	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code != ERR_OK)
		return code;
	return err_set(e, ERR_CORRUPT,
	    "the database holds %.64s, which edict did not put there",
	    rows_text(&r, 0));
}

static enum err_code
restore(struct store *s, const struct store_restore *r, int64_t *epoch,
    struct err *e)
{
	TRY(begin_epoch(s, epoch, e));
	TRY(end_operations(s, e));
	return note(s, r, *epoch, e);
}

enum err_code
store_restore(const char *data_dir, const struct store_restore *r,
    int64_t *epoch, struct err *e)
{
	struct store *opened = NULL;
	enum err_code code;

	TRY(store_open(&opened, data_dir, e));
	AUTO(store, s) = opened;
	TRY(check_schema(s, e));
	TRY(store_verify_audit(s, e));
	TRY(store_begin(s, e));
	code = restore(s, r, epoch, e);
	if (code == ERR_OK)
		return store_commit(s, e);
	store_rollback(s);
	return code;
}
