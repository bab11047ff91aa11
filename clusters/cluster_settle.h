#ifndef CLUSTERS_CLUSTER_SETTLE_H
#define CLUSTERS_CLUSTER_SETTLE_H

/* Does a changed set (clusters/cluster_set.h) fit together? Three questions, in
 * this order: do roots overlap; does a root move from one bundle to another, so
 * that the one that takes it has to wait until engines have let go of it; and
 * does the real engine load the set, as far as somebody asked it. cluster_set.h
 * declares the two that answer: cluster_set_settle for what follows,
 * cluster_set_check for operators. Inside a transaction of the caller's. */

#include "clusters/cluster_set.h"

enum {
	/* An operator's change waits for the engine's answer no longer than
	 * this; then our own check of the roots has to do. */
	SETTLE_UNASKED_MS = 5000, /* nobody has begun to ask */
	SETTLE_ASKED_MS = 60000
};

/* The roots of now, loaded once. */
enum err_code cluster_member_roots(struct store *s, struct cluster_member *m,
    struct err *e) MUST_CHECK;
void cluster_member_forget_roots(struct cluster_member *m);

/* Notes which roots the moved members gave up, and which they have again.
 * Before they are saved. */
enum err_code cluster_set_give(const struct cluster_set *set, struct store *s,
    struct err *e) MUST_CHECK;

#endif
