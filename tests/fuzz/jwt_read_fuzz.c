/* A token as an engine shows it: the whole input once as it is; and once its two
 * halves (header NUL claims) signed with a key that is trusted, for what only a
 * valid signature lets through. */

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "core/base64.h"
#include "server/http/jwt.h"
#include "tests/fuzz/fuzz.h"

enum { TOKEN_MAX = 1 << 20, NOW_S = 1800000000 };

static struct conf_jwt_subject subject = { (char[]){ "system:*:eu:*" },
	(char[]){ "prod-eu" } };
static struct conf_jwt conf = {
	.issuer = (char[]){ "https://issuer" },
	.audience = (char[]){ "edict" },
	.leeway = 30,
	.subjects = { &subject, 1 },
};

static void
read_token(const char *text, size_t len, const struct jwt_issuer *issuer)
{
	struct jwt j;
	struct err e;
	size_t missing;
	enum err_code code = jwt_read(&j, text, len, issuer, 1,
	    (int64_t)NOW_S * 1000, &missing, &e);

	if (code != ERR_OK) {
		fuzz_refused(code, &e);
		return;
	}
	assert(jwt_fits(subject.subject, j.subject));
	assert(strlen(j.pod) <= JWT_POD_MAX);
	assert(j.cluster == subject.cluster);
	assert(j.expires_ms > (int64_t)NOW_S * 1000);
}

static void
read_signed(const char *text, size_t len, const struct jwt_issuer *issuer,
    const struct key *k)
{
	const char *end = memchr(text, '\0', len);
	size_t head = end != NULL ? (size_t)(end - text) : 0;
	AUTO_BUF token = { 0 }, signature = { 0 };
	struct err e;
	enum err_code code;

	if (end == NULL)
		return;
	buf_init(&token, TOKEN_MAX);
	buf_init(&signature, KEY_SIGNATURE_MAX);
	base64url_add(&token, text, head);
	buf_add_char(&token, '.');
	base64url_add(&token, end + 1, len - head - 1);
	code = key_sign(&signature, k, token.data, token.len, &e);
	assert(code == ERR_OK);
	buf_add_char(&token, '.');
	base64url_add(&token, signature.data, signature.len);
	if (buf_check(&token, "token", &e) == ERR_OK)
		read_token(token.data, token.len, issuer);
}

static void
add_number(struct buf *out, EVP_PKEY *pair, const char *name)
{
	unsigned char bytes[32];
	BIGNUM *n = NULL;
	int result = EVP_PKEY_get_bn_param(pair, name, &n);

	assert(result == 1);
	result = BN_bn2binpad(n, bytes, sizeof bytes);
	assert(result == sizeof bytes);
	BN_free(n);
	base64url_add(out, bytes, sizeof bytes);
}

/* A new key, and its issuer's set. */
static void
make(struct key **k, struct jwt_issuer *issuer)
{
	AUTO_BUF pem = { 0 }, set = { 0 };
	struct err e;
	EVP_PKEY *pair;
	BIO *from;

	buf_init(&pem, KEY_FILE_MAX);
	buf_init(&set, JWKS_SIZE_MAX);
	if (key_generate(k, "k", KEY_ES256, &e) != ERR_OK)
		abort();
	key_write_public(&pem, *k);
	from = BIO_new_mem_buf(pem.data, (int)pem.len);
	pair = PEM_read_bio_PUBKEY(from, NULL, NULL, NULL);
	assert(pair != NULL);
	BIO_free(from);
	buf_add_str(&set,
	    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
	    "\"kid\":\"k\",\"x\":\"");
	add_number(&set, pair, OSSL_PKEY_PARAM_EC_PUB_X);
	buf_add_str(&set, "\",\"y\":\"");
	add_number(&set, pair, OSSL_PKEY_PARAM_EC_PUB_Y);
	buf_add_str(&set, "\"}]}");
	EVP_PKEY_free(pair);
	issuer->conf = &conf;
	issuer->algorithms = 1 << KEY_ES256;
	if (jwks_read(&issuer->keys, "keys", set.data, set.len,
		issuer->algorithms, &e) != ERR_OK)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct jwt_issuer issuer;
	static struct key *k;

	if (k == NULL)
		make(&k, &issuer);
	read_token((const char *)data, size, &issuer);
	read_signed((const char *)data, size, &issuer, k);
	return 0;
}
