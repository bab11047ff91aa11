#include "server/root_moves.h"

#include "clusters/ledger.h"
#include "clusters/payload.h"
#include "clusters/store_set.h"
#include "clusters/tally.h"
#include "core/clock.h"
#include "core/log.h"

/* Have all of them what is assigned since the root was given up? */
static bool
have_let_go(const struct tally *t, const char *cluster, const char *bundle,
    int64_t serial)
{
	const struct tally_place *p = tally_find(t, cluster, bundle);

	if (p == NULL || p->entry->serial < serial || p->credentials > 0)
		return false;
	return p->states[ENGINES_STATE_BEHIND] == 0 &&
	    p->states[ENGINES_STATE_REJECTING] == 0 &&
	    p->states[ENGINES_STATE_FRESH] == 0;
}

static void
tell(struct service *service, const char *cluster, const char *bundle,
    int64_t serial)
{
	AUTO_JSON payload = json_pack("{s:s, s:s, s:I}", "cluster", cluster,
	    "bundle", bundle, "serial", (json_int_t)serial);
	struct err e = { 0 };

	if (channel_send(service->ledger, LEDGER_ACKED, 0,
		clock_mono_ms() + LEDGER_TIMEOUT_MS, payload, NULL, 0, 0,
		&e) != ERR_OK)
		log_debug("roots.untold", "error=\"%s\"", e.text);
}

static void
look(struct service *service, const json_t *given)
{
	struct catalog *c = service_catalog(service);
	json_t *row;
	size_t i;

	if (c == NULL)
		return;
	{
		AUTO(tally, t) = tally_new(service->engines, c, clock_now_ms(),
		    service->conf->engines.silent_after * 1000);

		json_array_foreach(given, i, row) {
			const char *cluster = payload_text(row, "cluster");
			const char *bundle = payload_text(row, "bundle");
			int64_t serial =
			    json_integer_value(json_object_get(row, "serial"));

			if (have_let_go(t, cluster, bundle, serial))
				tell(service, cluster, bundle, serial);
		}
	}
	catalog_unref(c);
}

void
root_moves_tick(struct root_moves *m, struct service *service, struct store *s)
{
	AUTO_JSON given = NULL;
	int64_t now = clock_mono_ms();

	if (s == NULL || now < m->next_ms)
		return;
	m->next_ms = now + ROOT_MOVES_LOOK_MS;
	if (store_given_roots(s, NULL, &given, NULL) != ERR_OK)
		return;
	m->waiting = json_array_size(given) > 0;
	if (m->waiting)
		look(service, given);
}
