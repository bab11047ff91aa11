#ifndef BUNDLER_DELTA_PRIVATE_H
#define BUNDLER_DELTA_PRIVATE_H

/* What the parts of delta share: delta.c (files, the manifest, all together),
 * delta_rules.c, delta_data.c. */

#include <jansson.h>

#include "bundler/bundle.h"
#include "bundler/manifest.h"
#include "core/value.h"

enum delta_side { DELTA_FROM, DELTA_TO };
enum delta_change { DELTA_ADDED, DELTA_REMOVED, DELTA_CHANGED };

/* One kind of entries: {"added","removed","changed","items":[…],"more"}. */
struct delta_list {
	size_t counts[3];
	json_t *items;
};

struct delta {
	const struct bundle_archive *archives[2];
	struct manifest manifests[2];
	struct delta_list files, packages, rules, data, manifest;
	json_t *unread; /* {"side","file","message"} */
	size_t steps;
	size_t values, values_max; /* of the data that is read */
	struct err *e;
};

/* Counts an entry; false: there are enough, it is not listed. */
bool delta_count(struct delta_list *l, enum delta_change change);
/* Takes item over, which jansson made, and puts "change" first. */
void delta_add(struct delta_list *l, enum delta_change change, json_t *item);
void delta_unread(struct delta *d, enum delta_side side, const char *file,
    const struct err *why);

/* Goes through the files of both sides by path; zeroed at first. One of files
 * may be NULL: only the other side has it. */
struct delta_pair {
	size_t at[2];
	const struct bundle_file *files[2];
};
bool delta_next(struct delta_pair *p, const struct delta *d);
/* Both sides have it, and it is the same. */
bool delta_pair_same(const struct delta_pair *p);

enum err_code delta_rules(struct delta *d) MUST_CHECK;
enum err_code delta_data(struct delta *d) MUST_CHECK;

/* Adds what differs between two objects, in paths that begin with top. */
enum err_code delta_objects(struct delta *d, struct delta_list *l,
    const char *top, const struct value *from, const struct value *to)
    MUST_CHECK;

#endif
