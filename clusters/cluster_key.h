#ifndef CLUSTERS_CLUSTER_KEY_H
#define CLUSTERS_CLUSTER_KEY_H

/* Which key signs what a cluster's engines get. A cluster is never moved to what
 * another key than its own has signed: a signature that is not there yet is
 * wanted, the pipeline has it made, and what waits goes on. To change the key of
 * what a cluster has is a change of artifact: the same content and revision, the
 * next serial, and whoever holds it and why stays as it was. Every function runs
 * inside a transaction of the caller's, who rolls back after an error. Only the
 * ledger calls these. */

#include <jansson.h>

#include "clusters/cluster.h"
#include "clusters/cluster_set.h"
#include "clusters/store_key.h"

struct cluster_key_change {
	const char *key;
	const json_t *clusters; /* array of names */
	const json_t *expect; /* cluster → the key it was seen with, or NULL */
	const char *who, *peer, *reason; /* reason may be NULL */
	int64_t now_ms;
};

/* From now on these clusters use this key. What it has signed already is
 * assigned at once, the rest when it is signed. NOT_FOUND, CONFLICT, INVALID.
 * *out is {"key","clusters":[{"cluster","previous","changed","waiting"}]}, the
 * caller's. */
enum err_code cluster_key_use(struct store *s,
    const struct cluster_key_change *c, json_t **out, struct err *e) MUST_CHECK;

/* A signature was made: what waited for it goes on, operations too. variant is
 * stored already. */
enum err_code cluster_key_signed(struct store *s,
    const struct store_artifact *variant, int64_t now_ms, struct err *e)
    MUST_CHECK;

/* Have the clusters' keys signed what these bundles are at this commit? What
 * they have not is wanted now; *ready is false then. */
enum err_code cluster_key_ready(struct store *s, const struct cluster_change *c,
    const char *commit, bool *ready, struct err *e) MUST_CHECK;

/* Members that move get what the cluster's own key has signed. What it has not
 * is wanted: asked for by an operator, that is UNAVAILABLE (cluster_key_ready was
 * to be asked before); else the member stays as it was until it is signed. A
 * trial takes what there is. */
enum err_code cluster_key_fit(struct cluster_set *set, struct store *s,
    bool asked, struct err *e) MUST_CHECK;

#endif
