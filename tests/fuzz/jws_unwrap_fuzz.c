/* .signatures.json. What is unwrapped and may be a signature can be wrapped,
 * and unwraps the same. */

#include "signing/jws.h"
#include "tests/fuzz/fuzz.h"

static const char token_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "abcdefghijklmnopqrstuvwxyz0123456789-_.";

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF jws = { 0 }, text = { 0 }, again = { 0 };
	struct err e;
	enum err_code code;

	buf_init(&jws, size);
	buf_init(&text, 6 * size + 64);
	buf_init(&again, size);
	code = jws_unwrap(&jws, (const char *)data, size, &e);
	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return 0;
	}
	if (strspn(jws.data, token_chars) < jws.len)
		return 0;
	jws_wrap(&text, jws.data, jws.len);
	assert(buf_check(&text, "wrapped", &e) == ERR_OK);
	code = jws_unwrap(&again, text.data, text.len, &e);
	assert(code == ERR_OK);
	assert(again.len == jws.len &&
	    memcmp(again.data, jws.data, jws.len) == 0);
	return 0;
}
