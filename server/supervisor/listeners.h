#ifndef SERVER_SUPERVISOR_LISTENERS_H
#define SERVER_SUPERVISOR_LISTENERS_H

/* The sockets engines connect to: made once by the supervisor, before any
 * fork, and kept over restarts of the processes that use them, so that
 * connections wait instead of being refused. One socket per serving thread of
 * each process, all on one port (SO_REUSEPORT): the kernel spreads connections
 * over them. */

#include <stddef.h>

#include "core/err.h"

enum { LISTENERS_MAX = 256, LISTENERS_BACKLOG = 4096 };

struct listeners {
	int fds[LISTENERS_MAX];
	size_t count;
	char address[300]; /* "127.0.0.1:8282", the port as it became */
};

/* address is "HOST:PORT", "[V6]:PORT" or ":PORT"; port 0 picks a free one. */
enum err_code listeners_open(struct listeners *out, const char *address,
    size_t count, struct err *e) MUST_CHECK;
void listeners_close(struct listeners *l);

#endif
