/* What a fetch child wrote: it spoke with a host that may have taken it over.
 * Never fails, and what it says is fit for logs and JSON. */

#include "policies/fetch.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct child_result r = { .end = CHILD_EXITED };
	struct fetch_result out;
	size_t tip;

	buf_init(&r.out, size);
	buf_init(&r.err, 0);
	buf_add(&r.out, data, size);
	for (r.status = 0; r.status < 2; r.status++) {
		fetch_result_read(&out, &r);
		assert(fetch_outcome_name(out.outcome) != NULL);
		tip = strlen(out.tip);
		assert(strspn(out.tip, "0123456789abcdef") == tip);
		assert(tip == 0 || tip == sizeof out.tip - 1);
		assert(tip != 0 || out.outcome != FETCH_OK);
		assert(out.bytes >= 0);
		assert(fuzz_is_text(out.branch, strlen(out.branch), ""));
		assert(fuzz_is_text(out.message, strlen(out.message), ""));
	}
	child_result_clear(&r);
	return 0;
}
