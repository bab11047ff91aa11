#include "server/api/bundle_api.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/clock.h"
#include "server/api/sight.h"
#include "server/http/engine.h"
#include "server/http/poll.h"
#include "server/http/reply.h"

enum {
	JITTER_PERCENT = 10,
	/* Engines that have no name all wait but so long while some of them may
	 * have been told another configuration. At once, and they would ask
	 * without a pause. */
	SETTLE_PACE_MS = 1000,
	/* Who could not be noted asks again after so long, and is known then: a
	 * release would look unfinished for the whole of its wait. */
	MISSED_PACE_MS = 5000
};

/* The cluster whose engine this is; "": any. */
static const char *
own_cluster(const struct request *r)
{
	if (r->token == NULL)
		return r->service->conf->access.anonymous_cluster;
	return r->token->role == SCOPE_ADMIN ? "" : r->token->cluster;
}

bool
bundle_api_serves(const struct request *r, const char *cluster)
{
	if (r->token == NULL)
		return strcmp(cluster, own_cluster(r)) == 0;
	return sight_serves(r->token, cluster);
}

/* Without its cluster's name a bundle is found where only one has it, of those
 * whose engine this may be. */
static const struct catalog_entry *
only_of(const struct request *r, const struct catalog_entry *const *having,
    size_t count)
{
	const struct catalog_entry *found = NULL;

	for (size_t i = 0; i < count; i++) {
		if (!bundle_api_serves(r, having[i]->cluster))
			continue;
		if (found != NULL)
			return NULL;
		found = having[i];
	}
	return found;
}

/* What this credential may not read looks like what does not exist. */
static const struct catalog_entry *
find(const struct request *r, const char *cluster, const char *bundle)
{
	const struct catalog *c = loop_catalog(r->loop);
	const char *own = own_cluster(r);
	const struct catalog_entry *const *having;
	size_t clusters;

	if (cluster != NULL && !bundle_api_serves(r, cluster))
		return NULL;
	if (cluster != NULL || own[0] != '\0')
		return catalog_find(c, cluster != NULL ? cluster : own, bundle);
	having = catalog_having(c, bundle, &clusters);
	return only_of(r, having, clusters);
}

/* Assigned to whom this is, but its artifact cannot be read now. */
static bool
is_unreadable(const struct request *r, const char *cluster, const char *bundle)
{
	const struct catalog *c = loop_catalog(r->loop);
	const char *own = own_cluster(r);
	size_t clusters;

	if (catalog_missing(c) == 0)
		return false;
	if (cluster == NULL)
		cluster = own;
	if (*cluster != '\0' && !bundle_api_serves(r, cluster))
		return false;
	if (*cluster == '\0' && r->token != NULL &&
	    scope_is_limited(&r->token->scope))
		return false;
	/* Where several clusters have it, the question is at fault. */
	(void)catalog_having(c, bundle, &clusters);
	return (*cluster != '\0' || clusters == 0) &&
	    catalog_assigns(c, cluster, bundle);
}

static void
answer_none(struct request *r, const char *cluster, const char *bundle)
{
	if (is_unreadable(r, cluster, bundle))
		reply_fault(r, 503, "unavailable",
		    "the artifact of bundle %s cannot be read now; the "
		    "server's log says why",
		    bundle);
	else
		reply_fault(r, 404, "not_found",
		    "no bundle %s is assigned to this credential's cluster",
		    bundle);
}

void
bundle_api_answer(struct request *r, unsigned int status,
    const struct catalog_entry *entry)
{
	bool closing = r->closing || engine_is_opa(r);
	struct MHD_Response *response = loop_answer(r->loop, entry, closing);

	if (response == NULL)
		return; /* no memory: the connection ends */
	/* The 304 is made from the 200's response, so that its headers,
	 * Content-Length among them, are the same (RFC 9110 15.4.5). */
	reply_with(r, status, response);
	if (status != 200 || request_is_head(r))
		return;
	shelf_use(entry->item);
	r->bytes = entry->size;
	if (r->waited && r->turn_ms == 0 && entry->decided_ms >= r->held_ms)
		counters_observe(r->service->counters, HISTOGRAM_WAKE,
		    clock_now_ms() - entry->decided_ms);
	counters_add(r->service->counters, COUNTER_BYTES, entry->size);
}

static void
add(struct MHD_Response *response, const char *name, const char *value)
{
	(void)MHD_add_response_header(response, name, value);
}

/* With the ETag that the engine sent, whatever it was: it would take any other
 * for its own. */
static void
answer_own(struct request *r)
{
	struct MHD_Response *response =
	    MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

	if (response == NULL)
		return;
	add(response, "ETag", r->known[REQUEST_ETAG]);
	add(response, "Cache-Control", "private, no-cache");
	add(response, "Vary", "Authorization, X-Edict-Engine");
	if (r->closing || engine_is_opa(r))
		add(response, "Connection", "close");
	(void)reply_secure(r->service, response);
	reply_with(r, 304, response);
	MHD_destroy_response(response);
}

/* Spread a little, so that engines that came together part. */
static int64_t
hold_ms(const struct request *r, int64_t wait_s)
{
	int64_t max_s = r->service->conf->http.wait_max;
	int64_t ms = (wait_s < max_s ? wait_s : max_s) * 1000;
	int64_t expires = r->token != NULL ? r->token->expires_ms : 0;
	uint32_t chance;

	if (getrandom(&chance, sizeof chance, 0) != (ssize_t)sizeof chance)
		chance = 0;
	ms -= ms * JITTER_PERCENT / 100 * (chance % 1024) / 1024;
	if (expires != 0 && expires - clock_now_ms() < ms)
		ms = expires - clock_now_ms();
	return ms > 0 ? ms : 0;
}

/* An engine that got another configuration is not ready until it heard of its
 * bundles again. */
static bool
is_unsettled(const struct request *r, const struct catalog_entry *entry)
{
	const struct catalog_entry *d =
	    catalog_discovery(loop_catalog(r->loop), entry->cluster);
	int64_t age_ms;

	if (d == NULL)
		return false;
	age_ms = clock_now_ms() - d->at_ms;
	return age_ms >= 0 && age_ms < ENGINES_SETTLE_S * 1000;
}

static enum err_code
hold_for(struct request *r, const struct engine *engine,
    const struct catalog_entry *entry, int64_t wait_s, struct err *e)
{
	int64_t ms = hold_ms(r, wait_s);

	if (ms > MISSED_PACE_MS && engine->missed)
		ms = MISSED_PACE_MS;
	/* Which of those without a name heard of theirs, nobody knows. */
	if (ms > SETTLE_PACE_MS && engine->poll.anonymous &&
	    is_unsettled(r, entry))
		ms = SETTLE_PACE_MS;
	r->entry = entry;
	if (loop_hold(r->loop, r, ms, e) == ERR_OK) {
		counters_add(r->service->counters, COUNTER_HOLDS, 1);
		return ERR_OK;
	}
	r->entry = NULL;
	return e->code;
}

/* There is nothing for this engine now. A 304 at once would have it ask again
 * at once, so who is willing to wait waits, or hears that there is no room.
 * False: a 304 is due. */
static bool
hold(struct request *r, const struct engine *engine,
    const struct catalog_entry *entry)
{
	int64_t wait_s = poll_wait_s(r->known[REQUEST_PREFER]);
	struct err e = { 0 };

	if (wait_s == 0 || r->waited || loop_stopping(r->loop))
		return false;
	if (hold_for(r, engine, entry, wait_s, &e) == ERR_OK)
		return true;
	r->closing = true;
	reply_error(r, &e);
	return true;
}

/* A release that is spread: who is willing to wait waits for its turn, and asks
 * again when its patience ends before. Who cannot wait here gets it now. */
static bool
waits_for_turn(struct request *r, const struct engine *engine,
    const struct catalog_entry *entry)
{
	int64_t wait_s = poll_wait_s(r->known[REQUEST_PREFER]);
	struct err e = { 0 };

	if (wait_s == 0 || loop_is_turn(r->loop, r, entry))
		return false;
	if (r->waited) {
		answer_own(r);
		return true;
	}
	if (loop_stopping(r->loop) || is_unsettled(r, entry))
		return false;
	if (hold_for(r, engine, entry, wait_s, &e) == ERR_OK)
		return true;
	r->full = false;
	return false;
}

static void
answer_entry(struct request *r, const struct catalog_entry *entry)
{
	struct engine engine;
	bool wanted;

	engine_read(&engine, r, entry);
	wanted = engine_may_have(r, &engine);
	if (poll_has(r->known[REQUEST_ETAG], entry->etag)) {
		if (engine.settling || !hold(r, &engine, entry))
			bundle_api_answer(r, 304, entry);
	} else if (wanted && waits_for_turn(r, &engine, entry)) {
		return;
	} else if (wanted) {
		engine_sent(r, &engine);
		bundle_api_answer(r, 200, entry);
	} else if (!hold(r, &engine, entry)) {
		answer_own(r);
	}
}

static void
get(struct request *r, const char *cluster)
{
	const char *bundle = route_param(r->match, "bundle");
	const struct catalog_entry *entry = find(r, cluster, bundle);

	if (entry == NULL)
		answer_none(r, cluster, bundle);
	else
		answer_entry(r, entry);
}

void
bundle_api_get(struct request *r)
{
	get(r, NULL);
}

void
bundle_api_get_of_cluster(struct request *r)
{
	get(r, route_param(r->match, "cluster"));
}
