/* Key files, private and public, under every algorithm. What is read as a
 * private key signs, and its signature verifies. */

#include "signing/key.h"
#include "tests/fuzz/fuzz.h"

static void
use(const struct key *k)
{
	static const char text[] = "what is signed";
	AUTO_BUF signature = { 0 };
	struct err e;
	enum err_code code;

	buf_init(&signature, KEY_SIGNATURE_MAX);
	code = key_sign(&signature, k, text, sizeof text, &e);
	/* A damaged key may read as one and fail here: then it says so. */
	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return;
	}
	(void)!key_verify(k, text, sizeof text, signature.data, signature.len,
	    &e);
}

/* RSA is slow, and slower with keys that somebody damaged; the length of the
 * hash changes nothing of what was read. */
static bool
is_worth_using(enum key_algorithm a)
{
	return a == KEY_RS256 || a == KEY_PS256 || a >= KEY_ES256;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int i = 0; i < KEY_ALGORITHMS; i++) {
		enum key_algorithm a = (enum key_algorithm)i;
		const char *text = (const char *)data;
		AUTO(key, private) = NULL;
		AUTO(key, public) = NULL;
		struct err e;
		enum err_code code =
		    key_read_private(&private, "k", a, "k", text, size, &e);

		if (code != ERR_OK)
			fuzz_refused(code, &e);
		else if (is_worth_using(a))
			use(private);
		code = key_read_public(&public, "k", a, "k", text, size, &e);
		if (code != ERR_OK)
			fuzz_refused(code, &e);
	}
	return 0;
}
