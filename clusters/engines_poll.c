/* What a poll tells of an engine, and what to do about it. */

#include <stdio.h>
#include <string.h>

#include "clusters/engines_table.h"
#include "core/text.h"
#include "signing/digest.h"

/* Sent twice for nothing: then again after so long, at most. */
static const int64_t retry_s[] = { 60, 5 * 60, 30 * 60 };
enum { SENT_FREELY = 2, RETRIES = sizeof retry_s / sizeof *retry_s };

/* ---- marks ---- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
engines_mark_read(struct engines_mark *out, const char *text)
{
	for (size_t i = 0; i < ENGINES_MARK_SIZE; i++) {
		int high = hex_value(text[2 * i]);
		int low = high < 0 ? -1 : hex_value(text[2 * i + 1]);

		if (low < 0)
			return false;
		out->bytes[i] = (unsigned char)(high * 16 + low);
	}
	return true;
}

void
engines_mark_text(char out[ENGINES_MARK_TEXT], const struct engines_mark *m)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < ENGINES_MARK_SIZE; i++) {
		out[2 * i] = digits[m->bytes[i] / 16];
		out[2 * i + 1] = digits[m->bytes[i] % 16];
	}
	out[ENGINES_MARK_TEXT - 1] = '\0';
}

bool
engines_mark_same(const struct engines_mark *a, const struct engines_mark *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

struct engines_mark
engines_mark(const char *etag)
{
	static const char ours[] = "\"sha256:";
	const char *text = strncmp(etag, "W/", 2) == 0 ? etag + 2 : etag;
	char digest[DIGEST_HEX_SIZE];
	struct engines_mark m;

	if (strncmp(text, ours, sizeof ours - 1) == 0 &&
	    strlen(text) == sizeof ours + 64 &&
	    engines_mark_read(&m, text + sizeof ours - 1))
		return m;
	digest_hex(digest, etag, strlen(etag));
	(void)engines_mark_read(&m, digest);
	return m;
}

bool
engines_is_name(const char *text)
{
	static const struct text_set chars = { { ['a' ... 'z'] = true,
	    ['A' ... 'Z'] = true,
	    ['0' ... '9'] = true,
	    ['.'] = true,
	    ['_'] = true,
	    [':'] = true,
	    ['@'] = true,
	    ['/'] = true,
	    ['-'] = true } };
	size_t len = text_span(text, &chars);

	return len > 0 && len < ENGINES_NAME_SIZE && text[len] == '\0';
}

/* ---- what changes with a poll ---- */

static uint32_t
seconds(int64_t ms)
{
	return ms > 0 && ms / 1000 <= UINT32_MAX ? (uint32_t)(ms / 1000) : 0;
}

static bool
is_acked(const struct engines_bundle *b, const struct engines_mark *m)
{
	return (b->flags & ENGINES_ACKED) != 0 &&
	    engines_mark_same(&b->acked, m);
}

static bool
is_sent(const struct engines_bundle *b, const struct engines_mark *m)
{
	return (b->flags & ENGINES_SENT) != 0 && engines_mark_same(&b->sent, m);
}

static int64_t
serial_of(const struct engines_bundle *b, const struct engines_poll *p)
{
	if (engines_mark_same(p->has, &p->assigned))
		return p->serial;
	if (is_sent(b, p->has))
		return b->sent_serial;
	if ((b->flags & ENGINES_BEFORE) != 0 &&
	    engines_mark_same(&b->before, p->has))
		return b->before_serial;
	return 0;
}

/* All that is newer than what it had was sent to it under this name, or is what
 * is assigned now. Anything else is older, unless it started anew. */
static bool
went_back(const struct engines_bundle *b, const struct engines_poll *p)
{
	return (b->flags & ENGINES_ACKED) != 0 && b->acked_serial > 0 &&
	    (b->flags & (ENGINES_FRESH | ENGINES_UNSURE)) == 0 &&
	    !is_sent(b, p->has) && !engines_mark_same(p->has, &p->assigned);
}

static void
take_ack(struct engines_engine *e, struct engines_bundle *b,
    const struct engines_poll *p, struct engines_answer *out)
{
	int64_t serial = serial_of(b, p);

	if (went_back(b, p)) {
		out->news |= ENGINES_NEWS_BACK;
		out->from_serial = b->acked_serial;
		out->to_serial = serial;
		b->flags |= ENGINES_BACK;
		b->back_s = seconds(p->now_ms);
	}
	if ((b->flags & ENGINES_REJECTING) != 0)
		out->news |= ENGINES_NEWS_HEALED;
	if ((b->flags & ENGINES_ACKED) != 0) {
		b->before = b->acked;
		b->before_serial = b->acked_serial;
		b->flags |= ENGINES_BEFORE;
	}
	b->flags |= ENGINES_ACKED;
	b->flags &= ~(uint32_t)ENGINES_REJECTING;
	b->acked = *p->has;
	b->acked_serial = serial;
	b->acked_s = seconds(p->now_ms);
	b->sent_count = 0;
	e->changes++;
	e->flags |= ENGINES_UNSAVED;
}

/* It has what it shall have, and if it was rejected or gone before. */
static void
take_converged(struct engines_engine *e, struct engines_bundle *b,
    const struct engines_poll *p, struct engines_answer *out)
{
	if ((b->flags & ENGINES_REJECTING) != 0)
		out->news |= ENGINES_NEWS_HEALED;
	if ((b->flags & (ENGINES_REJECTING | ENGINES_BACK)) != 0 ||
	    b->acked_serial != p->serial || b->sent_count != 0)
		e->flags |= ENGINES_UNSAVED;
	b->flags &= ~(uint32_t)(ENGINES_REJECTING | ENGINES_BACK);
	b->acked_serial = p->serial;
	b->sent_count = 0;
}

/* What was read from the database is from anywhere. */
static bool
is_from(const struct engines_bundle *b, uint32_t from)
{
	return b->from == from || b->from == 0 || from == 0;
}

static bool
is_held(const struct engines_engine *e, const struct engines_bundle *b,
    const struct engines_poll *p)
{
	int64_t now = seconds(p->now_ms);

	return p->has != NULL && is_sent(b, &p->assigned) &&
	    is_from(b, p->from) && b->sent_count >= SENT_FREELY &&
	    now >= b->sent_s && now * 1000 < engines_retry_ms(e, b);
}

int64_t
engines_retry_ms(const struct engines_engine *e, const struct engines_bundle *b)
{
	size_t tries = b->sent_count - SENT_FREELY;

	if (b->sent_count < SENT_FREELY || e->changes != b->changes)
		return 0;
	return (b->sent_s + retry_s[tries < RETRIES ? tries : RETRIES - 1]) *
	    1000;
}

/* Each answer makes it look longer ago. */
static void
take_settling(struct engines_bundle *b, const struct engines_poll *p,
    struct engines_answer *out)
{
	uint32_t now = seconds(p->now_ms);

	if (b->told_s == 0 || now < b->told_s)
		return;
	out->settling = now - b->told_s < ENGINES_SETTLE_S;
	b->told_s = out->settling
	    ? b->told_s - ENGINES_SETTLE_S / ENGINES_SETTLE_ANSWERS
	    : 0;
}

static void
take_named(struct engines_engine *e, struct engines_bundle *b,
    const struct engines_poll *p, struct engines_answer *out)
{
	if (p->has == NULL) {
		b->flags |= ENGINES_FRESH;
		return;
	}
	if (!is_acked(b, p->has))
		take_ack(e, b, p, out);
	b->flags &= ~(uint32_t)(ENGINES_FRESH | ENGINES_UNSURE);
	if (engines_mark_same(p->has, &p->assigned)) {
		take_converged(e, b, p, out);
		take_settling(b, p, out);
		return;
	}
	if (b->sent_count > 0 && !is_sent(b, p->has) &&
	    (b->flags & ENGINES_REJECTING) == 0) {
		b->flags |= ENGINES_REJECTING;
		e->flags |= ENGINES_UNSAVED;
		out->news |= ENGINES_NEWS_REJECTING;
	}
	out->hold = is_held(e, b, p);
}

/* Only numbers, since what is assigned now was assigned. */
static void
take_anonymous(struct engines_bundle *b, const struct engines_poll *p)
{
	if (!is_sent(b, &p->assigned)) {
		b->had = b->had_other = b->had_none = 0;
		b->sent = p->assigned;
		b->flags |= ENGINES_SENT;
	}
	if (p->has == NULL)
		b->had_none++;
	else if (engines_mark_same(p->has, &p->assigned))
		b->had++;
	else
		b->had_other++;
}

static void
take_engine(struct engines_engine *e, const struct engines_poll *p)
{
	e->seen_ms = p->now_ms;
	if (p->version != NULL && strcmp(e->version, p->version) != 0) {
		(void)snprintf(e->version, sizeof e->version, "%s", p->version);
		e->flags |= ENGINES_UNSAVED;
	}
}

/* ---- the table ---- */

/* The rows of a poll, the shard locked; false: there are none. */
struct place {
	struct engines_shard *shard;
	uint32_t engine, bundle;
	bool missed; /* it could not be locked in time */
};

static bool
find_place(struct place *at, struct engines *t, const struct engines_poll *p,
    bool add)
{
	struct engines_key key =
	    engines_key(t, engines_hash(t, p->cluster), p->name, p->anonymous);
	uint64_t bundle = engines_hash(t, p->bundle);

	at->shard = engines_shard_of(t, &key);
	at->missed = !engines_lock(t, at->shard);
	if (at->missed)
		return false;
	at->engine = engines_find(t, at->shard, &key);
	if (at->engine == 0 && add)
		at->engine = engines_add(t, at->shard, &key, p->now_ms);
	at->bundle = at->engine == 0
	    ? 0
	    : engines_find_bundle(t, at->shard, at->engine, bundle);
	if (at->engine != 0 && at->bundle == 0 && add)
		at->bundle =
		    engines_add_bundle(t, at->shard, at->engine, bundle);
	if (at->bundle != 0)
		return true;
	engines_unlock(at->shard);
	return false;
}

void
engines_poll(struct engines *t, const struct engines_poll *p,
    struct engines_answer *out)
{
	struct place at;
	struct engines_engine e;
	struct engines_bundle b;

	*out = (struct engines_answer){ 0 };
	if (!find_place(&at, t, p, true)) {
		out->missed = at.missed;
		out->news = at.missed ? 0 : ENGINES_NEWS_UNTRACKED;
		return;
	}
	e = *engines_at(t, at.shard, at.engine);
	b = *engines_bundle_at(t, at.shard, at.bundle);
	take_engine(&e, p);
	if (p->anonymous)
		take_anonymous(&b, p);
	else
		take_named(&e, &b, p, out);
	engines_put(t, at.shard, at.engine, &e);
	engines_put_bundle(t, at.shard, at.bundle, &b);
	engines_unlock(at.shard);
}

bool
engines_held(struct engines *t, const struct engines_poll *p)
{
	struct place at;
	bool held;

	if (p->anonymous || !find_place(&at, t, p, false))
		return false;
	held = is_held(engines_at(t, at.shard, at.engine),
	    engines_bundle_at(t, at.shard, at.bundle), p);
	engines_unlock(at.shard);
	return held;
}

static void
count_sent(const struct engines_engine *e, struct engines_bundle *b,
    const struct engines_poll *p)
{
	if (!is_sent(b, &p->assigned)) {
		b->sent = p->assigned;
		b->sent_count = 0;
		b->flags |= ENGINES_SENT;
	}
	if (!is_from(b, p->from))
		b->sent_count = 0;
	b->from = p->from;
	if (b->sent_count == 0)
		b->first_sent_s = seconds(p->now_ms);
	if (b->sent_count < UINT32_MAX)
		b->sent_count++;
	b->sent_serial = p->serial;
	b->sent_s = seconds(p->now_ms);
	b->changes = e->changes;
}

void
engines_sent(struct engines *t, const struct engines_poll *p,
    struct engines_ticket *out)
{
	struct place at;
	struct engines_engine e;
	struct engines_bundle b;

	*out = (struct engines_ticket){ 0 };
	if (p->anonymous || !find_place(&at, t, p, false))
		return;
	*out = (struct engines_ticket){ (uint32_t)(at.shard - t->shards) + 1,
		at.bundle, p->assigned };
	e = *engines_at(t, at.shard, at.engine);
	b = *engines_bundle_at(t, at.shard, at.bundle);
	count_sent(&e, &b, p);
	e.flags |= ENGINES_UNSAVED;
	engines_put(t, at.shard, at.engine, &e);
	engines_put_bundle(t, at.shard, at.bundle, &b);
	engines_unlock(at.shard);
}

void
engines_unsent(struct engines *t, const struct engines_ticket *ticket)
{
	struct engines_shard *s;
	const struct engines_bundle *at;

	if (ticket->shard == 0 || ticket->shard > t->shard_count)
		return;
	s = &t->shards[ticket->shard - 1];
	if (!engines_lock(t, s))
		return;
	at = engines_bundle_at(t, s, ticket->bundle);
	if (at != NULL && at->used == 1 && is_sent(at, &ticket->sent) &&
	    at->sent_count > 0) {
		struct engines_bundle b = *at;

		b.sent_count--;
		engines_put_bundle(t, s, ticket->bundle, &b);
	}
	engines_unlock(s);
}

void
engines_told(struct engines *t, const char *cluster, const char *name,
    int64_t now_ms)
{
	struct engines_key key =
	    engines_key(t, engines_hash(t, cluster), name, false);
	struct engines_shard *s = engines_shard_of(t, &key);
	const struct engines_bundle *at;
	uint32_t engine, n;

	if (!engines_lock(t, s))
		return;
	engine = engines_find(t, s, &key);
	n = engine != 0 ? engines_at(t, s, engine)->bundles : 0;
	for (size_t i = 0; i < ENGINES_BUNDLES_MAX &&
	     (at = engines_bundle_at(t, s, n)) != NULL;
	     i++) {
		struct engines_bundle b = *at;

		b.told_s = seconds(now_ms);
		b.sent_count = 0;
		engines_put_bundle(t, s, n, &b);
		n = b.next;
	}
	engines_unlock(s);
}
