#include "clusters/ledger_head.h"

#include <string.h>

#include "clusters/ledger_message.h"
#include "clusters/payload.h"
#include "clusters/store_audit.h"
#include "clusters/store_head.h"
#include "core/log.h"

#define HEAD_SUBJECT "audit"

enum err_code
ledger_head_ask(struct store *s, const struct store_token *who,
    const json_t *payload, json_t **body, struct err *e)
{
	struct store_event event = { .who = who->name,
		.kind = "audit.sign",
		.subject = HEAD_SUBJECT };
	const char *token, *action;
	const char *reason = NULL;
	struct chain_head end;
	json_error_t why;
	json_t *detail;
	enum err_code code;

	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s,s:s,s:s,s?s !}", "token", &token, "peer", &event.peer,
		"action", &action, "reason", &reason) != 0)
		return payload_error(&why, "audit.sign", e);
	if (reason != NULL && strlen(reason) > ASSIGN_REASON_MAX)
		return err_set(e, ERR_LIMIT, "reason: longer than %d bytes",
		    (int)ASSIGN_REASON_MAX);
	detail = json_pack("{s:s?}", "reason", reason);
	event.detail = detail;
	code = store_add_event(s, &event, e);
	json_decref(detail);
	if (code != ERR_OK)
		return code;
	TRY(store_audit_head(s, &end, e));
	*body = json_pack("{s:I, s:s}", "seq", (json_int_t)end.seq, "hash",
	    end.hash);
	return ERR_OK;
}

/* The ledger does not look into the signature: who checks heads does. */
static enum err_code
check_text(const struct store_head *h, const char *hash, struct err *e)
{
	static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"abcdefghijklmnopqrstuvwxyz"
					"0123456789-_.";
	size_t len = strnlen(h->jws, LEDGER_HEAD_JWS_MAX + 1);

	if (h->at.seq < 1 || h->at_ms < 1 || !digest_is_hex(hash))
		return err_set(e, ERR_INVALID, "head: not one of an event");
	if (len == 0 || len > LEDGER_HEAD_JWS_MAX ||
	    strspn(h->jws, base64url) != len)
		return err_set(e, ERR_INVALID, "head: no compact JWS");
	if (strnlen(h->key, STORE_KEY_SIZE) >= STORE_KEY_SIZE)
		return err_set(e, ERR_LIMIT, "head: the key's id is too long");
	return ERR_OK;
}

static enum err_code
note(struct store *s, const struct store_head *h, struct err *e)
{
	char sha256[DIGEST_HEX_SIZE];
	json_t *detail;
	enum err_code code;

	digest_hex(sha256, h->jws, strlen(h->jws));
	detail = json_pack("{s:I, s:s, s:s}", "seq", (json_int_t)h->at.seq,
	    "key", h->key, "sha256", sha256);
	code = store_add_event(s,
	    &(struct store_event){ "pipeline", "", "audit.head", HEAD_SUBJECT,
		detail },
	    e);
	json_decref(detail);
	return code;
}

enum err_code
ledger_head(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	struct store_head h = { 0 };
	const char *hash;
	json_int_t seq, at_ms;
	json_error_t why;

	(void)reply;
	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:I, s:s, s:I, s:s, s:s !}", "seq", &seq, "hash", &hash,
		"at_ms", &at_ms, "key", &h.key, "jws", &h.jws) != 0)
		return payload_error(&why, "head", e);
	h.at.seq = seq;
	h.at_ms = at_ms;
	TRY(check_text(&h, hash, e));
	memcpy(h.at.hash, hash, DIGEST_HEX_SIZE);
	TRY(store_put_head(c->store, &h, e));
	TRY(note(c->store, &h, e));
	log_info("audit.head", "seq=%lld key=%s", (long long)h.at.seq, h.key);
	return ERR_OK;
}
