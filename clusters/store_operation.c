/* Operations: what an operator asked for that takes a while. */

#include <string.h>

#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/mem.h"

enum err_code
store_add_operation(struct store *s, const struct store_operation_row *o,
    int64_t *id, struct err *e)
{
	return sql_returning(s, e, id,
	    "INSERT INTO operations (id, kind, state, repository, bundle,"
	    " target, resolved, clusters, expect, who, reason, created_ms,"
	    " bundles, until_next, forced, after_event)"
	    " VALUES ((SELECT coalesce(max(id), 0) + 1 FROM operations),"
	    " ?1,'pending',?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,"
	    " (SELECT coalesce(max(seq), 0) FROM audit)) RETURNING id",
	    "ssosojjssijbb", o->kind, o->repository, o->bundle, o->to,
	    o->resolved, o->clusters, o->expect, o->who, o->reason,
	    o->created_ms, o->bundles, o->until_next, o->forced);
}

enum err_code
store_open_operation(struct store *s, const struct store_operation_row *o,
    int64_t *id, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT id FROM operations WHERE kind = ?1 AND repository = ?2"
	    " AND coalesce(target, '') = coalesce(?3, '')"
	    " AND (kind <> 'accept' OR coalesce(resolved, '') ="
	    "  coalesce(?4, ''))"
	    " AND state IN ('pending', 'running') ORDER BY id LIMIT 1",
	    "ssss", o->kind, o->repository, o->to, o->resolved);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "no such operation is open");
	if (code != ERR_OK)
		return code;
	*id = rows_int(&r, 0);
	return ERR_OK;
}

static void
take_operation(const struct rows *r, struct store_operation *o)
{
	*o = (struct store_operation){ .id = rows_int(r, 0) };
	rows_copy(r, 1, o->kind, sizeof o->kind);
	rows_copy(r, 2, o->state, sizeof o->state);
	rows_copy(r, 3, o->bundle, sizeof o->bundle);
	o->to = rows_dup(r, 4);
	rows_copy(r, 5, o->resolved, sizeof o->resolved);
	o->forced = rows_int(r, 6) != 0;
}

enum err_code
store_next_operation(struct store *s, const char *repository,
    struct store_operation *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT id, kind, state, bundle, target, resolved, forced"
	    " FROM operations"
	    " WHERE repository = ?1 AND state IN ('pending', 'running')"
	    " AND waits IS NULL AND kind <> 'gc' ORDER BY id LIMIT 1",
	    "s", repository);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "repository %s: no operation is open",
		    repository);
	if (code != ERR_OK)
		return code;
	take_operation(&r, out);
	return ERR_OK;
}

void
store_operation_clear(struct store_operation *o)
{
	mem_free(o->to);
	*o = (struct store_operation){ 0 };
}

enum err_code
store_get_operation(struct store *s, int64_t id,
    struct store_operation_full *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	struct store_operation_full o = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT id, kind, state, bundle, target, resolved, forced,"
	    " repository, who, reason, clusters, expect, after_event,"
	    " bundles, until_next FROM operations"
	    " WHERE id = ?1",
	    "i", id);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "there is no operation %lld",
		    (long long)id);
	if (code != ERR_OK)
		return code;
	TRY(rows_json(&r, 10, &o.clusters, e));
	code = rows_json(&r, 11, &o.expect, e);
	if (code == ERR_OK)
		code = rows_json(&r, 13, &o.bundles, e);
	if (code != ERR_OK) {
		store_operation_full_clear(&o);
		return code;
	}
	take_operation(&r, &o.op);
	rows_copy(&r, 7, o.repository, sizeof o.repository);
	o.who = rows_dup(&r, 8);
	o.reason = rows_dup(&r, 9);
	o.after_event = rows_int(&r, 12);
	o.until_next = rows_int(&r, 14) != 0;
	*out = o;
	return ERR_OK;
}

void
store_operation_full_clear(struct store_operation_full *o)
{
	store_operation_clear(&o->op);
	mem_free(o->who);
	mem_free(o->reason);
	json_decref(o->bundles);
	json_decref(o->clusters);
	json_decref(o->expect);
	*o = (struct store_operation_full){ 0 };
}

/* One that ended stays as it ended. */
enum err_code
store_progress_operation(struct store *s, int64_t id,
    const struct store_progress *p, struct err *e)
{
	return sql_run(s, e,
	    "UPDATE operations SET state = ?2,"
	    " progress = coalesce(?3, progress),"
	    " resolved = coalesce(?4, resolved), error = coalesce(?5, error),"
	    " assignments = coalesce(?6, assignments), finished_ms = ?7,"
	    " result = coalesce(?8, result)"
	    " WHERE id = ?1 AND state IN ('pending', 'running')",
	    "issojjij", id, p->state, p->progress, p->resolved, p->error,
	    p->assignments, p->finished_ms, p->result);
}
