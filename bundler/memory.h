#ifndef BUNDLER_MEMORY_H
#define BUNDLER_MEMORY_H

/* What one bundle was worked out from the last time, so that the next commit's
 * is worked out where it differs. A file at the same path with the same
 * definition goes to the same place, and so do the rules on its path; with the
 * same blob it holds the same. Where no package and no key of data moved, the
 * roots that were worked out and the layout that was found good still are.
 * Nothing here says what is wrong: it is made of a bundle that was good, and
 * whatever differs is looked at as if there were no memory.
 *
 * memory_take and memory_keep are called once each for one plan, in one
 * thread; a plan that fails has no memory. */

#include <stdbool.h>
#include <stddef.h>

#include "bundler/roots.h"
#include "signing/digest.h"

struct bundle_cache;
struct plan;
struct source;

struct memory {
	char definition[DIGEST_HEX_SIZE]; /* what places files */
	struct source *sources; /* as they were, without their entries */
	size_t count;
	struct roots roots;
	bool worked_out; /* the roots: nobody gave them */
};
void memory_free(struct memory *m);

/* Looks in the cache for what was known of p's bundle; sets p->memory. */
void memory_take(struct plan *p);

/* Moves the source with this entry path, which comes after all that were
 * asked for before, to *out; false: it is not known. */
bool memory_source(struct plan *p, const char *from, struct source *out);

/* Once all were asked for: are p's sources those of the last time, in this
 * order? */
bool memory_same_sources(const struct plan *p);

/* Is everything that roots and layout depend on as it was? */
bool memory_same_parts(const struct plan *p);

/* A good plan's sources go to the cache, if it has all their blobs. */
void memory_keep(struct plan *p);

#endif
