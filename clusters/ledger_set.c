/* Sets of bundles that are loaded together: what publishing would need to know,
 * what the engine said, what engines acknowledged, and what time brings. */

#include <stdio.h>
#include <string.h>

#include "clusters/cluster_operation.h"
#include "clusters/ledger_message.h"
#include "clusters/payload.h"
#include "clusters/store_set.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/spec.h"
#include "signing/digest.h"

/* All of it is undone again. */
static enum err_code
try_publication(struct store *s, const json_t *publication, json_t **sets,
    struct err *e)
{
	struct err undone;
	enum err_code code;

	TRY(store_savepoint(s, e));
	code = store_forget_wanted(s, e);
	if (code == ERR_OK)
		code = cluster_publish_trial(s, publication, e);
	if (code == ERR_OK)
		code = store_sets_wanted(s, sets, e);
	if (store_savepoint_undo(s, &undone) == ERR_OK)
		return code;
	*e = undone;
	return undone.code;
}

enum err_code
ledger_sets(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	const char *engine;
	const json_t *publication;
	json_t *sets = NULL;
	json_error_t why;
	enum err_code code;

	if (json_unpack_ex(payload_unconst(payload), &why, 0, "{s:s, s:o !}",
		"engine", &engine, "publication", &publication) != 0)
		return payload_error(&why, "sets", e);
	if (!digest_is_hex(engine))
		return err_set(e, ERR_INVALID, "sets: bad engine");
	TRY(store_set_engine(c->store, engine, e));
	code = try_publication(c->store, publication, &sets, e);
	if (code != ERR_OK)
		json_decref(sets);
	else
		*reply = json_pack("{s:o}", "sets", sets);
	return code;
}

struct answer {
	const char *digest, *engine, *state, *reason;
};

static enum err_code
read_answer(struct answer *a, const json_t *payload, struct err *e)
{
	json_error_t why;

	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s, s:s, s:s, s?s !}", "digest", &a->digest, "engine",
		&a->engine, "state", &a->state, "reason", &a->reason) != 0)
		return payload_error(&why, "set", e);
	if (!digest_is_hex(a->digest))
		return err_set(e, ERR_INVALID, "set: bad digest");
	if (a->reason != NULL && strlen(a->reason) > LEDGER_TEXT_MAX)
		return err_set(e, ERR_LIMIT, "set: reason longer than %d bytes",
		    (int)LEDGER_TEXT_MAX);
	return ERR_OK;
}

static enum err_code
audit_refusal(struct store *s, const struct answer *a, struct err *e)
{
	json_t *detail =
	    json_pack("{s:s?, s:s}", "reason", a->reason, "engine", a->engine);
	enum err_code code = store_add_event(s,
	    &(struct store_event){ "pipeline", "", "set.refused", a->digest,
		detail },
	    e);

	json_decref(detail);
	return code;
}

/* What the engine said is kept; what waited for it goes on. */
static enum err_code
take_answer(struct store *s, const struct answer *a, struct err *e)
{
	bool refused = strcmp(a->state, "refused") == 0;
	int64_t now = clock_now_ms();

	if (!refused && strcmp(a->state, "loads") != 0)
		return err_set(e, ERR_INVALID, "set: unknown state");
	if (!digest_is_hex(a->engine))
		return err_set(e, ERR_INVALID, "set: bad engine");
	TRY(store_set_engine(s, a->engine, e));
	TRY(store_put_set(s, a->digest, a->engine,
	    refused ? STORE_SET_REFUSED : STORE_SET_LOADS, a->reason, now, e));
	return refused ? audit_refusal(s, a, e) : ERR_OK;
}

/* Asked for, and not by a publication that is to come: somebody waits. */
static enum err_code
is_wanted(struct store *s, const char *digest, bool *out, struct err *e)
{
	enum store_set_asked asked;
	AUTO_STR reason = NULL;
	int64_t at_ms;

	TRY(store_set_asked(s, digest, &asked, &at_ms, &reason, e));
	*out = asked != STORE_SET_NOT_ASKED;
	return ERR_OK;
}

static enum err_code
note_progress(struct store *s, const struct answer *a, struct err *e)
{
	bool running = strcmp(a->state, "running") == 0;
	enum err_code code = store_set_progress(s, a->digest,
	    running ? STORE_SET_RUNNING : STORE_SET_COULD_NOT_RUN, a->reason,
	    clock_now_ms(), e);

	return code == ERR_NOT_FOUND ? ERR_OK : code;
}

enum err_code
ledger_set(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	struct store *s = c->store;
	struct answer a = { 0 };
	bool wanted;

	(void)reply;
	TRY(read_answer(&a, payload, e));
	if (strcmp(a.state, "running") == 0)
		return note_progress(s, &a, e);
	TRY(is_wanted(s, a.digest, &wanted, e));
	if (strcmp(a.state, "could_not_run") == 0)
		TRY(note_progress(s, &a, e));
	else
		TRY(take_answer(s, &a, e));
	if (!wanted)
		return ERR_OK;
	TRY(cluster_follow_waiting(s, clock_now_ms(), e));
	return cluster_run_waiting(s, clock_now_ms(), e);
}

enum err_code
ledger_acked(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	const char *cluster, *bundle;
	json_int_t serial;
	json_error_t why;
	int64_t before;

	(void)reply;
	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s, s:s, s:I !}", "cluster", &cluster, "bundle", &bundle,
		"serial", &serial) != 0)
		return payload_error(&why, "acked", e);
	if (!spec_is_name(cluster) || !spec_is_name(bundle))
		return err_set(e, ERR_INVALID, "acked: bad name");
	before = store_changes(c->store);
	TRY(store_free_roots(c->store, cluster, bundle, serial, e));
	if (store_changes(c->store) == before)
		return ERR_OK;
	log_info("roots.free", "cluster=%s bundle=%s serial=%" PRId64, cluster,
	    bundle, (int64_t)serial);
	return cluster_follow_waiting(c->store, clock_now_ms(), e);
}

/* Roots that engines did not let go of in time; operations that waited for the
 * engine long enough. */
enum err_code
ledger_tick(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	int64_t now = clock_now_ms();
	int64_t before = store_changes(c->store);

	(void)payload;
	(void)reply;
	TRY(store_free_roots_before(c->store, now - c->handover_ms, e));
	if (store_changes(c->store) != before) {
		log_warn("roots.free",
		    "waited=%" PRId64 "ms: not all engines have said that "
		    "they let go",
		    c->handover_ms);
		TRY(cluster_follow_waiting(c->store, now, e));
	}
	return cluster_run_waiting(c->store, now, e);
}
