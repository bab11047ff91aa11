#ifndef BUNDLER_PLAN_H
#define BUNDLER_PLAN_H

/* A bundle while it is worked out. bundle.c calls the steps in this order:
 * plan_choose (which files), plan_read (what is in them), plan_settle (roots,
 * versions, metadata, and whether it all gets on), plan_finish (the files that
 * ship and the content digest). Each says what is wrong in p->e and returns its
 * code. One thread; plan_read starts its own. */

#include <stdbool.h>
#include <stddef.h>

#include "bundler/blob.h"
#include "bundler/bundle.h"
#include "bundler/manifest.h"
#include "bundler/memory.h"
#include "bundler/roots.h"

enum source_kind { SOURCE_POLICY, SOURCE_DATA, SOURCE_MANIFEST };

/* A file of the tree that goes in. */
struct source {
	const struct tree_entry *entry;
	enum source_kind kind;
	char *path;        /* in the bundle */
	struct blob *blob; /* but for the manifest */
	bool known;        /* it came from the cache */
	/* Of a source that memory knew: */
	char *from;          /* its path in the repository, or NULL */
	struct blob *before; /* what it was, if that is another one */
	char *folder; /* of data, its slashes made NULs: segments point in */
	char **segments;
	size_t segment_count;
};

/* Work in hand; everything is released by plan_clear. */
struct plan {
	const struct tree *tree;
	const struct definition_bundle *d;
	const struct bundle_means *means;
	struct source *sources; /* sorted by path */
	size_t count;
	size_t cap;
	const char *manifest_name; /* path in the repository, or NULL */
	struct manifest manifest;
	struct roots roots;
	const struct value *metadata;
	struct manifest_file_rule *rules;
	size_t rule_count;
	struct bundle *bundle;
	size_t file_cap;
	struct memory *memory; /* of the last time, or NULL */
	size_t recalled;       /* sources of it that were passed */
	bool moved;            /* it had other sources */
	bool same_parts;       /* nor did packages or keys of data move */
	bool worked_out;       /* the roots: nobody gave them */
	struct err *e;
};
void plan_clear(struct plan *p);
void plan_sources_free(struct source *sources, size_t count);

enum err_code plan_choose(struct plan *p) MUST_CHECK;
enum err_code plan_read(struct plan *p) MUST_CHECK;
enum err_code plan_settle(struct plan *p) MUST_CHECK;
enum err_code plan_finish(struct plan *p) MUST_CHECK;

/* b is held while the next bundle is planned: there is less room for that. */
void plan_spend(struct bundle_means *m, const struct bundle *b);

/* Order of files in a bundle, for order_sort. */
int plan_compare_files(const void *a, const void *b);

/* Sets b->content from its files and from the hash of what of the manifest
 * counts. */
void plan_digest_content(struct bundle *b, const char *manifest_hash);

/* The last segment of a path. */
const char *plan_base_of(const char *path);

#endif
