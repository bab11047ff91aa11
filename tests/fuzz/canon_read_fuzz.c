/* JSON data. What is read is written, and reads and writes the same again. */

#include "core/canon.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(document, first) = NULL;
	AUTO(document, second) = NULL;
	AUTO_BUF a = { 0 }, b = { 0 };
	struct err e;
	enum err_code code =
	    canon_read(&first, "x.json", (const char *)data, size, &e);

	/* At worst a line separator, three bytes, becomes \u2028. */
	buf_init(&a, 2 * size);
	buf_init(&b, 2 * size);
	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return 0;
	}
	canon_write(&a, document_root(first));
	assert(buf_check(&a, "canonical form", &e) == ERR_OK);
	code = canon_read(&second, "again.json", a.data, a.len, &e);
	assert(code == ERR_OK);
	canon_write(&b, document_root(second));
	assert(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
	return 0;
}
