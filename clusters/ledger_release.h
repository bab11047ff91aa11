#ifndef CLUSTERS_LEDGER_RELEASE_H
#define CLUSTERS_LEDGER_RELEASE_H

/* What ledger_release.c, which carries out rollback, pin and resume, shares with
 * ledger_trial.c, which only says what they would do. */

#include "clusters/cluster.h"
#include "clusters/ledger_action.h"

/* Strings and lists are borrowed from the payload, but for what is owned. */
struct release {
	struct action *action;
	struct store *store;
	const char *bundle, *to, *selector;
	const json_t *bundles, *clusters, *expect;
	int until_next, force, dry_run;
	char repository[STORE_NAME_SIZE]; /* of the bundles */
	json_t *bundle_names;             /* owned: what it comes to */
	json_t *cluster_names;            /* owned; NULL: all that have any */
};

struct cluster_change release_change(const struct release *r);

typedef enum err_code release_fn(struct store *s,
    const struct cluster_change *c, const char *commit, struct err *e);

/* Answers with what the change would do; nothing of it stays. */
enum err_code release_try(struct release *r, release_fn *change,
    const char *commit, struct err *e) MUST_CHECK;

/* The same of what has to be built first, of which less is known. commit may be
 * NULL. */
enum err_code release_try_unbuilt(struct release *r, const char *commit,
    struct err *e) MUST_CHECK;

#endif
