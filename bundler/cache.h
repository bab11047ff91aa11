#ifndef BUNDLER_CACHE_H
#define BUNDLER_CACHE_H

/* What earlier bundles of a repository left behind, so that the work for the
 * next follows the size of the change: blobs by their id, compressed parts of
 * archives by the digest of what is in them, facts of a bundle by what went in
 * (known.h). All are pure functions of their keys: a bundle made with a cache
 * has the bytes of one made without.
 *
 * Holds at most the bytes given at birth. What was not used in the last rounds
 * goes first; what finds no room is just not kept. One thread at a time. */

#include <stdint.h>

#include "bundler/blob.h"
#include "bundler/bundle.h"
#include "signing/digest.h"

/* A compressed part of an archive. */
struct cache_member {
	char key[DIGEST_HEX_SIZE];
	char *data;
	size_t len;
	uint64_t used;
	bool filed; /* the cache file's: it was seen */
	UT_hash_handle hh;
};

/* A round is one tree's bundles, or one archive. */
void cache_begin(struct bundle_cache *c);

/* A reference of the caller's, or NULL. */
struct blob *cache_blob(struct bundle_cache *c, const struct blob_key *key);
/* Borrowed until the next cache_add_…, or NULL; this is no use of it. */
struct blob *cache_peek(struct bundle_cache *c, const struct blob_key *key);
/* Keeps a reference of its own, if there is room. */
void cache_add_blob(struct bundle_cache *c, struct blob *b);

/* Borrowed until the next cache_add_…, or NULL. */
const struct cache_member *cache_member(struct bundle_cache *c,
    const char *key);
/* Copies. */
void cache_add_member(struct bundle_cache *c, const char *key, const void *data,
    size_t len);

/* A bundle without files, borrowed until the next cache_add_…, or NULL. */
const struct bundle *cache_facts(struct bundle_cache *c, const char *key);
/* Takes b over. */
void cache_add_facts(struct bundle_cache *c, const char *key, struct bundle *b);

/* Calls for all of them, oldest first. A resting part was not used in the last
 * rounds. member may be NULL. */
void cache_each(struct bundle_cache *c, void (*blob)(void *arg, struct blob *b),
    void (*member)(void *arg, struct cache_member *m, bool resting), void *arg);

/* The memory of a bundle's last plan, which is the caller's now, or NULL. */
struct memory;
struct memory *cache_take_memory(struct bundle_cache *c, const char *bundle);
/* Takes m over, and frees it if there is no room. */
void cache_keep_memory(struct bundle_cache *c, const char *bundle,
    struct memory *m, size_t cost);
/* Of a blob that is, or was, in the cache: it is used in this round; and was
 * it? */
void cache_touch(struct bundle_cache *c, struct blob *b);
bool cache_has_used(const struct bundle_cache *c, const struct blob *b);

/* Bytes held now, about. */
size_t cache_bytes(const struct bundle_cache *c);

#endif
