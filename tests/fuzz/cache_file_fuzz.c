/* A cache file: whatever stands in it, every blob that comes out has the text
 * of its id, and nothing more than the file's size is told or kept. The first
 * byte says whether checks are set right first, so that what they guard is
 * reached too. */

#include "bundler/cache.h"
#include "bundler/cache_file.h"
#include "core/file.h"
#include "signing/digest.h"
#include "tests/fuzz/fuzz.h"

enum { HEAD = 1 + 4 + 64, CACHE_MAX = 1 << 20 };

static void
see_blob(void *arg, struct blob *b)
{
	char id[TREE_ID_SIZE];
	char hash[DIGEST_HEX_SIZE];

	(void)arg;
	if (b->text == NULL)
		return;
	digest_hex(hash, b->text, b->len);
	assert(strcmp(hash, b->hash) == 0);
	tree_blob_id(id, b->text, b->len);
	assert(b->key.kind != BLOB_POLICY || strcmp(id, b->key.id) == 0);
}

static void
tell(void *arg, const char *id, int64_t size)
{
	size_t *count = arg;

	assert(strlen(id) == TREE_ID_SIZE - 1 && size >= 0);
	(*count)++;
}

static uint32_t
length_at(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	    (uint32_t)p[3] << 24;
}

/* Sets each record's check right, as far as lengths make sense. */
static void
mend(uint8_t *data, size_t size)
{
	size_t at = sizeof CACHE_FILE_HEAD - 1;

	while (at + HEAD <= size &&
	    length_at(data + at + 1) <= size - at - HEAD) {
		size_t len = length_at(data + at + 1);
		char check[DIGEST_HEX_SIZE];

		if (strchr("pjy", data[at]) != NULL && data[at] != 0) {
			tree_blob_id(check, data + at + HEAD, len);
			memset(check + 40, '0', 24);
		} else {
			struct digest *d = digest_new();

			digest_add(d, data + at, 5);
			digest_add(d, data + at + HEAD, len);
			digest_end(d, check);
		}
		memcpy(data + at + 5, check, 64);
		at += HEAD + len;
	}
}

static void
load(const uint8_t *data, size_t size)
{
	AUTO(bundle_cache, cache) = bundle_cache_new(CACHE_MAX);
	size_t told = 0;
	int64_t good;
	enum err_code code;
	struct err e;
	int fd;

	code = file_memory(&fd, "cache", data, size, &e);
	assert(code == ERR_OK);
	code = cache_file_read(cache, fd, &good, tell, &told, &e);
	if (code != ERR_OK)
		fuzz_refused(code, &e);
	assert(good >= 0 && good <= (int64_t)size);
	assert(code != ERR_OK || good == (int64_t)size);
	assert(told <= size);
	assert(cache_bytes(cache) <= CACHE_MAX);
	cache_each(cache, see_blob, NULL, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	fuzz_quiet();
	if (size == 0)
		return 0;
	copy = mem_alloc(size);
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 1)
		mend(copy, size - 1);
	load(copy, size - 1);
	mem_free(copy);
	return 0;
}
