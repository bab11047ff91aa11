#ifndef TESTS_UNIT_SIGNING_TOOL_H
#define TESTS_UNIT_SIGNING_TOOL_H

/* What the tests of signing share: a folder of their own, foreign programs,
 * keys as other tools want them. Everything fails the test when it cannot be
 * done. */

#include <stdbool.h>

#include "core/buf.h"
#include "signing/jws.h"
#include "signing/key.h"

enum { TOOL_OUTPUT_MAX = 64 << 20 };

/* A new folder and its removal: cmocka's setup and teardown; *state is its
 * path. */
int tool_setup(void **state);
int tool_teardown(void **state);

void tool_write(const char *dir, const char *name, const void *data,
    size_t len);
void tool_read(struct buf *out, const char *path);

/* Runs a program (found on PATH unless it has a slash), stdout and stderr into
 * out, and gives its exit status. */
int tool_run(struct buf *out, const char *const *argv);

/* The engine under test: $EDICT_OPA, else build/tools/opa. */
const char *tool_opa(void);

/* A new key. Finding RSA primes takes long, so all RS and PS keys of a program
 * are one pair under several names. */
struct key *tool_key(const char *id, enum key_algorithm a);

/* PEM, or the secret; as the engine's --verification-key takes it. */
void tool_verification_key(struct buf *out, const struct key *k);

/* The key as JWK (RFC 7517), private numbers included. */
void tool_jwk(struct buf *out, const struct key *k);

void tool_base64url(struct buf *out, const void *data, size_t len);

#endif
