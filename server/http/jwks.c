#include "server/http/jwks.h"

#include <assert.h>
#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/base64.h"
#include "core/mem.h"
#include "core/value.h"
#include "signing/digest.h"

enum {
	EXPONENT_MAX = 4,       /* bytes: a large one costs time */
	POINT_MAX = 1 + 2 * 66, /* uncompressed, on P-521 */
	SLACK = 8,              /* for who decodes */
	OPS_MAX = 16            /* RFC 7517 4.3 knows eight */
};

struct jwks_key {
	char *kid;
	struct key *keys[KEY_HS256]; /* by algorithm; NULL: not for that */
};

struct jwks {
	atomic_uint references;
	uint64_t number;
	struct jwks_key *keys;
	size_t count;
	size_t left_out;
	char why[160];
	char digest[DIGEST_HEX_SIZE];
};

/* What a key of the set says, borrowed from its JSON. */
struct member {
	const char *kid, *kty;
	const json_t *json;
	uint32_t algorithms; /* that are allowed, and it does not exclude */
};

static const struct curve {
	const char *crv, *group;
	size_t coordinate;
	enum key_algorithm algorithm;
} curves[] = {
	{ "P-256", "prime256v1", 32, KEY_ES256 },
	{ "P-384", "secp384r1", 48, KEY_ES384 },
	{ "P-521", "secp521r1", 66, KEY_ES512 },
};

enum {
	RSA_ALGORITHMS = 1 << KEY_RS256 | 1 << KEY_RS384 | 1 << KEY_RS512 |
	    1 << KEY_PS256 | 1 << KEY_PS384 | 1 << KEY_PS512
};

static const char *
text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* ---- numbers into keys ---- */

static enum err_code
number(struct buf *out, const json_t *json, const char *key, size_t max,
    struct err *e)
{
	const json_t *v = json_object_get(json, key);

	buf_init(out, max + SLACK);
	if (!json_is_string(v))
		return err_set(e, ERR_INVALID, "it has no %s", key);
	TRY(base64url_read(out, json_string_value(v), json_string_length(v),
	    key, e));
	return out->len <= max
	    ? ERR_OK
	    : err_set(e, ERR_LIMIT, "its %s is larger than %zu bytes", key,
		  max);
}

/* As PEM, the form that key_read_public checks. */
static enum err_code
write_pem(struct buf *out, const char *type, OSSL_PARAM *params, struct err *e)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	BIO *bio = BIO_new(BIO_s_mem());
	EVP_PKEY *pair = NULL;
	char *data = NULL;
	long len = 0;

	/* For a point this checks that it lies on the curve. */
	if (ctx != NULL && bio != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &pair, EVP_PKEY_PUBLIC_KEY, params) == 1 &&
	    PEM_write_bio_PUBKEY(bio, pair) == 1)
		len = BIO_get_mem_data(bio, &data);
	if (len > 0)
		buf_add(out, data, (size_t)len);
	EVP_PKEY_free(pair);
	EVP_PKEY_CTX_free(ctx);
	(void)BIO_free(bio);
	ERR_clear_error();
	return len > 0 ? ERR_OK
		       : err_set(e, ERR_INVALID, "its numbers make no key");
}

static enum err_code
write_rsa(struct buf *pem, const struct buf *n, const struct buf *exponent,
    struct err *e)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *modulus =
	    BN_bin2bn((unsigned char *)n->data, (int)n->len, NULL);
	BIGNUM *power = BN_bin2bn((unsigned char *)exponent->data,
	    (int)exponent->len, NULL);
	OSSL_PARAM *params = NULL;
	enum err_code code;

	assert(bld != NULL && modulus != NULL && power != NULL);
	if (OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, power) == 1)
		params = OSSL_PARAM_BLD_to_param(bld);
	assert(params != NULL);
	if (!BN_is_odd(power) || BN_is_one(power) || !BN_is_odd(modulus))
		code = err_set(e, ERR_INVALID, "its numbers make no key");
	else
		code = write_pem(pem, "RSA", params, e);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	BN_free(modulus);
	BN_free(power);
	return code;
}

static enum err_code
read_rsa(struct buf *pem, struct member *m, struct err *e)
{
	AUTO_BUF n = { 0 }, exponent = { 0 };

	m->algorithms &= RSA_ALGORITHMS;
	TRY(number(&n, m->json, "n", KEY_RSA_BITS_MAX / 8 + 1, e));
	TRY(number(&exponent, m->json, "e", EXPONENT_MAX, e));
	return write_rsa(pem, &n, &exponent, e);
}

static enum err_code
read_ec(struct buf *pem, struct member *m, struct err *e)
{
	const char *crv = text_of(m->json, "crv");
	const struct curve *c = NULL;
	AUTO_BUF x = { 0 }, y = { 0 };
	unsigned char point[POINT_MAX] = { 4 };
	char group[32] = "";

	for (size_t i = 0; crv != NULL && i < sizeof curves / sizeof *curves;
	     i++)
		if (strcmp(curves[i].crv, crv) == 0)
			c = &curves[i];
	if (c == NULL)
		return err_set(e, ERR_INVALID,
		    "its curve is not P-256, P-384 or P-521");
	m->algorithms &= UINT32_C(1) << c->algorithm;
	TRY(number(&x, m->json, "x", c->coordinate, e));
	TRY(number(&y, m->json, "y", c->coordinate, e));
	if (x.len != c->coordinate || y.len != c->coordinate)
		return err_set(e, ERR_INVALID,
		    "its x or y has not the length of its curve");
	memcpy(point + 1, x.data, x.len);
	memcpy(point + 1 + x.len, y.data, y.len);
	memcpy(group, c->group, strlen(c->group));
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
		    group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
		    point, 1 + 2 * c->coordinate),
		OSSL_PARAM_construct_end(),
	};

	return write_pem(pem, "EC", params, e);
}

/* ---- what a key may be used for ---- */

static enum err_code
check_operations(const json_t *ops, struct err *e)
{
	size_t count = json_array_size(ops);
	bool verify = false;

	if (ops == NULL)
		return ERR_OK;
	if (count > OPS_MAX)
		return err_set(e, ERR_LIMIT, "it has too many key_ops");
	for (size_t i = 0; i < count; i++) {
		const char *op = json_string_value(json_array_get(ops, i));

		if (op == NULL)
			return err_set(e, ERR_INVALID, "its key_ops are wrong");
		/* RFC 7517 4.3. */
		for (size_t k = 0; k < i; k++)
			if (strcmp(op,
				json_string_value(json_array_get(ops, k))) == 0)
				return err_set(e, ERR_INVALID,
				    "its key_ops name one twice");
		verify |= strcmp(op, "verify") == 0;
	}
	return verify ? ERR_OK
		      : err_set(e, ERR_INVALID, "it is not meant to verify");
}

static enum err_code
check_use(struct member *m, struct err *e)
{
	static const char *const secrets[] = { "d", "p", "q", "dp", "dq", "qi",
		"oth", "k" };
	const json_t *use = json_object_get(m->json, "use");
	const json_t *alg = json_object_get(m->json, "alg");
	enum key_algorithm a;

	for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
		if (json_object_get(m->json, secrets[i]) != NULL)
			return err_set(e, ERR_INVALID,
			    "it holds a secret: what is public is needed, and "
			    "this key is none any more");
	if (use != NULL &&
	    (!json_is_string(use) ||
		strcmp(json_string_value(use), "sig") != 0))
		return err_set(e, ERR_INVALID, "its use is not sig");
	TRY(check_operations(json_object_get(m->json, "key_ops"), e));
	if (alg == NULL)
		return ERR_OK;
	if (!json_is_string(alg) ||
	    key_algorithm_parse(&a, json_string_value(alg), NULL) != ERR_OK)
		return err_set(e, ERR_INVALID,
		    "its alg is none that is supported");
	m->algorithms &= UINT32_C(1) << a;
	return ERR_OK;
}

static enum err_code
make_keys(struct jwks_key *out, const struct member *m, const struct buf *pem,
    struct err *e)
{
	for (int a = 0; a < KEY_HS256; a++)
		if ((m->algorithms >> a & 1) != 0)
			TRY(key_read_public(&out->keys[a], NULL,
			    (enum key_algorithm)a, "it", pem->data, pem->len,
			    e));
	return ERR_OK;
}

static enum err_code
read_key(struct jwks_key *out, struct member *m, struct err *e)
{
	AUTO_BUF pem = { 0 };

	buf_init(&pem, KEY_FILE_MAX);
	TRY(check_use(m, e));
	if (strcmp(m->kty, "RSA") == 0)
		TRY(read_rsa(&pem, m, e));
	else if (strcmp(m->kty, "EC") == 0)
		TRY(read_ec(&pem, m, e));
	else
		return err_set(e, ERR_INVALID, "its kty is not RSA or EC");
	if (m->algorithms == 0)
		return err_set(e, ERR_INVALID,
		    "it fits none of the algorithms that are allowed");
	return make_keys(out, m, &pem, e);
}

/* ---- the set ---- */

static void
key_release(struct jwks_key *k)
{
	mem_free(k->kid);
	for (int a = 0; a < KEY_HS256; a++)
		key_free(k->keys[a]);
	*k = (struct jwks_key){ 0 };
}

static enum err_code
begin(struct member *m, const json_t *json, uint32_t algorithms, struct err *e)
{
	*m = (struct member){ .json = json,
		.kid = text_of(json, "kid"),
		.kty = text_of(json, "kty"),
		.algorithms = algorithms };
	if (m->kid == NULL || *m->kid == '\0')
		return err_set(e, ERR_INVALID, "it has no kid");
	if (strlen(m->kid) > JWKS_KID_MAX)
		return err_set(e, ERR_LIMIT, "its kid is longer than %d bytes",
		    JWKS_KID_MAX);
	if (m->kty == NULL)
		return err_set(e, ERR_INVALID, "it has no kty");
	return ERR_OK;
}

static void
leave_out(struct jwks *s, size_t i, const struct member *m,
    const struct err *why)
{
	char shown[VALUE_QUOTE_SIZE] = "without kid";

	if (s->left_out++ > 0)
		return;
	if (m->kid != NULL)
		(void)value_quote(shown, m->kid, strlen(m->kid));
	(void)snprintf(s->why, sizeof s->why, "keys[%zu] %.60s: %.80s", i,
	    shown, why->text);
}

/* Over all that have one, whether they can be used or not. */
static enum err_code
check_distinct(const json_t *list, const char *name, struct err *e)
{
	size_t count = json_array_size(list);

	for (size_t i = 0; i < count; i++) {
		const char *kid = text_of(json_array_get(list, i), "kid");

		for (size_t k = 0; kid != NULL && k < i; k++) {
			const char *other =
			    text_of(json_array_get(list, k), "kid");

			if (other != NULL && strcmp(kid, other) == 0)
				return err_set(e, ERR_INVALID,
				    "%s: keys[%zu] and keys[%zu] have the same "
				    "kid",
				    name, k, i);
		}
	}
	return ERR_OK;
}

static enum err_code
read_list(struct jwks *s, const char *name, const json_t *list,
    uint32_t algorithms, struct err *e)
{
	size_t count = json_array_size(list);

	if (!json_is_array(list))
		return err_set(e, ERR_INVALID,
		    "%s: not a JWK set: {\"keys\": [...]}", name);
	if (count > JWKS_KEYS_MAX)
		return err_set(e, ERR_LIMIT, "%s: %zu keys; at most %d", name,
		    count, JWKS_KEYS_MAX);
	TRY(check_distinct(list, name, e));
	s->keys = mem_array(count + 1, sizeof *s->keys);
	for (size_t i = 0; i < count; i++) {
		struct jwks_key *k = &s->keys[s->count];
		struct member m;
		struct err why = { 0 };

		if (begin(&m, json_array_get(list, i), algorithms, &why) ==
			ERR_OK &&
		    read_key(k, &m, &why) == ERR_OK) {
			k->kid = mem_strdup(m.kid);
			s->count++;
			continue;
		}
		key_release(k);
		leave_out(s, i, &m, &why);
	}
	if (s->count == 0)
		return err_set(e, ERR_INVALID,
		    "%s: no key that can be used%s%s", name,
		    s->left_out > 0 ? ": " : "", s->why);
	return ERR_OK;
}

static enum err_code
read_set(struct jwks *s, const char *name, const char *text, size_t len,
    uint32_t algorithms, struct err *e)
{
	enum err_code code;
	json_error_t fault;
	json_t *root;

	if (len > JWKS_SIZE_MAX)
		return err_set(e, ERR_LIMIT, "%s: larger than %d bytes", name,
		    JWKS_SIZE_MAX);
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &fault);
	if (root == NULL)
		return err_set(e, ERR_INVALID, "%s:%d:%d: no good JSON", name,
		    fault.line, fault.column);
	code = read_list(s, name, json_object_get(root, "keys"), algorithms, e);
	json_decref(root);
	return code;
}

enum err_code
jwks_read(struct jwks **out, const char *name, const char *text, size_t len,
    uint32_t algorithms, struct err *e)
{
	static atomic_uint_fast64_t last;
	struct jwks *s = mem_zalloc(sizeof *s);
	enum err_code code;

	assert(algorithms >> KEY_HS256 == 0);
	atomic_init(&s->references, 1);
	s->number = atomic_fetch_add(&last, 1) + 1;
	digest_hex(s->digest, text, len);
	code = read_set(s, name, text, len, algorithms, e);
	if (code == ERR_OK)
		*out = s;
	else
		jwks_unref(s);
	return code;
}

struct jwks *
jwks_ref(struct jwks *s)
{
	if (s != NULL)
		(void)atomic_fetch_add(&s->references, 1);
	return s;
}

void
jwks_unref(struct jwks *s)
{
	if (s == NULL || atomic_fetch_sub(&s->references, 1) > 1)
		return;
	for (size_t i = 0; i < s->count; i++)
		key_release(&s->keys[i]);
	mem_free(s->keys);
	mem_free(s);
}

static const struct jwks_key *
find(const struct jwks *s, const char *kid)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->keys[i].kid, kid) == 0)
			return &s->keys[i];
	return NULL;
}

bool
jwks_has(const struct jwks *s, const char *kid)
{
	return find(s, kid) != NULL;
}

const struct key *
jwks_find(const struct jwks *s, const char *kid, enum key_algorithm a)
{
	const struct jwks_key *k = find(s, kid);

	assert(a < KEY_ALGORITHMS);
	return k != NULL && a < KEY_HS256 ? k->keys[a] : NULL;
}

size_t
jwks_count(const struct jwks *s)
{
	return s->count;
}

size_t
jwks_left_out(const struct jwks *s)
{
	return s->left_out;
}

const char *
jwks_why(const struct jwks *s)
{
	return s->why;
}

uint64_t
jwks_number(const struct jwks *s)
{
	return s->number;
}

const char *
jwks_digest(const struct jwks *s)
{
	return s->digest;
}
