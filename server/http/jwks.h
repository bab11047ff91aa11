#ifndef SERVER_HTTP_JWKS_H
#define SERVER_HTTP_JWKS_H

/* The public keys of an issuer of tokens: a JWK set (RFC 7517). Only what may
 * verify a signature by one of the algorithms that are allowed is kept: a key
 * of another kind, for another use, of another size or curve, without an id, or
 * with private parts in it is left out, and one such does not spoil the rest.
 * Two keys with one id do: which of them was meant? A set never changes; it is
 * shared by reference. Any thread. */

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "signing/key.h"

enum {
	JWKS_SIZE_MAX = 256 * 1024, /* bytes of JSON */
	JWKS_KEYS_MAX = 64,
	JWKS_KID_MAX = 255
};

struct jwks;

/* On success *out has one reference, the caller's. algorithms are bits, 1 <<
 * enum key_algorithm, without HS. name is for messages. INVALID or LIMIT: it is
 * no such set, or nothing of it can be used. */
enum err_code jwks_read(struct jwks **out, const char *name, const char *text,
    size_t len, uint32_t algorithms, struct err *e) MUST_CHECK;
struct jwks *jwks_ref(struct jwks *s);
void jwks_unref(struct jwks *s); /* NULL is fine */

/* Is there a key with this id? And the one for this algorithm, or NULL. */
bool jwks_has(const struct jwks *s, const char *kid);
const struct key *jwks_find(const struct jwks *s, const char *kid,
    enum key_algorithm a);

size_t jwks_count(const struct jwks *s);
/* How many keys were left out, and why the first of them; "" for none. */
size_t jwks_left_out(const struct jwks *s);
const char *jwks_why(const struct jwks *s);

/* Another number for each set that was ever read. */
uint64_t jwks_number(const struct jwks *s);
/* SHA-256 of its text, in hex. */
const char *jwks_digest(const struct jwks *s);

#endif
