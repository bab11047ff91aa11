#include "clusters/cluster_operation.h"

#include <string.h>

#include "clusters/cluster_key.h"
#include "clusters/payload.h"
#include "clusters/store_set.h"
#include "clusters/store_variant.h"
#include "core/log.h"
#include "core/mem.h"

/* ---- one rollback ---- */

/* What was wanted in a part of the transaction that is undone. */
static enum err_code
want_again(struct store *s, const json_t *wanted, int64_t now_ms, struct err *e)
{
	size_t i;
	json_t *set;

	json_array_foreach(wanted, i, set)
		TRY(store_want_set(s, payload_text(set, "digest"),
		    json_object_get(set, "members"), now_ms, e));
	return ERR_OK;
}

enum err_code
cluster_rollback_or_ask(struct store *s, const struct cluster_change *c,
    const char *commit, bool *waits, struct err *e)
{
	AUTO_JSON wanted = NULL;
	struct err undone;
	enum err_code code;

	TRY(store_savepoint(s, e));
	code = cluster_rollback(s, c, commit, e);
	if (code == ERR_OK)
		return store_savepoint_keep(s, e);
	*waits = code == ERR_UNAVAILABLE &&
	    store_sets_wanted(s, &wanted, &undone) == ERR_OK &&
	    json_array_size(wanted) > 0;
	if (store_savepoint_undo(s, &undone) != ERR_OK) {
		*e = undone;
		return undone.code;
	}
	return *waits ? want_again(s, wanted, c->who.at_ms, e) : code;
}

/* ---- an operation ---- */

static enum err_code
end_operation(struct store *s, const struct cluster_run *run,
    const struct store_operation_full *o, const struct cluster_change *c,
    enum err_code how, const struct err *why, struct err *e)
{
	json_t *error = NULL;
	json_t *assignments = NULL;
	enum err_code code = ERR_OK;

	if (how != ERR_OK)
		error = json_pack("{s:s, s:s}", "code", err_name(how),
		    "message", why->text);
	else
		code = cluster_assignments(s, c, &assignments, e);
	if (code == ERR_OK)
		code = store_progress_operation(s, o->op.id,
		    &(struct store_progress){
			.state = how == ERR_OK ? "done" : "failed",
			.resolved = run->commit,
			.error = error,
			.assignments = assignments,
			.finished_ms = run->now_ms,
		    },
		    e);
	json_decref(error);
	json_decref(assignments);
	return code;
}

/* The operator's trouble ends the operation; any other undoes it all. */
static bool
is_refusal(enum err_code code)
{
	return code == ERR_NOT_FOUND || code == ERR_CONFLICT ||
	    code == ERR_INVALID;
}

/* All clusters or none, and the publication stands either way. after_event 0:
 * nobody knows when it was asked for. */
static enum err_code
try_rollback(struct store *s, const struct cluster_change *c,
    int64_t after_event, const char *commit, bool *waits, struct err *e)
{
	char content[STORE_DIGEST_SIZE];
	size_t i;
	json_t *name;

	json_array_foreach(c->bundles, i, name)
		TRY(store_revision_content(s, json_string_value(name), commit,
		    content, e));
	if (after_event != 0)
		TRY(cluster_check_undecided(s, c, after_event, e));
	return cluster_rollback_or_ask(s, c, commit, waits, e);
}

static enum err_code
run_operation(struct store *s, const struct cluster_run *run,
    const struct store_operation_full *o, struct err *e)
{
	AUTO_JSON one = json_pack("[s]", o->op.bundle);
	AUTO_JSON refused = run->trial ? json_array() : NULL;
	struct cluster_change c = {
		.bundles = o->bundles != NULL ? o->bundles : one,
		.clusters = o->clusters,
		.expect = o->expect,
		.until_next = o->until_next,
		.force = o->op.forced,
		.who = { o->who, run->now_ms, o->reason },
		.peer = "",
		.refused = refused,
	};
	struct err why = { 0 };
	bool ready, waits = false;
	enum err_code code;

	if (strcmp(o->repository, run->repository) != 0)
		return err_set(e, ERR_INVALID,
		    "operation %lld is one of repository %s",
		    (long long)o->op.id, o->repository);
	if (strcmp(o->op.kind, "rollback") != 0 ||
	    (strcmp(o->op.state, "pending") != 0 &&
		strcmp(o->op.state, "running") != 0))
		return ERR_OK; /* another kind, or sent twice */
	code = cluster_key_ready(s, &c, run->commit, &ready, &why);
	if (code == ERR_OK && !ready)
		return store_operation_unsigned(s, o->op.id, run->commit, e);
	if (code == ERR_OK)
		code = try_rollback(s, &c, o->after_event, run->commit, &waits,
		    &why);
	if (code != ERR_OK && !is_refusal(code))
		return err_set(e, code, "%s", why.text);
	if (code == ERR_OK && waits)
		return store_operation_waits(s, o->op.id, run->commit, e);
	return end_operation(s, run, o, &c, code, &why, e);
}

enum err_code
cluster_run_operation(struct store *s, int64_t id,
    const struct cluster_run *run, struct err *e)
{
	struct store_operation_full o;
	enum err_code code;

	TRY(store_get_operation(s, id, &o, e));
	code = run_operation(s, run, &o, e);
	store_operation_full_clear(&o);
	return code;
}

enum err_code
cluster_operation(struct store *s, int64_t id, int64_t now_ms, struct err *e)
{
	struct store_operation_full o;
	enum err_code code;

	TRY(store_get_operation(s, id, &o, e));
	code = run_operation(s,
	    &(struct cluster_run){ o.repository, o.op.resolved, now_ms, false },
	    &o, e);
	store_operation_full_clear(&o);
	return code;
}

enum err_code
cluster_run_waiting(struct store *s, int64_t now_ms, struct err *e)
{
	int64_t id = 0;

	for (;;) {
		enum err_code code = store_waiting_operation(s, id, &id, e);

		if (code == ERR_NOT_FOUND)
			return ERR_OK;
		if (code != ERR_OK)
			return code;
		TRY(cluster_operation(s, id, now_ms, e));
	}
}
