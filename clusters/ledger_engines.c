/* What http remembers of engines. It is history only: nothing is decided by it,
 * and it is the first to stop when there is little room on the disk. */

#include <string.h>

#include "clusters/engines.h"
#include "clusters/ledger_message.h"
#include "clusters/payload.h"
#include "clusters/reserve.h"
#include "core/spec.h"

static enum err_code
read_row(const json_t *item, struct store_engine_row *out, struct err *e)
{
	json_error_t why;
	json_int_t seen_ms;
	json_t *facts;

	if (json_unpack_ex(payload_unconst(item), &why, 0,
		"{s:s, s:s, s:I, s:o !}", "cluster", &out->cluster, "name",
		&out->name, "seen_ms", &seen_ms, "facts", &facts) != 0)
		return payload_error(&why, "engine", e);
	out->facts = facts;
	out->seen_ms = seen_ms;
	if (!spec_is_name(out->cluster) || !engines_is_name(out->name) ||
	    seen_ms < 0 || !json_is_object(facts))
		return err_set(e, ERR_INVALID, "engine: bad name or facts");
	if (json_dumpb(facts, NULL, 0, JSON_COMPACT) > LEDGER_ENGINE_FACTS_MAX)
		return err_set(e, ERR_LIMIT,
		    "engine: facts of more than %d bytes",
		    LEDGER_ENGINE_FACTS_MAX);
	return ERR_OK;
}

/* One too many is left out, the others are not. */
static enum err_code
put_row(struct ledger_context *c, const struct store_engine_row *row,
    int64_t *left, struct err *e)
{
	bool known;

	TRY(store_has_engine(c->store, row->cluster, row->name, &known, e));
	if (!known && *left <= 0)
		return ERR_OK;
	*left -= known ? 0 : 1;
	return store_put_engine(c->store, row, e);
}

enum err_code
ledger_engines(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	json_int_t forget_ms;
	json_error_t why;
	json_t *list, *item;
	int64_t count;
	size_t i;

	(void)reply;
	if (json_unpack_ex(payload_unconst(payload), &why, 0, "{s:I, s:o !}",
		"forget_before_ms", &forget_ms, "engines", &list) != 0)
		return payload_error(&why, "engines", e);
	if (!json_is_array(list) || json_array_size(list) > LEDGER_ENGINES_MAX)
		return err_set(e, ERR_LIMIT,
		    "engines: has to be a list of at most %d",
		    LEDGER_ENGINES_MAX);
	if (c->folder != NULL)
		TRY(reserve_check(c->folder, RESERVE_HISTORY, e));
	TRY(store_forget_engines(c->store, forget_ms, e));
	TRY(store_count_engines(c->store, &count, e));
	count = c->engines_max - count;
	json_array_foreach(list, i, item) {
		struct store_engine_row row;

		TRY(read_row(item, &row, e));
		TRY(put_row(c, &row, &count, e));
	}
	return ERR_OK;
}
