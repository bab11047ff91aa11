#ifndef SERVER_PIPELINE_HEADS_H
#define SERVER_PIPELINE_HEADS_H

/* The thread of the pipeline that has the head of the audit signed: when an
 * admin asks for it, and when a day has gone by since the last, by this
 * machine's clock; so what was missed while the server was down is caught up at
 * its start. The keeper signs, the ledger writes it down. */

#include "server/pipeline/desk.h"

enum { HEADS_LOOK_MS = 60000, HEADS_RETRY_MS = 5000 };

/* Runs until the desk is stopping. */
void heads_run(struct desk *d);

#endif
