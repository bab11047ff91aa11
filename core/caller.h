#ifndef CORE_CALLER_H
#define CORE_CALLER_H

/* Requests and replies for a process with several threads: one thread calls
 * caller_dispatch for each reply that channel_receive gave; any other thread
 * calls caller_call, which blocks until its reply, the deadline, or
 * caller_reset. Ids start at random, so that late replies to a process that
 * was restarted fit no request of its successor. Free when no call is under
 * way. */

#include "core/channel.h"

struct caller;
struct caller *caller_new(struct channel *c);
void caller_free(struct caller *k);
AUTO_FREE(caller)

/* On success *reply is the caller's (message_clear). An error reply comes back
 * as its error. When the peer restarts meanwhile: ERR_UNAVAILABLE, and whether
 * the request was carried out is unknown. */
enum err_code caller_call(struct caller *k, uint32_t kind,
    const json_t *payload, const int *fds, size_t fd_count, int64_t timeout_ms,
    struct message *reply, struct err *e) MUST_CHECK;

/* Takes m over if it is a reply somebody waits for; false: not ours, or nobody
 * waits any more, and m is still the caller's to clear. */
bool caller_dispatch(struct caller *k, struct message *m);

/* The peer was restarted: everybody waiting gets ERR_UNAVAILABLE. */
void caller_reset(struct caller *k);

#endif
