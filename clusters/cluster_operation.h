#ifndef CLUSTERS_CLUSTER_OPERATION_H
#define CLUSTERS_CLUSTER_OPERATION_H

/* Rollbacks that take a while: the commit is tested and built first, or the
 * engine is asked whether what a cluster would have loads together. Inside a
 * transaction of the caller's. */

#include "clusters/cluster.h"

/* A rollback at once, but for a set that nobody knows: then nothing of it is
 * done, the set is wanted (clusters/store_set.h), and *waits. */
enum err_code cluster_rollback_or_ask(struct store *s,
    const struct cluster_change *c, const char *commit, bool *waits,
    struct err *e) MUST_CHECK;

struct cluster_run {
	const char *repository, *commit; /* what is published now */
	int64_t now_ms;
	bool trial; /* nothing is logged */
};

/* Ends an operation that waited for this commit; or lets it wait for a set. An
 * error is none of the operator's. */
enum err_code cluster_run_operation(struct store *s, int64_t id,
    const struct cluster_run *run, struct err *e) MUST_CHECK;

/* All that wait for a set, where it is known by now, or has been waited for long
 * enough. */
enum err_code cluster_run_waiting(struct store *s, int64_t now_ms,
    struct err *e) MUST_CHECK;

#endif
