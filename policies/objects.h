#ifndef POLICIES_OBJECTS_H
#define POLICIES_OBJECTS_H

/* Git objects as files: packs and loose ones, as a fetch or a join brings them
 * and as the mirror keeps them. Any thread. */

#include <stdbool.h>
#include <stdint.h>

#include "policies/gitlib.h"

enum {
	OBJECTS_PACKS_MAX = 1000,      /* in a folder that somebody brings */
	OBJECTS_PACKS_LISTED = 100000, /* in a mirror */
	OBJECTS_LOOSE_MAX = 100000,    /* in each of the 256 folders */
	OBJECTS_PACK_NAME = 40         /* pack-<40 hex digits>.pack */
};

/* Asked during long work: should it stop? */
struct objects_patience {
	bool (*over)(void *arg);
	void *arg;
};

/* "pack-<40 hex>" with this end? */
bool objects_is_pack(const char *name, const char *end);

/* Reads the pack at path as input from outside, hashes every object in it, and
 * leaves it with a new index, synced, in the folder to. odb completes a thin
 * pack; NULL: the pack has to be whole. CORRUPT; UNAVAILABLE when patience,
 * which may be NULL, was over. */
enum err_code objects_index_pack(const char *path, const char *to, git_odb *odb,
    const struct objects_patience *patience, struct err *e) MUST_CHECK;

/* The loose objects of an object folder, and only they; or one pack's. */
enum err_code objects_open_loose(git_odb **out, const char *dir, struct err *e)
    MUST_CHECK;
enum err_code objects_open_pack(git_odb **out, const char *index, struct err *e)
    MUST_CHECK;

/* Moves what is in a folder into another, made if it is missing, which is
 * synced: loose objects of one folder, or packs, whose indexes, which make them
 * seen, go last. */
enum err_code objects_move_loose(const char *from, const char *to,
    struct err *e) MUST_CHECK;
enum err_code objects_move_packs(const char *from, const char *to,
    struct err *e) MUST_CHECK;

#endif
