#ifndef SERVER_HTTP_JWT_KNOWN_H
#define SERVER_HTTP_JWT_KNOWN_H

/* Who showed a JWT. One that was verified is remembered by its SHA-256 until it
 * expires or the keys of its issuer change, so that a poll costs a hash and a
 * look-up, and no signature. Each loop has a memory of its own: one thread, no
 * locks. */

#include <uthash.h>

#include "server/http/access.h"
#include "server/http/auth.h"

enum { JWT_KNOWN_MAX = 16384, JWT_LOG_MS = 1000 };

struct jwt_known {
	struct catalog_token token; /* an engine's, named by its subject */
	char *name;
	char *engine; /* the pod it is bound to, or NULL */
	size_t issuer;
	uint64_t keys;           /* jwks_number of those it was verified with */
	unsigned int references; /* the memory's is one of them */
	UT_hash_handle hh;       /* by token.digest */
};

struct jwt_memory;
struct jwt_memory *jwt_memory_new(void);
void jwt_memory_free(struct jwt_memory *m);

/* Is the credential of this Authorization header (or NULL) such a token? All
 * others are auth_check's. */
bool jwt_known_is_like(const char *header);

/* On AUTH_KNOWN *out has one reference, the caller's. Why one is refused goes
 * to the log, not too often; a client is told nothing. *asks: its issuer should
 * be asked for new keys. */
enum auth_result jwt_known_check(struct jwt_known **out, struct jwt_memory *m,
    const struct access *a, const char *header, int64_t wall_ms, bool *asks,
    bool *verified);

/* Does it still hold, but for its time? */
bool jwt_known_holds(const struct jwt_known *k, const struct access *a);
void jwt_known_unref(struct jwt_known *k); /* NULL is fine */

#endif
