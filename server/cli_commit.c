#include "server/cli_commit.h"

#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/repo.h"

static enum err_code
read_commit(struct tree **out, const char *dir, const char *rev, struct err *e)
{
	AUTO(repo, r) = NULL;
	char commit[TREE_ID_SIZE];

	TRY(repo_discover(&r, dir, e));
	TRY(repo_resolve(r, rev, commit, e));
	return repo_tree(r, commit, out, e);
}

static enum err_code
choose(const struct definition *d, const char *rev, const char *name,
    const struct definition_bundle **out, struct err *e)
{
	const struct definition_bundle *b = d->bundles.items;

	for (size_t i = 0; name != NULL && i < d->bundles.count; i++)
		if (strcmp(b[i].name, name) == 0) {
			*out = &b[i];
			return ERR_OK;
		}
	if (name != NULL)
		return err_set(e, ERR_NOT_FOUND,
		    "%s: " DEFINITION_FILE " of that commit defines no bundle "
		    "%s",
		    rev, name);
	if (d->bundles.count != 1)
		return err_set(e, ERR_INVALID,
		    "%s: %zu bundles are defined; choose one with --bundle",
		    rev, d->bundles.count);
	*out = b;
	return ERR_OK;
}

enum err_code
cli_commit_bundle(struct bundle **out, const char *dir, const char *rev,
    const char *name, struct err *e)
{
	AUTO(tree, t) = NULL;
	AUTO(definition, d) = NULL;
	const struct definition_bundle *chosen = NULL;
	const struct bundle_means means = {
		.threads = bundle_threads(BUNDLE_THREADS_MAX)
	};

	TRY(read_commit(&t, dir, rev, e));
	TRY(definition_read(&d, t, e));
	TRY(choose(d, rev, name, &chosen, e));
	if (definition_is_compiled(chosen))
		return err_set(e, ERR_UNSUPPORTED,
		    "bundle %s goes through `opa build` (`compile` in " DEFINITION_FILE
		    "); make the file with `edict build` and "
		    "compare that",
		    chosen->name);
	return bundle_plan_with(out, t, chosen, &means, e);
}

enum err_code
cli_commit_file(struct bundle_archive *out, const char *path, struct buf *bytes,
    struct err *e)
{
	buf_init(bytes, (size_t)BUNDLE_SIZE_MAX);
	TRY(file_read(bytes, path, e));
	return bundle_read(out, path, bytes->data, bytes->len, e);
}
