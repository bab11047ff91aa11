#ifndef CLUSTERS_CLUSTER_H
#define CLUSTERS_CLUSTER_H

/* What a publication and an operator do to the clusters: definitions taken
 * over, assignments moved. Every function runs inside a transaction of the
 * caller's, who rolls back after an error. Only the ledger calls these. */

#include <jansson.h>

#include "clusters/assign.h"
#include "clusters/store_write.h"

/* No less than edict.yaml and the bundler let pass: what is refused here is a
 * commit that passed its tests. */
enum {
	CLUSTER_BUNDLES_MAX = 1000, /* of one publication */
	CLUSTER_CLUSTERS_MAX = 10000,
	CLUSTER_ROOTS_MAX = 10000, /* of one bundle */
	CLUSTER_ROOT_MAX = 4096,   /* bytes */
	CLUSTER_LABELS_MAX = 100
};

/* LEDGER_PUBLISH (clusters/ledger.h). On success *reply is the caller's. The
 * same publication a second time changes nothing. */
enum err_code cluster_publish(struct store *s, const json_t *payload,
    json_t **reply, struct err *e) MUST_CHECK;

/* What an operator wants of a bundle in some clusters. */
struct cluster_change {
	const char *bundle;
	const json_t *clusters; /* array of names; NULL: all that have it */
	const json_t *expect;   /* cluster → serial as seen, or NULL */
	struct assign_who who;
	const char *peer;
};

/* Has no operator decided otherwise on one of these clusters after this event?
 * CONFLICT. What follows by itself is no decision. */
enum err_code cluster_check_undecided(struct store *s,
    const struct cluster_change *c, int64_t after_event, struct err *e)
    MUST_CHECK;

/* Do the clusters have the bundle, and the serials that were expected?
 * NOT_FOUND, INVALID or CONFLICT. */
enum err_code cluster_check_change(struct store *s,
    const struct cluster_change *c, struct err *e) MUST_CHECK;

/* All clusters or none. rollback: the bundle's revision at this commit;
 * NOT_FOUND when it is not stored. The assignments afterwards are
 * view_assignments. */
enum err_code cluster_rollback(struct store *s, const struct cluster_change *c,
    const char *commit, struct err *e) MUST_CHECK;
enum err_code cluster_pin(struct store *s, const struct cluster_change *c,
    struct err *e) MUST_CHECK;
enum err_code cluster_resume(struct store *s, const struct cluster_change *c,
    struct err *e) MUST_CHECK;

#endif
