#ifndef SERVER_PIPELINE_SIGNER_H
#define SERVER_PIPELINE_SIGNER_H

/* A thread of the pipeline for signing keys: it tells the ledger which keys the
 * keeper has, has the keeper let go of those that were retired, and makes the
 * signatures that are wanted, from stored content. A repository's thread may be
 * busy with tests for long; this one is not. */

#include "server/pipeline/desk.h"

enum { SIGNER_LOOK_MS = 5000 }; /* for keys: nobody says when they change */

struct signer {
	struct desk *desk; /* borrowed */
};

/* Runs until the desk is stopping. */
void signer_run(struct signer *g);

#endif
