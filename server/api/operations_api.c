#include "server/api/operations_api.h"

#include <openssl/crypto.h>
#include <string.h>

#include "clusters/payload.h"
#include "server/api/page.h"
#include "server/api/sight.h"
#include "server/http/reply.h"

/* What others asked for may name what this credential does not reach. */
static bool
may_see(const struct request *r, const json_t *operation)
{
	const char *by = payload_text(operation, "by");

	return !sight_is_limited(r) ||
	    (by != NULL && strcmp(by, r->token->name) == 0);
}

void
operations_api_get(struct request *r)
{
	const char *id = route_param(r->match, "id");
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = loop_store(&s, r->loop, &e);

	if (code == ERR_OK)
		code = view_operation(s, id, &body, &e);
	if (code == ERR_OK && !may_see(r, body)) {
		json_decref(body);
		code =
		    err_set(&e, ERR_NOT_FOUND, "no operation is called %s", id);
	}
	page_reply(r, code, body, &e);
}

/* What the path says, under the ledger's names. */
static const char *const subjects[][3] = {
	{ "/v1/bundles/", "bundle", "bundle" },
	{ "/v1/commits/", "rev", "rev" },
	{ "/v1/repositories/", "repo", "repository" },
	{ "/v1/tokens/", "token", "name" },
	{ "/v1/keys/", "key", "key" },
	{ "/v1/clusters/", "cluster", "cluster" },
	{ "/v1/clusters/{cluster}/bundles/", "bundle", "bundle" },
};

/* The fields of the body; an empty one is an empty object. */
static enum err_code
read_body(json_t **out, const struct request *r, struct err *e)
{
	static const char *const ours[] = { "token", "peer", "action" };
	json_error_t fault;
	json_t *body;

	if (r->body == NULL || r->body->len == 0) {
		*out = json_object();
		return ERR_OK;
	}
	body = json_loadb(r->body->data, r->body->len, JSON_REJECT_DUPLICATES,
	    &fault);
	if (body == NULL)
		return err_set(e, ERR_INVALID, "body: line %d, column %d: %s",
		    fault.line, fault.column, fault.text);
	if (!json_is_object(body)) {
		json_decref(body);
		return err_set(e, ERR_INVALID, "body: not an object");
	}
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
		if (json_object_get(body, ours[i]) == NULL)
			continue;
		json_decref(body);
		return err_set(e, ERR_INVALID, "body: unknown field %s",
		    ours[i]);
	}
	*out = body;
	return ERR_OK;
}

static enum err_code
add_subject(json_t *payload, const struct request *r, struct err *e)
{
	for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
		const char *name = subjects[i][1];
		const char *field = subjects[i][2];

		if (strncmp(r->match->route->pattern, subjects[i][0],
			strlen(subjects[i][0])) != 0)
			continue;
		if (json_object_get(payload, field) != NULL)
			return err_set(e, ERR_INVALID,
			    "body: %s is in the path already", field);
		(void)json_object_set_new(payload, field,
		    json_string(route_param(r->match, name)));
	}
	return ERR_OK;
}

static void
add_operator(json_t *payload, const struct request *r)
{
	char token[AUTH_TOKEN_MAX + 1] = "";
	char peer[REQUEST_PEER_SIZE];

	(void)auth_bearer(token, request_header(r, "Authorization"));
	request_peer(peer, r);
	(void)json_object_set_new(payload, "token", json_string(token));
	(void)json_object_set_new(payload, "peer", json_string(peer));
	(void)json_object_set_new(payload, "action",
	    json_string(r->match->route->action));
	OPENSSL_cleanse(token, sizeof token);
}

static void
ask(struct request *r)
{
	struct err e = { 0 };
	json_t *payload = NULL;
	enum err_code code = read_body(&payload, r, &e);

	if (code == ERR_OK)
		code = add_subject(payload, r, &e);
	if (code == ERR_OK) {
		add_operator(payload, r);
		code = loop_ask(r->loop, r, payload, &e);
	}
	json_decref(payload);
	if (code != ERR_OK)
		reply_error(r, &e);
}

static void
answer(struct request *r)
{
	struct err e = { 0 };
	json_t *body;
	int status;

	if (r->reply == NULL) {
		reply_fault(r, 503, "unavailable",
		    "the ledger did not answer: whether this was done is "
		    "unknown; look at what it was about, and at /v1/audit");
		return;
	}
	if (message_error(r->reply, &e) != ERR_OK) {
		reply_error(r, &e);
		return;
	}
	if (json_unpack(r->reply->payload, "{s:i, s:o !}", "status", &status,
		"body", &body) != 0 ||
	    (status != 200 && status != 201 && status != 202)) {
		reply_fault(r, 500, "corrupt",
		    "the ledger's answer makes no sense");
		return;
	}
	reply_json(r, (unsigned int)status, json_incref(body));
}

void
operations_api_ask(struct request *r)
{
	if (r->waited)
		answer(r);
	else
		ask(r);
}
