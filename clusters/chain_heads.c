#include "clusters/chain_heads.h"

#include <inttypes.h>
#include <string.h>

#include "core/mem.h"

struct chain_mark {
	struct chain_head at;
	char sha256[DIGEST_HEX_SIZE]; /* of the JWS */
	bool listed;
	bool told; /* an event says that it was signed */
};

/* Sorted by event: they come nearly so, and are few. */
void
chain_heads_add(struct chain_heads *h, const struct chain_head *at,
    const char *jws, bool listed)
{
	size_t i = h->count;
	struct chain_mark *m;

	h->items = mem_grow(h->items, h->count + 1, sizeof *h->items);
	for (; i > 0 && h->items[i - 1].at.seq > at->seq; i--)
		h->items[i] = h->items[i - 1];
	h->count++;
	m = &h->items[i];
	*m = (struct chain_mark){ .at = *at, .listed = listed };
	digest_hex(m->sha256, jws, strlen(jws));
}

void
chain_heads_clear(struct chain_heads *h)
{
	mem_free(h->items);
	*h = (struct chain_heads){ 0 };
}

static struct chain_mark *
find(const struct chain_heads *h, int64_t seq, const char *sha256)
{
	for (size_t i = 0; i < h->count; i++) {
		struct chain_mark *m = &h->items[i];

		if (m->listed && m->at.seq == seq &&
		    strcmp(m->sha256, sha256) == 0)
			return m;
	}
	return NULL;
}

static enum err_code
hear(struct chain_heads *h, const struct chain_event *v, struct err *e)
{
	json_t *detail = json_loads(v->detail, 0, NULL);
	json_int_t seq = 0;
	const char *sha256 = "";
	struct chain_mark *m;

	(void)json_unpack(detail, "{s:I, s:s}", "seq", &seq, "sha256", &sha256);
	m = find(h, seq, sha256);
	json_decref(detail);
	if (m == NULL)
		return err_set(e, ERR_CORRUPT,
		    "audit: event %" PRId64 " tells of a signed head, of event "
		    "%" PRId64 ", that is missing or was changed",
		    v->seq, (int64_t)seq);
	m->told = true;
	return ERR_OK;
}

enum err_code
chain_heads_meet(struct chain_heads *h, const struct chain_event *v,
    struct err *e)
{
	for (; h->next < h->count && h->items[h->next].at.seq == v->seq;
	     h->next++)
		if (strcmp(h->items[h->next].at.hash, v->hash) != 0)
			return err_set(e, ERR_CORRUPT,
			    "audit: event %" PRId64 " is another one than when "
			    "its head was signed; the chain up to there was "
			    "made anew",
			    v->seq);
	if (h->next < h->count && h->items[h->next].at.seq < v->seq)
		return err_set(e, ERR_CORRUPT,
		    "audit: a head of event %" PRId64
		    " was signed, and there is no such event",
		    h->items[h->next].at.seq);
	return strcmp(v->kind, "audit.head") == 0 ? hear(h, v, e) : ERR_OK;
}

enum err_code
chain_heads_finish(const struct chain_heads *h, const struct chain_head *end,
    struct err *e)
{
	const struct chain_mark *last = h->count > 0 ? &h->items[h->count - 1]
						     : NULL;

	if (last != NULL && last->at.seq > end->seq)
		return err_set(e, ERR_CORRUPT,
		    "audit: ends with event %" PRId64 ", but a head of event "
		    "%" PRId64 " was signed: its end was cut off",
		    end->seq, last->at.seq);
	for (size_t i = 0; i < h->count; i++)
		if (h->items[i].listed && !h->items[i].told)
			return err_set(e, ERR_CORRUPT,
			    "audit: no event tells of the signed head of event "
			    "%" PRId64
			    "; it was put in, or the end was cut off",
			    h->items[i].at.seq);
	return ERR_OK;
}
