#include "clusters/engines.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "clusters/engines_table.h"
#include "core/clock.h"
#include "core/mem.h"

/* ---- the map ---- */

static size_t
lay_out(struct engines *t, char *base)
{
	size_t rows = t->shard_count * t->per_shard;
	size_t at = sizeof(struct engines_head);
	struct {
		void **where;
		size_t size;
	} parts[] = {
		{ (void **)&t->shards,
		    t->shard_count * sizeof(struct engines_shard) },
		{ (void **)&t->engines, rows * sizeof(struct engines_engine) },
		{ (void **)&t->bundles,
		    rows * ENGINES_BUNDLES_EACH *
			sizeof(struct engines_bundle) },
		{ (void **)&t->reports,
		    t->shard_count * ENGINES_SHARD_REPORTS *
			sizeof(struct engines_report) },
		{ (void **)&t->decisions,
		    ENGINES_DECISIONS_ROWS * sizeof(struct engines_decisions) },
		{ (void **)&t->buckets, rows * sizeof(uint32_t) },
	};

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		at = (at + 63) / 64 * 64;
		if (base != NULL)
			*parts[i].where = base + at;
		at += parts[i].size;
	}
	return at;
}

static void
init_shard(struct engines *t, size_t i)
{
	pthread_mutexattr_t attr;
	struct engines_shard *s = &t->shards[i];

	if (pthread_mutexattr_init(&attr) != 0 ||
	    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) != 0 ||
	    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) != 0 ||
	    pthread_mutex_init(&s->lock, &attr) != 0)
		abort();
	(void)pthread_mutexattr_destroy(&attr);
}

/* Shards are some larger than their share: names do not spread evenly. */
struct engines *
engines_new(size_t engines_max)
{
	struct engines *t = mem_zalloc(sizeof *t);
	void *map;

	assert(engines_max > 0);
	t->max = engines_max;
	t->shard_count = engines_max / ENGINES_SHARD + 1;
	t->per_shard = engines_max / t->shard_count;
	t->per_shard += t->shard_count > 1 ? t->per_shard / 8 + 64 : 1;
	t->size = lay_out(t, NULL);
	map = mmap(NULL, t->size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		abort();
	t->head = map;
	(void)lay_out(t, map);
	if (getrandom(&t->seed, sizeof t->seed, 0) != (ssize_t)sizeof t->seed)
		abort();
	for (size_t i = 0; i < t->shard_count; i++)
		init_shard(t, i);
	return t;
}

void
engines_free(struct engines *t)
{
	if (t == NULL)
		return;
	(void)munmap(t->head, t->size);
	mem_free(t);
}

uint64_t
engines_hash(const struct engines *t, const char *name)
{
	return engines_hash_bytes(t, name, strlen(name));
}

uint64_t
engines_hash_bytes(const struct engines *t, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	uint64_t h = t->seed;

	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	h = (h ^ (h >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ (h >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
	return h ^ (h >> 32);
}

size_t
engines_count(const struct engines *t)
{
	size_t sum = 0;

	for (size_t i = 0; i < t->shard_count; i++)
		sum += atomic_load_explicit(&t->shards[i].used,
		    memory_order_relaxed);
	return sum;
}

bool
engines_restored(const struct engines *t)
{
	return atomic_load(&t->head->restored);
}

void
engines_set_restored(struct engines *t)
{
	atomic_store(&t->head->restored, true);
}

/* ---- shards ---- */

/* Rows of a shard are numbered from 1; 0 is none. A number that is none of
 * the shard's reads as none, whoever wrote it. */
struct engines_engine *
engines_at(struct engines *t, struct engines_shard *s, uint32_t number)
{
	size_t shard = (size_t)(s - t->shards);

	if (number == 0 || number > t->per_shard)
		return NULL;
	return &t->engines[shard * t->per_shard + number - 1];
}

struct engines_bundle *
engines_bundle_at(struct engines *t, struct engines_shard *s, uint32_t number)
{
	size_t each = t->per_shard * ENGINES_BUNDLES_EACH;
	size_t shard = (size_t)(s - t->shards);

	if (number == 0 || number > each)
		return NULL;
	return &t->bundles[shard * each + number - 1];
}

struct engines_report *
engines_report_at(struct engines *t, struct engines_shard *s, uint32_t number)
{
	size_t shard = (size_t)(s - t->shards);

	if (number == 0 || number > ENGINES_SHARD_REPORTS)
		return NULL;
	return &t->reports[shard * ENGINES_SHARD_REPORTS + number - 1];
}

static uint32_t *
bucket_of(struct engines *t, struct engines_shard *s, uint64_t key)
{
	size_t shard = (size_t)(s - t->shards);

	return &t->buckets[shard * t->per_shard +
	    (size_t)(key >> 32) % t->per_shard];
}

static uint64_t
key_of(const struct engines *t, uint64_t cluster, const char *name,
    bool anonymous)
{
	return engines_hash(t, name) * 31 + cluster + (anonymous ? 1 : 0);
}

/* The compiler keeps these in order, and that is all it takes: who was killed
 * has run up to one instruction and not beyond. */
static void
mark(_Atomic uint32_t *at, uint32_t number)
{
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(at, number, memory_order_seq_cst);
	atomic_signal_fence(memory_order_seq_cst);
}

/* Text that was cut off, or never was one. */
static bool
is_sound(const struct engines_engine *e)
{
	return e->used == 1 && e->name[ENGINES_NAME_SIZE - 1] == '\0' &&
	    e->version[ENGINES_VERSION_SIZE - 1] == '\0';
}

static void
relink_engines(struct engines *t, struct engines_shard *s)
{
	size_t shard = (size_t)(s - t->shards);
	uint32_t used = 0;

	memset(&t->buckets[shard * t->per_shard], 0,
	    t->per_shard * sizeof *t->buckets);
	s->free_engine = 0;
	s->new_engine = (uint32_t)t->per_shard + 1;
	for (uint32_t n = (uint32_t)t->per_shard; n > 0; n--) {
		struct engines_engine *e = engines_at(t, s, n);
		uint32_t *head;

		if (!is_sound(e)) {
			memset(e, 0, sizeof *e);
			e->next = s->free_engine;
			s->free_engine = n;
			continue;
		}
		head = bucket_of(t, s,
		    key_of(t, e->cluster, e->name,
			(e->flags & ENGINES_ANONYMOUS) != 0));
		e->next = *head;
		e->bundles = 0;
		*head = n;
		used++;
	}
	atomic_store_explicit(&s->used, used, memory_order_relaxed);
}

static void
relink_bundles(struct engines *t, struct engines_shard *s)
{
	uint32_t count = (uint32_t)(t->per_shard * ENGINES_BUNDLES_EACH);

	s->free_bundle = 0;
	s->new_bundle = count + 1;
	for (uint32_t n = count; n > 0; n--) {
		struct engines_bundle *b = engines_bundle_at(t, s, n);
		struct engines_engine *e = engines_at(t, s, b->engine);

		if (b->used == 1 && e != NULL && e->used == 1) {
			b->next = e->bundles;
			e->bundles = n;
			continue;
		}
		memset(b, 0, sizeof *b);
		b->next = s->free_bundle;
		s->free_bundle = n;
	}
}

/* Somebody was killed inside. Bundles of an engine that is forgotten here go
 * with it; reports have no links. */
static void
recover(struct engines *t, struct engines_shard *s)
{
	uint32_t n = atomic_load(&s->writing_engine);
	struct engines_engine *e = engines_at(t, s, n);
	struct engines_bundle *b =
	    engines_bundle_at(t, s, atomic_load(&s->writing_bundle));
	struct engines_report *r =
	    engines_report_at(t, s, atomic_load(&s->writing_report));

	if (e != NULL)
		memset(e, 0, sizeof *e);
	if (b != NULL)
		memset(b, 0, sizeof *b);
	if (r != NULL)
		memset(r, 0, sizeof *r);
	relink_engines(t, s);
	relink_bundles(t, s);
	for (uint32_t i = 1; i <= ENGINES_SHARD_REPORTS; i++) {
		r = engines_report_at(t, s, i);
		e = engines_at(t, s, r->engine);
		if (e == NULL || e->used != 1)
			memset(r, 0, sizeof *r);
	}
	mark(&s->writing_engine, 0);
	mark(&s->writing_bundle, 0);
	mark(&s->writing_report, 0);
}

bool
engines_lock(struct engines *t, struct engines_shard *s)
{
	int64_t end = 0;

	for (;;) {
		int result = pthread_mutex_trylock(&s->lock);

		if (result == 0)
			return true;
		if (result == EOWNERDEAD) {
			recover(t, s);
			(void)pthread_mutex_consistent(&s->lock);
			return true;
		}
		if (result != EBUSY)
			return false;
		if (end == 0)
			end = clock_steady_ms() + ENGINES_LOCK_MS;
		else if (clock_steady_ms() > end)
			return false;
		(void)sched_yield();
	}
}

void
engines_unlock(struct engines_shard *s)
{
	(void)pthread_mutex_unlock(&s->lock);
}

/* ---- rows, inside the lock ---- */

void
engines_put(struct engines *t, struct engines_shard *s, uint32_t number,
    const struct engines_engine *e)
{
	struct engines_engine *at = engines_at(t, s, number);

	mark(&s->writing_engine, number);
	*at = *e;
	mark(&s->writing_engine, 0);
}

void
engines_put_bundle(struct engines *t, struct engines_shard *s, uint32_t number,
    const struct engines_bundle *b)
{
	struct engines_bundle *at = engines_bundle_at(t, s, number);

	mark(&s->writing_bundle, number);
	*at = *b;
	mark(&s->writing_bundle, 0);
}

void
engines_put_report(struct engines *t, struct engines_shard *s, uint32_t number,
    const struct engines_report *r)
{
	struct engines_report *at = engines_report_at(t, s, number);

	mark(&s->writing_report, number);
	*at = *r;
	mark(&s->writing_report, 0);
}

struct engines_shard *
engines_shard_of(struct engines *t, const struct engines_key *k)
{
	return &t->shards[(uint32_t)k->hash % t->shard_count];
}

struct engines_key
engines_key(const struct engines *t, uint64_t cluster, const char *name,
    bool anonymous)
{
	return (struct engines_key){
		.hash = key_of(t, cluster, name, anonymous),
		.cluster = cluster,
		.name = name,
		.anonymous = anonymous,
	};
}

uint32_t
engines_find(struct engines *t, struct engines_shard *s,
    const struct engines_key *k)
{
	uint32_t n = *bucket_of(t, s, k->hash);

	for (size_t steps = 0; steps <= t->per_shard; steps++) {
		const struct engines_engine *e = engines_at(t, s, n);

		if (e == NULL || e->used != 1)
			return 0;
		if (e->cluster == k->cluster &&
		    ((e->flags & ENGINES_ANONYMOUS) != 0) == k->anonymous &&
		    strncmp(e->name, k->name, ENGINES_NAME_SIZE) == 0)
			return n;
		n = e->next;
	}
	return 0;
}

uint32_t
engines_find_bundle(struct engines *t, struct engines_shard *s, uint32_t engine,
    uint64_t bundle)
{
	uint32_t n = engines_at(t, s, engine)->bundles;

	for (size_t steps = 0; steps <= ENGINES_BUNDLES_MAX; steps++) {
		const struct engines_bundle *b = engines_bundle_at(t, s, n);

		if (b == NULL)
			return 0;
		if (b->bundle == bundle)
			return n;
		n = b->next;
	}
	return 0;
}

/* Of rows that were never used, then of those that were given back. */
static uint32_t
take_engine(struct engines *t, struct engines_shard *s)
{
	uint32_t n = s->free_engine;
	struct engines_engine *e = engines_at(t, s, n);

	if (e != NULL) {
		s->free_engine = e->next;
		return n;
	}
	if (s->new_engine == 0)
		s->new_engine = 1;
	return s->new_engine <= t->per_shard ? s->new_engine++ : 0;
}

static uint32_t
take_bundle(struct engines *t, struct engines_shard *s)
{
	uint32_t n = s->free_bundle;
	struct engines_bundle *b = engines_bundle_at(t, s, n);

	if (b != NULL) {
		s->free_bundle = b->next;
		return n;
	}
	if (s->new_bundle == 0)
		s->new_bundle = 1;
	return s->new_bundle <= t->per_shard * ENGINES_BUNDLES_EACH
	    ? s->new_bundle++
	    : 0;
}

static void
drop_bundles(struct engines *t, struct engines_shard *s,
    struct engines_engine *e)
{
	uint32_t n = e->bundles;

	for (size_t steps = 0; steps <= ENGINES_BUNDLES_MAX; steps++) {
		struct engines_bundle *b = engines_bundle_at(t, s, n);
		uint32_t next;

		if (b == NULL)
			break;
		next = b->next;
		memset(b, 0, sizeof *b);
		b->next = s->free_bundle;
		s->free_bundle = n;
		n = next;
	}
	e->bundles = 0;
}

/* Links of several rows change, so all stands under the mark of the engine:
 * killed in the middle, the shard is put together anew without it. */
void
engines_drop(struct engines *t, struct engines_shard *s, uint32_t number)
{
	struct engines_engine *e = engines_at(t, s, number);
	uint32_t *link = bucket_of(t, s,
	    key_of(t, e->cluster, e->name,
		(e->flags & ENGINES_ANONYMOUS) != 0));

	mark(&s->writing_engine, number);
	for (size_t steps = 0; steps <= t->per_shard; steps++) {
		struct engines_engine *at = engines_at(t, s, *link);

		if (at == NULL || at == e)
			break;
		link = &at->next;
	}
	if (*link == number)
		*link = e->next;
	drop_bundles(t, s, e);
	for (uint32_t i = 1; i <= ENGINES_SHARD_REPORTS; i++)
		if (engines_report_at(t, s, i)->engine == number)
			memset(engines_report_at(t, s, i), 0,
			    sizeof(struct engines_report));
	memset(e, 0, sizeof *e);
	e->next = s->free_engine;
	s->free_engine = number;
	atomic_fetch_sub_explicit(&s->used, 1, memory_order_relaxed);
	mark(&s->writing_engine, 0);
}

/* The one that was silent longest, if one was; looked for once a second. */
static bool
make_room(struct engines *t, struct engines_shard *s, int64_t now_ms)
{
	uint32_t oldest = 0;
	int64_t seen_ms = now_ms - ENGINES_EVICT_MS;

	if (now_ms - s->searched_ms < 1000 && now_ms >= s->searched_ms)
		return false;
	s->searched_ms = now_ms;
	for (uint32_t n = 1; n <= t->per_shard; n++) {
		const struct engines_engine *e = engines_at(t, s, n);

		if (e->used == 1 && e->seen_ms < seen_ms) {
			oldest = n;
			seen_ms = e->seen_ms;
		}
	}
	if (oldest != 0)
		engines_drop(t, s, oldest);
	return oldest != 0;
}

uint32_t
engines_add(struct engines *t, struct engines_shard *s,
    const struct engines_key *k, int64_t now_ms)
{
	uint32_t number;
	struct engines_engine *e;
	uint32_t *head = bucket_of(t, s, k->hash);

	if (engines_count(t) >= t->max && !make_room(t, s, now_ms))
		return 0;
	number = take_engine(t, s);
	if (number == 0 && make_room(t, s, now_ms))
		number = take_engine(t, s);
	if (number == 0)
		return 0;
	e = engines_at(t, s, number);
	mark(&s->writing_engine, number);
	memset(e, 0, sizeof *e);
	e->cluster = k->cluster;
	e->flags = k->anonymous ? ENGINES_ANONYMOUS : 0;
	e->seen_ms = now_ms;
	(void)snprintf(e->name, sizeof e->name, "%s", k->name);
	e->used = 1;
	e->next = *head;
	*head = number;
	atomic_fetch_add_explicit(&s->used, 1, memory_order_relaxed);
	mark(&s->writing_engine, 0);
	return number;
}

/* Two rows are linked: both are marked. */
uint32_t
engines_add_bundle(struct engines *t, struct engines_shard *s, uint32_t engine,
    uint64_t bundle)
{
	struct engines_engine *e = engines_at(t, s, engine);
	struct engines_bundle *b;
	uint32_t number;
	size_t count = 0;

	for (uint32_t n = e->bundles; count < ENGINES_BUNDLES_MAX; count++) {
		b = engines_bundle_at(t, s, n);
		if (b == NULL)
			break;
		n = b->next;
	}
	number = count < ENGINES_BUNDLES_MAX ? take_bundle(t, s) : 0;
	if (number == 0)
		return 0;
	b = engines_bundle_at(t, s, number);
	mark(&s->writing_bundle, number);
	memset(b, 0, sizeof *b);
	b->bundle = bundle;
	b->engine = engine;
	b->used = 1;
	b->next = e->bundles;
	e->bundles = number;
	mark(&s->writing_bundle, 0);
	return number;
}
