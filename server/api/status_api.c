#include "server/api/status_api.h"

#include <string.h>

#include "clusters/payload.h"
#include "core/clock.h"
#include "server/api/sight.h"
#include "server/api/status_read.h"
#include "server/http/engine.h"
#include "server/http/reply.h"

enum { STATUS_BUNDLES_MAX = 256 }; /* looked at, of one report */

/* ---- whose it is ---- */

/* For credentials of every cluster: the one where this engine polls, or the
 * only one there is. */
static const char *
likely_cluster(const struct request *r, const char *name)
{
	const struct catalog *c = loop_catalog(r->loop);
	const char *last = NULL;
	size_t clusters = 0;

	for (size_t i = 0; i < catalog_count(c); i++) {
		const char *cluster = catalog_at(c, i)->cluster;

		if ((last != NULL && strcmp(last, cluster) == 0) ||
		    (r->token != NULL && !sight_serves(r->token, cluster)))
			continue;
		last = cluster;
		clusters++;
		if (name != NULL &&
		    engines_seen(r->service->engines, cluster, name))
			return cluster;
	}
	return clusters == 1 ? last : NULL;
}

static bool
is_served(const struct request *r, const char *cluster)
{
	const struct catalog *c = loop_catalog(r->loop);

	for (size_t i = 0; i < catalog_count(c); i++)
		if (strcmp(catalog_at(c, i)->cluster, cluster) == 0)
			return true;
	return false;
}

/* NULL when the reply is on its way already. */
static const char *
cluster_of(struct request *r, const char *name)
{
	bool named = strncmp(r->match->route->pattern, "/clusters/", 10) == 0;
	const char *own = r->token == NULL
	    ? r->service->conf->access.anonymous_cluster
	    : r->token->cluster;
	const char *cluster = own;

	if (named)
		cluster = route_param(r->match, "cluster");
	else if (*own == '\0')
		cluster = likely_cluster(r, name);
	if (cluster != NULL && (*own == '\0' || strcmp(own, cluster) == 0) &&
	    (r->token == NULL || sight_serves(r->token, cluster)) &&
	    is_served(r, cluster))
		return cluster;
	reply_fault(r, 404, "not_found",
	    named ? "no such cluster is served to this credential"
		  : "this credential is of several clusters: send to "
		    "/clusters/CLUSTER%s",
	    named ? "" : r->url);
	return NULL;
}

static void
reply_done(struct request *r)
{
	struct MHD_Response *response =
	    MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

	if (response == NULL)
		return;
	(void)MHD_add_response_header(response, "Cache-Control", "no-store");
	/* The engine makes a new connection for each. */
	(void)MHD_add_response_header(response, "Connection", "close");
	(void)reply_secure(r->service, response);
	reply_with(r, 204, response);
	MHD_destroy_response(response);
}

/* NULL when the reply is on its way: what cannot be held is taken as read, for
 * an engine would send it again. */
static json_t *
read_json(struct request *r, const struct buf *body)
{
	struct err e = { 0 };
	json_t *j;
	enum err_code code = status_read_json(&j, body->data, body->len, &e);

	if (code == ERR_OK)
		return j;
	if (code == ERR_UNSUPPORTED) {
		counters_add(r->service->counters, COUNTER_REPORTS_UNREAD, 1);
		reply_done(r);
	} else {
		reply_error(r, &e);
	}
	return NULL;
}

static bool
has_body(struct request *r)
{
	if (r->body == NULL)
		reply_fault(r, 400, "invalid", "the body is not JSON");
	return r->body != NULL;
}

/* ---- status ---- */

static void
take_bundles(const struct request *r, const char *cluster, const char *name,
    const json_t *status)
{
	json_t *bundles = payload_unconst(json_object_get(status, "bundles"));
	size_t seen = 0;
	const char *bundle;
	json_t *state;

	json_object_foreach(bundles, bundle, state) {
		struct engines_report report;

		if (seen++ == STATUS_BUNDLES_MAX)
			return;
		if (catalog_find(loop_catalog(r->loop), cluster, bundle) ==
		    NULL)
			continue;
		status_error(&report, state, clock_now_ms());
		engines_take_report(r->service->engines, cluster, name, bundle,
		    &report);
	}
}

static void
take_status(const struct request *r, const char *cluster, const char *name,
    const json_t *status)
{
	struct engines_report plugins;

	if (!engines_take_version(r->service->engines, cluster, name,
		status_version(status), status_label(status)))
		return; /* it does not poll under this name */
	take_bundles(r, cluster, name, status);
	status_plugins(&plugins, status, clock_now_ms());
	engines_take_report(r->service->engines, cluster, name, NULL, &plugins);
}

void
status_api_status(struct request *r)
{
	const char *name = engine_name(r);
	const char *cluster = cluster_of(r, name);
	AUTO_JSON status = NULL;

	if (cluster == NULL || !has_body(r))
		return;
	status = read_json(r, r->body);
	if (status == NULL)
		return;
	if (!json_is_object(status)) {
		reply_fault(r, 400, "invalid", "a status is a JSON object");
		return;
	}
	counters_add(r->service->counters, COUNTER_STATUS_REPORTS, 1);
	if (name != NULL)
		take_status(r, cluster, name, status);
	reply_done(r);
}

/* ---- decision logs ---- */

static void
count_decisions(const struct request *r, const char *cluster,
    const json_t *list)
{
	uint64_t ok = 0, errors = 0;
	const json_t *decision;
	size_t i;

	json_array_foreach(list, i, decision) {
		const json_t *error = json_object_get(decision, "error");
		bool good = error == NULL || json_is_null(error);

		ok += good;
		errors += !good;
		engines_decided(r->service->engines, cluster,
		    status_revision(decision), good, !good);
	}
	counters_add(r->service->counters, COUNTER_LOG_UPLOADS, 1);
	counters_add(r->service->counters, COUNTER_DECISIONS_OK, ok);
	counters_add(r->service->counters, COUNTER_DECISIONS_ERROR, errors);
}

void
status_api_logs(struct request *r)
{
	const char *cluster = cluster_of(r, engine_name(r));
	AUTO_JSON list = NULL;

	if (cluster == NULL || !has_body(r))
		return;
	list = read_json(r, r->body);
	if (list == NULL)
		return;
	if (!json_is_array(list)) {
		reply_fault(r, 400, "invalid", "decisions are a JSON array");
		return;
	}
	count_decisions(r, cluster, list);
	reply_done(r);
}
