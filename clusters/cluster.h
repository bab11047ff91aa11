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

/* Goes on with a rollback that waited for a signature (cluster_key.h). */
enum err_code cluster_operation(struct store *s, int64_t id, int64_t now_ms,
    struct err *e) MUST_CHECK;

/* What that would do, to be undone: the sets of bundles that are not known to
 * load are wanted afterwards (clusters/store_set.h). */
enum err_code cluster_publish_trial(struct store *s, const json_t *payload,
    struct err *e) MUST_CHECK;

/* Something that bundles wait for has come: all that is blocked, or not
 * assigned yet, is looked at again. */
enum err_code cluster_follow_waiting(struct store *s, int64_t now_ms,
    struct err *e) MUST_CHECK;

/* What an operator wants of some bundles, all of one repository, in some
 * clusters. */
struct cluster_change {
	const json_t *bundles;  /* array of names */
	const json_t *clusters; /* array of names; NULL: all that have any */
	const json_t *expect;   /* "CLUSTER/BUNDLE" (or "CLUSTER", of one
	                         * bundle) → serial as seen, or NULL */
	bool until_next;        /* held until the next commit that passes */
	bool force;             /* though the commit did not pass */
	struct assign_who who;
	const char *peer;
	json_t *refused; /* NULL, or a trial, which goes on after a refusal and
	                  * appends {"cluster","message"} here */
	json_t *unchecked; /* of a trial: appends the names of clusters whose
	                    * set the engine was not asked about yet */
};

/* Has no operator decided otherwise on one of these after this event?
 * CONFLICT. What follows by itself is no decision. */
enum err_code cluster_check_undecided(struct store *s,
    const struct cluster_change *c, int64_t after_event, struct err *e)
    MUST_CHECK;

/* Do the clusters have the bundles, and the serials that were expected?
 * NOT_FOUND, INVALID or CONFLICT. */
enum err_code cluster_check_change(struct store *s,
    const struct cluster_change *c, struct err *e) MUST_CHECK;

/* All clusters or none, and in each all bundles at once. rollback: the bundles'
 * revisions at this commit; NOT_FOUND when one is not stored, CONFLICT when the
 * commit did not pass and force is not set; UNAVAILABLE while nobody knows
 * whether a set that it makes loads together. */
enum err_code cluster_rollback(struct store *s, const struct cluster_change *c,
    const char *commit, struct err *e) MUST_CHECK;
enum err_code cluster_pin(struct store *s, const struct cluster_change *c,
    struct err *e) MUST_CHECK;
enum err_code cluster_resume(struct store *s, const struct cluster_change *c,
    struct err *e) MUST_CHECK;

/* The assignments of these bundles in these clusters, as view_assignments has
 * them: an array, the caller's. */
enum err_code cluster_assignments(struct store *s,
    const struct cluster_change *c, json_t **out, struct err *e) MUST_CHECK;

#endif
