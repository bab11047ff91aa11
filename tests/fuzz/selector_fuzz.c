/* What operators select clusters by: a selector, a NUL, and one label's value. */

#include "clusters/payload.h"
#include "clusters/selector.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_pieces p = { (const char *)data, size };
	const char *text = "";
	const char *value = "";
	size_t len = 0;
	size_t value_len = 0;
	struct err e = { 0 };

	(void)fuzz_piece(&p, &text, &len);
	(void)fuzz_piece(&p, &value, &value_len);
	AUTO_STR whole = mem_strndup(text, len);
	AUTO_JSON labels = json_object();
	AUTO(selector, s) = NULL;
	enum err_code code = selector_parse(&s, whole, &e);

	json_object_set_new(labels, "env", json_stringn(value, value_len));
	if (code == ERR_OK)
		(void)selector_fits(s, labels);
	else
		fuzz_refused(code, &e);
	return 0;
}
