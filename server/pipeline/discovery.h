#ifndef SERVER_PIPELINE_DISCOVERY_H
#define SERVER_PIPELINE_DISCOVERY_H

/* Discovery bundles: a thread of the pipeline that looks, when the ledger says
 * that something changed, whether what a cluster's engines are told of their
 * configuration is still true. Where it is not: a new bundle, signed by the
 * keeper, verified and evaluated by the real engine, durable, and then known to
 * the ledger; from then on it is served. What did not change is not built
 * again, whatever else a commit changed. */

#include <pthread.h>

#include "server/pipeline/desk.h"

enum {
	DISCOVERY_LOOK_MS = 5000, /* for keys: nobody says when they change */
	DISCOVERY_PAUSE_MS = 200  /* between looks, however much happens */
};

struct discovery {
	struct desk *desk; /* borrowed */
};

/* Runs until the desk is stopping. */
void discovery_run(struct discovery *d);

#endif
