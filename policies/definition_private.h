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
	const struct definition_elsewhere *elsewhere; /* or NULL */
};

/* Cleans what can be cleaned (slashes around roots, "./" in front of paths) and
 * looks at all that a table cannot: names, references, paths that exist. */
enum err_code definition_check(const struct reading *r, struct err *e)
    MUST_CHECK;

/* The value of one item's key, to point a fault at; the item, or NULL. And one
 * of the values of a list. */
const struct value *definition_at(const struct value *item, const char *key);
const struct value *definition_at_item(const struct value *item,
    const char *key, size_t i);

/* Is there such a file or folder? */
bool definition_exists(const struct tree *t, const char *path);

/* An argument of opa's that names a path of the repository: a colon would be
 * read as "where to mount". Cleans *path; "." is all of it. */
void definition_check_argument(const struct reading *r, const struct value *at,
    char **path);

/* compile of one bundle, whose value is item. */
void definition_check_compile(const struct reading *r, const struct value *item,
    const struct definition_bundle *b);
/* NULL, a version, or a file that can be read; its path is cleaned. */
void definition_check_capabilities(const struct reading *r,
    const struct value *at, char **capabilities);

/* A path of the repository without "./" in front and "/" at the end; "" is all
 * of it. NULL when it is too long or "/". The caller's. */
char *definition_clean_path(const char *text);
/* No empty, "." or ".." segments, nothing that a path cannot hold. */
bool definition_is_clean(const char *path);

/* Order of bundles, and of clusters, for qsort and bsearch. */
int definition_by_name(const void *a, const void *b);

#endif
