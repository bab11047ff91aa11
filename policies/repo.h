#ifndef POLICIES_REPO_H
#define POLICIES_REPO_H

/* The mirror of one policy repository: a bare Git repository of our own, below
 * data_dir/repos/NAME/git, whose objects only ever grow. Strict hash checks are
 * on. One thread at a time per struct repo; libgit2 is initialised by the first
 * repo_open of a process. */

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "policies/tree.h"

struct repo;

/* Opens, or makes when `make` is set. Left-over locks, temporary packs and
 * incoming folders (dir's sibling `incoming`) of a process that died are
 * removed, but only from a repository that this function once made. */
enum err_code repo_open(struct repo **out, const char *dir, bool make,
    struct err *e) MUST_CHECK;
/* Any repository or work tree that a user names, for the command line: found
 * upwards from path as git does. Nothing in it is changed. */
enum err_code repo_discover(struct repo **out, const char *path, struct err *e)
    MUST_CHECK;
void repo_free(struct repo *r);
AUTO_FREE(repo)

/* What a commit-ish (id, prefix, branch, tag, HEAD~2, …) names, peeled to a
 * commit. NOT_FOUND, or INVALID when ambiguous. */
enum err_code repo_resolve(struct repo *r, const char *rev,
    char out[TREE_ID_SIZE], struct err *e) MUST_CHECK;

enum err_code repo_tree(struct repo *r, const char *commit, struct tree **out,
    struct err *e) MUST_CHECK;

/* The size of the blob with this id, for repo_tree: known from before, so that
 * its header need not be read. What is no id is left. */
void repo_know_size(struct repo *r, const char *id, int64_t size);

/* Is a an ancestor of b, or the same? */
enum err_code repo_descends(struct repo *r, const char *a, const char *b,
    bool *out, struct err *e) MUST_CHECK;

/* Commits on the first-parent line from tip, newest first, up to and without
 * `until` (NULL: to the root), at most max. depth counts from the root (0) along
 * that line, so it rises with every commit. The caller frees with repo_line_clear. */
struct repo_step {
	struct tree_commit commit;
	int64_t depth;
};
struct repo_line {
	struct repo_step *steps;
	size_t count;
};
enum err_code repo_line(struct repo *r, const char *tip, const char *until,
    size_t max, struct repo_line *out, struct err *e) MUST_CHECK;
void repo_line_clear(struct repo_line *line);

/* Takes over what a fetch child left in `incoming` (the folder it was given, or
 * any object folder): every pack is indexed anew, every loose object hashed, and
 * from the tip back to what our refs reach all commits, trees and blobs have to
 * be there. Then the packs are moved in. Nothing is moved unless all is well.
 * The caller removes the folder, and sets the refs. CORRUPT: not whole. */
enum err_code repo_take_in(struct repo *r, const char *incoming,
    const char *tip, struct err *e) MUST_CHECK;

/* Gives the tip its branch's name, so that repo_resolve knows "main"; HEAD
 * always is the tip. For a mirror only. */
enum err_code repo_name_branch(struct repo *r, const char *branch,
    struct err *e) MUST_CHECK;

/* refs/edict/NAME → commit, so that it is never unreachable. "tip" is the
 * branch as last fetched, "kept/ID" what was served. NULL removes. */
enum err_code repo_set_ref(struct repo *r, const char *name, const char *commit,
    struct err *e) MUST_CHECK;
enum err_code repo_get_ref(struct repo *r, const char *name,
    char out[TREE_ID_SIZE], struct err *e) MUST_CHECK;

#endif
