#ifndef BUNDLER_MANIFEST_H
#define BUNDLER_MANIFEST_H

/* .manifest: the one a repository may keep at a bundle's root, and the one
 * that goes into the bundle. Field names match in any case, as in OPA; what
 * OPA would ignore is refused here, because whoever wrote it meant something.
 * Pure, any thread. */

#include <stdbool.h>
#include <stdint.h>

#include "bundler/roots.h"
#include "core/names.h"
#include "core/value.h"
#include "policies/tree.h"

enum { MANIFEST_FILE_MAX = 16 << 20 };

/* What a manifest says; zeroed it says nothing but rego_version 0. */
struct manifest {
	struct document *doc;
	char *revision; /* NULL: not said */
	bool has_roots;
	unsigned int roots_line;
	struct roots roots;
	int rego_version;                  /* -1: not said */
	const struct value *metadata;      /* object, or NULL */
	const struct value *file_versions; /* object of 0 and 1, or NULL */
	const struct value *wasm;          /* array, or NULL; never if strict */
};
void manifest_clear(struct manifest *m);

/* Reads one; errors begin with name and line. strict: unknown fields and wasm
 * modules are refused, and metadata may not hold "edict", which is ours. */
enum err_code manifest_read(struct manifest *out, const char *name,
    const char *text, size_t len, bool strict, struct err *e) MUST_CHECK;

/* Checks metadata of any origin for what only we may say. */
enum err_code manifest_check_metadata(const struct value *metadata,
    const char *where, struct err *e) MUST_CHECK;

/* The rego version that file_rego_versions gives to a file, or -1. Patterns
 * are tried on the path with and without a slash before it, since OPA sees it
 * with one in a folder and without in our archives; "*" crosses slashes.
 * INVALID when two patterns that match disagree, for which OPA has no rule. */
enum err_code manifest_file_version(const struct manifest *m, const char *path,
    const char *where, int *out, struct err *e) MUST_CHECK;

struct manifest_file_rule {
	const char *path;
	int version;
};

/* What goes into a bundle; all borrowed. */
struct manifest_content {
	const char *bundle;
	const struct tree_commit *commit;
	const struct roots *roots;
	int rego_version;
	const struct value *metadata;           /* the user's, or NULL */
	const struct manifest_file_rule *rules; /* sorted by path */
	size_t rule_count;
	const char *opa;          /* the version that compiled it, or NULL */
	const struct value *wasm; /* entries as opa writes them, or NULL */
};

/* Are these entries of `wasm` as opa writes them, for the module of this name?
 * What they say goes into the manifest. */
enum err_code manifest_check_wasm(const struct value *wasm, const char *module,
    const char *where, struct err *e) MUST_CHECK;

/* Appends it in canonical form. with_commit false leaves out `revision` and
 * `metadata.edict`: what the content digest covers. */
void manifest_write(struct buf *out, const struct manifest_content *m,
    bool with_commit);

#endif
