/* What operators ask for, through http, with their own token. */

#include <stdio.h>
#include <string.h>

#include "clusters/ledger_action.h"
#include "clusters/ledger_head.h"
#include "clusters/ledger_key.h"
#include "clusters/ledger_token.h"
#include "clusters/payload.h"
#include "clusters/view.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

enum err_code
action_check_reason(const struct action *a, bool required, struct err *e)
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

enum err_code
action_check_rev(const char *what, const char *rev, struct err *e)
{
	if (*rev != '\0' && strlen(rev) <= ACTION_TO_MAX)
		return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "%s: has to name a commit in at most %d bytes", what,
	    (int)ACTION_TO_MAX);
}

enum err_code
action_fields(const struct action *a, struct err *e, const char *format, ...)
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

static enum err_code
answer_operation(struct action *a, int64_t id, struct err *e)
{
	AUTO_STR text = mem_printf("%lld", (long long)id);

	a->status = 202;
	return view_operation(a->store, text, &a->body, e);
}

static enum err_code
audit_action(struct action *a, const struct store_operation_row *row,
    const char *subject, int64_t operation, struct err *e)
{
	json_t *detail = json_pack("{s:s?, s:s?, s:I, s:o*}", "reason",
	    a->reason, "to", row != NULL ? row->to : NULL, "operation",
	    (json_int_t)operation, "force",
	    row != NULL && row->forced ? json_true() : NULL);
	enum err_code code = store_add_event(a->store,
	    &(struct store_event){ a->who.name, a->peer, a->name, subject,
		detail },
	    e);

	json_decref(detail);
	return code;
}

enum err_code
action_add_operation(struct action *a, struct store_operation_row *row,
    const char *subject, struct err *e)
{
	enum err_code code = ERR_NOT_FOUND;
	int64_t id = 0;

	row->kind = a->name;
	row->who = a->who.name;
	row->reason = a->reason;
	row->created_ms = clock_now_ms();
	if (row->bundle == NULL && row->bundles == NULL)
		code = store_open_operation(a->store, row, &id, e);
	if (code == ERR_NOT_FOUND) {
		TRY(store_add_operation(a->store, row, &id, e));
		code = audit_action(a, row, subject, id, e);
		log_info("operation.created",
		    "id=%" PRId64 " kind=%s repo=%s by=%s", id, a->name,
		    row->repository, a->who.name);
	}
	if (code != ERR_OK)
		return code;
	return answer_operation(a, id, e);
}

static enum err_code
add_operation(struct action *a, const char *repository, const char *to,
    const char *resolved, struct err *e)
{
	struct store_operation_row row = { .repository = repository,
		.to = to,
		.resolved = resolved };

	return action_add_operation(a, &row, repository, e);
}

const char *
action_plain_rev(const char *rev)
{
	const char *at = strchr(rev, '@');

	return at == NULL ? rev : at + 1;
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

	TRY(action_fields(a, e, "{s:s,s:s,s:s,s:s,s?s !}", "token", &a->token,
	    "peer", &a->peer, "action", &a->name, "rev", &a->rev, "reason",
	    &a->reason));
	TRY(action_check_reason(a, false, e));
	TRY(action_check_rev("rev", a->rev, e));
	code = view_resolve(a->store, NULL, a->rev, &rev, e);
	if (code == ERR_NOT_FOUND)
		code = repository_of(a->store, a->rev, rev.repository, e);
	if (code != ERR_OK)
		return code;
	return add_operation(a, rev.repository, action_plain_rev(a->rev),
	    rev.commit, e);
}

static enum err_code
read_repository(struct action *a, struct store_repository *out, struct err *e)
{
	TRY(action_fields(a, e, "{s:s,s:s,s:s,s:s,s?s !}", "token", &a->token,
	    "peer", &a->peer, "action", &a->name, "repository", &a->repository,
	    "reason", &a->reason));
	TRY(action_check_reason(a, false, e));
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
		TRY(audit_action(a, NULL, a->repository, 0, e));
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

static enum err_code
act_audit_sign(struct action *a, struct err *e)
{
	a->status = 202;
	return ledger_head_ask(a->store, &a->who, a->payload, &a->body, e);
}

static enum err_code
act_key_use(struct action *a, struct err *e)
{
	a->status = 200;
	return ledger_key_use(a->store, &a->who, a->payload, &a->body, e);
}

static enum err_code
act_key_retire(struct action *a, struct err *e)
{
	a->status = 200;
	return ledger_key_retire(a->store, &a->who, a->payload, &a->body, e);
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
	{ "rollback", ledger_rollback, SCOPE_RELEASER,
	    ACTION_WRAPPED | ACTION_SCOPED },
	{ "pin", ledger_pin, SCOPE_RELEASER, ACTION_SCOPED },
	{ "resume", ledger_resume, SCOPE_RELEASER, ACTION_SCOPED },
	{ "cluster.remove", ledger_cluster_remove, SCOPE_RELEASER,
	    ACTION_SCOPED },
	{ "retest", act_retest, SCOPE_RELEASER, 0 },
	{ "fetch", act_fetch, SCOPE_RELEASER, 0 },
	{ "suspend", act_suspend, SCOPE_RELEASER, 0 },
	{ "unsuspend", act_unsuspend, SCOPE_RELEASER, 0 },
	{ "accept", act_accept, SCOPE_ADMIN, 0 },
	{ "gc", ledger_gc, SCOPE_ADMIN, 0 },
	{ "token.create", act_token_create, SCOPE_ADMIN, 0 },
	{ "token.revoke", act_token_revoke, SCOPE_ADMIN, 0 },
	{ "key.use", act_key_use, SCOPE_ADMIN, 0 },
	{ "key.retire", act_key_retire, SCOPE_ADMIN, 0 },
	{ "audit.sign", act_audit_sign, SCOPE_ADMIN, 0 },
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

	TRY(action_fields(&a, e, "{s:s, s:s, s:s}", "token", &a.token, "peer",
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
	if (code != ERR_OK)
		json_decref(a.body);
	else
		*reply =
		    json_pack("{s:i, s:o}", "status", a.status, "body", a.body);
	return code;
}
