#ifndef SERVER_HTTP_AUTH_H
#define SERVER_HTTP_AUTH_H

/* Who a request is from. A token is known by the SHA-256 of its text only; the
 * text itself is never stored, compared or logged. Any thread: each remembers
 * what it found in a catalog, and nothing of that in the next. */

#include <stdint.h>

#include "clusters/catalog.h"

enum { AUTH_TOKEN_MAX = 512 };

enum auth_result {
	AUTH_NONE,  /* no credential was given */
	AUTH_WRONG, /* one that is malformed, unknown, revoked or expired */
	AUTH_KNOWN
};

/* Copies the token of "Bearer TOKEN" (RFC 6750: the scheme in any case) out of
 * an Authorization header, which may be NULL. */
enum auth_result auth_bearer(char out[AUTH_TOKEN_MAX + 1], const char *header);

/* On AUTH_KNOWN *out lives as long as the catalog. */
enum auth_result auth_check(const struct catalog_token **out,
    const struct catalog *c, const char *header, int64_t wall_ms);

#endif
