/* A key set as an issuer gives it. */

#include "server/http/jwks.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jwks *s = NULL;
	struct err e;
	enum err_code code = jwks_read(&s, "keys", (const char *)data, size,
	    (1 << KEY_HS256) - 1, &e);

	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return 0;
	}
	assert(jwks_count(s) > 0 && jwks_count(s) <= JWKS_KEYS_MAX);
	assert((jwks_left_out(s) == 0) == (*jwks_why(s) == '\0'));
	jwks_unref(s);
	return 0;
}
