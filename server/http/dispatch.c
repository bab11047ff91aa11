#include "server/http/dispatch.h"

#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "core/mem.h"
#include "server/api/audit_api.h"
#include "server/api/bundle_api.h"
#include "server/api/bundles_api.h"
#include "server/api/clusters_api.h"
#include "server/api/commits_api.h"
#include "server/api/configuration_api.h"
#include "server/api/diff_api.h"
#include "server/api/discovery_api.h"
#include "server/api/engines_api.h"
#include "server/api/events_api.h"
#include "server/api/health_api.h"
#include "server/api/keys_api.h"
#include "server/api/metrics.h"
#include "server/api/operations_api.h"
#include "server/api/repositories_api.h"
#include "server/api/sight.h"
#include "server/api/status_api.h"
#include "server/api/tokens_api.h"
#include "server/http/access_log.h"
#include "server/http/certificate.h"
#include "server/http/count.h"
#include "server/http/inflate.h"
#include "server/http/jwt_known.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/routes.h"

#define ROW(id, method, pattern, right, handler, query, action) \
	{ method, pattern, ROUTE_##right, handler, query, action },

static const struct route routes[] = { ROUTES(ROW){ 0 } };

/* Below /v1 nobody without the right credential learns what there is. */
static enum route_right
right_needed(const struct request *r, enum route_result found)
{
	if (found == ROUTE_FOUND)
		return r->match->route->right;
	return strncmp(r->url, "/v1/", 4) == 0 ? ROUTE_VIEWER : ROUTE_ANYONE;
}

static void
forget_shown(struct request *r)
{
	mem_free(r->certificate);
	r->certificate = NULL;
	jwt_known_unref(r->jwt);
	r->jwt = NULL;
}

static enum auth_result
read_certificate(struct request *r, struct err *why)
{
	const struct spec_list *map = &r->service->conf->access.certificates;
	enum auth_result who;

	if (map->count == 0)
		return AUTH_NONE;
	r->certificate = mem_zalloc(sizeof *r->certificate);
	who = certificate_check(r->certificate, r->connection,
	    loop_access(r->loop)->tls, map, why);
	if (who == AUTH_WRONG)
		(void)err_add(why, "this certificate is not accepted");
	if (who == AUTH_KNOWN)
		r->token = &r->certificate->token;
	else
		forget_shown(r);
	return who;
}

static enum auth_result
read_jwt(struct request *r, const char *header)
{
	struct counters *counters = r->service->counters;
	bool asks, verified;
	enum auth_result who = jwt_known_check(&r->jwt, loop_jwts(r->loop),
	    loop_access(r->loop), header, clock_now_ms(), &asks, &verified);

	/* What the pipeline takes for a reason to ask the issuer. */
	counters_add(counters, COUNTER_JWT_UNKNOWN_KEYS, asks ? 1 : 0);
	counters_add(counters, COUNTER_JWT_VERIFIED, verified ? 1 : 0);
	counters_add(counters, COUNTER_JWT_REFUSED, who == AUTH_WRONG ? 1 : 0);
	if (who == AUTH_KNOWN)
		r->token = &r->jwt->token;
	return who;
}

static enum auth_result
read_token(struct request *r)
{
	const char *header = r->known[REQUEST_AUTHORIZATION];

	if (r->service->conf->access.jwt.count > 0 && jwt_known_is_like(header))
		return read_jwt(r, header);
	return auth_check(&r->token, loop_catalog(r->loop), header,
	    clock_now_ms());
}

/* A token counts for more than a certificate, which a client may show to all
 * servers. */
static enum auth_result
identify(struct request *r, struct err *why)
{
	enum auth_result who;

	forget_shown(r);
	who = read_token(r);
	if (who == AUTH_NONE)
		return read_certificate(r, why);
	if (who == AUTH_WRONG)
		(void)err_set(why, ERR_DENIED, "this credential is not valid");
	return who;
}

/* Of ours: that is a hash and a search, so it is done whatever comes from the
 * address, and a good one never suffers from its neighbours. A JWT would have to
 * be verified. */
static bool
has_good_token(const struct request *r)
{
	const char *header = r->known[REQUEST_AUTHORIZATION];
	const struct catalog_token *token;

	if (r->service->conf->access.jwt.count > 0 && jwt_known_is_like(header))
		return false;
	return auth_check(&token, loop_catalog(r->loop), header,
		   clock_now_ms()) == AUTH_KNOWN;
}

/* False: too many of its address were wrong, and so may be this one;
 * loop_refuse_try is to say so. */
static bool
try_credential(struct request *r, enum auth_result *who, struct err *why)
{
	if (!loop_may_try(r->loop, r) && !has_good_token(r))
		return false;
	*who = identify(r, why);
	loop_tried(r->loop, r, *who);
	return true;
}

static bool
anonymous_may(const struct request *r, enum route_right right)
{
	return right == ROUTE_ENGINE &&
	    r->service->conf->access.anonymous_cluster != NULL;
}

/* The role and, if need be, that it is not limited. */
static bool
has_right(struct request *r, enum route_right right)
{
	static const struct {
		enum scope_role role;
		bool whole;
		const char *whose;
	} rows[] = {
		[ROUTE_ENGINE] = { SCOPE_ENGINE, false, "an engine" },
		[ROUTE_VIEWER] = { SCOPE_VIEWER, false, "an operator" },
		[ROUTE_WHOLE_VIEWER] = { SCOPE_VIEWER, true, "an operator" },
		[ROUTE_RELEASER] = { SCOPE_RELEASER, false, "a releaser" },
		[ROUTE_WHOLE_RELEASER] = { SCOPE_RELEASER, true, "a releaser" },
		[ROUTE_ADMIN] = { SCOPE_ADMIN, true, "an admin" },
	};
	enum scope_role role = r->token->role;
	bool good = right == ROUTE_ENGINE
	    ? role == SCOPE_ENGINE || role == SCOPE_ADMIN
	    : role >= rows[right].role;

	if (!good)
		reply_fault(r, 403, "denied", "this needs %s's credential",
		    rows[right].whose);
	else if (rows[right].whole && scope_is_limited(&r->token->scope))
		reply_fault(r, 403, "denied",
		    "this credential is limited to some clusters or bundles, "
		    "and this is about all of them");
	else
		return true;
	return false;
}

/* False when the reply is on its way already. */
static bool
admit(struct request *r, enum route_right right)
{
	const struct catalog *c = loop_catalog(r->loop);
	struct err why = { 0 };
	enum auth_result who;

	if (right == ROUTE_ANYONE)
		return true;
	if (c == NULL) {
		reply_fault(r, 503, "unavailable",
		    "the server has not read its database yet");
		return false;
	}
	if (!try_credential(r, &who, &why)) {
		loop_refuse_try(r->loop, r);
		return false;
	}
	if (who == AUTH_NONE && anonymous_may(r, right)) {
		loop_needs_none(r->loop, r);
		return true;
	}
	/* What was asked with a good credential is answered, even if it was
	 * to revoke that. */
	if (who != AUTH_KNOWN && r->waited && r->asked)
		return true;
	if (who != AUTH_KNOWN) {
		reply_fault(r, 401, "denied", "%s",
		    who == AUTH_NONE
			? "this needs a credential: Authorization: Bearer TOKEN"
			: why.text);
		return false;
	}
	return has_right(r, right) &&
	    (right < ROUTE_VIEWER || loop_may_ask(r->loop, r));
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
		counters_add(r->service->counters, COUNTER_LIMIT_PATH, 1);
		reply_fault(r, 414, "limit", "the path is longer than %d bytes",
		    ROUTE_PATH_MAX);
		return;
	default:
		reply_fault(r, 404, "not_found", "there is nothing here");
	}
}

static size_t
inflated_max(const struct route *route)
{
	if (route->handler == status_api_logs)
		return LOGS_INFLATED_MAX;
	return route->right == ROUTE_ENGINE ? STATUS_BODY_MAX
					    : SERVICE_BODY_MAX;
}

static bool
inflate_body(struct request *r)
{
	AUTO_BUF inflated = { 0 };
	struct err e = { 0 };
	enum err_code code = inflate_gzip(&inflated, r->body->data,
	    r->body->len, inflated_max(r->match->route), &e);

	if (code != ERR_OK) {
		if (code == ERR_LIMIT)
			loop_limit_hit(r->loop, COUNTER_LIMIT_INFLATED);
		reply_error(r, &e);
		return false;
	}
	buf_clear(r->body);
	*r->body = inflated;
	inflated = (struct buf){ 0 };
	r->inflated = true;
	return true;
}

/* x-gzip is the same (RFC 9110, 8.4.1.3). Only after its credential was looked
 * at: inflating costs more than sending. */
static bool
read_body(struct request *r)
{
	const char *encoding;

	if (r->body == NULL || r->inflated)
		return true;
	encoding = request_header(r, "Content-Encoding");
	if (encoding == NULL || strcasecmp(encoding, "identity") == 0)
		return true;
	if (strcasecmp(encoding, "gzip") == 0 ||
	    strcasecmp(encoding, "x-gzip") == 0)
		return inflate_body(r);
	reply_fault(r, 415, "invalid",
	    "Content-Encoding: a body is taken plainly or as gzip, once, and "
	    "in no other way");
	return false;
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
		else if (check_query(r) && sight_admit(r) && read_body(r))
			match.route->handler(r);
	}
	count_answer(r, right);
	access_log_answered(r);
	r->match = NULL;
}

/* Only engines of ours may send much, and only what is for us. */
size_t
dispatch_body_max(struct request *r)
{
	struct route_match match;
	const struct catalog *c = loop_catalog(r->loop);
	struct err why = { 0 };
	enum auth_result who;

	if (strcmp(r->method, "POST") != 0 || c == NULL ||
	    route_find(&match, routes, r->method, r->url) != ROUTE_FOUND ||
	    match.route->right != ROUTE_ENGINE)
		return SERVICE_BODY_MAX;
	if (!try_credential(r, &who, &why)) {
		r->closing = true;
		loop_refuse_try(r->loop, r);
		return SERVICE_BODY_MAX;
	}
	r->token = NULL;
	if (who == AUTH_KNOWN ||
	    (who == AUTH_NONE && anonymous_may(r, match.route->right)))
		return STATUS_BODY_MAX;
	return SERVICE_BODY_MAX;
}
