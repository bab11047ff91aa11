#include <stdio.h>
#include <string.h>

#include "clusters/ledger.h"
#include "clusters/reserve.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/pipeline/judge.h"
#include "server/pipeline/worker.h"

enum { OPERATION_AGAIN_MS = 1000 };

static void
tell(struct worker *w, json_t *payload)
{
	struct err e = { 0 };

	/* Idempotent, and found again at a later look: a lost one is only
	 * carried out twice. Other work goes on meanwhile. */
	if (desk_tell(w->desk, LEDGER_OPERATION, payload, NULL, &e) == ERR_OK)
		return;
	log_warn("operation.report", "repo=%s error=\"%s\"", w->conf->name,
	    e.text);
	w->operations_ms = clock_mono_ms() + OPERATION_AGAIN_MS;
}

static void
tell_running(struct worker *w, int64_t id, const char *commit)
{
	AUTO_STR progress = mem_printf("testing and building %.8s", commit);

	tell(w,
	    json_pack("{s:I,s:s,s:s,s:s}", "id", (json_int_t)id, "state",
		"running", "progress", progress, "resolved", commit));
}

static void
tell_done(struct worker *w, int64_t id)
{
	tell(w, json_pack("{s:I,s:s}", "id", (json_int_t)id, "state", "done"));
}

static void
tell_failed(struct worker *w, int64_t id, const struct err *e)
{
	tell(w,
	    json_pack("{s:I,s:s,s:{s:s,s:s}}", "id", (json_int_t)id, "state",
		"failed", "error", "code", err_name(e->code), "message",
		e->text));
}

static enum err_code
resolve(struct worker *w, const struct store_operation *op,
    char out[TREE_ID_SIZE], struct err *e)
{
	if (*op->resolved != '\0') {
		(void)snprintf(out, TREE_ID_SIZE, "%s", op->resolved);
		return ERR_OK;
	}
	if (op->to == NULL)
		return err_set(e, ERR_INVALID, "no revision was named");
	if (repo_resolve(w->mirror, op->to, out, e) != ERR_OK)
		return err_add(e, "repository %s: %s", w->conf->name, op->to);
	return ERR_OK;
}

static enum err_code
judged(struct worker *w, const struct store_operation *op, bool again,
    struct err *e)
{
	char commit[TREE_ID_SIZE];
	char reason[GATE_REASON_MAX];
	struct judge_request r = { .commit = commit, .again = again };
	enum gate_state state;

	TRY(resolve(w, op, commit, e));
	TRY(worker_record_one(w, commit, e));
	tell_running(w, op->id, commit);
	if (strcmp(op->kind, "rollback") == 0)
		r.operation = op->id;
	r.force = op->forced;
	r.only = *op->bundle != '\0' ? op->bundle : NULL;
	TRY(judge_commit(w, &r, &state, reason, e));
	if (state != GATE_PASSED && r.operation != 0 && !r.force)
		return err_set(e, ERR_CONFLICT,
		    "commit %.12s of %s may not be served, its verdict is %s "
		    "(see: edict show %.12s; to test it again: edict retest "
		    "%.12s): %s",
		    commit, w->conf->name, gate_state_name(state), commit,
		    commit, reason);
	return ERR_OK;
}

/* It is told why at once, and asked again when there is room. */
static bool
is_refused(struct worker *w, const struct store_operation *op)
{
	struct err e = { 0 };

	if (reserve_check(w->desk->conf->data_dir, RESERVE_COMMITS, &e) ==
	    ERR_OK)
		return false;
	log_warn("operation.refused", "operation=%" PRId64 " error=\"%s\"",
	    op->id, e.text);
	tell_failed(w, op->id, &e);
	return true;
}

void
worker_operation(struct worker *w, const struct store_operation *op)
{
	struct err e = { 0 };
	enum err_code code;
	bool published = false;

	if (is_refused(w, op))
		return;
	log_info("operation.begin", "repo=%s operation=%" PRId64 " kind=%s",
	    w->conf->name, op->id, op->kind);
	if (strcmp(op->kind, "fetch") == 0) {
		code = worker_fetch(w, NULL, &e);
	} else if (strcmp(op->kind, "accept") == 0) {
		code = worker_accept(w, op->resolved, &e);
	} else {
		/* The publication that a rollback waited for ends it, in one
		 * transaction. */
		published = strcmp(op->kind, "rollback") == 0;
		code = judged(w, op, !published, &e);
	}
	if (code != ERR_OK && e.code == ERR_UNAVAILABLE &&
	    strcmp(op->kind, "fetch") != 0 &&
	    !atomic_load(&w->desk->stopping)) {
		/* A process was restarted meanwhile: it is begun again. */
		log_warn("operation.again",
		    "operation=%" PRId64 " error=\"%s\"", op->id, e.text);
		w->operations_ms = clock_mono_ms() + OPERATION_AGAIN_MS;
		return;
	}
	if (atomic_load(&w->desk->stopping))
		return;
	log_info("operation.end", "repo=%s operation=%" PRId64 " code=%s",
	    w->conf->name, op->id, err_name(code));
	if (code != ERR_OK)
		tell_failed(w, op->id, &e);
	else if (!published)
		tell_done(w, op->id);
}
