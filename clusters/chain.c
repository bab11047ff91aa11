#include "clusters/chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/chain_heads.h"
#include "clusters/payload.h"
#include "core/clock.h"

void
chain_head_text(char out[CHAIN_HEAD_SIZE], const struct chain_head *h)
{
	(void)snprintf(out, CHAIN_HEAD_SIZE, "%" PRId64 ":%s", h->seq, h->hash);
}

enum err_code
chain_head_read(struct chain_head *out, const char *text, struct err *e)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 18 || text[0] == '0' ||
	    text[digits] != ':' || !digest_is_hex(text + digits + 1))
		return err_set(e, ERR_INVALID,
		    "\"%.100s\" is no head of the audit: it is a number, a "
		    "colon and 64 hex digits, as --verify prints it",
		    text);
	out->seq = strtoll(text, NULL, 10);
	memcpy(out->hash, text + digits + 1, DIGEST_HEX_SIZE);
	return ERR_OK;
}

static void
add_text(struct digest *d, const char *text)
{
	digest_add_piece(d, text, strlen(text));
}

static void
add_number(struct digest *d, int64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%" PRId64, n);
	add_text(d, text);
}

void
chain_hash(char out[DIGEST_HEX_SIZE], const struct chain_event *v)
{
	struct digest *d = digest_new();

	add_text(d, v->previous);
	add_number(d, v->seq);
	add_number(d, v->at_ms);
	add_text(d, v->who);
	add_text(d, v->peer);
	add_text(d, v->kind);
	add_text(d, v->subject);
	add_text(d, v->detail);
	digest_end(d, out);
}

static enum err_code
check_number(const struct chain *c, const struct chain_event *v, struct err *e)
{
	int64_t expected = c->at.seq + 1;

	if (v->seq == expected)
		return ERR_OK;
	if (v->seq < expected)
		return err_set(e, ERR_CORRUPT,
		    "audit: event %" PRId64 " stands after event %" PRId64,
		    v->seq, c->at.seq);
	return err_set(e, ERR_CORRUPT,
	    "audit: event %" PRId64 " is missing; the next that is there is "
	    "%" PRId64,
	    expected, v->seq);
}

/* Which of the two was changed cannot be known, but where it shows. */
static enum err_code
check_hashes(const struct chain *c, const struct chain_event *v, struct err *e)
{
	char hash[DIGEST_HEX_SIZE];

	if (strcmp(v->previous, c->at.hash) != 0)
		return err_set(e, ERR_CORRUPT,
		    "audit: event %" PRId64 " does not name the hash of event "
		    "%" PRId64 " before it",
		    v->seq, c->at.seq);
	chain_hash(hash, v);
	if (strcmp(v->hash, hash) != 0)
		return err_set(e, ERR_CORRUPT,
		    "audit: event %" PRId64 " was changed: its hash is not "
		    "that of what it says",
		    v->seq);
	return ERR_OK;
}

enum err_code
chain_follow(struct chain *c, const struct chain_event *v, struct err *e)
{
	TRY(check_number(c, v, e));
	TRY(check_hashes(c, v, e));
	if (v->seq == c->known.seq && strcmp(v->hash, c->known.hash) != 0)
		return err_set(e, ERR_CORRUPT,
		    "audit: event %" PRId64 " is another one than the head "
		    "that was noted; the chain up to there was made anew",
		    v->seq);
	if (c->heads != NULL)
		TRY(chain_heads_meet(c->heads, v, e));
	c->at.seq = v->seq;
	memcpy(c->at.hash, v->hash, DIGEST_HEX_SIZE);
	return ERR_OK;
}

enum err_code
chain_follow_json(struct chain *c, const json_t *event, struct err *e)
{
	struct chain_event v;
	const json_t *detail;
	const char *at;
	json_int_t seq;
	json_error_t why;
	char *text;
	enum err_code code;

	if (json_unpack_ex(payload_unconst(event), &why, 0,
		"{s:I, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s !}", "seq", &seq,
		"at", &at, "who", &v.who, "peer", &v.peer, "kind", &v.kind,
		"subject", &v.subject, "detail", &detail, "previous",
		&v.previous, "hash", &v.hash) != 0)
		return err_set(e, ERR_INVALID, "no event of the audit: %s",
		    why.text);
	v.seq = seq;
	TRY(clock_read(&v.at_ms, at, e));
	text = json_dumps(detail, JSON_COMPACT | JSON_SORT_KEYS);
	v.detail = text != NULL ? text : "";
	code = chain_follow(c, &v, e);
	free(text);
	return code;
}

enum err_code
chain_finish(const struct chain *c, struct err *e)
{
	if (c->at.seq < c->known.seq)
		return err_set(e, ERR_CORRUPT,
		    "audit: ends with event %" PRId64 ", but had come to "
		    "%" PRId64 ": its end was cut off",
		    c->at.seq, c->known.seq);
	return c->heads != NULL ? chain_heads_finish(c->heads, &c->at, e)
				: ERR_OK;
}
