/* What is kept no longer: operators ask for it, the pipeline has it done. */

#include <string.h>

#include "clusters/ledger_action.h"
#include "clusters/ledger_message.h"
#include "clusters/payload.h"
#include "clusters/store_gc.h"
#include "core/clock.h"

static json_t *
waste_json(const struct store_waste *w)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "artifacts",
	    (json_int_t)w->artifacts, "reports", (json_int_t)w->reports,
	    "report_bytes", (json_int_t)w->report_bytes, "operations",
	    (json_int_t)w->operations, "engines", (json_int_t)w->engines);
}

/* Engines come and go by themselves: that is no event. */
static enum err_code
note(struct store *s, const struct store_waste *w, const json_t *detail,
    struct err *e)
{
	if (w->artifacts == 0 && w->reports == 0 && w->operations == 0)
		return ERR_OK;
	return store_add_event(s,
	    &(struct store_event){ "edict", "", "collect", "store", detail },
	    e);
}

/* What is kept says the configuration, not who asks. */
enum err_code
ledger_collect(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	struct store_waste waste;
	AUTO_JSON detail = NULL;
	bool more;

	if (json_object_size(payload) != 0)
		return err_set(e, ERR_INVALID, "collect: takes nothing");
	TRY(store_gc(c->store, &c->keep, clock_now_ms(), &waste, &more, e));
	detail = waste_json(&waste);
	TRY(note(c->store, &waste, detail, e));
	*reply = json_copy(detail);
	(void)json_object_set_new(*reply, "more", json_boolean(more));
	return ERR_OK;
}

enum err_code
ledger_gc(struct action *a, struct err *e)
{
	struct store_operation_row row = { 0 };
	char repository[STORE_NAME_SIZE];
	int dry_run = 0;

	TRY(action_fields(a, e, "{s:s,s:s,s:s,s?b,s?s !}", "token", &a->token,
	    "peer", &a->peer, "action", &a->name, "dry_run", &dry_run, "reason",
	    &a->reason));
	TRY(action_check_reason(a, false, e));
	TRY(store_any_repository(a->store, repository, e));
	row.repository = repository;
	row.to = dry_run ? "dry_run" : NULL;
	return action_add_operation(a, &row, "store", e);
}
