#ifndef SIGNING_HEAD_H
#define SIGNING_HEAD_H

/* The head of the audit, signed: a compact JWS (RFC 7515) by a key of kind
 * audit, whose payload {"at_ms","hash","seq"} says which event was the last at
 * that time. Whoever keeps one elsewhere sees later whether the chain still
 * goes through it. Any thread. */

#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "signing/digest.h"
#include "signing/key.h"

enum { HEAD_JWS_MAX = 8 * 1024 }; /* bytes */

struct head {
	int64_t seq;                /* from 1 */
	char hash[DIGEST_HEX_SIZE]; /* of that event */
	int64_t at_ms;              /* wall clock */
};

/* INVALID for what cannot be one. */
enum err_code head_check(const struct head *h, struct err *e) MUST_CHECK;

/* Appends the JWS. */
enum err_code head_sign(struct buf *out, const struct key *k,
    const struct head *h, struct err *e) MUST_CHECK;

/* CRYPTO for a signature that is not this key's, INVALID for what is no head.
 * head_key tells which key to verify with: it copies the id that the header
 * claims, unverified. */
enum err_code head_verify(struct head *out, const char *jws, size_t len,
    const struct key *k, struct err *e) MUST_CHECK;
enum err_code head_key(char out[KEY_ID_MAX + 1], const char *jws, size_t len,
    struct err *e) MUST_CHECK;

#endif
