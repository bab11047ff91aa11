#include "signing/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "core/file.h"
#include "core/mem.h"
#include "tool.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define OK(call)                                \
	do {                                    \
		if ((call) != ERR_OK)           \
			fail_msg("%s", e.text); \
	} while (0)

static const char message[] = "what is signed";

static void
sign(struct buf *out, const struct key *k)
{
	struct err e;

	buf_init(out, KEY_SIGNATURE_MAX);
	OK(key_sign(out, k, message, sizeof message, &e));
}

static enum err_code
verify(const struct key *k, const struct buf *signature)
{
	return key_verify(k, message, sizeof message, signature->data,
	    signature->len, NULL);
}

static void
names_of_algorithms(void **state)
{
	static const char *const names[] = { "RS256", "RS384", "RS512", "PS256",
		"PS384", "PS512", "ES256", "ES384", "ES512", "HS256", "HS384",
		"HS512" };
	static const char *const refused[] = { "", "none", "EdDSA", "rs256",
		"RS256 ", "RS1", "ES256K", "A128GCM" };
	enum key_algorithm a = KEY_RS256;
	struct err e;

	(void)state;
	assert_int_equal(COUNT(names), KEY_ALGORITHMS);
	for (int i = 0; i < KEY_ALGORITHMS; i++) {
		OK(key_algorithm_parse(&a, names[i], &e));
		assert_int_equal(a, i);
		assert_string_equal(key_algorithm_name(a), names[i]);
	}
	for (size_t i = 0; i < COUNT(refused); i++)
		assert_int_equal(key_algorithm_parse(&a, refused[i], &e),
		    ERR_INVALID);
}

static void
ids(void **state)
{
	static const char *const bad[] = { "", ".", "..", ".a", "a/b", "a b",
		"a\n", "\xc3\xa4", "a\"b", "a:b" };
	char longest[KEY_ID_MAX + 2];

	(void)state;
	assert_true(key_id_is_valid("2026-11"));
	assert_true(key_id_is_valid("A.z_0-"));
	assert_true(key_id_is_valid("-"));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(key_id_is_valid(bad[i]));
	memset(longest, 'a', sizeof longest);
	longest[KEY_ID_MAX + 1] = '\0';
	assert_false(key_id_is_valid(longest));
	longest[KEY_ID_MAX] = '\0';
	assert_true(key_id_is_valid(longest));
}

/* Writes, reads back, and verifies crosswise. */
static void
round_trip(enum key_algorithm a)
{
	AUTO(key, made) = tool_key("k", a);
	AUTO(key, again) = NULL;
	AUTO(key, public) = NULL;
	AUTO_BUF text, second, signature;
	struct err e;

	buf_init(&text, KEY_FILE_MAX);
	buf_init(&second, KEY_FILE_MAX);
	key_write_private(&text, made);
	OK(key_read_private(&again, "k", a, "k.key", text.data, text.len, &e));
	key_write_private(&second, again);
	assert_int_equal(second.len, text.len);
	assert_memory_equal(second.data, text.data, text.len);
	assert_true(key_is_private(again));
	assert_string_equal(key_id(again), "k");
	assert_int_equal(key_algorithm_of(again), a);

	buf_reset(&text);
	tool_verification_key(&text, again);
	OK(key_read_public(&public, NULL, a, "k.pub", text.data, text.len, &e));
	assert_int_equal(key_is_private(public), key_is_symmetric(made));
	assert_null(key_id(public));

	sign(&signature, again);
	assert_int_equal(verify(public, &signature), ERR_OK);
	assert_int_equal(verify(made, &signature), ERR_OK);
	for (size_t i = 0; i < signature.len; i++) {
		signature.data[i] ^= 1;
		assert_int_equal(verify(public, &signature), ERR_CRYPTO);
		signature.data[i] ^= 1;
		if (i > 8 && key_algorithm_of(public) < KEY_HS256)
			i += 16; /* enough of the slow ones */
	}
	signature.len--;
	assert_int_equal(verify(public, &signature), ERR_CRYPTO);
	signature.len = 0;
	assert_int_equal(verify(public, &signature), ERR_CRYPTO);
}

static void
every_algorithm_round_trips(void **state)
{
	(void)state;
	for (int a = 0; a < KEY_ALGORITHMS; a++)
		round_trip((enum key_algorithm)a);
}

static void
signatures_have_the_right_width(void **state)
{
	static const struct {
		enum key_algorithm a;
		size_t len;
	} cases[] = {
		{ KEY_RS256, KEY_RSA_BITS / 8 },
		{ KEY_PS512, KEY_RSA_BITS / 8 },
		{ KEY_ES256, 64 },
		{ KEY_ES384, 96 },
		{ KEY_ES512, 132 },
		{ KEY_HS256, 32 },
		{ KEY_HS384, 48 },
		{ KEY_HS512, 64 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO(key, k) = tool_key("k", cases[i].a);

		/* Often, because r and s are short now and then. */
		for (int n = 0; n < (cases[i].a == KEY_ES256 ? 600 : 3); n++) {
			AUTO_BUF signature = { 0 };

			sign(&signature, k);
			assert_int_equal(signature.len, cases[i].len);
			assert_int_equal(verify(k, &signature), ERR_OK);
		}
	}
}

static void
rs_and_hs_are_deterministic(void **state)
{
	static const enum key_algorithm same[] = { KEY_RS256, KEY_RS384,
		KEY_RS512, KEY_HS256, KEY_HS384, KEY_HS512 };

	(void)state;
	for (size_t i = 0; i < COUNT(same); i++) {
		AUTO(key, k) = tool_key("k", same[i]);
		AUTO_BUF one, other;

		sign(&one, k);
		sign(&other, k);
		assert_int_equal(one.len, other.len);
		assert_memory_equal(one.data, other.data, one.len);
	}
}

/* RFC 7515 A.1: HS256 over a fixed text. */
static void
hs256_known_answer(void **state)
{
	static const unsigned char secret[] = { 3, 35, 53, 75, 43, 15, 165, 188,
		131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40, 230, 240, 84,
		201, 40, 169, 15, 132, 178, 210, 80, 46, 191, 211, 251, 90, 146,
		210, 6, 71, 239, 150, 138, 180, 195, 119, 98, 61, 34, 61, 46,
		33, 114, 5, 46, 79, 8, 192, 205, 154, 245, 103, 208, 128, 163 };
	static const unsigned char right[] = { 116, 24, 223, 180, 151, 153, 224,
		37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105,
		214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121 };
	static const char input[] =
	    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
	    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
	    "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
	AUTO(key, k) = NULL;
	AUTO_BUF made = { 0 };
	struct err e;

	(void)state;
	buf_init(&made, KEY_SIGNATURE_MAX);
	OK(key_read_private(&k, "k", KEY_HS256, "k", (const char *)secret,
	    sizeof secret, &e));
	OK(key_sign(&made, k, input, sizeof input - 1, &e));
	assert_int_equal(made.len, sizeof right);
	assert_memory_equal(made.data, right, sizeof right);
}

/* PEM of a foreign pair; frees it. */
static void
private_pem(struct buf *out, EVP_PKEY *pair)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *data;
	long len;

	assert_non_null(pair);
	assert_int_equal(PEM_write_bio_PrivateKey(b, pair, NULL, NULL, 0, NULL,
			     NULL),
	    1);
	len = BIO_get_mem_data(b, &data);
	buf_add(out, data, (size_t)len);
	(void)BIO_free(b);
	EVP_PKEY_free(pair);
}

static void
refused_private(EVP_PKEY *pair, enum key_algorithm a, const char *why)
{
	AUTO_BUF pem = { 0 };
	struct key *k = NULL;
	struct err e;

	buf_init(&pem, KEY_FILE_MAX);
	private_pem(&pem, pair);
	assert_int_equal(key_read_private(&k, "k", a, "x.pem", pem.data,
			     pem.len, &e),
	    ERR_INVALID);
	assert_null(k);
	if (strstr(e.text, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", e.text, why);
}

static EVP_PKEY *
explicit_curve(void)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");

	assert_int_equal(EVP_PKEY_set_utf8_string_param(pair,
			     OSSL_PKEY_PARAM_EC_ENCODING,
			     OSSL_PKEY_EC_ENCODING_EXPLICIT),
	    1);
	return pair;
}

/* One key's private number with another's point. */
static EVP_PKEY *
mismatched(void)
{
	EVP_PKEY *one = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	EVP_PKEY *made = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	unsigned char point[65];
	size_t len = 0;
	BIGNUM *d = NULL;
	OSSL_PARAM *params;

	assert_int_equal(EVP_PKEY_get_bn_param(one, OSSL_PKEY_PARAM_PRIV_KEY,
			     &d),
	    1);
	assert_int_equal(EVP_PKEY_get_octet_string_param(other,
			     OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point,
			     &len),
	    1);
	OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME,
	    "prime256v1", 0);
	OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, d);
	OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point,
	    len);
	params = OSSL_PARAM_BLD_to_param(b);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_KEYPAIR,
			     params),
	    1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(ctx);
	BN_free(d);
	EVP_PKEY_free(one);
	EVP_PKEY_free(other);
	return made;
}

static void
unfit_private_keys(void **state)
{
	(void)state;
	refused_private(EVP_RSA_gen(1024), KEY_RS256, "1024 bits");
	refused_private(EVP_RSA_gen(2040), KEY_PS256, "2040 bits");
	refused_private(EVP_EC_gen("P-256"), KEY_RS256, "not an RSA key");
	refused_private(EVP_EC_gen("P-256"), KEY_ES384, "secp384r1");
	refused_private(EVP_EC_gen("P-384"), KEY_ES256, "prime256v1");
	refused_private(EVP_EC_gen("secp256k1"), KEY_ES256, "prime256v1");
	refused_private(EVP_RSA_gen(2048), KEY_ES256, "prime256v1");
	refused_private(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), KEY_RS256,
	    "not an RSA key");
	refused_private(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), KEY_ES256,
	    "prime256v1");
	refused_private(explicit_curve(), KEY_ES256, "written as numbers");
	refused_private(mismatched(), KEY_ES256, "damaged");
}

static void
pss_only_key(void **state)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
	EVP_PKEY *pair = NULL;

	(void)state;
	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048), 1);
	assert_int_equal(EVP_PKEY_generate(ctx, &pair), 1);
	EVP_PKEY_CTX_free(ctx);
	refused_private(pair, KEY_PS256, "not an RSA key");
}

/* A public RSA key of this many bits: its modulus need not have factors. */
static enum err_code
read_public_of(int bits)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	BIO *text = BIO_new(BIO_s_mem());
	BIGNUM *n = BN_new(), *exponent = BN_new();
	EVP_PKEY *pair = NULL;
	OSSL_PARAM *params;
	struct key *k = NULL;
	enum err_code code;
	char *data;
	long len;

	assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD),
	    1);
	assert_int_equal(BN_set_word(exponent, 65537), 1);
	OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n);
	OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, exponent);
	params = OSSL_PARAM_BLD_to_param(b);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &pair, EVP_PKEY_PUBLIC_KEY,
			     params),
	    1);
	assert_int_equal(PEM_write_bio_PUBKEY(text, pair), 1);
	len = BIO_get_mem_data(text, &data);
	code = key_read_public(&k, "k", KEY_RS256, "k.pub", data, (size_t)len,
	    NULL);
	key_free(k);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pair);
	(void)BIO_free(text);
	BN_free(n);
	BN_free(exponent);
	return code;
}

static void
limits_of_rsa(void **state)
{
	(void)state;
	assert_int_equal(read_public_of(KEY_RSA_BITS_MIN - 1), ERR_INVALID);
	assert_int_equal(read_public_of(KEY_RSA_BITS_MIN), ERR_OK);
	assert_int_equal(read_public_of(KEY_RSA_BITS_MAX), ERR_OK);
	assert_int_equal(read_public_of(KEY_RSA_BITS_MAX + 1), ERR_INVALID);
}

static void
traditional_pem(void **state)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-521");
	BIO *b = BIO_new(BIO_s_mem());
	AUTO(key, one) = NULL;
	AUTO(key, other) = NULL;
	struct err e;
	char *data;
	long len;

	(void)state;
	assert_int_equal(PEM_write_bio_PrivateKey_traditional(b, rsa, NULL,
			     NULL, 0, NULL, NULL),
	    1);
	len = BIO_get_mem_data(b, &data);
	OK(key_read_private(&one, "k", KEY_RS256, "rsa", data, (size_t)len,
	    &e));
	assert_int_equal(BIO_reset(b), 1);
	assert_int_equal(PEM_write_bio_PrivateKey_traditional(b, ec, NULL, NULL,
			     0, NULL, NULL),
	    1);
	len = BIO_get_mem_data(b, &data);
	OK(key_read_private(&other, "k", KEY_ES512, "ec", data, (size_t)len,
	    &e));
	(void)BIO_free(b);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
}

static void
encrypted_key(void **state)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	BIO *b = BIO_new(BIO_s_mem());
	struct key *k = NULL;
	struct err e;
	char *data;
	long len;

	(void)state;
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(b, pair,
			     EVP_aes_256_cbc(), "secret", 6, NULL, NULL),
	    1);
	len = BIO_get_mem_data(b, &data);
	assert_int_equal(key_read_private(&k, "k", KEY_ES256, "x", data,
			     (size_t)len, &e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, "encrypted"));
	(void)BIO_free(b);
	EVP_PKEY_free(pair);
}

/* A certificate stands for the key in it. */
static void
certificate(void **state)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *b = BIO_new(BIO_s_mem());
	AUTO(key, private) = NULL;
	AUTO(key, public) = NULL;
	AUTO_BUF pem, signature;
	struct err e;
	char *data;
	long len;

	(void)state;
	buf_init(&pem, KEY_FILE_MAX);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, pair);
	assert_true(X509_sign(x, pair, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(b, x), 1);
	len = BIO_get_mem_data(b, &data);
	OK(key_read_public(&public, NULL, KEY_ES256, "cert", data, (size_t)len,
	    &e));
	private_pem(&pem, pair);
	OK(key_read_private(&private, "k", KEY_ES256, "key", pem.data, pem.len,
	    &e));
	sign(&signature, private);
	assert_int_equal(verify(public, &signature), ERR_OK);
	X509_free(x);
	(void)BIO_free(b);
}

static void
texts_that_are_no_keys(void **state)
{
	static const char *const texts[] = { "", "\n", "hello",
		"-----BEGIN PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"-----BEGIN RSA PRIVATE KEY-----\n"
		"Proc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAAA\n"
		"-----END RSA PRIVATE KEY-----\n" };
	struct key *k = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		size_t len = strlen(texts[i]);

		for (int a = 0; a < KEY_ALGORITHMS; a++) {
			if (a >= KEY_HS256 && len >= 32)
				continue;
			assert_int_equal(key_read_private(&k, "k",
					     (enum key_algorithm)a, "x",
					     texts[i], len, NULL),
			    ERR_INVALID);
			assert_int_equal(key_read_public(&k, "k",
					     (enum key_algorithm)a, "x",
					     texts[i], len, NULL),
			    ERR_INVALID);
		}
	}
	assert_null(k);
}

static void
private_half_where_the_public_belongs(void **state)
{
	AUTO(key, k) = tool_key("k", KEY_ES256);
	struct key *public = NULL;
	AUTO_BUF pem = { 0 };
	struct err e;

	(void)state;
	buf_init(&pem, KEY_FILE_MAX);
	key_write_private(&pem, k);
	assert_int_equal(key_read_public(&public, "k", KEY_ES256, "x", pem.data,
			     pem.len, &e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, "private key"));
}

static void
secrets_have_limits(void **state)
{
	static char text[KEY_FILE_MAX + 1];
	struct key *k = NULL;
	struct err e;

	(void)state;
	memset(text, 's', sizeof text);
	assert_int_equal(key_read_private(&k, "k", KEY_HS512, "x", text, 63,
			     &e),
	    ERR_INVALID);
	OK(key_read_private(&k, "k", KEY_HS512, "x", text, 64, &e));
	key_free(k);
	k = NULL;
	OK(key_read_private(&k, "k", KEY_HS256, "x", text, KEY_FILE_MAX, &e));
	key_free(k);
	k = NULL;
	assert_int_equal(key_read_private(&k, "k", KEY_HS256, "x", text,
			     KEY_FILE_MAX + 1, &e),
	    ERR_LIMIT);
	text[63] = '\n';
	assert_int_equal(key_read_private(&k, "k", KEY_HS256, "x", text, 64,
			     &e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, "line break"));
	assert_int_equal(key_read_private(&k, "../k", KEY_HS256, "x", text, 60,
			     &e),
	    ERR_INVALID);
	assert_null(k);
}

/* The ring. */

static mode_t
mode_of(const char *dir, const char *name)
{
	AUTO_STR path = file_path(dir, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void
ring_keeps_keys(void **state)
{
	const char *dir = *state;
	AUTO_STR keys = file_path(dir, "keys");
	AUTO(key, first) = tool_key("2026-10", KEY_RS256);
	AUTO(key, second) = tool_key("shared.secret", KEY_HS256);
	struct key_ring ring = { 0 };
	AUTO_BUF signature = { 0 };
	struct err e;

	assert_int_equal(key_ring_read(&ring, keys, &e), ERR_NOT_FOUND);
	OK(key_ring_add(keys, first, KEY_BUNDLE, &e));
	OK(key_ring_read(&ring, keys, &e));
	assert_int_equal(ring.count, 1);
	assert_null(ring.current);
	key_ring_clear(&ring);

	OK(key_ring_add(keys, second, KEY_BUNDLE, &e));
	OK(key_ring_use(keys, "shared.secret", &e));
	assert_int_equal(key_ring_add(keys, first, KEY_AUDIT, &e),
	    ERR_CONFLICT);
	OK(key_ring_read(&ring, keys, &e));
	assert_int_equal(ring.count, 2);
	assert_string_equal(key_id(ring.current), "shared.secret");
	assert_null(key_ring_find(&ring, "other"));
	assert_int_equal(key_algorithm_of(key_ring_find(&ring, "2026-10")->key),
	    KEY_RS256);
	sign(&signature, key_ring_find(&ring, "2026-10")->key);
	assert_int_equal(verify(first, &signature), ERR_OK);
	key_ring_clear(&ring);

	assert_int_equal(mode_of(keys, ""), 0700);
	assert_int_equal(mode_of(keys, "2026-10.key"), 0600);
	assert_int_equal(mode_of(keys, "2026-10.pub"), 0644);
	assert_int_equal(mode_of(keys, "2026-10.json"), 0600);
	assert_int_equal(mode_of(keys, "shared.secret.key"), 0600);
	AUTO_STR public = file_path(keys, "shared.secret.pub");
	assert_int_not_equal(access(public, F_OK), 0);
}

/* What a damaged file does to reading; then it is put right again. */
static void
damage(const char *dir, const char *name, const char *text, enum err_code code)
{
	AUTO_STR path = file_path(dir, name);
	struct key_ring ring = { 0 };
	AUTO_BUF old = { 0 };
	struct err e;

	buf_init(&old, KEY_FILE_MAX);
	tool_read(&old, path);
	if (text != NULL)
		tool_write(dir, name, text, strlen(text));
	else
		assert_int_equal(unlink(path), 0);
	if (key_ring_read(&ring, dir, &e) != code)
		fail_msg("%s: %s: %s", name, text, e.text);
	assert_null(ring.items);
	tool_write(dir, name, old.data, old.len);
}

static void
ring_sees_damage(void **state)
{
	const char *dir = *state;
	AUTO(key, k) = tool_key("a", KEY_ES256);
	AUTO(key, other) = tool_key("b", KEY_ES256);
	AUTO_STR path = file_path(dir, "a.key");
	struct key_ring ring = { 0 };
	AUTO_BUF pem = { 0 };
	struct err e;

	buf_init(&pem, KEY_FILE_MAX);
	key_write_public(&pem, other);
	OK(key_ring_add(dir, k, KEY_BUNDLE, &e));
	OK(key_ring_use(dir, "a", &e));
	damage(dir, "current", "b\n", ERR_CORRUPT);
	damage(dir, "current", "", ERR_CORRUPT);
	damage(dir, "current",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaa",
	    ERR_LIMIT);
	damage(dir, "a.pub", pem.data, ERR_CORRUPT);
	damage(dir, "a.pub", NULL, ERR_CORRUPT);
	damage(dir, "a.key", "no key", ERR_INVALID);
	damage(dir, "a.key", NULL, ERR_CORRUPT);
	damage(dir, "a.json", "{", ERR_CORRUPT);
	damage(dir, "a.json", "[]", ERR_CORRUPT);
	damage(dir, "a.json",
	    "{\"id\":\"b\",\"algorithm\":\"ES256\",\"created_at\":\"\"}",
	    ERR_CORRUPT);
	damage(dir, "a.json",
	    "{\"id\":\"a\",\"algorithm\":\"none\",\"created_at\":\"\"}",
	    ERR_INVALID);
	damage(dir, "a.json",
	    "{\"id\":\"a\",\"algorithm\":\"RS256\",\"created_at\":\"\"}",
	    ERR_INVALID);
	damage(dir, "a.json",
	    "{\"id\":\"a\",\"algorithm\":\"ES256\",\"created_at\":\"\","
	    "\"more\":1}",
	    ERR_CORRUPT);
	damage(dir, "a.json",
	    "{\"id\":\"a\",\"algorithm\":\"ES256\",\"created_at\":\"\","
	    "\"kind\":\"any\"}",
	    ERR_INVALID);
	/* The key that signs bundles has to be one for them. */
	damage(dir, "a.json",
	    "{\"id\":\"a\",\"algorithm\":\"ES256\",\"created_at\":\"\","
	    "\"kind\":\"audit\"}",
	    ERR_CORRUPT);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(key_ring_read(&ring, dir, &e), ERR_DENIED);
	assert_non_null(strstr(e.text, "chmod 600"));
	assert_int_equal(chmod(path, 0600), 0);
	OK(key_ring_read(&ring, dir, &e));
	key_ring_clear(&ring);
}

/* As a crash leaves them: a key without its description, a file half made. */
static void
ring_ignores_left_overs(void **state)
{
	const char *dir = *state;
	AUTO(key, k) = tool_key("a", KEY_HS256);
	AUTO(key, late) = tool_key("late", KEY_ES384);
	struct key_ring ring = { 0 };
	struct err e;

	OK(key_ring_add(dir, k, KEY_BUNDLE, &e));
	OK(key_ring_use(dir, "a", &e));
	tool_write(dir, "late.key", "half", 4);
	tool_write(dir, "a.json.tmp.12.7ffd", "{", 1);
	tool_write(dir, ".json", "{", 1);
	tool_write(dir, "notes.txt", "x", 1);
	OK(key_ring_read(&ring, dir, &e));
	assert_int_equal(ring.count, 1);
	key_ring_clear(&ring);
	OK(key_ring_add(dir, late, KEY_BUNDLE, &e));
	OK(key_ring_use(dir, "late", &e));
	OK(key_ring_read(&ring, dir, &e));
	assert_int_equal(ring.count, 2);
	assert_string_equal(key_id(ring.current), "late");
	key_ring_clear(&ring);
}

/* Each kind has its newest; of them only those for bundles are ever chosen. */
static void
ring_knows_kinds(void **state)
{
	const char *dir = *state;
	AUTO(key, bundle) = tool_key("b", KEY_ES256);
	AUTO(key, audit) = tool_key("a", KEY_ES256);
	AUTO(key, other) = tool_key("c", KEY_ES256);
	struct key_ring ring = { 0 };
	enum key_kind kind;
	struct err e;

	for (int i = 0; i < KEY_KINDS; i++) {
		OK(key_kind_parse(&kind, key_kind_name((enum key_kind)i), &e));
		assert_int_equal(kind, i);
	}
	assert_int_equal(key_kind_parse(&kind, "Bundle", &e), ERR_INVALID);
	OK(key_ring_add(dir, bundle, KEY_BUNDLE, &e));
	OK(key_ring_add(dir, audit, KEY_AUDIT, &e));
	OK(key_ring_use(dir, "b", &e));
	assert_int_equal(key_ring_use(dir, "a", &e), ERR_CONFLICT);
	OK(key_ring_read(&ring, dir, &e));
	assert_ptr_equal(ring.current, key_ring_find(&ring, "b")->key);
	assert_int_equal(key_ring_find(&ring, "a")->kind, KEY_AUDIT);
	assert_ptr_equal(key_ring_newest(&ring, KEY_AUDIT),
	    key_ring_find(&ring, "a"));
	assert_null(key_ring_newest(&ring, KEY_DISCOVERY));
	key_ring_clear(&ring);

	/* What is retired is still there, and chosen for nothing. */
	OK(key_ring_retire(dir, "b", &e));
	OK(key_ring_retire(dir, "b", &e));
	assert_int_equal(key_ring_use(dir, "b", &e), ERR_CONFLICT);
	assert_non_null(strstr(e.text, "retired"));
	assert_int_equal(key_ring_retire(dir, "c", &e), ERR_NOT_FOUND);
	OK(key_ring_read(&ring, dir, &e));
	assert_int_equal(ring.count, 2);
	assert_null(ring.current);
	assert_null(key_ring_newest(&ring, KEY_BUNDLE));
	assert_int_not_equal(key_ring_find(&ring, "b")->retired_at[0], '\0');
	key_ring_clear(&ring);
	OK(key_ring_add(dir, other, KEY_BUNDLE, &e));
	OK(key_ring_use(dir, "c", &e));
}

static void
ring_has_a_limit(void **state)
{
	static const char secret[] = "0123456789abcdef0123456789abcdef";
	const char *dir = *state;
	struct key_ring ring = { 0 };
	struct err e;

	for (int i = 0; i <= KEY_RING_MAX; i++) {
		char name[32], text[128];

		if (i == KEY_RING_MAX) {
			OK(key_ring_read(&ring, dir, &e));
			assert_int_equal(ring.count, KEY_RING_MAX);
			key_ring_clear(&ring);
		}
		snprintf(text, sizeof text,
		    "{\"id\":\"k%d\",\"algorithm\":\"HS256\","
		    "\"created_at\":\"x\"}",
		    i);
		snprintf(name, sizeof name, "k%d.key", i);
		tool_write(dir, name, secret, sizeof secret - 1);
		snprintf(name, sizeof name, "k%d.json", i);
		tool_write(dir, name, text, strlen(text));
	}
	assert_int_equal(key_ring_read(&ring, dir, &e), ERR_LIMIT);
}

#define IN_FOLDER(test) \
	cmocka_unit_test_setup_teardown(test, tool_setup, tool_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_algorithms),
		cmocka_unit_test(ids),
		cmocka_unit_test(every_algorithm_round_trips),
		cmocka_unit_test(signatures_have_the_right_width),
		cmocka_unit_test(rs_and_hs_are_deterministic),
		cmocka_unit_test(hs256_known_answer),
		cmocka_unit_test(unfit_private_keys),
		cmocka_unit_test(pss_only_key),
		cmocka_unit_test(limits_of_rsa),
		cmocka_unit_test(traditional_pem),
		cmocka_unit_test(encrypted_key),
		cmocka_unit_test(certificate),
		cmocka_unit_test(texts_that_are_no_keys),
		cmocka_unit_test(private_half_where_the_public_belongs),
		cmocka_unit_test(secrets_have_limits),
		IN_FOLDER(ring_keeps_keys),
		IN_FOLDER(ring_sees_damage),
		IN_FOLDER(ring_ignores_left_overs),
		IN_FOLDER(ring_knows_kinds),
		IN_FOLDER(ring_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
