#ifndef SERVER_HTTP_ROOT_MOVES_H
#define SERVER_HTTP_ROOT_MOVES_H

/* A root that a bundle gave up may be another's once the engines have noticed
 * (clusters/cluster_settle.h). http sees that in their polls and tells the
 * ledger: all engines of the cluster that are not silent have what the bundle is
 * assigned. Engines without a name tell nothing: where there are any, time
 * decides. In http's first thread. */

#include "clusters/store.h"
#include "server/http/service.h"

enum { ROOT_MOVES_LOOK_MS = 200 };

struct root_moves {
	int64_t next_ms;
	bool waiting; /* there are some: come back after ROOT_MOVES_LOOK_MS */
};

/* s may be NULL when the database cannot be read. */
void root_moves_tick(struct root_moves *m, struct service *service,
    struct store *s);

#endif
