#ifndef BUNDLER_PACK_MEMBER_H
#define BUNDLER_PACK_MEMBER_H

/* Gzip members of one archive: each is found in a cache or compressed, by
 * several threads where there are enough of them, and all are joined. A member
 * is a pure function of its text, of the level and of who compresses it, so it
 * does not matter which of the two it was. */

#include <stdbool.h>
#include <stddef.h>

#include "bundler/bundle.h"
#include "signing/digest.h"

struct libdeflate_compressor;
struct cache_member;

struct pack_member {
	/* The caller's: whether a cache may keep it, and under which name: a
	 * digest of what its text is made from. */
	bool kept;
	char key[DIGEST_HEX_SIZE];
	/* Ours. */
	const struct cache_member *known;
	struct buf bytes;
	struct err error;
	enum err_code code;
};

struct pack_members {
	const struct bundle_means *means;
	int level;
	struct pack_member *list;
	size_t count;
	/* The text of one member, in *text. room is empty and may be used;
	 * called by several threads, each with its own room. */
	enum err_code (*text)(void *arg, size_t i, struct buf *room,
	    const char **text, size_t *len, struct err *e);
	void *arg;
};

/* Appends all of them to out. */
enum err_code pack_members(struct buf *out, struct pack_members *m,
    struct err *e) MUST_CHECK;
void pack_members_clear(struct pack_members *m); /* the list too */

#endif
