#ifndef CLUSTERS_STORE_REMOVED_H
#define CLUSTERS_STORE_REMOVED_H

/* What an operator takes away: assignments and clusters that edict.yaml no
 * longer has. Serials are remembered, so that they rise on if it comes back.
 * Steps inside a transaction of the caller's. */

#include "clusters/store_write.h"

/* The serial this assignment had when it was removed; 0: it never was. */
enum err_code store_removed_serial(struct store *s, const char *cluster,
    const char *bundle, int64_t *out, struct err *e) MUST_CHECK;

/* The assignment and its quarantine. */
enum err_code store_remove_assignment(struct store *s,
    const struct assignment *a, struct err *e) MUST_CHECK;

/* The cluster, which has no assignment any more. */
enum err_code store_remove_cluster(struct store *s, const char *cluster,
    struct err *e) MUST_CHECK;

#endif
