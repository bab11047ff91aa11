/* A signature as it comes from an archive. The whole input once as it is; and
 * once its two halves (header NUL payload) signed with the right key, for
 * what only a valid signature lets through. */

#include "core/base64.h"
#include "signing/digest.h"
#include "signing/jws.h"
#include "tests/fuzz/fuzz.h"

static const char secret[] = "0123456789abcdef0123456789abcdef";

enum { TOKEN_MAX = 4 << 20 };

static void
verify(const char *jws, size_t len, const struct key *k)
{
	struct jws_claims c = { 0 };
	struct err e;
	enum err_code code = jws_verify(&c, jws, len, k, &e);

	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return;
	}
	for (size_t i = 0; i < c.count; i++) {
		assert(digest_is_hex(c.files[i].hash));
		assert(i == 0 ||
		    strcmp(c.files[i - 1].name, c.files[i].name) < 0);
	}
	jws_claims_clear(&c);
}

static void
verify_signed(const char *text, size_t len, const struct key *k)
{
	const char *end = memchr(text, '\0', len);
	size_t head = end != NULL ? (size_t)(end - text) : 0;
	AUTO_BUF jws = { 0 }, signature = { 0 };
	struct err e;
	enum err_code code;

	buf_init(&jws, TOKEN_MAX);
	buf_init(&signature, KEY_SIGNATURE_MAX);
	if (end == NULL)
		return;
	base64url_add(&jws, text, head);
	buf_add_char(&jws, '.');
	base64url_add(&jws, end + 1, len - head - 1);
	code = key_sign(&signature, k, jws.data, jws.len, &e);
	assert(code == ERR_OK);
	buf_add_char(&jws, '.');
	base64url_add(&jws, signature.data, signature.len);
	if (buf_check(&jws, "token", &e) == ERR_OK)
		verify(jws.data, jws.len, k);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(key, k) = NULL;
	struct err e;
	enum err_code code = key_read_private(&k, "k", KEY_HS256, "k", secret,
	    sizeof secret - 1, &e);

	assert(code == ERR_OK);
	verify((const char *)data, size, k);
	verify_signed((const char *)data, size, k);
	return 0;
}
