#ifndef POLICIES_PACKS_H
#define POLICIES_PACKS_H

/* Blobs straight from the packs of an object folder, for reading thousands of
 * small ones: libdeflate in zlib's place, no copy on the way, a few MiB for the
 * bases of deltas. The formats are gitformat-pack(5): packs of version 2, with
 * their indexes of version 2.
 *
 * It only ever says "this is the blob" or "ask libgit2": for loose objects,
 * packs that came later, other versions, more than PACKS_MAX packs, and for
 * whatever looks damaged, so that libgit2 says what is wrong.
 *
 * The SHA-1 of each blob is the id that was asked for, so a disk that lies or a
 * pack that was changed is found out. It is OpenSSL's, which does not look for
 * the marks of a made-up collision: two texts of one id are told apart where
 * objects come in, by libgit2 as it indexes what a mirror takes in
 * (objects_index_pack), and by git itself in a repository that `edict build`
 * reads.
 *
 * All of a pack is input from outside and every number in it is checked. One
 * thread at a time; several may have one each. */

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "policies/gitlib.h"

enum {
	PACKS_MAX = 256,
	PACKS_CHAIN_MAX = 64,        /* deltas upon each other; git makes 50 */
	PACKS_OBJECT_MAX = 64 << 20, /* a blob, a base, or a delta */
	PACKS_KEPT_MAX = 1 << 20,    /* memory of each of three buffers */
	PACKS_PAGES_FOR = 1024,      /* blobs that pages are kept for */
	PACKS_BASES = 256,           /* bases that are kept */
	PACKS_BASE_MAX = 16 << 10    /* bytes of one of them */
};

struct packs;

/* The packs that are there now. objects is the folder. */
struct packs *packs_open(const char *objects);
void packs_free(struct packs *p);
AUTO_FREE(packs)

/* Appends the blob, which has this size; false: ask libgit2, out is as it
 * was. */
bool packs_read(struct packs *p, const git_oid *id, size_t size,
    struct buf *out) MUST_CHECK;

/* The size of a blob by its headers, unread and unhashed; false: ask
 * libgit2. */
bool packs_size(struct packs *p, const git_oid *id, size_t *size) MUST_CHECK;

/* As packs_size, of whatever kind of object it is. */
bool packs_size_of_any(struct packs *p, const git_oid *id, size_t *size)
    MUST_CHECK;

/* Is the object there, and a blob? By its headers alone; false: ask libgit2. */
bool packs_has_blob(struct packs *p, const git_oid *id) MUST_CHECK;

#endif
