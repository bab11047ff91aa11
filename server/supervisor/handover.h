#ifndef SERVER_SUPERVISOR_HANDOVER_H
#define SERVER_SUPERVISOR_HANDOVER_H

/* How files that credentials are known by get to the http process while it runs
 * confined: the supervisor looks at them every few seconds, and what changed it
 * reads and hands over as sealed memory, without understanding any of it. What
 * http cannot use it refuses, and goes on with what it has. In the supervisor's
 * one thread. */

#include <stdbool.h>
#include <stdint.h>

#include "core/channel.h"
#include "server/conf/conf.h"

enum { HANDOVER_LOOK_MS = 2000 };

struct handover;

/* Call before http is started, which reads the files by itself then. */
struct handover *handover_new(const struct conf *c, struct channel *http);
void handover_free(struct handover *h);
AUTO_FREE(handover)

/* Everything at the next tick, changed or not. */
void handover_all(struct handover *h);

/* The milliseconds until the next is due, or -1 when there is nothing to look
 * at. */
int64_t handover_tick(struct handover *h, int64_t now_ms);

#endif
