#ifndef POLICIES_TREE_PRIVATE_H
#define POLICIES_TREE_PRIVATE_H

/* What the files that make up struct tree share: tree.c (using one),
 * tree_path.c (hygiene), tree_maker.c, tree_memory.c, subtree.c. Nobody else
 * includes this, but for repo_tree.c the limits. */

#include "policies/tree.h"

struct subtree; /* subtree.h */

/* What callers see comes first, so that tree_free can find the rest. */
struct tree_whole {
	struct tree tree;
	struct tree_entry *entries; /* tree.entries, for releasing */
	struct subtree *root;       /* has the paths; NULL: a maker made them */
	struct tree_source source;
};

/* One without entries. Takes over source and the commit's strings. */
struct tree_whole *tree_whole_new(const struct tree_source *source,
    struct tree_commit *commit);

/* As makers make them: each path is memory of its own. */
void tree_entries_free(struct tree_entry *entries, size_t count);
/* By path, for sorting and searching. */
int tree_entry_compare(const void *a, const void *b);

/* One more file at this path: are so many files, with so many bytes in all
 * (itself among them), still allowed? */
enum err_code tree_check_room(const char *path, size_t count, int64_t total,
    struct err *e) MUST_CHECK;

/* The form in which two names that differ by case alone are equal; at most
 * twice as long, not terminated. Character by character: a path's is made of
 * its segments'. Returns its length. */
size_t tree_fold(char *out, const char *name, size_t len);

/* No two paths are equal but for case, and none is a file where another needs
 * a folder. */
enum err_code tree_check_distinct(const struct tree_entry *entries,
    size_t count, struct err *e) MUST_CHECK;

#endif
