#include "tests/fuzz/archive.h"

#include "bundler/bundle.h"
#include "bundler/pack.h"
#include "signing/key.h"
#include "tests/fuzz/fuzz.h"

static const char secret[] = "0123456789abcdef0123456789abcdef";

static void
verify(const struct bundle_archive *a)
{
	AUTO(key, k) = NULL;
	struct err e;
	enum err_code code = key_read_private(&k, "k", KEY_HS256, "k", secret,
	    sizeof secret - 1, &e);

	assert(code == ERR_OK);
	code = bundle_verify(a, k, "authz", &e);
	if (code != ERR_OK)
		fuzz_refused(code, &e);
	/* Nothing but a signature by this key may pass. */
	assert(code != ERR_OK || a->jws != NULL);
}

static void
check_same(const struct bundle_archive *a, const struct bundle_archive *b)
{
	assert(a->count == b->count && a->root_count == b->root_count);
	for (size_t i = 0; i < a->count; i++) {
		assert(strcmp(a->files[i].path, b->files[i].path) == 0);
		assert(strcmp(a->files[i].hash, b->files[i].hash) == 0);
	}
}

static void
pack_again(const struct bundle_archive *a)
{
	const struct bundle_file **list = mem_array(a->count + 1, sizeof *list);
	struct bundle_archive again = { 0 };
	AUTO_BUF tar = { 0 }, packed = { 0 };
	struct err e;
	enum err_code code;

	for (size_t i = 0; i < a->count; i++)
		list[i] = &a->files[i];
	buf_init(&tar, PACK_TAR_MAX);
	buf_init(&packed, PACK_SIZE_MAX);
	code = pack_tar(&tar, list, a->count, true, &e);
	assert(code == ERR_OK);
	code = pack_gzip(&packed, tar.data, tar.len, &e);
	assert(code == ERR_OK);
	code = bundle_read(&again, "again", packed.data, packed.len, &e);
	assert(code == ERR_OK);
	check_same(a, &again);
	bundle_archive_clear(&again);
	mem_free(list);
}

void
archive_try(const void *data, size_t len)
{
	struct bundle_archive a = { 0 };
	struct err e;
	enum err_code code = bundle_read(&a, "x.tar.gz", data, len, &e);

	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return;
	}
	verify(&a);
	pack_again(&a);
	bundle_archive_clear(&a);
}
