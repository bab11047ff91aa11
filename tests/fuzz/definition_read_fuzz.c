/* edict.yaml, as it stands in a small repository. */

#include "policies/definition.h"
#include "tests/fuzz/fuzz.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static struct tree *
repository(const uint8_t *data, size_t size)
{
	static const char rego[] = "package a\n";
	static const char json[] = "{}";
	const struct tree_file files[] = {
		{ DEFINITION_FILE, data, size },
		{ ".hidden/x.rego", rego, sizeof rego - 1 },
		{ "data/roles/data.json", json, sizeof json - 1 },
		{ "policies/authz/a.rego", rego, sizeof rego - 1 },
		{ "policies/authz/testdata/deep/a.rego", rego,
		    sizeof rego - 1 },
		{ "policies/infra/b.rego", rego, sizeof rego - 1 },
		{ "schemas/input.json", json, sizeof json - 1 },
	};
	struct tree *t = NULL;
	struct err e;
	enum err_code code = tree_from_memory(&t, files,
	    sizeof files / sizeof files[0], COMMIT, &e);

	assert(code == ERR_OK);
	return t;
}

/* Wherever a file goes, it is a path like any other. */
static void
place_all(const struct definition *d, const struct tree *t)
{
	const struct definition_bundle *b = d->bundles.items;

	assert(d->bundles.count > 0 && d->clusters.count > 0);
	for (size_t i = 0; i < d->bundles.count * t->count; i++) {
		char out[TREE_PATH_MAX];
		struct err e;

		if (definition_place(&b[i / t->count],
			t->entries[i % t->count].path, out))
			assert(tree_check_path(out, &e) == ERR_OK);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(tree, t) = repository(data, size);
	AUTO(definition, d) = NULL;
	struct err e;
	enum err_code code = definition_read(&d, t, &e);

	if (code != ERR_OK)
		fuzz_refused(code, &e);
	else
		place_all(d, t);
	return 0;
}
