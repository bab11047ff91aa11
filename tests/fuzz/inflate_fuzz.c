/* Bodies that are said to be gzip. */

#include "server/http/inflate.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t maxima[] = { 1, 64 * 1024, 1 << 20 };

	for (size_t i = 0; i < sizeof maxima / sizeof *maxima; i++) {
		AUTO_BUF out = { 0 };
		struct err e = { 0 };
		enum err_code code =
		    inflate_gzip(&out, (const char *)data, size, maxima[i], &e);

		if (code != ERR_OK)
			fuzz_refused(code, &e);
		assert(out.len <= maxima[i]);
		assert(out.len <= INFLATE_FREE + size * INFLATE_RATIO_MAX);
	}
	return 0;
}
