#ifndef POLICIES_DEFINITION_PRIVATE_H
#define POLICIES_DEFINITION_PRIVATE_H

/* What reading a definition (definition.c) and checking what was read
 * (definition_check.c) share. */

#include "policies/definition.h"

/* What the checks share: where the values stand, and what there is. */
struct reading {
	struct definition *d;
	const struct tree *tree;
	const struct value *root; /* NULL: no file */
	struct spec_faults *faults;
};

/* Cleans what can be cleaned (slashes around roots, "./" in front of paths) and
 * looks at all that a table cannot: names, references, paths that exist. */
enum err_code definition_check(const struct reading *r, struct err *e)
    MUST_CHECK;

/* A path of the repository without "./" in front and "/" at the end; "" is all
 * of it. NULL when it is too long or "/". The caller's. */
char *definition_clean_path(const char *text);
/* No empty, "." or ".." segments, nothing that a path cannot hold. */
bool definition_is_clean(const char *path);

/* Order of bundles, and of clusters, for qsort and bsearch. */
int definition_by_name(const void *a, const void *b);

#endif
