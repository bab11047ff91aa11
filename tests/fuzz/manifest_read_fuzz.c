/* .manifest: a repository's own (strict), and that of a finished bundle. */

#include "bundler/manifest.h"
#include "tests/fuzz/fuzz.h"

static void
ask_versions(const struct manifest *m)
{
	static const char *const paths[] = { "a.rego", "a/b/c.rego",
		"a/[x]/y-z.rego" };

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		int version = 7;
		struct err e;
		enum err_code code = manifest_file_version(m, paths[i],
		    ".manifest", &version, &e);

		if (code != ERR_OK)
			fuzz_refused(code, &e);
		else
			assert(version >= -1 && version <= 1);
	}
}

static bool
read_one(const uint8_t *data, size_t size, bool strict)
{
	struct manifest m = { 0 };
	struct err e;
	enum err_code code = manifest_read(&m, ".manifest", (const char *)data,
	    size, strict, &e);

	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return false;
	}
	ask_versions(&m);
	if (m.has_roots && (code = roots_check(&m.roots, "x", &e)) != ERR_OK)
		fuzz_refused(code, &e);
	manifest_clear(&m);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool strict = read_one(data, size, true);
	bool loose = read_one(data, size, false);

	assert(loose || !strict);
	return 0;
}
