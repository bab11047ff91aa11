#include "server/cli/cli_commit.h"

#include <string.h>

#include "bundler/compile.h"
#include "core/file.h"
#include "core/mem.h"
#include "policies/repo.h"
#include "server/cli/cli_local.h"

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

static enum err_code
compile(struct bundle **b, const struct cli_args *a, const struct tree *t,
    const struct definition *d, const struct definition_bundle *chosen,
    const struct bundle_means *means, struct err *e)
{
	struct cli_local local;
	struct compile_means how = { .job = &local.job, .pack = means };
	enum err_code code = cli_local_open(&local, cli_value(a, "opa"),
	    cli_given(a, "best-effort"), e);

	local.job.tree = t;
	if (code == ERR_OK)
		code = cli_local_ask(&local, e);
	if (code == ERR_OK)
		code = compile_bundle(b, d, chosen, &how, e);
	cli_local_close(&local);
	return code;
}

enum err_code
cli_commit_bundle(struct bundle **out, const struct cli_args *a,
    const char *dir, const char *rev, const char *name, struct err *e)
{
	AUTO(tree, t) = NULL;
	AUTO(definition, d) = NULL;
	AUTO(bundle, b) = NULL;
	const struct definition_bundle *chosen = NULL;
	const struct bundle_means means = {
		.threads = bundle_threads(BUNDLE_THREADS_MAX)
	};

	TRY(read_commit(&t, dir, rev, e));
	TRY(definition_read(&d, t, e));
	TRY(choose(d, rev, name, &chosen, e));
	TRY(bundle_plan_with(&b, t, chosen, &means, e));
	if (definition_is_compiled(chosen))
		TRY(compile(&b, a, t, d, chosen, &means, e));
	*out = STEAL(b);
	return ERR_OK;
}

enum err_code
cli_commit_file(struct bundle_archive *out, const char *path, struct buf *bytes,
    struct err *e)
{
	buf_init(bytes, (size_t)BUNDLE_SIZE_MAX);
	TRY(file_read(bytes, path, e));
	return bundle_read(out, path, bytes->data, bytes->len, e);
}
