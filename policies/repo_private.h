#ifndef POLICIES_REPO_PRIVATE_H
#define POLICIES_REPO_PRIVATE_H

/* What the files that make up struct repo share; nobody else includes this. */

#include "policies/gitlib.h"
#include "policies/repo.h"

enum { REPO_TREE_OBJECT_MAX = 64 << 20, REPO_COMMIT_MAX = 4 << 20 };

struct repo {
	git_repository *git;
	git_odb *odb;
	char *dir; /* the .git folder, no slash at its end */
	/* The last tip whose depth was worked out: the next walk that comes
	 * by it need not go on to the root. */
	char deep_id[TREE_ID_SIZE];
	int64_t depth;
};

/* The facts of one commit; out is zeroed first and released by the caller. */
void repo_commit_facts(struct tree_commit *out, const git_commit *commit);

/* Looks a commit up, its size first. NOT_FOUND, CORRUPT. */
enum err_code repo_commit(git_commit **out, git_repository *git,
    const git_oid *id, struct err *e) MUST_CHECK;

/* The tree object, its size first. A missing one is CORRUPT. */
enum err_code repo_tree_object(git_tree **out, git_repository *git,
    const git_oid *id, struct err *e) MUST_CHECK;

#endif
