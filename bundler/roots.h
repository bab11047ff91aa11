#ifndef BUNDLER_ROOTS_H
#define BUNDLER_ROOTS_H

/* Roots: the paths below `data` that a bundle owns, written "a/b"; "" is all
 * of it. Engines compare them by segment and refuse equal or nested ones, in
 * one bundle and between bundles (OPA's v1/bundle/bundle.go, RootPathsOverlap).
 * Here roots carry no slash at either end. Pure, any thread. */

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

enum {
	ROOTS_MAX = 10000,
	ROOTS_FINE_MAX = 256, /* worked out: above this they are shortened */
	ROOT_LEN_MAX = 4096
};

/* A list that grows; roots_clear releases it. */
struct roots {
	char **items; /* mem_ memory, as are the strings */
	size_t count;
};
void roots_clear(struct roots *r);
void roots_add(struct roots *r, const char *text, size_t len);

/* Does this segment read the same with and without URL escapes? The readers of
 * OPA differ in the others: module paths are compared escaped, data paths as
 * they are, and a lazily read data folder is mounted escaped. */
bool root_segment_is_plain(const char *text, size_t len);

/* Sorts by segments: a root is followed by all that lie below it. */
void roots_sort(struct roots *r);

/* Sorts and keeps only the outermost ones. */
void roots_reduce(struct roots *r);

/* Shortens the longest ones, a segment at a time but never to nothing, until
 * at most max are left; then as roots_reduce. The time that engines take grows
 * with the square of the number of roots: ten thousand cost OPA 1.19 over 20 s
 * at each activation. */
void roots_shorten(struct roots *r, size_t max);

/* Trims slashes, sorts; INVALID for overlaps, segments that are empty or not
 * plain, or none at all. where names their origin: "edict.yaml: bundle x". */
enum err_code roots_check(struct roots *r, const char *where, struct err *e)
    MUST_CHECK;

/* Who owns what; roots_clash sorts list and finds two roots of different
 * owners that overlap. False: there are none. */
struct root_owner {
	const char *root;
	const char *owner;
};
bool roots_clash(struct root_owner *list, size_t count,
    const struct root_owner **a, const struct root_owner **b);

/* "[a/b, c]" for messages, cut after a few. */
void roots_describe(struct buf *out, char *const *roots, size_t count);

#endif
