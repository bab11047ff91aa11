#ifndef CLUSTERS_ENGINES_TABLE_H
#define CLUSTERS_ENGINES_TABLE_H

/* The inside of the table of engines, for clusters/engines*.c and their test
 * only: see engines.h. All but engines_lock is called inside the lock of the
 * shard it is about. */

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "clusters/engines.h"

enum {
	ENGINES_SHARD = 2048,       /* engines, about */
	ENGINES_BUNDLES_EACH = 4,   /* rows there are, per engine */
	ENGINES_SHARD_REPORTS = 64, /* newest win */
	/* Who makes room for others when the table is full. */
	ENGINES_EVICT_MS = 5 * 60 * 1000
};
static_assert(sizeof(struct engines_engine) == 128, "the budget of an engine");
static_assert(sizeof(struct engines_bundle) == 128, "the budget of a bundle");

struct engines_shard {
	pthread_mutex_t
	    lock; /* robust; guards the shard's rows and all below */
	/* The row that is being written; who is killed leaves it here. */
	_Atomic uint32_t writing_engine, writing_bundle, writing_report;
	_Atomic uint32_t used; /* engines; read without the lock too */
	/* Rows that were given back; the first that was never used. */
	uint32_t free_engine, free_bundle, new_engine, new_bundle;
	int64_t searched_ms;
};

/* Decisions of one cluster by one revision. */
enum {
	ENGINES_DECISIONS_ROWS = 4096,
	ENGINES_REVISIONS_MAX = 64, /* of a cluster; more are "other" */
	ENGINES_REVISION_WORDS = 6,
	ENGINES_REVISION_SIZE = 8 * ENGINES_REVISION_WORDS
};
struct engines_decisions {
	_Atomic uint64_t key; /* 0: nobody's */
	_Atomic uint64_t cluster;
	_Atomic uint64_t revision[ENGINES_REVISION_WORDS]; /* a text */
	_Atomic uint64_t ok, errors;
	_Atomic uint32_t ready; /* the text is there */
	_Atomic uint32_t count; /* of "other": revisions of the cluster */
};

struct engines_head {
	_Atomic bool restored;
};

/* Each process has its own, from before it was forked; all it points to is
 * shared. */
struct engines {
	struct engines_head *head;
	size_t size;
	size_t max;
	size_t shard_count, per_shard;
	uint64_t seed;
	struct engines_shard *shards;
	struct engines_engine *engines;
	struct engines_bundle *bundles;
	struct engines_report *reports;
	struct engines_decisions *decisions;
	uint32_t *buckets;
};

struct engines_key {
	uint64_t hash, cluster;
	const char *name;
	bool anonymous;
};
struct engines_key engines_key(const struct engines *t, uint64_t cluster,
    const char *name, bool anonymous);
struct engines_shard *engines_shard_of(struct engines *t,
    const struct engines_key *k);

/* False: it cannot be had in time. */
bool engines_lock(struct engines *t, struct engines_shard *s);
void engines_unlock(struct engines_shard *s);

/* Rows by number; NULL for a number that is none. */
struct engines_engine *engines_at(struct engines *t, struct engines_shard *s,
    uint32_t number);
struct engines_bundle *engines_bundle_at(struct engines *t,
    struct engines_shard *s, uint32_t number);
struct engines_report *engines_report_at(struct engines *t,
    struct engines_shard *s, uint32_t number);

/* Numbers, 0: there is none, or there is no room. */
uint32_t engines_find(struct engines *t, struct engines_shard *s,
    const struct engines_key *k);
uint32_t engines_find_bundle(struct engines *t, struct engines_shard *s,
    uint32_t engine, uint64_t bundle);
uint32_t engines_add(struct engines *t, struct engines_shard *s,
    const struct engines_key *k, int64_t now_ms);
uint32_t engines_add_bundle(struct engines *t, struct engines_shard *s,
    uint32_t engine, uint64_t bundle);
void engines_drop(struct engines *t, struct engines_shard *s, uint32_t number);

/* Write a row as a whole. */
void engines_put(struct engines *t, struct engines_shard *s, uint32_t number,
    const struct engines_engine *e);
void engines_put_bundle(struct engines *t, struct engines_shard *s,
    uint32_t number, const struct engines_bundle *b);
void engines_put_report(struct engines *t, struct engines_shard *s,
    uint32_t number, const struct engines_report *r);

#endif
