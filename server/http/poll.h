#ifndef SERVER_HTTP_POLL_H
#define SERVER_HTTP_POLL_H

/* The two headers that make a request for a bundle a poll: what the engine has
 * (If-None-Match) and how long it is willing to wait for something else
 * (Prefer). Pure; any thread. */

#include <stdbool.h>
#include <stdint.h>

/* The seconds of `wait` in a Prefer header (RFC 7240, and as OPA writes it:
 * "modes=snapshot,delta;wait=60"). 0 when there is none, when it is not a
 * number, or when header is NULL; at most POLL_WAIT_MAX. The first one counts.
 */
enum { POLL_WAIT_MAX = 86400 };
int64_t poll_wait_s(const char *header);

/* Does an If-None-Match header name this ETag (given with its quotes)? A list
 * and `*` are understood; `W/` is looked over, as RFC 9110 13.1.2 has it.
 * Whatever is not well-formed matches nothing. */
bool poll_has(const char *header, const char *etag);

#endif
