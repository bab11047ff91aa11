#ifndef POLICIES_REGO_VERSION_H
#define POLICIES_REGO_VERSION_H

/* Which version of Rego a file is of: what edict.yaml says of its bundle, else
 * the bundle's .manifest; and what `file_rego_versions` of that manifest says of
 * single files. Pure, any thread. */

#include <stdbool.h>

#include "policies/definition.h"

struct rego_versions {
	int version;               /* of the bundle: 0 or 1; 1 if nobody says */
	const struct value *rules; /* file_rego_versions, or NULL */
	struct document *document; /* owns them */
};

/* A bad manifest is the bundler's to refuse, with better words: here it says
 * nothing. */
void rego_versions_read(struct rego_versions *v, const struct tree *t,
    const struct definition_bundle *d);
void rego_versions_clear(struct rego_versions *v);

/* Of a file, by its path in the bundle. */
int rego_versions_of(const struct rego_versions *v, const char *path);

/* Does this pattern of file_rego_versions name the file? It is tried with and
 * without a slash before the path, since OPA sees it with one in a folder and
 * without in an archive of ours; "*" crosses slashes. */
bool rego_version_names(const char *pattern, const char *path);

/* Appends "PATH":VERSION with the path as a pattern that matches only itself. */
void rego_version_write(struct buf *out, const char *path, int version);

#endif
