#ifndef SERVER_PIPELINE_SET_CHECK_H
#define SERVER_PIPELINE_SET_CHECK_H

/* Bundles that a cluster would load together are loaded by the real engine, once
 * per combination of contents: by a repository's worker before it publishes, and
 * by a thread of the pipeline for what the ledger wants to know besides (an
 * operator's change, a cluster that waits). The ledger remembers the answers
 * (LEDGER_SET). */

#include "server/pipeline/desk.h"

/* Everything that publishing this would make a cluster load and that is not
 * known yet. job gives the folder, the engine and its runner. publication is
 * LEDGER_PUBLISH's payload; borrowed. An error is what publishing would answer,
 * or that the ledger is gone; what could not be checked is none: it will wait. */
enum err_code set_check_publication(struct desk *d, const struct gate_job *job,
    const json_t *publication, struct err *e) MUST_CHECK;

/* The thread. It does not wait for a slot of gate.concurrency: an operator
 * waits for it. Runs until the desk is stopping. */
void set_check_run(struct desk *d);

#endif
