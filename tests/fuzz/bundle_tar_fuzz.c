/* The tar of a bundle, compressed here: made-up gzip hardly ever unpacks to
 * anything, and it is the names in the tar that need looking at. */

#include "bundler/pack.h"
#include "tests/fuzz/archive.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF packed = { 0 };
	struct err e;
	enum err_code code;

	buf_init(&packed, PACK_SIZE_MAX);
	code = pack_gzip(&packed, data, size, &e);
	assert(code == ERR_OK);
	archive_try(packed.data, packed.len);
	return 0;
}
