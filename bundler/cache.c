#include "bundler/cache.h"

#include <assert.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>

#include "bundler/memory.h"
#include "core/mem.h"

/* A plan and a pack are a round each, and a repository may have several
 * bundles that are packed one after the other. */
enum { ROUNDS_KEPT = 64 };

/* A bundle without its files. */
struct cache_facts {
	char key[DIGEST_HEX_SIZE];
	struct bundle *bundle;
	size_t cost;
	uint64_t used;
	UT_hash_handle hh;
};

/* The memory of a bundle's last plan. */
struct cache_memory {
	char *bundle;
	struct memory *memory;
	size_t cost;
	uint64_t used;
	UT_hash_handle hh;
};

struct bundle_cache {
	size_t max;
	size_t bytes;
	uint64_t round;
	uint64_t swept; /* the round in which room was last made */
	struct blob *blobs;
	struct cache_member *members;
	struct cache_memory *memories;
	struct cache_facts *facts;
};

/* Whoever keeps a cache builds again and again, each time in buffers of some
 * MiB. Left to itself the C library gives them back to the system after each
 * bundle, and fetching them anew, page by page, was a quarter of the time that a
 * commit of one file took. It keeps HEAP_KEPT at most. */
static pthread_once_t heap_once = PTHREAD_ONCE_INIT;

static void
keep_heap(void)
{
	enum { BLOCK_KEPT = 16 << 20, HEAP_KEPT = 32 << 20 };

	/* What it refuses costs time alone. */
	(void)mallopt(M_MMAP_THRESHOLD, BLOCK_KEPT);
	(void)mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
}

struct bundle_cache *
bundle_cache_new(size_t max)
{
	struct bundle_cache *c = mem_zalloc(sizeof *c);

	if (pthread_once(&heap_once, keep_heap) != 0)
		assert(0 && "pthread_once");
	c->max = max;
	return c;
}

static size_t
member_cost(const struct cache_member *m)
{
	return sizeof *m + m->len;
}

static void
drop_blob(struct bundle_cache *c, struct blob *b)
{
	c->bytes -= b->cost;
	HASH_DEL(c->blobs, b);
	blob_unref(b);
}

static void
drop_member(struct bundle_cache *c, struct cache_member *m)
{
	c->bytes -= member_cost(m);
	HASH_DEL(c->members, m);
	mem_free(m->data);
	mem_free(m);
}

static void
drop_facts(struct bundle_cache *c, struct cache_facts *f)
{
	c->bytes -= f->cost;
	HASH_DEL(c->facts, f);
	bundle_free(f->bundle);
	mem_free(f);
}

/* The memory goes on to the caller. */
static struct memory *
drop_memory(struct bundle_cache *c, struct cache_memory *m)
{
	struct memory *memory = m->memory;

	c->bytes -= m->cost;
	HASH_DEL(c->memories, m);
	mem_free(m->bundle);
	mem_free(m);
	return memory;
}

/* Drops what was last used before this round. A memory holds blobs that were
 * used no earlier than itself, so it never outlives them here. */
static void
sweep(struct bundle_cache *c, uint64_t before)
{
	struct blob *b, *next_blob;
	struct cache_member *m, *next_member;
	struct cache_memory *y, *next_memory;
	struct cache_facts *f, *next_facts;

	HASH_ITER(hh, c->blobs, b, next_blob) {
		if (b->used < before)
			drop_blob(c, b);
	}
	HASH_ITER(hh, c->members, m, next_member) {
		if (m->used < before)
			drop_member(c, m);
	}
	HASH_ITER(hh, c->memories, y, next_memory) {
		if (y->used < before)
			memory_free(drop_memory(c, y));
	}
	HASH_ITER(hh, c->facts, f, next_facts) {
		if (f->used < before)
			drop_facts(c, f);
	}
}

void
bundle_cache_free(struct bundle_cache *c)
{
	if (c == NULL)
		return;
	sweep(c, UINT64_MAX);
	mem_free(c);
}

void
cache_begin(struct bundle_cache *c)
{
	c->round++;
	/* Bundles that rest for long are worth their memory while there is
	 * enough of it. */
	if (c->round % ROUNDS_KEPT == 0 && c->bytes > c->max / 2)
		sweep(c, c->round - ROUNDS_KEPT);
}

/* At most one sweep in a round: a tree that is too large for the cache must
 * not be searched for every blob. */
static bool
make_room(struct bundle_cache *c, size_t cost)
{
	if (cost > c->max)
		return false;
	if (c->bytes + cost > c->max && c->swept != c->round) {
		c->swept = c->round;
		if (c->round > ROUNDS_KEPT)
			sweep(c, c->round - ROUNDS_KEPT);
		if (c->bytes + cost > c->max)
			sweep(c, c->round);
	}
	return c->bytes + cost <= c->max;
}

struct blob *
cache_blob(struct bundle_cache *c, const struct blob_key *key)
{
	struct blob *b;

	HASH_FIND(hh, c->blobs, key, sizeof *key, b);
	if (b == NULL)
		return NULL;
	b->used = c->round;
	return blob_ref(b);
}

struct blob *
cache_peek(struct bundle_cache *c, const struct blob_key *key)
{
	struct blob *b;

	HASH_FIND(hh, c->blobs, key, sizeof *key, b);
	return b;
}

void
cache_add_blob(struct bundle_cache *c, struct blob *b)
{
	struct blob *old;

	HASH_FIND(hh, c->blobs, &b->key, sizeof b->key, old);
	if (old != NULL || !make_room(c, b->cost))
		return;
	b->used = c->round;
	c->bytes += b->cost;
	(void)blob_ref(b);
	HASH_ADD(hh, c->blobs, key, sizeof b->key, b);
}

const struct cache_member *
cache_member(struct bundle_cache *c, const char *key)
{
	struct cache_member *m;

	HASH_FIND(hh, c->members, key, DIGEST_HEX_SIZE, m);
	if (m != NULL)
		m->used = c->round;
	return m;
}

void
cache_add_member(struct bundle_cache *c, const char *key, const void *data,
    size_t len)
{
	struct cache_member *m;

	if (cache_member(c, key) != NULL || !make_room(c, sizeof *m + len))
		return;
	m = mem_zalloc(sizeof *m);
	memcpy(m->key, key, DIGEST_HEX_SIZE);
	m->data = mem_alloc(len);
	memcpy(m->data, data, len);
	m->len = len;
	m->used = c->round;
	c->bytes += member_cost(m);
	HASH_ADD(hh, c->members, key, DIGEST_HEX_SIZE, m);
}

static struct cache_facts *
find_facts(struct bundle_cache *c, const char *key)
{
	struct cache_facts *f;

	HASH_FIND(hh, c->facts, key, DIGEST_HEX_SIZE, f);
	if (f != NULL)
		f->used = c->round;
	return f;
}

const struct bundle *
cache_facts(struct bundle_cache *c, const char *key)
{
	const struct cache_facts *f = find_facts(c, key);

	return f != NULL ? f->bundle : NULL;
}

static size_t
facts_cost(const struct bundle *b)
{
	size_t cost = sizeof(struct cache_facts) + sizeof *b + strlen(b->name);

	for (size_t i = 0; i < b->root_count; i++)
		cost += sizeof *b->roots + strlen(b->roots[i]) + 1;
	return cost;
}

void
cache_add_facts(struct bundle_cache *c, const char *key, struct bundle *b)
{
	size_t cost = facts_cost(b);
	struct cache_facts *f;

	if (find_facts(c, key) != NULL || !make_room(c, cost)) {
		bundle_free(b);
		return;
	}
	f = mem_zalloc(sizeof *f);
	memcpy(f->key, key, DIGEST_HEX_SIZE);
	f->bundle = b;
	f->cost = cost;
	f->used = c->round;
	c->bytes += cost;
	HASH_ADD(hh, c->facts, key, DIGEST_HEX_SIZE, f);
}

void
cache_each(struct bundle_cache *c, void (*blob)(void *arg, struct blob *b),
    void (*member)(void *arg, struct cache_member *m, bool resting), void *arg)
{
	struct blob *b, *next_blob;
	struct cache_member *m, *next_member;

	HASH_ITER(hh, c->blobs, b, next_blob)
		blob(arg, b);
	HASH_ITER(hh, c->members, m, next_member) {
		if (member != NULL)
			member(arg, m, m->used + ROUNDS_KEPT < c->round);
	}
}

struct memory *
cache_take_memory(struct bundle_cache *c, const char *bundle)
{
	struct cache_memory *m;

	HASH_FIND_STR(c->memories, bundle, m);
	return m != NULL ? drop_memory(c, m) : NULL;
}

void
cache_keep_memory(struct bundle_cache *c, const char *bundle,
    struct memory *memory, size_t cost)
{
	struct cache_memory *m;

	memory_free(cache_take_memory(c, bundle));
	if (!make_room(c, cost)) {
		memory_free(memory);
		return;
	}
	m = mem_zalloc(sizeof *m);
	m->bundle = mem_strdup(bundle);
	m->memory = memory;
	m->cost = cost;
	m->used = c->round;
	c->bytes += cost;
	HASH_ADD_KEYPTR(hh, c->memories, m->bundle, strlen(m->bundle), m);
}

void
cache_touch(struct bundle_cache *c, struct blob *b)
{
	b->used = c->round;
}

bool
cache_has_used(const struct bundle_cache *c, const struct blob *b)
{
	return b->used == c->round;
}

size_t
cache_bytes(const struct bundle_cache *c)
{
	return c->bytes;
}
