#ifndef BUNDLER_LAYOUT_H
#define BUNDLER_LAYOUT_H

/* Where packages, data and roots of one bundle lie below `data`, and whether
 * they get on with each other: data files merge only where they are disjoint,
 * nothing but objects may stand where a package is, and all of it lies under a
 * root. One pass over the paths; of data only what meets something else is
 * walked. Pure, any thread. */

#include <stddef.h>
#include <stdint.h>

#include "bundler/roots.h"
#include "core/value.h"

enum layout_kind { LAYOUT_ROOT, LAYOUT_PACKAGE, LAYOUT_DATA };

/* Everything is borrowed. */
struct layout_part {
	enum layout_kind kind;
	char *const *segments;
	size_t count;
	const char *source;        /* file of the repository, for messages */
	uint32_t line;             /* of a package */
	const struct value *value; /* of data */
};

/* Adds the smallest set of roots that covers all parts: each package's path,
 * each data folder, each top-level key of data at the top; then only the
 * outermost. A path is cut before a segment that engines would read in two
 * ways. More than ROOTS_FINE_MAX are shortened by roots_shorten. */
void layout_roots(struct roots *out, const struct layout_part *parts,
    size_t count);

/* roots are those that roots_check passed or
 * layout_roots made. INVALID names both places, or the place and the roots. */
enum err_code layout_check(const struct layout_part *parts, size_t count,
    const struct roots *roots, struct err *e) MUST_CHECK;

#endif
