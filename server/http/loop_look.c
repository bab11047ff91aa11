#include "server/http/loop_state.h"

#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "server/http/engine.h"
#include "server/http/poll.h"

/* What became of something that polls wait with, an entry or a token of the
 * catalog before. Thousands wait with the same, so each is looked up once. */
struct fate {
	const void *was;
	const void *is; /* NULL: it is gone, or does not stand for the same */
	bool same;      /* of an entry: the same bytes */
	UT_hash_handle hh;
};

struct look {
	struct loop *loop;
	struct fate *entries;
	struct fate *tokens;
	int64_t wall_ms, mono_ms;
};

static struct fate *
find_fate(struct fate *list, const void *was)
{
	struct fate *f;

	HASH_FIND_PTR(list, &was, f);
	return f;
}

static struct fate *
add_fate(struct fate **list, const void *was, const void *is)
{
	struct fate *f = mem_zalloc(sizeof *f);

	f->was = was;
	f->is = is;
	HASH_ADD_PTR(*list, was, f);
	return f;
}

static void
clear_fates(struct fate *list)
{
	struct fate *f, *next;

	HASH_ITER(hh, list, f, next) {
		HASH_DEL(list, f);
		mem_free(f);
	}
}

static const struct fate *
entry_fate(struct look *k, const struct catalog_entry *was)
{
	struct fate *f = find_fate(k->entries, was);
	const struct catalog_entry *is;

	if (f != NULL)
		return f;
	is = catalog_find(k->loop->catalog, was->cluster, was->bundle);
	f = add_fate(&k->entries, was, is);
	f->same = is != NULL && strcmp(is->etag, was->etag) == 0;
	return f;
}

static const struct catalog_token *
token_now(struct look *k, const struct catalog_token *was)
{
	struct fate *f = find_fate(k->tokens, was);
	const struct catalog_token *is;

	if (f != NULL)
		return f->is;
	is = catalog_token(k->loop->catalog, was->digest);
	if (is != NULL &&
	    (is->role != was->role || strcmp(is->cluster, was->cluster) != 0))
		is = NULL;
	return add_fate(&k->tokens, was, is)->is;
}

/* Its credential is one of the catalog's. */
static bool
is_listed(const struct request *r)
{
	return r->token != NULL && r->certificate == NULL && r->jwt == NULL;
}

static uint64_t
hash_of(const struct request *r)
{
	const char *name = engine_name(r);

	if (name == NULL)
		return 0;
	return engines_hash_bytes(r->service->engines, name, strlen(name)) | 1;
}

/* At the moment that it has, or an earlier one of the new release. */
static bool
set_turn(struct loop *l, struct request *r, const struct catalog_entry *entry,
    int64_t wall_ms, int64_t mono_ms)
{
	const char *etags = r->known[REQUEST_ETAG];
	int64_t ms = 0;

	if (l->spread.length_ms > 0 && entry->at_ms != 0 && etags != NULL)
		ms = spread_turn_ms(&l->spread, entry, hash_of(r), etags,
		    wall_ms);
	if (ms == 0)
		return true;
	if (r->turn_ms == 0 || mono_ms + ms < r->turn_ms)
		r->turn_ms = mono_ms + ms;
	return r->turn_ms <= mono_ms;
}

bool
loop_is_turn(struct loop *l, struct request *r,
    const struct catalog_entry *entry)
{
	return set_turn(l, r, entry, clock_now_ms(), clock_mono_ms());
}

static void
wait_until(struct loop *l, struct request *r, int64_t deadline_ms)
{
	waiters_remove(&l->polls, &r->waiter);
	waiters_add(&l->polls, &r->waiter, deadline_ms);
}

/* What it waited for is another one. False: it gets that now. */
static bool
may_wait_on(struct look *k, struct request *r,
    const struct catalog_entry *entry)
{
	struct loop *l = k->loop;

	if (poll_has(r->known[REQUEST_ETAG], entry->etag)) {
		/* What it had not got yet was taken back. */
		r->turn_ms = 0;
		wait_until(l, r, r->until_ms);
		return true;
	}
	if (set_turn(l, r, entry, k->wall_ms, k->mono_ms))
		return false;
	if (r->turn_ms < r->waiter.deadline_ms)
		wait_until(l, r, r->turn_ms);
	return true;
}

/* Does what this poll has still stand? Then it waits on, for the same thing in
 * the new catalog. */
static bool
still_current(struct look *k, struct request *r)
{
	const struct fate *f = entry_fate(k, r->entry);
	const struct catalog_entry *entry = f->is;
	const struct catalog_token *token = NULL;

	if (entry == NULL)
		return false;
	if (is_listed(r) && (token = token_now(k, r->token)) == NULL)
		return false;
	if (!f->same && !may_wait_on(k, r, entry))
		return false;
	/* An operator decided meanwhile that this is what it has to be. */
	if (f->same && r->turn_ms != 0 && entry->at_ms == 0)
		return false;
	r->entry = entry;
	if (is_listed(r))
		r->token = token;
	return true;
}

static bool
still_known(struct look *k, struct request *r)
{
	if (r->jwt != NULL)
		return jwt_known_holds(r->jwt, k->loop->access);
	return r->certificate == NULL;
}

/* Resumes in bulk those whose assignment, or whose right, is not what it was.
 * The old catalog is still there: they point into it. */
static void
look_again(struct loop *l,
    bool (*still_stands)(struct look *k, struct request *r))
{
	struct look k = { .loop = l,
		.wall_ms = clock_now_ms(),
		.mono_ms = clock_mono_ms() };
	size_t count = l->polls.count;
	struct request **all = mem_array(count, sizeof(struct request *));

	/* Who waits on may change places. */
	for (size_t i = 0; i < count; i++)
		all[i] = loop_request_of(waiters_at(&l->polls, i));
	for (size_t i = 0; i < count; i++)
		if (!still_stands(&k, all[i]))
			loop_resume(l, all[i]);
	mem_free(all);
	clear_fates(k.entries);
	clear_fates(k.tokens);
}

static void
take_releases(struct spread *s, const struct catalog *old,
    const struct catalog *next)
{
	int64_t now = clock_now_ms();

	spread_begin(s);
	for (size_t i = 0; i < catalog_count(next); i++) {
		const struct catalog_entry *is = catalog_at(next, i);
		const struct catalog_entry *was =
		    catalog_find(old, is->cluster, is->bundle);

		if (was != NULL)
			spread_add(s, was, is, now);
	}
	spread_end(s);
}

void
loop_take_catalog(struct loop *l)
{
	struct catalog *next = service_catalog(l->service);
	struct catalog *old = l->catalog;

	if (next == old) {
		catalog_unref(next);
		return;
	}
	loop_clear_answers(l);
	l->catalog = next;
	if (l->spread.length_ms > 0 && old != NULL && next != NULL)
		take_releases(&l->spread, old, next);
	look_again(l, still_current);
	catalog_unref(old);
}

/* Is it the same but for how old it may become? */
static bool
is_same(const struct access *a, const struct access *b)
{
	bool same = a->tls == b->tls;

	for (size_t i = 0; same && i < a->count; i++)
		same = a->issuers[i].keys == b->issuers[i].keys;
	return same;
}

void
loop_take_access(struct loop *l)
{
	struct access *next = access_get(&l->service->access);
	struct access *old = l->access;

	l->access = next;
	if (next != old && !is_same(next, old))
		look_again(l, still_known);
	access_unref(old);
}
