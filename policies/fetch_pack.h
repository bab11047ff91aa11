#ifndef POLICIES_FETCH_PACK_H
#define POLICIES_FETCH_PACK_H

/* A fetch child's repository: in memory, which is enough to ask a host for its
 * branches (most polls find nothing new, and folders take longer to make than
 * that), and a folder for what comes. A pack goes into a file as it comes:
 * libgit2 would index it, which whoever takes it in does again, because an index
 * of the child's counts for nothing. One per process. */

#include <stdint.h>

#include "core/err.h"
#include "policies/gitlib.h"

/* Sees the mirror's objects. bytes, which is borrowed, counts what a pack
 * brings; above bytes_max writing fails with strerror(EFBIG) in its message. */
enum err_code fetch_pack_open(git_repository **out, const char *mirror,
    const char *incoming, int64_t bytes_max, int64_t *bytes, struct err *e)
    MUST_CHECK;

/* Before a download: makes the folders, and has libgit2 tell the host that we
 * have `known`, an id or "", if the mirror does. */
enum err_code fetch_pack_begin(git_repository *git, const char *incoming,
    const char *known, struct err *e) MUST_CHECK;

#endif
