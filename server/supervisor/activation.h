#ifndef SERVER_SUPERVISOR_ACTIVATION_H
#define SERVER_SUPERVISOR_ACTIVATION_H

/* Listening sockets that systemd made, or whatever speaks its protocol
 * (sd_listen_fds(3)): LISTEN_PID names us, LISTEN_FDS says how many there are,
 * from descriptor 3 on. They are taken over once, by the supervisor, before any
 * fork but the greeter's; the variables go, so that no child thinks they are its.
 *
 * Every serving thread has a descriptor of its own, which for fewer sockets than
 * threads are duplicates: such threads share one queue of connections, and each
 * new one wakes all of them. Sockets made with ReusePort=, one per thread, lose
 * nothing. */

#include "core/err.h"
#include "server/supervisor/listeners.h"

enum { ACTIVATION_FIRST_FD = 3 };

/* out->count is 0 when nothing is handed over. INVALID: something is, and it
 * cannot be served on: no listening TCP socket, or more of them than count, the
 * threads of all http processes. */
enum err_code activation_take(struct listeners *out, size_t count,
    struct err *e) MUST_CHECK;

/* For a fork that is no server: closes what was handed over. */
void activation_drop(void);

#endif
