/* Tokens and key sets as they come from outside: what is taken, what is refused
 * and why. Signed here by our own keys; tests/daemon/credentials_test.c has those
 * of another program. */

#include "server/http/jwt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "core/base64.h"
#include "core/mem.h"

enum { ALL = (1 << KEY_HS256) - 1, NOW_S = 1800000000 };

static const char secret[] = "0123456789abcdef0123456789abcdef";

/* ---- patterns ---- */

static void
test_patterns(void **state)
{
	static const struct {
		const char *pattern, *subject;
		bool fits;
	} rows[] = {
		{ "system:serviceaccount:eu:opa",
		    "system:serviceaccount:eu:opa", true },
		{ "system:serviceaccount:eu:opa",
		    "system:serviceaccount:eu:opa2", false },
		{ "system:serviceaccount:eu:opa", "system:serviceaccount:eu:op",
		    false },
		{ "system:serviceaccount:eu:*",
		    "system:serviceaccount:eu:a.b-c", true },
		{ "system:serviceaccount:eu:*",
		    "system:serviceaccount:eu:", true },
		{ "system:serviceaccount:eu:*", "system:serviceaccount:eu:a:b",
		    false },
		{ "system:serviceaccount:*:opa", "system:serviceaccount:x:opa",
		    true },
		{ "system:serviceaccount:*:opa",
		    "system:serviceaccount:x:y:opa", false },
		{ "system:serviceaccount:eu-*:opa-*",
		    "system:serviceaccount:eu-1:opa-", true },
		{ "*", "system:serviceaccount:eu:opa", false },
		{ "*:*:*:*", "system:serviceaccount:eu:opa", true },
		{ "a*b*c", "aXbYc", true },
		{ "a*b*c", "aXb:c", false },
		{ "a*bc", "abcbc", true },
		{ "**", "a", true },
		{ "?", "a", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (jwt_fits(rows[i].pattern, rows[i].subject) != rows[i].fits)
			fail_msg("%s and %s", rows[i].pattern, rows[i].subject);
}

static void
test_likeness(void **state)
{
	static const struct {
		const char *text;
		bool like;
	} rows[] = {
		{ "eyJh.eyJ.x", true },
		{ "eyJh..", true },
		{ "edict_AAAA", false },
		{ "e.y", false },
		{ "abc.def.ghi", false },
		{ "", false },
		{ "e..", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (jwt_is_like(rows[i].text, strlen(rows[i].text)) !=
		    rows[i].like)
			fail_msg("%s", rows[i].text);
}

/* ---- keys as JSON ---- */

static json_t *
number_of(EVP_PKEY *pair, const char *name, size_t size)
{
	AUTO_BUF text = { 0 };
	unsigned char bytes[1024];
	BIGNUM *n = NULL;
	int len;

	assert_int_equal(EVP_PKEY_get_bn_param(pair, name, &n), 1);
	len = size > 0 ? BN_bn2binpad(n, bytes, (int)size)
		       : BN_bn2bin(n, bytes);
	BN_free(n);
	buf_init(&text, 4096);
	base64url_add(&text, bytes, (size_t)len);
	return json_string(text.data);
}

/* Takes pair over. */
static json_t *
jwk_of(EVP_PKEY *pair, const char *kid, const char *crv, size_t coordinate)
{
	json_t *jwk = json_pack("{s:s,s:s}", "kid", kid, "kty",
	    crv != NULL ? "EC" : "RSA");

	assert_non_null(pair);
	if (crv != NULL) {
		(void)json_object_set_new(jwk, "crv", json_string(crv));
		(void)json_object_set_new(jwk, "x",
		    number_of(pair, OSSL_PKEY_PARAM_EC_PUB_X, coordinate));
		(void)json_object_set_new(jwk, "y",
		    number_of(pair, OSSL_PKEY_PARAM_EC_PUB_Y, coordinate));
	} else {
		(void)json_object_set_new(jwk, "n",
		    number_of(pair, OSSL_PKEY_PARAM_RSA_N, 0));
		(void)json_object_set_new(jwk, "e",
		    number_of(pair, OSSL_PKEY_PARAM_RSA_E, 0));
	}
	EVP_PKEY_free(pair);
	return jwk;
}

/* Takes over the keys. */
static enum err_code
read_set(struct jwks **out, json_t *keys, uint32_t algorithms, struct err *e)
{
	json_t *root = json_pack("{s:o}", "keys", keys);
	char *text = json_dumps(root, JSON_COMPACT);
	enum err_code code =
	    jwks_read(out, "keys", text, strlen(text), algorithms, e);

	json_decref(root);
	free(text);
	return code;
}

static json_t *
ec_jwk(const char *kid)
{
	return jwk_of(EVP_EC_gen("P-256"), kid, "P-256", 32);
}

/* A key with one thing changed is left out, and says why; the others stay. */
static void
refuses_key(json_t *jwk, const char *why)
{
	struct jwks *s = NULL;
	struct err e = { 0 };

	assert_int_equal(read_set(&s, json_pack("[o,o]", jwk, ec_jwk("good")),
			     ALL, &e),
	    ERR_OK);
	assert_int_equal(jwks_count(s), 1);
	assert_int_equal(jwks_left_out(s), 1);
	if (strstr(jwks_why(s), why) == NULL)
		fail_msg("%s, not %s", jwks_why(s), why);
	assert_true(jwks_has(s, "good"));
	assert_false(jwks_has(s, "k"));
	jwks_unref(s);
}

static json_t *
changed(json_t *jwk, const char *name, json_t *value)
{
	(void)json_object_set_new(jwk, name, value);
	return jwk;
}

static json_t *
without(json_t *jwk, const char *name)
{
	(void)json_object_del(jwk, name);
	return jwk;
}

static void
test_keys_that_are_left_out(void **state)
{
	(void)state;
	refuses_key(changed(ec_jwk("k"), "use", json_string("enc")), "use");
	refuses_key(changed(ec_jwk("k"), "use", json_integer(1)), "use");
	refuses_key(changed(ec_jwk("k"), "key_ops", json_pack("[s]", "sign")),
	    "not meant to verify");
	refuses_key(changed(ec_jwk("k"), "key_ops",
			json_pack("[s,s]", "verify", "verify")),
	    "twice");
	refuses_key(changed(ec_jwk("k"), "key_ops", json_string("verify")),
	    "not meant to verify");
	refuses_key(changed(ec_jwk("k"), "alg", json_string("ES384")), "fits");
	refuses_key(changed(ec_jwk("k"), "alg", json_string("RS256")), "fits");
	refuses_key(changed(ec_jwk("k"), "alg", json_string("HS256")), "fits");
	refuses_key(changed(ec_jwk("k"), "alg", json_string("none")), "alg");
	refuses_key(changed(ec_jwk("k"), "d", json_string("AAAA")), "secret");
	refuses_key(changed(ec_jwk("k"), "kty", json_string("oct")), "kty");
	refuses_key(json_pack("{s:s,s:s,s:s}", "kty", "OKP", "kid", "k", "crv",
			"Ed25519"),
	    "kty");
	refuses_key(changed(ec_jwk("k"), "kty", json_string("RSA")), "no n");
	refuses_key(changed(ec_jwk("k"), "crv", json_string("P-384")),
	    "length");
	refuses_key(changed(ec_jwk("k"), "crv", json_string("secp256k1")),
	    "curve");
	refuses_key(changed(ec_jwk("k"), "x", json_string("AAAA")), "length");
	/* Not on the curve. */
	refuses_key(changed(ec_jwk("k"), "x",
			json_string("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
				    "E")),
	    "no key");
	refuses_key(changed(ec_jwk("k"), "y", json_string("a+b/")), "y");
	refuses_key(without(ec_jwk("k"), "kid"), "no kid");
	refuses_key(without(ec_jwk("k"), "kty"), "no kty");
	refuses_key(json_string("k"), "no kid");
	refuses_key(jwk_of(EVP_RSA_gen(1024), "k", NULL, 0), "1024 bits");
	refuses_key(changed(jwk_of(EVP_RSA_gen(2048), "k", NULL, 0), "e",
			json_string("AQ")),
	    "no key");
	refuses_key(changed(jwk_of(EVP_RSA_gen(2048), "k", NULL, 0), "e",
			json_string("AQAAAAE")),
	    "larger than 4");
}

/* oct has no business here, even if nothing else were wrong. */
static void
test_sets_that_are_refused(void **state)
{
	static const char *const texts[] = { "", "{", "[]", "{\"keys\":{}}",
		"{\"keys\":[]}", "{\"keys\":[],\"keys\":[]}", "null",
		"{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AAAA\"}]}",
		"{\"keys\":[{\"kid\":\"a\"},{\"kid\":\"a\"}]}" };
	struct jwks *s = NULL;
	struct err e = { 0 };
	json_t *many = json_array();
	char *large = mem_zalloc(JWKS_SIZE_MAX + 2);

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (jwks_read(&s, "keys", texts[i], strlen(texts[i]), ALL,
			&e) != ERR_INVALID)
			fail_msg("%s", texts[i]);
	/* Two keys of one id, both good. */
	assert_int_equal(read_set(&s,
			     json_pack("[o,o]", ec_jwk("a"), ec_jwk("a")), ALL,
			     &e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, "the same kid"));
	for (int i = 0; i < JWKS_KEYS_MAX; i++) {
		char kid[8];

		(void)snprintf(kid, sizeof kid, "k%d", i);
		(void)json_array_append_new(many, ec_jwk(kid));
	}
	assert_int_equal(read_set(&s, json_deep_copy(many), ALL, &e), ERR_OK);
	assert_int_equal(jwks_count(s), JWKS_KEYS_MAX);
	jwks_unref(s);
	(void)json_array_append_new(many, ec_jwk("more"));
	assert_int_equal(read_set(&s, many, ALL, &e), ERR_LIMIT);
	memset(large, ' ', JWKS_SIZE_MAX + 1);
	assert_int_equal(jwks_read(&s, "keys", large, JWKS_SIZE_MAX, ALL, &e),
	    ERR_INVALID);
	assert_int_equal(jwks_read(&s, "keys", large, JWKS_SIZE_MAX + 1, ALL,
			     &e),
	    ERR_LIMIT);
	mem_free(large);
}

static void
test_algorithms_of_keys(void **state)
{
	struct jwks *s = NULL;
	struct err e = { 0 };
	json_t *rsa = jwk_of(EVP_RSA_gen(2048), "rsa", NULL, 0);
	const uint32_t some = 1 << KEY_RS256 | 1 << KEY_PS384 | 1 << KEY_ES256;

	(void)state;
	assert_int_equal(read_set(&s,
			     json_pack("[o,o,o]", rsa,
				 changed(ec_jwk("ec"), "key_ops",
				     json_pack("[s]", "verify")),
				 jwk_of(EVP_EC_gen("P-521"), "big", "P-521",
				     66)),
			     some, &e),
	    ERR_OK);
	assert_int_equal(jwks_count(s), 2);
	assert_non_null(jwks_find(s, "rsa", KEY_RS256));
	assert_non_null(jwks_find(s, "rsa", KEY_PS384));
	assert_null(jwks_find(s, "rsa", KEY_RS384));
	assert_null(jwks_find(s, "rsa", KEY_ES256));
	assert_null(jwks_find(s, "rsa", KEY_HS256));
	assert_non_null(jwks_find(s, "ec", KEY_ES256));
	assert_null(jwks_find(s, "big", KEY_ES512));
	jwks_unref(s);
}

/* ---- tokens ---- */

static struct conf_jwt_subject subjects[] = {
	{ (char[]){ "system:serviceaccount:eu:*" }, (char[]){ "prod-eu" } },
	{ (char[]){ "system:serviceaccount:us:*" }, (char[]){ "prod-us" } },
};

static struct conf_jwt conf = {
	.issuer = (char[]){ "https://issuer" },
	.audience = (char[]){ "edict" },
	.leeway = 30,
	.subjects = { subjects, 2 },
};

/* Its public half in a set; the pair stays for signing. */
static struct jwks *
set_of(struct key **out, enum key_algorithm a, const char *kid,
    uint32_t allowed)
{
	static const struct {
		const char *crv;
		size_t coordinate;
	} curves[] = { { "P-256", 32 }, { "P-384", 48 }, { "P-521", 66 } };
	AUTO_BUF pem = { 0 };
	struct jwks *s = NULL;
	struct err e = { 0 };
	EVP_PKEY *pair;
	BIO *from;
	bool ec = a >= KEY_ES256;

	buf_init(&pem, KEY_FILE_MAX);
	assert_int_equal(key_generate(out, kid, a, &e), ERR_OK);
	key_write_public(&pem, *out);
	from = BIO_new_mem_buf(pem.data, (int)pem.len);
	pair = PEM_read_bio_PUBKEY(from, NULL, NULL, NULL);
	BIO_free(from);
	if (read_set(&s,
		json_pack("[o]",
		    jwk_of(pair, kid, ec ? curves[a - KEY_ES256].crv : NULL,
			ec ? curves[a - KEY_ES256].coordinate : 0)),
		allowed, &e) != ERR_OK)
		fail_msg("%s", e.text);
	return s;
}

static void
forge(struct buf *out, const struct key *k, const char *header,
    const char *claims)
{
	AUTO_BUF signature = { 0 };
	struct err e;

	buf_init(out, 64 * 1024);
	buf_init(&signature, KEY_SIGNATURE_MAX);
	base64url_add(out, header, strlen(header));
	buf_add_char(out, '.');
	base64url_add(out, claims, strlen(claims));
	assert_int_equal(key_sign(&signature, k, out->data, out->len, &e),
	    ERR_OK);
	buf_add_char(out, '.');
	base64url_add(out, signature.data, signature.len);
}

#define HEADER "{\"alg\":\"ES256\",\"kid\":\"k\"}"
#define CLAIMS(more)                                                        \
	"{\"iss\":\"https://issuer\",\"aud\":\"edict\",\"exp\":1800000100," \
	"\"sub\":\"system:serviceaccount:eu:opa\"" more "}"

static void
check(const struct jwt_issuer *issuers, size_t count, const struct key *k,
    const char *header, const char *claims, const char *why)
{
	AUTO_BUF token = { 0 };
	struct jwt j;
	struct err e = { 0 };
	size_t missing;
	enum err_code code;

	forge(&token, k, header, claims);
	code = jwt_read(&j, token.data, token.len, issuers, count,
	    (int64_t)NOW_S * 1000, &missing, &e);
	if (why == NULL && code != ERR_OK)
		fail_msg("%s: %s", claims, e.text);
	if (why != NULL && (code == ERR_OK || strstr(e.text, why) == NULL))
		fail_msg("%s %s: %s, not %s", header, claims,
		    code == ERR_OK ? "taken" : e.text, why);
}

static void
test_tokens(void **state)
{
	static const struct {
		const char *header, *claims, *why;
	} rows[] = {
		{ HEADER, CLAIMS(""), NULL },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"JWT\"}",
		    CLAIMS(""), NULL },
		{ HEADER, CLAIMS(",\"iat\":1800000029.5"), NULL },
		{ HEADER, CLAIMS(",\"iat\":1800000031"), "iat" },
		{ HEADER, CLAIMS(",\"nbf\":1800000030"), NULL },
		{ HEADER, CLAIMS(",\"nbf\":1800000031"), "nbf" },
		{ HEADER, CLAIMS(",\"nbf\":-1"), "nbf is no time" },
		{ HEADER, CLAIMS(",\"nbf\":null"), "nbf is no time" },
		{ HEADER, CLAIMS(",\"iat\":1e300"), "iat is no time" },
		{ HEADER, CLAIMS(",\"exp\":1800000100"), "not a JSON object" },
		{ HEADER,
		    "{\"iss\":\"https://issuer\",\"aud\":\"edict\",\"exp\":"
		    "1799999971,\"sub\":\"system:serviceaccount:us:opa\"}",
		    NULL },
		{ HEADER,
		    "{\"iss\":\"https://issuer\",\"aud\":\"edict\",\"exp\":"
		    "1799999970,\"sub\":\"system:serviceaccount:us:opa\"}",
		    "expired" },
		{ HEADER,
		    "{\"iss\":\"https://issuer\",\"aud\":[],\"exp\":"
		    "1800000100,\"sub\":\"system:serviceaccount:us:opa\"}",
		    "audience" },
		{ HEADER,
		    "{\"iss\":\"https://issuer\",\"aud\":{},\"exp\":"
		    "1800000100,\"sub\":\"system:serviceaccount:us:opa\"}",
		    "audience" },
		{ HEADER,
		    "{\"iss\":\"https://issuer\",\"aud\":\"edict\",\"exp\":"
		    "1800000100,\"sub\":\"system:serviceaccount:us:o\\n\"}",
		    "sub" },
		{ HEADER,
		    "{\"iss\":\"https://issuer\",\"aud\":\"edict\",\"exp\":"
		    "1800000100,\"sub\":\"system:serviceaccount:us:o\\u0000\"}",
		    "not a JSON object" },
		{ HEADER,
		    "{\"iss\":[\"https://issuer\"],\"aud\":\"edict\",\"exp\":"
		    "1800000100,\"sub\":\"system:serviceaccount:us:opa\"}",
		    "does not know its issuer" },
		{ "{\"alg\":\"ES256\"}", CLAIMS(""), "no kid" },
		{ "{\"alg\":\"ES256\",\"kid\":1}", CLAIMS(""), "no kid" },
		{ "{\"kid\":\"k\"}", CLAIMS(""), "no alg" },
		{ "{\"alg\":\"none\",\"kid\":\"k\"}", CLAIMS(""), "no alg" },
		{ "{\"alg\":\"None\",\"kid\":\"k\"}", CLAIMS(""), "no alg" },
		{ "{\"alg\":\"es256\",\"kid\":\"k\"}", CLAIMS(""), "no alg" },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\"}", CLAIMS(""),
		    "not among its algorithms" },
		{ "{\"alg\":\"RS256\",\"kid\":\"k\"}", CLAIMS(""),
		    "its key is not one for RS256" },
		{ "{\"alg\":\"ES512\",\"kid\":\"k\"}", CLAIMS(""),
		    "not among its algorithms" },
		{ "{\"alg\":\"ES256\",\"kid\":\"l\"}", CLAIMS(""),
		    "no key \"l\"" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"crit\":[]}", CLAIMS(""),
		    "crit" },
		{ "{\"alg\":\"ES256\",\"alg\":\"ES256\",\"kid\":\"k\"}",
		    CLAIMS(""), "not a JSON object" },
		{ "[]", CLAIMS(""), "not a JSON object" },
		{ HEADER, "[]", "not a JSON object" },
		{ HEADER, CLAIMS("") " x", "not a JSON object" },
	};
	AUTO(key, k) = NULL;
	const uint32_t allowed = 1 << KEY_ES256 | 1 << KEY_RS256;
	struct jwt_issuer issuer = { .conf = &conf, .algorithms = allowed };

	(void)state;
	issuer.keys = set_of(&k, KEY_ES256, "k", allowed);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check(&issuer, 1, k, rows[i].header, rows[i].claims,
		    rows[i].why);
	issuer.keys_until_ms = (int64_t)NOW_S * 1000 + 1;
	check(&issuer, 1, k, HEADER, CLAIMS(""), NULL);
	issuer.keys_until_ms = (int64_t)NOW_S * 1000;
	check(&issuer, 1, k, HEADER, CLAIMS(""), "stale_max");
	jwks_unref(issuer.keys);
	issuer.keys = NULL;
	check(&issuer, 1, k, HEADER, CLAIMS(""), "not known yet");
}

/* Clusters that call their issuers alike have keys of their own. */
static void
test_issuers_of_one_name(void **state)
{
	AUTO(key, mine) = NULL;
	AUTO(key, other) = NULL;
	AUTO_BUF token = { 0 };
	struct conf_jwt second = conf;
	struct jwt_issuer issuers[2] = {
		{ .conf = &conf, .algorithms = 1 << KEY_ES256 },
		{ .conf = &second, .algorithms = 1 << KEY_ES256 },
	};
	struct jwt j;
	struct err e = { 0 };
	size_t missing;

	(void)state;
	second.subjects.items = &subjects[1];
	second.subjects.count = 1;
	issuers[0].keys = set_of(&mine, KEY_ES256, "mine", 1 << KEY_ES256);
	issuers[1].keys = set_of(&other, KEY_ES256, "other", 1 << KEY_ES256);
	forge(&token, mine, "{\"alg\":\"ES256\",\"kid\":\"mine\"}",
	    CLAIMS(",\"kubernetes.io\":{\"pod\":{\"name\":\"p-0\"}}"));
	assert_int_equal(jwt_read(&j, token.data, token.len, issuers, 2,
			     (int64_t)NOW_S * 1000, &missing, &e),
	    ERR_OK);
	assert_int_equal(j.issuer, 0);
	assert_string_equal(j.cluster, "prod-eu");
	assert_string_equal(j.pod, "p-0");
	assert_int_equal(j.expires_ms, INT64_C(1800000130000));
	assert_int_equal(missing, 2);
	/* The keys of one are not for the subjects of the other. */
	check(issuers, 2, other, "{\"alg\":\"ES256\",\"kid\":\"other\"}",
	    CLAIMS(""), "knows no subject");
	check(issuers, 2, other, "{\"alg\":\"ES256\",\"kid\":\"mine\"}",
	    CLAIMS(""), "signature");
	jwks_unref(issuers[0].keys);
	jwks_unref(issuers[1].keys);
}

static void
test_every_algorithm(void **state)
{
	(void)state;
	for (int a = 0; a < KEY_HS256; a++) {
		AUTO(key, k) = NULL;
		struct jwt_issuer issuer = { .conf = &conf,
			.algorithms = UINT32_C(1) << a };
		AUTO_STR header = mem_printf("{\"alg\":\"%s\",\"kid\":\"k\"}",
		    key_algorithm_name((enum key_algorithm)a));

		issuer.keys =
		    set_of(&k, (enum key_algorithm)a, "k", issuer.algorithms);
		check(&issuer, 1, k, header, CLAIMS(""), NULL);
		jwks_unref(issuer.keys);
	}
}

/* What is public must never do as a secret. */
static void
test_public_key_as_secret(void **state)
{
	AUTO(key, k) = NULL;
	AUTO(key, hmac) = NULL;
	struct jwt_issuer issuer = { .conf = &conf, .algorithms = ALL };
	struct err e;

	(void)state;
	issuer.keys = set_of(&k, KEY_ES256, "k", ALL);
	assert_int_equal(key_read_private(&hmac, "k", KEY_HS256, "k", secret,
			     sizeof secret - 1, &e),
	    ERR_OK);
	check(&issuer, 1, hmac, "{\"alg\":\"HS256\",\"kid\":\"k\"}", CLAIMS(""),
	    "not among its algorithms");
	/* Even if somebody allowed it. */
	issuer.algorithms |= UINT32_C(1) << KEY_HS256;
	check(&issuer, 1, hmac, "{\"alg\":\"HS256\",\"kid\":\"k\"}", CLAIMS(""),
	    "its key is not one for HS256");
	jwks_unref(issuer.keys);
}

static void
test_texts_that_are_no_tokens(void **state)
{
	static const char *const texts[] = { "", ".", "..", "...", "a.b.c",
		"e30.e30", "e30.e30.", "e30.e30.e30.e30",
		"eyJh.e30.e3=", "e30..e30" };
	struct jwt_issuer issuer = { .conf = &conf, .algorithms = ALL };
	char *large = mem_zalloc(JWT_SIZE_MAX + 2);
	struct jwt j;
	struct err e = { 0 };
	size_t missing;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_int_not_equal(jwt_read(&j, texts[i], strlen(texts[i]),
					 &issuer, 1, 0, &missing, &e),
		    ERR_OK);
	memset(large, 'a', JWT_SIZE_MAX + 1);
	assert_int_equal(jwt_read(&j, large, JWT_SIZE_MAX + 1, &issuer, 1, 0,
			     &missing, &e),
	    ERR_LIMIT);
	assert_int_equal(jwt_read(&j, large, JWT_SIZE_MAX, &issuer, 1, 0,
			     &missing, &e),
	    ERR_INVALID);
	mem_free(large);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_likeness),
		cmocka_unit_test(test_keys_that_are_left_out),
		cmocka_unit_test(test_sets_that_are_refused),
		cmocka_unit_test(test_algorithms_of_keys),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_issuers_of_one_name),
		cmocka_unit_test(test_every_algorithm),
		cmocka_unit_test(test_public_key_as_secret),
		cmocka_unit_test(test_texts_that_are_no_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
