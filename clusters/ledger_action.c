/* What operators ask for, through http, with their own token. */

#include <stdio.h>
#include <string.h>

#include "clusters/cluster.h"
#include "clusters/ledger_message.h"
#include "clusters/ledger_token.h"
#include "clusters/payload.h"
#include "clusters/view.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

enum { ACTION_TO_MAX = 512, ACTION_PEER_MAX = 256 };

/* Strings are borrowed from the payload. */
struct action {
	struct store *store;
	const json_t *payload;
	struct store_token who;
	const char *token, *peer, *name; /* of every action */
	const char *bundle, *to, *reason, *rev, *repository;
	const json_t *clusters, *expect;
	json_t *allowed; /* owned: clusters, where who asks is limited */
	int status;      /* what is answered */
	json_t *body;
};

static enum err_code
check_reason(const struct action *a, bool required, struct err *e)
{
	if (a->reason == NULL || *a->reason == '\0')
		return required ? err_set(e, ERR_INVALID,
				      "reason: say why, for those who look "
				      "later")
				: ERR_OK;
	if (strlen(a->reason) > ASSIGN_REASON_MAX)
		return err_set(e, ERR_LIMIT, "reason: longer than %d bytes",
		    (int)ASSIGN_REASON_MAX);
	return ERR_OK;
}

static bool
within(const struct action *a, const char *cluster)
{
	const struct scope s = { a->who.clusters, a->who.bundles };

	return scope_cluster(&s, cluster) && scope_bundle(&s, a->bundle);
}

static enum err_code
no_bundle(const struct action *a, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "no bundle is called %s", a->bundle);
}

/* All clusters are all that who asks may know of. */
static enum err_code
choose_clusters(struct action *a, struct err *e)
{
	struct store_assignments all = { 0 };

	TRY(store_assignments(a->store, NULL, a->bundle, &all, e));
	a->allowed = json_array();
	for (size_t i = 0; i < all.count; i++)
		if (within(a, all.items[i].cluster))
			json_array_append_new(a->allowed,
			    json_string(all.items[i].cluster));
	store_assignments_clear(&all);
	if (json_array_size(a->allowed) == 0)
		return no_bundle(a, e);
	return ERR_OK;
}

static bool
is_allowed(const struct action *a, const char *cluster)
{
	size_t i;
	json_t *item;

	json_array_foreach(a->allowed, i, item)
		if (strcmp(json_string_value(item), cluster) == 0)
			return true;
	return false;
}

/* What who asks may not act on looks like what does not exist. */
static enum err_code
check_scope(struct action *a, struct err *e)
{
	size_t i;
	json_t *item;

	if (a->who.clusters == NULL && a->who.bundles == NULL)
		return ERR_OK;
	TRY(choose_clusters(a, e));
	if (a->clusters == NULL)
		a->clusters = a->allowed;
	json_array_foreach(a->clusters, i, item)
		if (json_is_string(item) &&
		    !is_allowed(a, json_string_value(item)))
			return err_set(e, ERR_NOT_FOUND,
			    "cluster %s does not have bundle %s",
			    json_string_value(item), a->bundle);
	return ERR_OK;
}

static enum err_code
check_change(struct action *a, struct err *e)
{
	if (a->clusters != NULL && !json_is_array(a->clusters))
		return err_set(e, ERR_INVALID,
		    "clusters: has to be a list of names");
	if (a->expect != NULL && !json_is_object(a->expect))
		return err_set(e, ERR_INVALID,
		    "expect: has to give a serial for each cluster");
	return check_scope(a, e);
}

/* format is what the action takes besides token, peer and action, which come
 * first; the rest of the arguments are its names and places. */
static enum err_code
read_fields(const struct action *a, struct err *e, const char *format, ...)
{
	json_error_t why;
	va_list ap;
	int result;

	va_start(ap, format);
	result =
	    json_vunpack_ex(payload_unconst(a->payload), &why, 0, format, ap);
	va_end(ap);
	if (result != 0)
		return payload_error(&why, a->name, e);
	return ERR_OK;
}

static struct cluster_change
change_of(const struct action *a)
{
	return (struct cluster_change){
		.bundle = a->bundle,
		.clusters = a->clusters,
		.expect = a->expect,
		.who = { a->who.name, clock_now_ms(), a->reason },
		.peer = a->peer,
	};
}

static enum err_code
answer_assignments(struct action *a, struct err *e)
{
	a->status = 200;
	return view_assignments(a->store, a->bundle, a->clusters, &a->body, e);
}

static enum err_code
answer_operation(struct action *a, int64_t id, struct err *e)
{
	AUTO_STR text = mem_printf("%lld", (long long)id);

	a->status = 202;
	return view_operation(a->store, text, &a->body, e);
}

static enum err_code
audit_action(struct action *a, const char *subject, int64_t operation,
    struct err *e)
{
	json_t *detail = json_pack("{s:s?, s:s?, s:I}", "reason", a->reason,
	    "to", a->to != NULL ? a->to : a->rev, "operation",
	    (json_int_t)operation);
	enum err_code code = store_add_event(a->store,
	    &(struct store_event){ a->who.name, a->peer, a->name, subject,
		detail },
	    e);

	json_decref(detail);
	return code;
}

/* Adds an operation, unless the same is under way already. */
static enum err_code
add_operation(struct action *a, const char *repository, const char *to,
    const char *resolved, struct err *e)
{
	struct store_operation_row row = {
		.kind = a->name,
		.repository = repository,
		.bundle = a->bundle,
		.to = to,
		.resolved = resolved,
		.who = a->who.name,
		.reason = a->reason,
		.clusters = a->clusters,
		.expect = a->expect,
		.created_ms = clock_now_ms(),
	};
	enum err_code code = ERR_NOT_FOUND;
	int64_t id = 0;

	if (a->bundle == NULL)
		code = store_open_operation(a->store, &row, &id, e);
	if (code == ERR_NOT_FOUND) {
		TRY(store_add_operation(a->store, &row, &id, e));
		code = audit_action(a,
		    a->bundle != NULL ? a->bundle : repository, id, e);
		log_info("operation.created",
		    "id=%" PRId64 " kind=%s repo=%s by=%s", id, a->name,
		    repository, a->who.name);
	}
	if (code != ERR_OK)
		return code;
	return answer_operation(a, id, e);
}

/* "REPO@REV" without its repository. */
static const char *
plain_rev(const char *rev)
{
	const char *at = strchr(rev, '@');

	return at == NULL ? rev : at + 1;
}

/* May this commit be assigned as it is? CONFLICT: no. *now false: it has to be
 * tested and built first. */
static enum err_code
check_commit(struct action *a, const struct view_rev *rev, bool *now,
    struct err *e)
{
	struct store_verdict v;
	struct store_artifact found;
	bool published;
	enum err_code code =
	    store_newest_verdict(a->store, rev->repository, rev->commit, &v, e);

	*now = false;
	if (code == ERR_NOT_FOUND ||
	    (code == ERR_OK && strcmp(v.state, "could_not_run") == 0))
		return ERR_OK;
	if (code != ERR_OK)
		return code;
	if (strcmp(v.state, "passed") != 0)
		return err_set(e, ERR_CONFLICT,
		    "commit %.12s may not be served: its verdict is %s",
		    rev->commit, v.state);
	TRY(store_is_published(a->store, rev->repository, rev->commit,
	    &published, e));
	if (!published)
		return ERR_OK;
	code = store_artifact_of(a->store, a->bundle, rev->commit, &found, e);
	*now = code == ERR_OK;
	if (code == ERR_OK || code != ERR_NOT_FOUND)
		return code;
	if (store_revision_content(a->store, a->bundle, rev->commit,
		found.content, e) == ERR_OK)
		return ERR_OK; /* was stored once: build it again */
	return err_set(e, ERR_CONFLICT, "commit %.12s does not have bundle %s",
	    rev->commit, a->bundle);
}

static enum err_code
roll_back(struct action *a, const char *repository, struct err *e)
{
	struct cluster_change c = change_of(a);
	struct view_rev rev = { 0 };
	bool now = false;
	enum err_code code;

	TRY(cluster_check_change(a->store, &c, e));
	code = view_resolve(a->store, repository, a->to, &rev, e);
	if (code == ERR_OK)
		code = check_commit(a, &rev, &now, e);
	else if (code == ERR_NOT_FOUND)
		code = ERR_OK; /* a tag, or older than what is known here */
	if (code != ERR_OK)
		return code;
	if (!now)
		return add_operation(a, repository, plain_rev(a->to),
		    rev.commit, e);
	TRY(cluster_rollback(a->store, &c, rev.commit, e));
	return answer_assignments(a, e);
}

static enum err_code
act_rollback(struct action *a, struct err *e)
{
	struct store_owner owner;

	TRY(read_fields(a, e, "{s:s,s:s,s:s,s:s,s:s,s:s,s?o,s?o !}", "token",
	    &a->token, "peer", &a->peer, "action", &a->name, "bundle",
	    &a->bundle, "to", &a->to, "reason", &a->reason, "clusters",
	    &a->clusters, "expect", &a->expect));
	TRY(check_reason(a, true, e));
	TRY(check_change(a, e));
	if (*a->to == '\0' || strlen(a->to) > ACTION_TO_MAX)
		return err_set(e, ERR_INVALID,
		    "to: has to name a commit in at most %d bytes",
		    (int)ACTION_TO_MAX);
	TRY(store_bundle_owner(a->store, a->bundle, &owner, e));
	return roll_back(a, owner.repository, e);
}

static enum err_code
act_pin(struct action *a, struct err *e)
{
	struct cluster_change c;

	TRY(read_fields(a, e, "{s:s,s:s,s:s,s:s,s:s,s?o,s?o !}", "token",
	    &a->token, "peer", &a->peer, "action", &a->name, "bundle",
	    &a->bundle, "reason", &a->reason, "clusters", &a->clusters,
	    "expect", &a->expect));
	TRY(check_reason(a, true, e));
	TRY(check_change(a, e));
	c = change_of(a);
	TRY(cluster_check_change(a->store, &c, e));
	TRY(cluster_pin(a->store, &c, e));
	return answer_assignments(a, e);
}

static enum err_code
act_resume(struct action *a, struct err *e)
{
	struct cluster_change c;

	TRY(read_fields(a, e, "{s:s,s:s,s:s,s:s,s?s,s?o,s?o !}", "token",
	    &a->token, "peer", &a->peer, "action", &a->name, "bundle",
	    &a->bundle, "reason", &a->reason, "clusters", &a->clusters,
	    "expect", &a->expect));
	TRY(check_reason(a, false, e));
	TRY(check_change(a, e));
	c = change_of(a);
	TRY(cluster_check_change(a->store, &c, e));
	TRY(cluster_resume(a->store, &c, e));
	return answer_assignments(a, e);
}

/* Where a rev that is not known here is to be looked for: the repository it
 * names, or the only one. */
static enum err_code
repository_of(struct store *s, const char *rev, char out[STORE_NAME_SIZE],
    struct err *e)
{
	struct view_page all = { .limit = 2 };
	const char *at = strchr(rev, '@');
	json_t *list;
	json_t *items;
	size_t count;

	if (at != NULL && at - rev < STORE_NAME_SIZE) {
		(void)snprintf(out, STORE_NAME_SIZE, "%.*s", (int)(at - rev),
		    rev);
		TRY(view_repository(s, out, &list, e));
		json_decref(list);
		return ERR_OK;
	}
	TRY(view_repositories(s, &all, &list, e));
	items = json_object_get(list, "items");
	count = json_array_size(items);
	if (count == 1)
		(void)snprintf(out, STORE_NAME_SIZE, "%s",
		    json_string_value(json_object_get(json_array_get(items, 0),
			"name")));
	json_decref(list);
	if (count == 1)
		return ERR_OK;
	return err_set(e, ERR_NOT_FOUND,
	    "no commit %s is known; write REPOSITORY@%s to have it looked for",
	    rev, rev);
}

static enum err_code
act_retest(struct action *a, struct err *e)
{
	struct view_rev rev = { 0 };
	enum err_code code;

	TRY(read_fields(a, e, "{s:s,s:s,s:s,s:s,s?s !}", "token", &a->token,
	    "peer", &a->peer, "action", &a->name, "rev", &a->rev, "reason",
	    &a->reason));
	TRY(check_reason(a, false, e));
	if (*a->rev == '\0' || strlen(a->rev) > ACTION_TO_MAX)
		return err_set(e, ERR_INVALID,
		    "rev: has to name a commit in at most %d bytes",
		    (int)ACTION_TO_MAX);
	code = view_resolve(a->store, NULL, a->rev, &rev, e);
	if (code == ERR_NOT_FOUND)
		code = repository_of(a->store, a->rev, rev.repository, e);
	if (code != ERR_OK)
		return code;
	return add_operation(a, rev.repository, plain_rev(a->rev), rev.commit,
	    e);
}

static enum err_code
read_repository(struct action *a, struct store_repository *out, struct err *e)
{
	TRY(read_fields(a, e, "{s:s,s:s,s:s,s:s,s?s !}", "token", &a->token,
	    "peer", &a->peer, "action", &a->name, "repository", &a->repository,
	    "reason", &a->reason));
	TRY(check_reason(a, false, e));
	return store_repository_state(a->store, a->repository, out, e);
}

static enum err_code
act_fetch(struct action *a, struct err *e)
{
	struct store_repository r;

	TRY(read_repository(a, &r, e));
	store_repository_clear(&r);
	return add_operation(a, a->repository, NULL, NULL, e);
}

/* What was looked at is accepted, and no tip that came after. */
static enum err_code
act_accept(struct action *a, struct err *e)
{
	struct store_repository r;
	enum err_code code;

	TRY(read_repository(a, &r, e));
	if (r.alarm == NULL)
		code = err_set(e, ERR_CONFLICT,
		    "repository %s: there is no alarm; nothing to accept",
		    a->repository);
	else
		code = add_operation(a, a->repository, NULL,
		    json_string_value(json_object_get(r.alarm, "tip")), e);
	store_repository_clear(&r);
	return code;
}

static enum err_code
set_suspended(struct action *a, bool suspended, struct err *e)
{
	struct store_repository r;
	bool before;

	TRY(read_repository(a, &r, e));
	before = r.suspended;
	store_repository_clear(&r);
	if (before != suspended) {
		TRY(store_set_suspended(a->store, a->repository, suspended, e));
		TRY(audit_action(a, a->repository, 0, e));
	}
	a->status = 200;
	return view_repository(a->store, a->repository, &a->body, e);
}

static enum err_code
act_suspend(struct action *a, struct err *e)
{
	return set_suspended(a, true, e);
}

static enum err_code
act_unsuspend(struct action *a, struct err *e)
{
	return set_suspended(a, false, e);
}

static enum err_code
act_token_create(struct action *a, struct err *e)
{
	a->status = 201;
	return ledger_token_create(a->store, &a->who, a->payload, &a->body, e);
}

static enum err_code
act_token_revoke(struct action *a, struct err *e)
{
	a->status = 200;
	return ledger_token_revoke(a->store, &a->who, a->payload, &a->body, e);
}

enum {
	ACTION_WRAPPED = 1, /* an operation is answered as {"operation": …} */
	ACTION_SCOPED = 2   /* keeps to the limits of who asks by itself */
};

static const struct action_row {
	const char *name;
	enum err_code (*run)(struct action *a, struct err *e);
	enum scope_role role; /* that is needed */
	unsigned int flags;
} actions[] = {
	{ "rollback", act_rollback, SCOPE_RELEASER,
	    ACTION_WRAPPED | ACTION_SCOPED },
	{ "pin", act_pin, SCOPE_RELEASER, ACTION_SCOPED },
	{ "resume", act_resume, SCOPE_RELEASER, ACTION_SCOPED },
	{ "retest", act_retest, SCOPE_RELEASER, 0 },
	{ "fetch", act_fetch, SCOPE_RELEASER, 0 },
	{ "suspend", act_suspend, SCOPE_RELEASER, 0 },
	{ "unsuspend", act_unsuspend, SCOPE_RELEASER, 0 },
	{ "accept", act_accept, SCOPE_ADMIN, 0 },
	{ "token.create", act_token_create, SCOPE_ADMIN, 0 },
	{ "token.revoke", act_token_revoke, SCOPE_ADMIN, 0 },
};

static const struct action_row *
find_action(const char *name)
{
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	return NULL;
}

/* http says who asks, but the token says whether they may. */
static enum err_code
check_token(struct action *a, const struct action_row *row, struct err *e)
{
	enum scope_role needed = row != NULL ? row->role : SCOPE_ADMIN;

	TRY(store_check_token(a->store, a->token, &a->who, e));
	if (a->who.role < needed)
		return err_set(e, ERR_DENIED,
		    "token %s may not do this: it is not %s's", a->who.name,
		    needed == SCOPE_ADMIN ? "an admin" : "a releaser");
	if ((a->who.clusters != NULL || a->who.bundles != NULL) &&
	    (row == NULL || (row->flags & ACTION_SCOPED) == 0))
		return err_set(e, ERR_DENIED,
		    "token %s may not do this: it is limited to some clusters "
		    "or bundles, and this is about all of them",
		    a->who.name);
	return ERR_OK;
}

static enum err_code
run_action(struct action *a, const struct action_row *row, struct err *e)
{
	if (row == NULL)
		return err_set(e, ERR_INVALID, "unknown action");
	TRY(row->run(a, e));
	if ((row->flags & ACTION_WRAPPED) != 0 && a->status == 202)
		a->body = json_pack("{s:o}", "operation", a->body);
	return ERR_OK;
}

enum err_code
ledger_action(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	struct action a = { .store = c->store,
		.payload = payload,
		.name = "action" };
	const struct action_row *row;
	enum err_code code;

	TRY(read_fields(&a, e, "{s:s, s:s, s:s}", "token", &a.token, "peer",
	    &a.peer, "action", &a.name));
	if (strlen(a.peer) > ACTION_PEER_MAX)
		return err_set(e, ERR_INVALID, "peer: longer than %d bytes",
		    (int)ACTION_PEER_MAX);
	row = find_action(a.name);
	code = check_token(&a, row, e);
	if (code != ERR_OK)
		log_warn("action.denied", "peer=%s action=%s reason=%s", a.peer,
		    a.name, e->text);
	else
		code = run_action(&a, row, e);
	store_token_clear(&a.who);
	json_decref(a.allowed);
	if (code != ERR_OK)
		json_decref(a.body);
	else
		*reply =
		    json_pack("{s:i, s:o}", "status", a.status, "body", a.body);
	return code;
}
