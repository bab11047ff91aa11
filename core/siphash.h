#ifndef CORE_SIPHASH_H
#define CORE_SIPHASH_H

/* SipHash-2-4 with 128 bits (Aumasson, Bernstein: "SipHash: a fast short-input
 * PRF", 2012): who does not know the key can neither foresee a hash nor find two
 * inputs that share one, so two are equal only if their inputs are. Much less
 * work than SHA-256 for some dozen bytes. Any thread. */

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t words[2]; /* the key's bytes, least significant first */
};

struct siphash {
	uint64_t words[2];
};

struct siphash siphash(const struct siphash_key *key, const void *data,
    size_t len);

#endif
