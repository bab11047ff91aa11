#ifndef POLICIES_JOIN_H
#define POLICIES_JOIN_H

/* Every fetch adds a pack to a mirror, and libgit2 cannot repack. So when packs
 * are many the smaller ones become one, in four steps: join_plan (the worker)
 * says which, a child packs their objects into a folder of its own,
 * join_verify (any thread) indexes that pack anew and sees that nothing is
 * missing, repo_join (the worker) puts it into the mirror and removes what it
 * replaces. A crash between any two leaves a mirror with all its objects.
 *
 * Whatever was ever taken in stays, whether a ref reaches it or not: a commit
 * that `edict log` lists can be gone back to after the branch was rewritten.
 *
 * The work follows the growth: packs are joined from the smallest up to where
 * the next one is at least twice the sum, so a byte is written again only when
 * the mirror has doubled, roughly, and never above JOIN_PACK_BYTES_MAX. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/child.h"
#include "core/err.h"

struct objects_patience;
struct repo;

enum {
	JOIN_PACKS_MAX = 24,    /* more are joined */
	JOIN_LOOSE_MAX = 1000,  /* more loose objects, too */
	JOIN_AT_ONCE_MAX = 128, /* packs of one join; the rest in the next */
	JOIN_LOOSE_ONCE_MAX = 50000, /* loose objects of one join */
	JOIN_OBJECTS_MAX = 4000000,  /* of one join */
	JOIN_ID_SIZE = 41,
	JOIN_RESULT_MAX = 4096,
	JOIN_TIMEOUT_MS = 3600 * 1000
};
#define JOIN_PACK_BYTES_MAX (INT64_C(1) << 30)

/* What becomes one pack. Zero it first. */
struct join {
	char (*packs)[JOIN_ID_SIZE]; /* what their names say, smallest first */
	size_t pack_count;
	char (*loose)[JOIN_ID_SIZE];
	size_t loose_count;
	char made[JOIN_ID_SIZE]; /* by join_verify: the new pack's name */
};
void join_clear(struct join *j);
bool join_is_empty(const struct join *j); /* nothing is to be done */

/* Looks at a mirror (data_dir/repos/NAME/git) and chooses. Reads file names and
 * sizes only; the mirror's worker calls this. */
enum err_code join_plan(struct join *out, const char *mirror, struct err *e)
    MUST_CHECK;
/* For the child, as a file in its folder, which exists; and back. */
enum err_code join_write(const struct join *j, const char *incoming,
    struct err *e) MUST_CHECK;
enum err_code join_read(struct join *out, const char *incoming, struct err *e)
    MUST_CHECK;

/* Fills *spec for child_start: reads the mirror's objects, writes into
 * `incoming`, where join_write has been, has no network, and ends with 0 or with
 * a line on stdout that says why not. The arguments have to outlive the child's
 * start. */
struct join_child;
enum err_code join_child_new(struct join_child **out, const char *mirror,
    const char *incoming, struct err *e) MUST_CHECK;
const struct child_spec *join_child_spec(struct join_child *c);
void join_child_free(struct join_child *c);
AUTO_FREE(join_child)

/* From how the child ended and what it wrote: UNAVAILABLE when there is no
 * pack. */
enum err_code join_result(const struct child_result *r, struct err *e)
    MUST_CHECK;

/* Takes nothing over: hashes every object of the child's pack into an index of
 * our own and finds all that the plan names. Sets j->made. CORRUPT, or
 * UNAVAILABLE when patience, which may be NULL, was over. Touches no handle of
 * the mirror's; any thread. */
enum err_code join_verify(struct join *j, const char *mirror,
    const char *incoming, const struct objects_patience *patience,
    struct err *e) MUST_CHECK;

/* Moves the verified pack into the mirror, makes the handle see it instead of
 * those it replaces, and removes these. Trees of r that are still held read on:
 * libgit2 finds a pack's objects elsewhere when its file is gone. The caller
 * removes `incoming`. */
enum err_code repo_join(struct repo *r, const struct join *j,
    const char *incoming, struct err *e) MUST_CHECK;

#endif
