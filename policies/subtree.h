#ifndef POLICIES_SUBTREE_H
#define POLICIES_SUBTREE_H

/* One folder of a Git tree with all that is below it, read and checked: the
 * trees of commits that have the same folder at the same path share it. So the
 * next commit is read no further than it differs.
 *
 * What is checked of a folder depends on its content and on its full path, so
 * these two together are its identity; a folder that moved is another one. What
 * depends on the rest of the tree (limits on the whole, names that differ by
 * case alone) is worked out from sums here, with the outcome and the messages
 * of a tree that is read from nothing.
 *
 * Filled by one thread in the order of Git's tree, ended, and from then on
 * immutable and counted: any thread may let go of it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policies/tree.h"

struct subtree;

/* path is full, with a slash at its end, or "" for the root. */
struct subtree *subtree_new(const char *id, const char *path);

/* The next file in it; paths that break a rule never get here. */
void subtree_add_file(struct subtree *s, const char *path, const char *id,
    int64_t size);
/* The next folder in it, which is ended. Its reference is taken over. */
void subtree_add_folder(struct subtree *s, struct subtree *below);
/* Nothing comes after this. */
void subtree_end(struct subtree *s);

struct subtree *subtree_ref(struct subtree *s);
void subtree_unref(struct subtree *s); /* NULL is fine */

/* The folder right below s (which may be NULL) with this full path, slash at
 * its end, or NULL. Borrowed. */
struct subtree *subtree_below(const struct subtree *s, const char *path);

/* Sums of the folder and all below it. */
struct subtree_sums {
	size_t files;
	size_t folders; /* itself among them */
	int64_t total;  /* bytes of files */
	size_t memory;  /* what it takes here, about */
};
const struct subtree_sums *subtree_sums(const struct subtree *s);
const char *subtree_id(const struct subtree *s);

/* The tree of the whole commit. root stays the caller's; source and the
 * commit's strings are taken over unless it fails. */
enum err_code subtree_tree(struct tree **out, struct subtree *root,
    const struct tree_source *source, struct tree_commit *commit, struct err *e)
    MUST_CHECK;

#endif
