#include "signing/head.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/base64.h"
#include "core/mem.h"
#include "signing/jws.h"

enum { TEXT_MAX = 1024 }; /* bytes of header or payload */

enum err_code
head_check(const struct head *h, struct err *e)
{
	if (h->seq < 1 || h->at_ms < 1)
		return err_set(e, ERR_INVALID,
		    "head of the audit: no event, or no time");
	if (!digest_is_hex(h->hash))
		return err_set(e, ERR_INVALID,
		    "head of the audit: the hash is not 64 lower-case hex "
		    "digits");
	return ERR_OK;
}

enum err_code
head_sign(struct buf *out, const struct key *k, const struct head *h,
    struct err *e)
{
	AUTO_BUF payload = { 0 };

	TRY(head_check(h, e));
	buf_init(&payload, TEXT_MAX);
	/* Keys in the order of canonical JSON. */
	buf_printf(&payload,
	    "{\"at_ms\":%" PRId64 ",\"hash\":\"%s\",\"seq\":%" PRId64 "}",
	    h->at_ms, h->hash, h->seq);
	TRY(buf_check(&payload, "head of the audit", e));
	return jws_sign_payload(out, k, &payload, e);
}

static enum err_code
read_head(struct head *out, const json_t *j, struct err *e)
{
	const char *hash = json_string_value(json_object_get(j, "hash"));
	struct head h = {
		.seq = json_integer_value(json_object_get(j, "seq")),
		.at_ms = json_integer_value(json_object_get(j, "at_ms")),
	};

	if (json_object_size(j) != 3 || hash == NULL)
		return err_set(e, ERR_INVALID,
		    "payload of the JWS: not the head of an audit");
	(void)snprintf(h.hash, sizeof h.hash, "%s",
	    digest_is_hex(hash) ? hash : "");
	TRY(head_check(&h, e));
	*out = h;
	return ERR_OK;
}

enum err_code
head_verify(struct head *out, const char *jws, size_t len, const struct key *k,
    struct err *e)
{
	AUTO_BUF text = { 0 };
	enum err_code code;
	json_t *j;

	if (len > HEAD_JWS_MAX)
		return err_set(e, ERR_LIMIT,
		    "head of the audit: larger than %d bytes", HEAD_JWS_MAX);
	buf_init(&text, TEXT_MAX);
	TRY(jws_verify_payload(&text, jws, len, k, e));
	j = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	code = read_head(out, j, e);
	json_decref(j);
	return code;
}

enum err_code
head_key(char out[KEY_ID_MAX + 1], const char *jws, size_t len, struct err *e)
{
	const char *dot = memchr(jws, '.', len);
	AUTO_BUF text = { 0 };
	const char *id;
	json_t *j;

	buf_init(&text, TEXT_MAX);
	if (dot == NULL)
		return err_set(e, ERR_INVALID, "not a compact JWS: no dot");
	TRY(base64url_read(&text, jws, (size_t)(dot - jws), "header of the JWS",
	    e));
	j = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	id = json_string_value(json_object_get(j, "kid"));
	out[0] = '\0';
	if (id != NULL && key_id_is_valid(id))
		(void)snprintf(out, KEY_ID_MAX + 1, "%s", id);
	json_decref(j);
	if (out[0] == '\0')
		return err_set(e, ERR_INVALID,
		    "header of the JWS: names no key");
	return ERR_OK;
}
