#ifndef POLICIES_REPO_PRIVATE_H
#define POLICIES_REPO_PRIVATE_H

/* What the files that make up struct repo share; nobody else includes this. */

#include "policies/gitlib.h"
#include "policies/repo.h"
#include "policies/subtree.h"

enum { REPO_TREE_OBJECT_MAX = 64 << 20, REPO_COMMIT_MAX = 4 << 20 };

/* Sizes of blobs that were asked for before, by id: a header lies behind a
 * chain of deltas. Forgotten as a whole when it holds REPO_SIZES_MAX / 2. */
enum { REPO_SIZES_MAX = 1 << 20 };
struct repo_size {
	git_oid id;
	uint32_t size_plus_one; /* 0: the slot is free */
};
struct repo_sizes {
	struct repo_size *slots;
	size_t count, room; /* room is a power of two */
};

/* Memory that the tree read last may take. */
enum { REPO_LAST_MAX = 256 << 20 };

struct repo {
	git_repository *git;
	git_odb *odb;
	char *dir; /* the .git folder, no slash at its end */
	/* The last tip whose depth was worked out: the next walk that comes
	 * by it need not go on to the root. */
	char deep_id[TREE_ID_SIZE];
	int64_t depth;
	struct repo_sizes sizes;
	/* The tree that was read last, unless it takes more than
	 * REPO_LAST_MAX: the next is read where it differs. */
	struct subtree *last;
};

/* Forgets what was kept for the next tree. */
void repo_tree_forget(struct repo *r);

/* A new handle in place of the old one, which may know of packs that are gone.
 * On failure r is as it was. */
enum err_code repo_reopen(struct repo *r, struct err *e) MUST_CHECK;

/* The facts of one commit; out is zeroed first and released by the caller. */
void repo_commit_facts(struct tree_commit *out, const git_commit *commit);

/* Looks a commit up, its size first. NOT_FOUND, CORRUPT. */
enum err_code repo_commit(git_commit **out, git_repository *git,
    const git_oid *id, struct err *e) MUST_CHECK;

/* The tree object, its size first. A missing one is CORRUPT. */
enum err_code repo_tree_object(git_tree **out, git_repository *git,
    const git_oid *id, struct err *e) MUST_CHECK;

#endif
