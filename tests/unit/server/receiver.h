#ifndef TESTS_UNIT_SERVER_RECEIVER_H
#define TESTS_UNIT_SERVER_RECEIVER_H

/* A host that outgoing calls meet, on loopback, in a process of its own. What
 * it does stands in the path:
 *   /ok       200 "fine", with an ETag that ends in a blank
 *   /status/N answers N; 429 and 503 with Retry-After: 7
 *   /stall    reads, and never answers
 *   /trickle  a byte now and then, for ever
 *   /flood    a body without end
 *   /headers  headers without end
 *   /close    closes at once
 *   /half     closes in the middle of a body
 *   /garbage  no HTTP
 *   /redirect 302 to /ok
 * Every request is kept in the folder as N.head and N.body, N counting from 1.
 * While a file `down` is in the folder connections are closed unread. Include
 * after cmocka.h; every step asserts. */

#include <sys/types.h>

struct receiver {
	pid_t pid;
	int port;
};

/* On a free port when port is 0. */
void receiver_start(struct receiver *r, const char *dir, int port);
void receiver_stop(struct receiver *r);

#endif
