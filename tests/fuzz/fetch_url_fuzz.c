/* The url of a repository. */

#include "policies/fetch.h"
#include "policies/fetch_url.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_STR url = mem_strndup((const char *)data, size);
	struct fetch_url out;
	struct err e;
	enum err_code code = fetch_url_read(&out, url, &e);

	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return 0;
	}
	assert((out.kind == FETCH_LOCAL) == fetch_is_local(url));
	if (out.kind == FETCH_LOCAL) {
		assert(out.host[0] == '\0');
		assert(fetch_local_path(url)[0] != '\0');
		return 0;
	}
	assert(out.host[0] != '\0' && out.host[0] != '-');
	assert(out.port > 0 && out.port < 65536);
	assert(strchr(out.user, ':') == NULL);
	return 0;
}
