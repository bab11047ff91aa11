/* A whole repository: paths and contents in turn, with NULs between them. A
 * bundle that is planned can be packed, read, and is what was planned. */

#include "bundler/bundle.h"
#include "tests/fuzz/fuzz.h"

enum { FILES_MAX = 32, PACKED_MAX = 16 << 20 };
#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static void
pack_and_read(const struct bundle *b)
{
	struct bundle_archive a = { 0 };
	AUTO_BUF packed = { 0 };
	struct err e;
	enum err_code code;

	buf_init(&packed, PACKED_MAX);
	code = bundle_pack(&packed, b, &e);
	assert(code == ERR_OK);
	code = bundle_read(&a, b->name, packed.data, packed.len, &e);
	assert(code == ERR_OK);
	assert(a.count == b->count && a.root_count == b->root_count);
	for (size_t i = 0; i < a.count; i++) {
		assert(strcmp(a.files[i].path, b->files[i].path) == 0);
		assert(strcmp(a.files[i].hash, b->files[i].hash) == 0);
	}
	bundle_archive_clear(&a);
}

static void
plan(const struct tree *t)
{
	AUTO(definition, d) = NULL;
	struct bundle_set set = { 0 };
	struct err e;
	enum err_code code = definition_read(&d, t, &e);

	if (code == ERR_OK)
		code = bundle_plan_all(&set, t, d, &e);
	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return;
	}
	for (size_t i = 0; i < set.count; i++)
		pack_and_read(set.bundles[i]);
	bundle_set_clear(&set);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_pieces pieces = { (const char *)data, size };
	struct tree_file files[FILES_MAX];
	char *paths[FILES_MAX];
	AUTO(tree, t) = NULL;
	size_t count = 0;
	const char *path, *text;
	size_t path_len, len;
	struct err e;
	enum err_code code;

	while (count < FILES_MAX && fuzz_piece(&pieces, &path, &path_len) &&
	    fuzz_piece(&pieces, &text, &len)) {
		paths[count] = mem_strndup(path, path_len);
		files[count] = (struct tree_file){ paths[count], text, len };
		count++;
	}
	code = tree_from_memory(&t, files, count, COMMIT, &e);
	if (code != ERR_OK)
		fuzz_refused(code, &e);
	else
		plan(t);
	for (size_t i = 0; i < count; i++)
		mem_free(paths[i]);
	return 0;
}
