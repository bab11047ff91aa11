#include "clusters/ledger_token.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <string.h>

#include "clusters/payload.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/spec.h"

enum { TOKEN_REASON_MAX = 512 };
#define TOKEN_SECONDS_MAX (INT64_C(10) * 366 * 86400)

/* Borrowed from the payload. */
struct wish {
	const char *token, *peer, *action; /* of every action */
	const char *name, *role, *reason;
	const json_t *clusters, *bundles;
	const json_t *expires_in; /* seconds; NULL: never */
	enum scope_role as;
};

static enum err_code
check_text(const struct wish *w, struct err *e)
{
	if (!spec_is_name(w->name))
		return err_set(e, ERR_INVALID,
		    "name: up to %d of a-z, 0-9 and ._-, the first a letter or "
		    "digit",
		    (int)SPEC_NAME_MAX);
	if (w->reason != NULL && strlen(w->reason) > TOKEN_REASON_MAX)
		return err_set(e, ERR_LIMIT, "reason: longer than %d bytes",
		    (int)TOKEN_REASON_MAX);
	return ERR_OK;
}

/* An engine's token says which clusters, an admin's is not limited. */
static enum err_code
check_scope(const struct wish *w, struct err *e)
{
	TRY(scope_check(w->clusters, "clusters", e));
	TRY(scope_check(w->bundles, "bundles", e));
	if (w->as == SCOPE_ENGINE && json_array_size(w->clusters) == 0)
		return err_set(e, ERR_INVALID,
		    "clusters: say whose engines these are (\"*\" for all)");
	if (w->as == SCOPE_ENGINE && json_array_size(w->bundles) > 0)
		return err_set(e, ERR_INVALID,
		    "bundles: an engine gets all of its cluster");
	if (w->as == SCOPE_ADMIN &&
	    json_array_size(w->clusters) + json_array_size(w->bundles) > 0)
		return err_set(e, ERR_INVALID,
		    "an admin's token cannot be limited: who makes tokens has "
		    "no limits");
	return ERR_OK;
}

static enum err_code
read_expiry(int64_t *out, const struct wish *w, struct err *e)
{
	json_int_t seconds = json_integer_value(w->expires_in);

	*out = 0;
	if (w->expires_in == NULL || json_is_null(w->expires_in))
		return ERR_OK;
	if (!json_is_integer(w->expires_in) || seconds < 1 ||
	    seconds > TOKEN_SECONDS_MAX)
		return err_set(e, ERR_INVALID,
		    "expires_in: seconds from 1 to %" PRId64,
		    TOKEN_SECONDS_MAX);
	*out = clock_now_ms() + seconds * 1000;
	return ERR_OK;
}

static enum err_code
audit(struct store *s, const struct store_token *who, const struct wish *w,
    int64_t expires_ms, struct err *e)
{
	json_t *detail = json_pack("{s:s?, s:s?, s:O?, s:O?, s:I}", "reason",
	    w->reason, "role", w->role, "clusters",
	    payload_unconst(w->clusters), "bundles",
	    payload_unconst(w->bundles), "expires_ms", (json_int_t)expires_ms);
	enum err_code code = store_add_event(s,
	    &(struct store_event){ who->name, w->peer, w->action, w->name,
		detail },
	    e);

	json_decref(detail);
	if (code == ERR_OK)
		log_info(w->action, "name=%s role=%s by=%s", w->name,
		    w->role != NULL ? w->role : "-", who->name);
	return code;
}

static json_t *
list_or_none(const json_t *list)
{
	return list != NULL ? json_incref(payload_unconst(list)) : json_array();
}

static json_t *
describe(const struct wish *w, const char *secret, int64_t expires_ms)
{
	char text[CLOCK_TEXT_SIZE] = "";

	if (expires_ms != 0)
		clock_text(text, expires_ms);
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s?}", "token", secret,
	    "name", w->name, "role", w->role, "clusters",
	    list_or_none(w->clusters), "bundles", list_or_none(w->bundles),
	    "expires_at", expires_ms != 0 ? text : NULL);
}

enum err_code
ledger_token_create(struct store *s, const struct store_token *who,
    const json_t *payload, json_t **body, struct err *e)
{
	struct wish w = { 0 };
	struct store_token_row row = { .by = who->name };
	char secret[STORE_TOKEN_SIZE];
	json_error_t why;

	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s,s:s,s:s,s:s,s:s,s?o,s?o,s?o,s?s !}", "token", &w.token,
		"peer", &w.peer, "action", &w.action, "name", &w.name, "role",
		&w.role, "clusters", &w.clusters, "bundles", &w.bundles,
		"expires_in", &w.expires_in, "reason", &w.reason) != 0)
		return payload_error(&why, "token.create", e);
	if (!scope_role_parse(&w.as, w.role))
		return err_set(e, ERR_INVALID,
		    "role: has to be engine, viewer, releaser or admin");
	TRY(check_text(&w, e));
	TRY(check_scope(&w, e));
	TRY(read_expiry(&row.expires_ms, &w, e));
	row.name = w.name;
	row.role = w.as;
	row.clusters = w.clusters;
	row.bundles = w.bundles;
	TRY(store_create_token(s, &row, secret, e));
	TRY(audit(s, who, &w, row.expires_ms, e));
	*body = describe(&w, secret, row.expires_ms);
	OPENSSL_cleanse(secret, sizeof secret);
	return ERR_OK;
}

enum err_code
ledger_token_revoke(struct store *s, const struct store_token *who,
    const json_t *payload, json_t **body, struct err *e)
{
	struct wish w = { 0 };
	json_error_t why;

	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s,s:s,s:s,s:s,s?s !}", "token", &w.token, "peer", &w.peer,
		"action", &w.action, "name", &w.name, "reason", &w.reason) != 0)
		return payload_error(&why, "token.revoke", e);
	TRY(check_text(&w, e));
	TRY(store_revoke_token(s, w.name, e));
	TRY(audit(s, who, &w, 0, e));
	*body = json_pack("{s:s}", "name", w.name);
	return ERR_OK;
}
