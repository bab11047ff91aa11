#ifndef SERVER_SUPERVISOR_HANDOVER_H
#define SERVER_SUPERVISOR_HANDOVER_H

/* How files that credentials are known by get to the http processes while they
 * run confined: the supervisor looks at them every few seconds, and what changed
 * it reads and hands over as sealed memory, without understanding any of it. What
 * http cannot use it refuses, and goes on with what it has. In the supervisor's
 * one thread. */

#include <stdbool.h>
#include <stdint.h>

#include "core/channel.h"
#include "server/conf/conf.h"

enum { HANDOVER_LOOK_MS = 2000 };

struct handover;

/* Sends SUPERVISOR_HANDOVER to all of http. UNAVAILABLE: some had no room, and
 * it is sent to all again. The caller keeps payload and fds. */
typedef enum err_code handover_fn(void *arg, const json_t *payload,
    const int *fds, size_t count, struct err *e);

/* Call before http is started, which reads the files by itself then. All that is
 * handed over says of which generation c is (roles.h): issuers are known by their
 * place in it, so that a process which has another c has to refuse it. */
struct handover *handover_new(const struct conf *c, int64_t generation,
    handover_fn *send, void *arg);
void handover_free(struct handover *h);
AUTO_FREE(handover)

/* Everything at the next tick, changed or not. */
void handover_all(struct handover *h);

/* The milliseconds until the next is due, or -1 when there is nothing to look
 * at. */
int64_t handover_tick(struct handover *h, int64_t now_ms);

#endif
