#ifndef POLICIES_REPO_WHOLE_H
#define POLICIES_REPO_WHOLE_H

/* Is all there that a commit needs? Asked of what a fetch brought, before it is
 * moved into the mirror. */

#include "policies/repo_private.h"

enum {
	REPO_WHOLE_NEW_MAX = 10000000, /* new folders and files */
	REPO_WHOLE_NEST_MAX = 1024     /* folders inside folders */
};

/* Walks from tip to what the mirror's refs reach, among the objects of the
 * mirror and of the folder verified, where each one's hash is known to be
 * right. CORRUPT names what is missing and the oldest commit that needs it;
 * LIMIT. */
enum err_code repo_whole(const struct repo *r, const char *verified,
    const git_oid *tip, struct err *e) MUST_CHECK;

#endif
