/* How much one may ask: bad credentials of an address, and requests of an
 * operator. Whoever tries many credentials gets no further than a look at this
 * table. But a whole fleet may come from one address, and a good engine must not
 * suffer from its neighbours, so a good token of ours always passes (see dispatch.c), and
 * so does a JWT that was good lately: it is known by a number that says nothing
 * about it. */

#include <string.h>

#include "core/mem.h"
#include "server/http/loop_state.h"
#include "server/http/reply.h"

enum { LOOP_GOOD = 4096, LOOP_OPERATORS = 1024 };

void
loop_guard_init(struct loop *l)
{
	l->credentials = limits_new(LOOP_OPERATORS);
	l->good = mem_zalloc(LOOP_GOOD * sizeof *l->good);
}

void
loop_guard_clear(struct loop *l)
{
	limits_free(l->credentials);
	mem_free(l->good);
}

static void
refuse(struct loop *l, struct request *r, enum counter which, int64_t wait_s,
    const char *why)
{
	loop_limit_hit(l, which);
	r->retry_s = wait_s;
	reply_fault(r, 429, "limit", "%s; come again in %d s", why,
	    (int)wait_s);
}

/* Its number, and where that is remembered. */
static uint64_t
tag_of(const struct loop *l, const char *header, uint64_t **slot)
{
	uint64_t tag = limits_tag(l->addresses, header, strlen(header));

	*slot = &l->good[tag % LOOP_GOOD];
	return tag;
}

/* A certificate costs more in the handshake than here. */
bool
loop_may_try(struct loop *l, struct request *r)
{
	const struct conf_limits *c = &l->service->conf->http.limits;
	struct limits_row *row = r->peer->row;
	const char *header;
	uint64_t *slot;
	int64_t wait_s;

	if (row == NULL || row->bucket.spent == 0 || c->failures_rate == 0)
		return true;
	wait_s = limits_wait_s(&row->bucket, c->failures_rate,
	    c->failures_burst, l->now_ms);
	header = request_header(r, "Authorization");
	if (wait_s == 0 || header == NULL || tag_of(l, header, &slot) == *slot)
		return true;
	r->retry_s = wait_s;
	return false;
}

void
loop_refuse_try(struct loop *l, struct request *r)
{
	refuse(l, r, COUNTER_LIMIT_FAILURES, r->retry_s,
	    "too many credentials that are not valid came from this address "
	    "(http.limits.failures_rate)");
}

void
loop_tried(struct loop *l, struct request *r, enum auth_result who)
{
	const struct conf_limits *c = &l->service->conf->http.limits;
	struct limits_row *row = r->peer->row;
	const char *header;
	uint64_t *slot;

	if (who == AUTH_WRONG && !r->tried && row != NULL &&
	    c->failures_rate > 0)
		limits_take(&row->bucket, c->failures_rate, c->failures_burst,
		    l->now_ms);
	r->tried = true;
	if (who != AUTH_KNOWN || r->peer->known)
		return;
	loop_peer_known(l, r->peer);
	header = request_header(r, "Authorization");
	if (header != NULL) {
		uint64_t tag = tag_of(l, header, &slot);

		*slot = tag;
	}
}

void
loop_needs_none(struct loop *l, struct request *r)
{
	loop_peer_known(l, r->peer);
}

bool
loop_may_ask(struct loop *l, struct request *r)
{
	const struct conf_limits *c = &l->service->conf->http.limits;
	unsigned char key[LIMITS_KEY_SIZE] = { 0 };
	struct limits_row *row;
	uint64_t tag;
	int64_t wait_s;

	if (c->api_rate == 0 || r->waited)
		return true;
	tag =
	    limits_tag(l->credentials, r->token->name, strlen(r->token->name));
	memcpy(key, &tag, sizeof tag);
	row = limits_find(l->credentials, key);
	wait_s =
	    limits_wait_s(&row->bucket, c->api_rate, c->api_burst, l->now_ms);
	if (wait_s == 0) {
		limits_take(&row->bucket, c->api_rate, c->api_burst, l->now_ms);
		return true;
	}
	refuse(l, r, COUNTER_LIMIT_API_RATE, wait_s,
	    "too many requests with this credential (http.limits.api_rate)");
	return false;
}
