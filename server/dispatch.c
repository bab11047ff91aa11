#include "server/dispatch.h"

#include <string.h>

#include "core/clock.h"
#include "server/audit_api.h"
#include "server/bundle_api.h"
#include "server/bundles_api.h"
#include "server/clusters_api.h"
#include "server/commits_api.h"
#include "server/diff_api.h"
#include "server/engines_api.h"
#include "server/health_api.h"
#include "server/keys_api.h"
#include "server/metrics.h"
#include "server/operations_api.h"
#include "server/reply.h"
#include "server/repositories_api.h"
#include "server/request.h"
#include "server/status_api.h"

#define GET(pattern, right, handler, query)                 \
	{                                                   \
		"GET", pattern, right, handler, query, NULL \
	}
#define POST(pattern, action)                                                  \
	{                                                                      \
		"POST", pattern, ROUTE_ADMIN, operations_api_ask, NULL, action \
	}
#define REPORT(pattern, handler)                            \
	{                                                   \
		"POST", pattern, ROUTE_ENGINE, handler, NULL, NULL \
	}

/* clang-format off */
static const struct route routes[] = {
	GET("/bundles/{bundle}", ROUTE_ENGINE, bundle_api_get, NULL),
	GET("/clusters/{cluster}/bundles/{bundle}", ROUTE_ENGINE,
	    bundle_api_get_of_cluster, NULL),

	REPORT("/status", status_api_status),
	REPORT("/status/{partition}", status_api_status),
	REPORT("/clusters/{cluster}/status", status_api_status),
	REPORT("/clusters/{cluster}/status/{partition}", status_api_status),
	REPORT("/logs", status_api_logs),
	REPORT("/logs/{partition}", status_api_logs),
	REPORT("/clusters/{cluster}/logs", status_api_logs),
	REPORT("/clusters/{cluster}/logs/{partition}", status_api_logs),

	GET("/healthz", ROUTE_ANYONE, health_api_alive, NULL),
	GET("/readyz", ROUTE_ANYONE, health_api_ready, NULL),
	GET("/metrics", ROUTE_ANYONE, metrics_get, NULL),

	GET("/v1/repositories", ROUTE_ADMIN, repositories_api_list,
	    "limit next"),
	GET("/v1/repositories/{repo}", ROUTE_ADMIN, repositories_api_get, NULL),
	POST("/v1/repositories/{repo}/fetch", "fetch"),
	POST("/v1/repositories/{repo}/suspend", "suspend"),
	POST("/v1/repositories/{repo}/unsuspend", "unsuspend"),
	POST("/v1/repositories/{repo}/accept", "accept"),

	GET("/v1/commits", ROUTE_ADMIN, commits_api_list,
	    "repository limit next"),
	GET("/v1/commits/{rev}", ROUTE_ADMIN, commits_api_get, NULL),
	POST("/v1/commits/{rev}/retest", "retest"),

	GET("/v1/bundles", ROUTE_ADMIN, bundles_api_list, "limit next"),
	GET("/v1/bundles/{bundle}", ROUTE_ADMIN, bundles_api_get, NULL),
	GET("/v1/bundles/{bundle}/diff", ROUTE_ADMIN, diff_api_get, "from to"),
	GET("/v1/bundles/{bundle}/revisions", ROUTE_ADMIN,
	    bundles_api_revisions, "limit next"),
	GET("/v1/bundles/{bundle}/revisions/{rev}", ROUTE_ADMIN,
	    bundles_api_revision, NULL),
	GET("/v1/bundles/{bundle}/revisions/{rev}/bundle.tar.gz", ROUTE_ADMIN,
	    bundles_api_artifact, NULL),
	POST("/v1/bundles/{bundle}/rollback", "rollback"),
	POST("/v1/bundles/{bundle}/pin", "pin"),
	POST("/v1/bundles/{bundle}/resume", "resume"),

	GET("/v1/operations/{id}", ROUTE_ADMIN, operations_api_get, NULL),
	GET("/v1/clusters", ROUTE_ADMIN, clusters_api_list, "limit next"),
	GET("/v1/clusters/{cluster}", ROUTE_ADMIN, clusters_api_get, NULL),
	GET("/v1/clusters/{cluster}/engines", ROUTE_ADMIN, engines_api_list,
	    "limit next state"),
	GET("/v1/audit", ROUTE_ADMIN, audit_api_list, "limit next"),
	GET("/v1/keys", ROUTE_ADMIN, keys_api_list, NULL),
	{ 0 }
};
/* clang-format on */

/* Below /v1 nobody without the right credential learns what there is. */
static enum route_right
right_needed(const struct request *r, enum route_result found)
{
	if (found == ROUTE_FOUND)
		return r->match->route->right;
	return strncmp(r->url, "/v1/", 4) == 0 ? ROUTE_ADMIN : ROUTE_ANYONE;
}

static bool
anonymous_may(const struct request *r, enum route_right right)
{
	return right == ROUTE_ENGINE &&
	    r->service->conf->access.anonymous_cluster != NULL;
}

/* False when the reply is on its way already. */
static bool
admit(struct request *r, enum route_right right)
{
	const struct catalog *c = loop_catalog(r->loop);
	enum auth_result who;

	if (right == ROUTE_ANYONE)
		return true;
	if (c == NULL) {
		reply_fault(r, 503, "unavailable",
		    "the server has not read its database yet");
		return false;
	}
	who = auth_check(&r->token, c, request_header(r, "Authorization"),
	    clock_now_ms());
	if (who == AUTH_NONE && anonymous_may(r, right))
		return true;
	if (who != AUTH_KNOWN) {
		reply_fault(r, 401, "denied", "%s",
		    who == AUTH_NONE
			? "this needs a credential: Authorization: Bearer TOKEN"
			: "this credential is not valid");
		return false;
	}
	if (right == ROUTE_ADMIN && r->token->role != CATALOG_ADMIN) {
		reply_fault(r, 403, "denied",
		    "this needs an operator's credential");
		return false;
	}
	return true;
}

static enum MHD_Result
check_parameter(void *cls, enum MHD_ValueKind kind, const char *name,
    const char *value)
{
	struct request *r = cls;

	(void)kind;
	if (value == NULL || *value == '\0' ||
	    !route_takes(r->match->route, name))
		reply_fault(r, 400, "invalid",
		    "unknown or empty query parameter; this takes: %s",
		    r->match->route->query != NULL ? r->match->route->query
						   : "none");
	return r->queued ? MHD_NO : MHD_YES;
}

static bool
check_query(struct request *r)
{
	(void)MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND,
	    check_parameter, r);
	return !r->queued;
}

static void
reply_lost(struct request *r, enum route_result found)
{
	switch (found) {
	case ROUTE_OTHER_METHOD:
		reply_fault(r, 405, "invalid", "this takes %s only",
		    r->match->allow);
		return;
	case ROUTE_MALFORMED:
		reply_fault(r, 400, "invalid",
		    "the path is not properly encoded, or too long");
		return;
	case ROUTE_TOO_LONG:
		reply_fault(r, 414, "limit", "the path is longer than %d bytes",
		    ROUTE_PATH_MAX);
		return;
	default:
		reply_fault(r, 404, "not_found", "there is nothing here");
	}
}

static void
count(const struct request *r, enum route_right right)
{
	static const struct {
		unsigned int status;
		enum counter counter;
	} polls[] = {
		{ 200, COUNTER_POLLS_200 },
		{ 304, COUNTER_POLLS_304 },
		{ 401, COUNTER_POLLS_401 },
		{ 404, COUNTER_POLLS_404 },
		{ 503, COUNTER_POLLS_503 },
	};
	enum counter which = COUNTER_POLLS_OTHER;

	if (r->suspended || right == ROUTE_ANYONE ||
	    (right == ROUTE_ENGINE && strcmp(r->method, "POST") == 0))
		return;
	for (size_t i = 0; i < sizeof polls / sizeof *polls; i++)
		if (polls[i].status == r->status)
			which = polls[i].counter;
	counters_add(r->service->counters,
	    right == ROUTE_ADMIN ? COUNTER_API : which, 1);
}

void
dispatch(struct request *r)
{
	struct route_match match;
	enum route_result found = route_find(&match, routes, r->method, r->url);
	enum route_right right;

	r->match = &match;
	r->token = NULL;
	right = right_needed(r, found);
	if (admit(r, right)) {
		if (found != ROUTE_FOUND)
			reply_lost(r, found);
		else if (check_query(r))
			match.route->handler(r);
	}
	count(r, right);
	r->match = NULL;
}

/* Only engines of ours may send much, and only what is for us. */
size_t
dispatch_body_max(struct request *r)
{
	struct route_match match;
	const struct catalog *c = loop_catalog(r->loop);
	const struct catalog_token *token = NULL;
	enum auth_result who;

	if (strcmp(r->method, "POST") != 0 || c == NULL ||
	    route_find(&match, routes, r->method, r->url) != ROUTE_FOUND ||
	    match.route->right != ROUTE_ENGINE)
		return SERVICE_BODY_MAX;
	who = auth_check(&token, c, request_header(r, "Authorization"),
	    clock_now_ms());
	if (who == AUTH_KNOWN ||
	    (who == AUTH_NONE && anonymous_may(r, match.route->right)))
		return STATUS_BODY_MAX;
	return SERVICE_BODY_MAX;
}
