/* YAML, of policy data and of settings. What is read can be written as JSON,
 * which our own reader takes and writes the same again. */

#include "core/canon.h"
#include "core/yaml.h"
#include "tests/fuzz/fuzz.h"

/* Aliases make much of little; the rest of such a document is not compared. */
enum { WRITTEN_MAX = 1 << 20 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(document, first) = NULL;
	AUTO(document, second) = NULL;
	AUTO_BUF a = { 0 }, b = { 0 };
	struct err e;
	enum err_code code =
	    yaml_read(&first, "x.yaml", (const char *)data, size, &e);

	buf_init(&a, WRITTEN_MAX);
	buf_init(&b, WRITTEN_MAX);
	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return 0;
	}
	canon_write(&a, document_root(first));
	if (buf_check(&a, "canonical form", &e) != ERR_OK)
		return 0;
	code = canon_read(&second, "x.json", a.data, a.len, &e);
	assert(code == ERR_OK);
	canon_write(&b, document_root(second));
	assert(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
	return 0;
}
