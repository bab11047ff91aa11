#ifndef SIGNING_JWS_H
#define SIGNING_JWS_H

/* The signature of a bundle: a compact JWS (RFC 7515) whose payload lists
 * every file with its SHA-256, wrapped as .signatures.json (OPA's
 * v1/bundle/sign.go, verify.go). ES signatures are raw r||s (RFC 7518 3.4).
 * Any thread. */

#include "core/buf.h"
#include "core/err.h"
#include "signing/key.h"

enum { JWS_FILES_MAX = 1000000, JWS_SIZE_MAX = 256 << 20 };

struct jws_file {
	const char *name; /* path in the bundle, no leading slash, UTF-8 */
	const char *hash; /* SHA-256, 64 lower-case hex digits */
};

/* Appends the compact JWS for these files (sorted by name, distinct), header
 * {"alg","kid"}, payload {"files":[{"algorithm":"SHA-256","hash","name"}],
 * "scope"}. No clock goes in: the same input and an RS or HS key give the same
 * bytes. */
enum err_code jws_sign(struct buf *out, const struct key *k, const char *scope,
    const struct jws_file *files, size_t count, struct err *e) MUST_CHECK;

/* Appends what such a JWS signs, its header and payload with the dot between
 * them: then a dot and the signature, in base64url, make it whole. */
enum err_code jws_write_signed(struct buf *out, const char *key_id,
    const char *algorithm, const char *scope, const struct jws_file *files,
    size_t count, struct err *e) MUST_CHECK;

/* What a verified payload says. */
struct jws_claims {
	char *scope;            /* NULL when absent */
	char *key_id;           /* of the header, NULL when absent */
	struct jws_file *files; /* sorted by name; strings owned here */
	size_t count;
};
void jws_claims_clear(struct jws_claims *c);

/* Verifies and reads. The algorithm is the key's, never the header's, and
 * header and key have to agree. ERR_CRYPTO for a signature that is not this
 * key's, ERR_INVALID for what is not a JWS of a bundle. */
enum err_code jws_verify(struct jws_claims *out, const char *jws, size_t len,
    const struct key *k, struct err *e) MUST_CHECK;

/* The same for any other payload: a compact JWS over these bytes, and back. A
 * key that signs such a thing must not sign bundles. */
enum err_code jws_sign_payload(struct buf *out, const struct key *k,
    const struct buf *payload, struct err *e) MUST_CHECK;
enum err_code jws_verify_payload(struct buf *payload, const char *jws,
    size_t len, const struct key *k, struct err *e) MUST_CHECK;

/* .signatures.json around one JWS, and back (exactly one signature). */
void jws_wrap(struct buf *out, const char *jws, size_t len);
size_t jws_wrapped(size_t len); /* bytes of it around a JWS of len */
enum err_code jws_unwrap(struct buf *out, const char *text, size_t len,
    struct err *e) MUST_CHECK;

#endif
