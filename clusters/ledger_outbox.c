/* Events that are told to others: who is told, how far each is, and alarms that
 * began or ended. */

#include <string.h>

#include "clusters/ledger_message.h"
#include "clusters/payload.h"
#include "clusters/store_outbox.h"
#include "core/spec.h"

enum err_code
ledger_targets(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	json_t *names, *name;
	json_error_t why;
	size_t i;

	(void)reply;
	if (json_unpack_ex(payload_unconst(payload), &why, 0, "{s:o !}",
		"names", &names) != 0)
		return payload_error(&why, "targets", e);
	if (!json_is_array(names) ||
	    json_array_size(names) > OUTBOX_TARGETS_MAX)
		return err_set(e, ERR_INVALID,
		    "targets: has to be a list of at most %d",
		    (int)OUTBOX_TARGETS_MAX);
	json_array_foreach(names, i, name)
		if (!json_is_string(name) ||
		    !spec_is_name(json_string_value(name)))
			return err_set(e, ERR_INVALID, "targets: bad name");
	return outbox_set_targets(c->store, names, e);
}

struct delivery {
	const char *target, *error; /* NULL: it succeeds */
	json_int_t position, failing_ms, dropped;
};

static enum err_code
audit_dropped(struct store *s, const struct delivery *d, int64_t from,
    struct err *e)
{
	AUTO_JSON detail = json_pack("{s:I, s:I, s:I, s:s?}", "events",
	    d->dropped, "after", (json_int_t)from, "up_to", d->position,
	    "error", d->error);

	return store_add_event(s,
	    &(struct store_event){ "pipeline", "", "delivery.dropped",
		d->target, detail },
	    e);
}

/* The position only rises: what is sent twice changes nothing. */
enum err_code
ledger_delivery(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	struct outbox_target t;
	struct delivery d;
	json_error_t why;
	int64_t first, last, from;
	json_t *error;

	(void)reply;
	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s, s:I, s:I, s:I, s:o !}", "target", &d.target, "position",
		&d.position, "failing_ms", &d.failing_ms, "dropped", &d.dropped,
		"error", &error) != 0)
		return payload_error(&why, "delivery", e);
	d.error = json_string_value(error); /* or null */
	TRY(outbox_target(c->store, d.target, &t, e));
	TRY(outbox_range(c->store, &first, &last, e));
	if (d.position < t.position || d.position > last || d.dropped < 0 ||
	    d.failing_ms < 0)
		return err_set(e, ERR_INVALID, "delivery: out of range");
	from = t.position;
	t.failing_ms = d.failing_ms;
	t.error[0] = '\0';
	if (d.error != NULL)
		err_copy(t.error, sizeof t.error, d.error);
	if (d.position > from) {
		t.position = d.position;
		t.dropped += d.dropped;
	}
	TRY(outbox_put_target(c->store, d.target, &t, e));
	if (d.dropped == 0 || d.position == from)
		return ERR_OK;
	return audit_dropped(c->store, &d, from, e);
}

/* Who may tell which, and what their ends are called. */
static const struct {
	const char *kind, *ended;
	bool http;
} alarms[] = {
	{ "rejecting", "healed", true },
	{ "certificate.expiring", NULL, true },
	{ "configuration.refused", NULL, true },
	{ "configuration.failed", NULL, true },
	{ "fetch.stale", "fetch.fresh", false },
};

static enum err_code
set_alarms(struct ledger_context *c, const json_t *payload, bool http,
    struct err *e)
{
	const char *kind, *subject;
	json_t *all, *detail;
	json_error_t why;
	size_t i = 0;

	if (json_unpack_ex(payload_unconst(payload), &why, 0, "{s:s, s:o !}",
		"kind", &kind, "alarms", &all) != 0)
		return payload_error(&why, "alarms", e);
	while (i < sizeof alarms / sizeof *alarms &&
	    (strcmp(alarms[i].kind, kind) != 0 || alarms[i].http != http))
		i++;
	if (i == sizeof alarms / sizeof *alarms)
		return err_set(e, ERR_DENIED, "alarms: not of this kind");
	if (!json_is_object(all) || json_object_size(all) > OUTBOX_ALARMS_MAX)
		return err_set(e, ERR_LIMIT, "alarms: at most %d",
		    (int)OUTBOX_ALARMS_MAX);
	json_object_foreach(all, subject, detail)
		if (strlen(subject) > OUTBOX_TEXT_MAX ||
		    !json_is_object(detail) ||
		    json_dumpb(detail, NULL, 0, 0) > 2 * OUTBOX_TEXT_MAX)
			return err_set(e, ERR_LIMIT, "alarms: too long");
	return outbox_set_alarms(c->store, kind, alarms[i].ended, all, e);
}

enum err_code
ledger_alarms(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	(void)reply;
	return set_alarms(c, payload, false, e);
}

enum err_code
ledger_http_alarms(struct ledger_context *c, const json_t *payload,
    json_t **reply, struct err *e)
{
	(void)reply;
	return set_alarms(c, payload, true, e);
}
