#ifndef SERVER_PIPELINE_COURIER_H
#define SERVER_PIPELINE_COURIER_H

/* Delivers events (clusters/store_outbox.h) to the targets of the configuration,
 * from the pipeline, by outgoing calls (server/supervisor/call.h): a thread per target, so
 * that one that is dead delays no other, and nothing else either. Each gets all
 * its events in order, at least once; after a failure the same one again, with
 * growing pauses, until it is give_up_after old. How far a target is stands in
 * the database, so that a restart goes on from there. One thread more keeps
 * watch over what does not happen: fetches. */

#include "server/pipeline/desk.h"

/* Starts the threads, which run until the desk is stopping; nobody joins them.
 * d has to outlive the process. */
void couriers_start(struct desk *d);

/* How long to wait before the next try: doubles from COURIER_PAUSE_MS up to
 * COURIER_PAUSE_MAX_MS, a quarter of it by chance, and never shorter than what
 * the receiver asked for. For tests. */
enum {
	COURIER_PAUSE_MS = 1000,
	COURIER_PAUSE_MAX_MS = 300000,
	COURIER_RETRY_MAX_S = 3600 /* of Retry-After, what is heeded */
};
int64_t courier_pause_ms(unsigned int attempts, int64_t retry_after_s,
    uint32_t chance);

#endif
