#ifndef CLUSTERS_TALLY_H
#define CLUSTERS_TALLY_H

/* The table of engines counted against what is assigned: how many engines of
 * each cluster have each bundle, in what state. Made for one answer; looks
 * through the whole table. The catalog has to outlive it. One thread. */

#include "clusters/catalog.h"

enum { TALLY_RUNS_MAX = 8 };

/* Engines that have the same artifact, whatever is assigned. */
struct tally_run {
	struct engines_mark mark;
	size_t engines;
	int64_t since_ms; /* when the first of them acknowledged it */
};

struct tally_place {
	const struct catalog_entry *entry;
	size_t states[ENGINES_STATES];
	size_t back;                           /* went back by themselves */
	struct tally_run runs[TALLY_RUNS_MAX]; /* most engines first */
	size_t run_count;
	/* Anonymous: credentials, and what their polls had. */
	size_t credentials;
	uint64_t had, had_other, had_none;
};

struct tally_cluster {
	const char *name;
	size_t states[ENGINES_STATES]; /* each engine once, in its worst */
};

struct tally {
	struct tally_place *places; /* as the catalog's entries */
	size_t count;
	struct tally_cluster *clusters; /* sorted by name */
	size_t cluster_count;
	size_t states[ENGINES_STATES]; /* of all engines, each once */
};

struct tally *tally_new(struct engines *t, const struct catalog *c,
    int64_t now_ms, int64_t silent_ms);
void tally_free(struct tally *t);
AUTO_FREE(tally)

/* NULL: there is none. */
const struct tally_place *tally_find(const struct tally *t, const char *cluster,
    const char *bundle);
const struct tally_cluster *tally_cluster(const struct tally *t,
    const char *cluster);

/* Of several states of one engine's bundles, the one to be told first. */
enum engines_state tally_worse(enum engines_state a, enum engines_state b);

/* Finds the entry of an engine's bundle by the hashes in the table. */
struct tally_index;
struct tally_index *tally_index_new(const struct engines *t,
    const struct catalog *c);
void tally_index_free(struct tally_index *x);
AUTO_FREE(tally_index)
const struct catalog_entry *tally_index_find(const struct tally_index *x,
    uint64_t cluster, uint64_t bundle); /* or NULL */

#endif
