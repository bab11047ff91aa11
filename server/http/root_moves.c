#include "server/http/root_moves.h"

#include "clusters/ledger.h"
#include "clusters/payload.h"
#include "clusters/store_set.h"
#include "clusters/tally.h"
#include "core/clock.h"
#include "core/log.h"

/* Engines without a name: those that come with an ETag run something, and
 * whether each of them has something else by now cannot be told. */
struct nameless {
	uint64_t cluster, bundle;
	bool any;
};

static void
find_nameless(const struct engines_view *v, void *arg)
{
	struct nameless *n = arg;

	if ((v->engine->flags & ENGINES_ANONYMOUS) == 0 ||
	    v->engine->cluster != n->cluster)
		return;
	for (size_t i = 0; i < v->bundle_count; i++)
		if (v->bundles[i]->bundle == n->bundle &&
		    (v->bundles[i]->had > 0 || v->bundles[i]->had_other > 0))
			n->any = true;
}

static bool
has_nameless(struct engines *t, const char *cluster, const char *bundle)
{
	struct nameless n = { engines_hash(t, cluster), engines_hash(t, bundle),
		false };

	engines_each(t, find_nameless, &n);
	return n.any;
}

/* Have all of them what is assigned since the root was given up? */
static bool
have_let_go(struct engines *engines, const struct tally *t, const char *cluster,
    const char *bundle, int64_t serial)
{
	const struct tally_place *p = tally_find(t, cluster, bundle);

	if (p == NULL || p->entry->serial < serial)
		return false;
	return p->states[ENGINES_STATE_BEHIND] == 0 &&
	    p->states[ENGINES_STATE_REJECTING] == 0 &&
	    p->states[ENGINES_STATE_FRESH] == 0 &&
	    !has_nameless(engines, cluster, bundle);
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

			if (have_let_go(service->engines, t, cluster, bundle,
				serial))
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
