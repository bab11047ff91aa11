#ifndef POLICIES_DEFINITION_H
#define POLICIES_DEFINITION_H

/* What the policy repository says of itself: `edict.yaml` at its root, read
 * from the same commit that is tested and built. Without the file the whole
 * repository is one bundle `main` for one cluster `default`. With bundles but
 * no clusters, `default` gets them all; with clusters but no bundles, there is
 * `main`; a cluster that names no bundles gets them all. A bad file is an error
 * with every fault, line and column; never half a definition. Immutable after
 * reading; reading from several threads is fine. */

#include <stdbool.h>
#include <stdint.h>

#include "core/spec.h"
#include "policies/tree.h"

enum {
	DEFINITION_FILE_MAX = 1 << 20,
	DEFINITION_BUNDLES_MAX = 1000,
	DEFINITION_CLUSTERS_MAX = 10000,
	DEFINITION_PATHS_MAX = 1000, /* of one bundle; globs, roots too */
	DEFINITION_GLOB_MAX = 1024,  /* bytes of one pattern */
	DEFINITION_ENTRYPOINTS_MAX = 100,
	DEFINITION_ENTRYPOINT_MAX = 1024,     /* bytes of one */
	DEFINITION_OPTIMIZE_MAX = 2,          /* opa has no higher level */
	DEFINITION_CAPABILITIES_MAX = 4 << 20 /* bytes; opa's own is 200 KiB */
};
#define DEFINITION_FILE "edict.yaml"

struct definition_path {
	char *from; /* a folder or file of the repository; "" is all of it */
	char *to;   /* where it goes in the bundle; equal to from by default */
};

enum definition_target { TARGET_REGO, TARGET_WASM, TARGET_PLAN };

/* What `opa build` makes of the bundle before it is signed. */
struct definition_compile {
	int target;                      /* enum definition_target */
	int64_t optimize;                /* 0 to DEFINITION_OPTIMIZE_MAX */
	struct spec_strings entrypoints; /* authz/allow, in this order */
	bool prune_unused;
	char *partial_namespace; /* NULL: worked out from the bundle's name */
	bool wasm_include_print;
};
const char *definition_target_name(int target); /* "wasm" */

struct definition_bundle {
	char *name;
	struct spec_list paths; /* of definition_path; empty: everything */
	struct spec_strings
	    exclude; /* globs on repository paths, ** crosses / */
	struct spec_strings ignore; /* globs on names, as opa's --ignore */
	struct spec_strings roots;
	bool has_roots;               /* absent: worked out */
	int64_t rego_version;         /* 0, 1, or -1: not said */
	const struct value *metadata; /* an object, or NULL */
	struct definition_compile compile;
	char *capabilities; /* as in struct definition_gate; NULL: the gate's */
};

/* Has `opa build` anything to do for it? Target rego without optimisation is
 * what a bundle is anyway. */
bool definition_is_compiled(const struct definition_bundle *d);

struct definition_label {
	char *key, *value;
};

struct definition_cluster {
	char *name;
	struct spec_list labels; /* of definition_label, sorted by key */
	struct spec_strings bundles;
	char *follow; /* branch; only the tracked one for now */
};

enum definition_scope { SCOPE_REPOSITORY, SCOPE_BUNDLE };
enum definition_mode { MODE_FILES, MODE_BUNDLE };
enum definition_empty { EMPTY_FAIL, EMPTY_PASS };

struct definition_command {
	char *name;
	struct spec_strings run; /* run[0] names a command the server allows */
};

struct definition_gate {
	bool strict;                    /* opa check --strict; default true */
	char *schemas;                  /* folder, or NULL */
	char *capabilities;             /* a JSON file of the repository, or a
	                                 * version of opa's (v1.4.0); or NULL */
	int scope;                      /* enum definition_scope */
	int mode;                       /* enum definition_mode */
	struct spec_strings test_paths; /* default: the whole repository */
	struct spec_strings ignore;     /* opa --ignore globs */
	int64_t coverage;               /* percent, 0: not asked */
	int64_t timeout;           /* seconds, for the whole run; default 120 */
	int empty;                 /* enum definition_empty; default fail */
	struct spec_list commands; /* of definition_command */
};

struct definition {
	char *name;                /* NULL: the server's name for it */
	struct spec_list bundles;  /* of definition_bundle, sorted by name */
	struct spec_list clusters; /* of definition_cluster, sorted by name */
	struct definition_gate gate;
	struct document *document; /* owns metadata; NULL without the file */
	bool from_file;            /* false: the defaults without edict.yaml */
};

void definition_free(struct definition *d);
AUTO_FREE(definition)

/* Reads and checks edict.yaml of this tree: names, references of clusters to
 * bundles, paths that exist. Does not look at policies. */
enum err_code definition_read(struct definition **out, const struct tree *t,
    struct err *e) MUST_CHECK;

/* The same where several repositories are watched: clusters may have bundles
 * that another one may define. elsewhere NULL: there is no other. */
struct definition_elsewhere {
	bool (*defines)(const void *arg, const char *bundle);
	const void *arg;
};
enum err_code definition_read_with(struct definition **out,
    const struct tree *t, const struct definition_elsewhere *elsewhere,
    struct err *e) MUST_CHECK;

/* Is it a version, and not a file? */
bool definition_capabilities_is_version(const char *capabilities);

/* Which capabilities hold for a bundle: its own, else the gate's; or NULL. */
const char *definition_capabilities(const struct definition *d,
    const struct definition_bundle *b);

/* Appends the reference of edict.yaml in Markdown, from the same tables. */
void definition_describe(struct buf *out);

/* "*" stops at "/", "**" crosses it, "?" is one character; a "**" and its "/"
 * match no folder as well, so that the usual exclude pattern for testdata
 * folders covers one at the root. For `exclude`. Takes pattern length times
 * path length at worst. */
bool definition_glob(const char *pattern, const char *path);

/* Hidden files and folders (a segment with a leading dot) never belong to a
 * bundle, but for a .manifest at its root. */
bool definition_hidden(const char *path);

/* Where a file of the repository goes in the bundle: by its first path that
 * holds it, unless it, or a folder it is in, is excluded or hidden. False: it
 * is not part of this bundle. What OPA would load of it is the bundler's to
 * say; tests are placed as well. */
bool definition_place(const struct definition_bundle *d, const char *path,
    char out[TREE_PATH_MAX]);

/* Says of each exclude pattern that matches nothing in the tree, as one with a
 * slip of the pen does, that it is so: appends a line each. */
void definition_idle_excludes(struct buf *out, const struct definition *d,
    const struct tree *t);

#endif
