/* A verdict as the store and the ledger get it. What is read can be written,
 * and reads and writes the same again. */

#include "policies/gate.h"
#include "tests/fuzz/fuzz.h"

static void
write_and_read(const struct verdict *v)
{
	AUTO(verdict, again) = NULL;
	json_t *a = verdict_json(v);
	json_t *b;
	struct err e;
	enum err_code code;

	assert(a != NULL);
	code = verdict_parse(&again, a, &e);
	assert(code == ERR_OK);
	b = verdict_json(again);
	assert(json_equal(a, b));
	json_decref(a);
	json_decref(b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *j = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
	AUTO(verdict, v) = NULL;
	struct err e;
	enum err_code code;

	if (j == NULL)
		return 0;
	code = verdict_parse(&v, j, &e);
	if (code != ERR_OK)
		fuzz_refused(code, &e);
	else
		write_and_read(v);
	json_decref(j);
	return 0;
}
