#include "signing/key.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "core/base64.h"
#include "core/mem.h"

enum family { RSA_PKCS1, RSA_PSS_PADDING, ECDSA, HMAC_SECRET };

/* RFC 7518 3.1. */
static const struct shape {
	const char *name;
	enum family family;
	const char *digest;
	size_t digest_size;
	const char *curve; /* as OpenSSL calls it */
	size_t coordinate; /* bytes of r and of s */
} shapes[KEY_ALGORITHMS] = {
	[KEY_RS256] = { "RS256", RSA_PKCS1, "SHA256", 32, NULL, 0 },
	[KEY_RS384] = { "RS384", RSA_PKCS1, "SHA384", 48, NULL, 0 },
	[KEY_RS512] = { "RS512", RSA_PKCS1, "SHA512", 64, NULL, 0 },
	[KEY_PS256] = { "PS256", RSA_PSS_PADDING, "SHA256", 32, NULL, 0 },
	[KEY_PS384] = { "PS384", RSA_PSS_PADDING, "SHA384", 48, NULL, 0 },
	[KEY_PS512] = { "PS512", RSA_PSS_PADDING, "SHA512", 64, NULL, 0 },
	[KEY_ES256] = { "ES256", ECDSA, "SHA256", 32, "prime256v1", 32 },
	[KEY_ES384] = { "ES384", ECDSA, "SHA384", 48, "secp384r1", 48 },
	[KEY_ES512] = { "ES512", ECDSA, "SHA512", 64, "secp521r1", 66 },
	[KEY_HS256] = { "HS256", HMAC_SECRET, "SHA256", 32, NULL, 0 },
	[KEY_HS384] = { "HS384", HMAC_SECRET, "SHA384", 48, NULL, 0 },
	[KEY_HS512] = { "HS512", HMAC_SECRET, "SHA512", 64, NULL, 0 },
};

struct key {
	enum key_algorithm algorithm;
	char *id;       /* NULL: not known */
	EVP_PKEY *pair; /* RS, PS, ES */
	bool is_private;
	char *secret; /* HS */
	size_t secret_len;
};

#define AUTO_SSL(type, var) __attribute__((cleanup(type##_auto))) type *var
#define AUTO_SSL_FREE(type)               \
	static void type##_auto(type **p) \
	{                                 \
		type##_free(*p);          \
	}
AUTO_SSL_FREE(EVP_MD_CTX)
AUTO_SSL_FREE(ECDSA_SIG)
AUTO_SSL_FREE(X509)

static void
BIO_auto(BIO **p)
{
	(void)BIO_free(*p);
}

/* An error with OpenSSL's own reason, whose queue is left empty. */
static enum err_code
ssl_error(struct err *e, enum err_code code, const char *what)
{
	unsigned long number = ERR_peek_last_error();
	const char *reason = number != 0 ? ERR_reason_error_string(number)
					 : NULL;

	ERR_clear_error();
	return err_set(e, code, "%s: %s", what,
	    reason != NULL ? reason : "OpenSSL says no more");
}

const char *
key_algorithm_name(enum key_algorithm a)
{
	assert(a < KEY_ALGORITHMS);
	return shapes[a].name;
}

enum err_code
key_algorithm_parse(enum key_algorithm *out, const char *name, struct err *e)
{
	for (int i = 0; i < KEY_ALGORITHMS; i++)
		if (strcmp(shapes[i].name, name) == 0) {
			*out = (enum key_algorithm)i;
			return ERR_OK;
		}
	return err_set(e, ERR_INVALID,
	    "\"%.20s\" is no algorithm that engines accept in a bundle's "
	    "signature; use RS256, or another of RS, PS, ES, HS with 256, 384 "
	    "or 512",
	    name);
}

bool
key_id_is_valid(const char *id)
{
	size_t len = strspn(id,
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789._-");

	return len > 0 && len <= KEY_ID_MAX && id[len] == '\0' && id[0] != '.';
}

static enum err_code
check_id(const char *id, struct err *e)
{
	if (id == NULL || key_id_is_valid(id))
		return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "\"%.80s\" is no key id: 1 to %d of A-Z a-z 0-9 . _ -, not "
	    "starting with a dot",
	    id, KEY_ID_MAX);
}

static struct key *
key_new(const char *id, enum key_algorithm a)
{
	struct key *k = mem_zalloc(sizeof *k);

	assert(a < KEY_ALGORITHMS);
	k->algorithm = a;
	k->id = mem_strdup(id);
	return k;
}

void
key_free(struct key *k)
{
	if (k == NULL)
		return;
	mem_free(k->id);
	EVP_PKEY_free(k->pair); /* wipes private numbers */
	mem_free_secret(k->secret, k->secret_len);
	mem_free(k);
}

const char *
key_id(const struct key *k)
{
	return k->id;
}

enum key_algorithm
key_algorithm_of(const struct key *k)
{
	return k->algorithm;
}

bool
key_is_private(const struct key *k)
{
	return k->is_private;
}

bool
key_is_symmetric(const struct key *k)
{
	return shapes[k->algorithm].family == HMAC_SECRET;
}

/* Engines take the secret as text in their configuration, so it is text:
 * unpadded base64url of as many random bytes as the hash has. */
static enum err_code
generate_secret(struct key *k, struct err *e)
{
	size_t size = shapes[k->algorithm].digest_size;
	unsigned char bytes[EVP_MAX_MD_SIZE];

	assert(size <= sizeof bytes);
	if (RAND_priv_bytes(bytes, (int)size) != 1)
		return ssl_error(e, ERR_CRYPTO, "random bytes");
	k->secret_len = BASE64URL_SIZE(size);
	k->secret = mem_zalloc(k->secret_len + 1);
	base64url_write(k->secret, bytes, size);
	OPENSSL_cleanse(bytes, sizeof bytes);
	return ERR_OK;
}

enum err_code
key_generate(struct key **out, const char *id, enum key_algorithm a,
    struct err *e)
{
	AUTO(key, k) = key_new(id, a);
	const struct shape *s = &shapes[a];

	TRY(check_id(id, e));
	k->is_private = true;
	if (s->family == HMAC_SECRET) {
		TRY(generate_secret(k, e));
		*out = STEAL(k);
		return ERR_OK;
	}
	if (s->family == ECDSA)
		k->pair = EVP_EC_gen(s->curve);
	else
		k->pair = EVP_RSA_gen(KEY_RSA_BITS);
	if (k->pair == NULL)
		return ssl_error(e, ERR_CRYPTO, "making a key");
	*out = STEAL(k);
	return ERR_OK;
}

/* RSA in the PSS-only form (id-RSASSA-PSS) is no "RSA" to OpenSSL, and Go's
 * x509, which OPA reads keys with, does not know it either. */
static enum err_code
check_rsa(const struct key *k, const char *name, struct err *e)
{
	int bits = EVP_PKEY_get_bits(k->pair);

	if (!EVP_PKEY_is_a(k->pair, "RSA"))
		return err_set(e, ERR_INVALID,
		    "%s: not an RSA key, which %s needs", name,
		    key_algorithm_name(k->algorithm));
	if (bits < KEY_RSA_BITS_MIN || bits > KEY_RSA_BITS_MAX)
		return err_set(e, ERR_INVALID,
		    "%s: an RSA key of %d bits; %d to %d are accepted", name,
		    bits, KEY_RSA_BITS_MIN, KEY_RSA_BITS_MAX);
	return ERR_OK;
}

/* Written out with explicit parameters or a compressed point a key would be
 * refused by Go: the first is refused here, the second is normalised. */
static enum err_code
check_ec(struct key *k, const char *name, struct err *e)
{
	const struct shape *s = &shapes[k->algorithm];
	char text[64] = "";

	if (!EVP_PKEY_is_a(k->pair, "EC") ||
	    EVP_PKEY_get_group_name(k->pair, text, sizeof text, NULL) != 1 ||
	    strcmp(text, s->curve) != 0) {
		ERR_clear_error();
		return err_set(e, ERR_INVALID,
		    "%s: not an elliptic curve key on %s, which %s needs", name,
		    s->curve, s->name);
	}
	if (EVP_PKEY_get_utf8_string_param(k->pair, OSSL_PKEY_PARAM_EC_ENCODING,
		text, sizeof text, NULL) != 1 ||
	    strcmp(text, OSSL_PKEY_EC_ENCODING_GROUP) != 0)
		return err_set(e, ERR_INVALID,
		    "%s: its curve is written as numbers, which engines do not "
		    "read; write it by name (openssl ec -param_enc "
		    "named_curve)",
		    name);
	if (EVP_PKEY_set_utf8_string_param(k->pair,
		OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
		"uncompressed") != 1)
		return ssl_error(e, ERR_INVALID, name);
	return ERR_OK;
}

static enum err_code
check_pair(struct key *k, const char *name, struct err *e)
{
	if (shapes[k->algorithm].family == ECDSA)
		return check_ec(k, name, e);
	return check_rsa(k, name, e);
}

/* RFC 7518 3.2: a secret as long as the hash, at least. */
static enum err_code
read_secret(struct key *k, const char *name, const char *text, size_t len,
    struct err *e)
{
	const struct shape *s = &shapes[k->algorithm];

	if (len > 0 && text[len - 1] == '\n')
		return err_set(e, ERR_INVALID,
		    "%s: the secret ends in a line break, which would be part "
		    "of it; write it without (printf %%s)",
		    name);
	if (len < s->digest_size)
		return err_set(e, ERR_INVALID,
		    "%s: a secret of %zu bytes; %s needs at least %zu", name,
		    len, s->name, s->digest_size);
	k->secret = mem_strndup(text, len);
	k->secret_len = len;
	k->is_private = true;
	return ERR_OK;
}

/* OpenSSL would ask on the terminal. */
static int
no_passphrase(char *to, int size, int writing, void *asked)
{
	(void)to;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static enum err_code
read_private_pem(struct key *k, const char *name, BIO *from, struct err *e)
{
	bool asked = false;

	k->pair = PEM_read_bio_PrivateKey(from, NULL, no_passphrase, &asked);
	if (k->pair != NULL)
		return ERR_OK;
	ERR_clear_error();
	if (asked)
		return err_set(e, ERR_INVALID,
		    "%s: the key is encrypted; decrypt it first (openssl pkey "
		    "-in FILE -out NEW)",
		    name);
	return err_set(e, ERR_INVALID,
	    "%s: no private key in PEM (-----BEGIN PRIVATE KEY-----)", name);
}

static enum err_code
read_public_pem(struct key *k, const char *name, BIO *from, bool certificate,
    struct err *e)
{
	bool asked = false;

	if (certificate) {
		AUTO_SSL(X509, x) =
		    PEM_read_bio_X509(from, NULL, no_passphrase, &asked);

		if (x != NULL)
			k->pair = X509_get_pubkey(x);
	} else {
		k->pair =
		    PEM_read_bio_PUBKEY(from, NULL, no_passphrase, &asked);
	}
	if (k->pair != NULL)
		return ERR_OK;
	ERR_clear_error();
	return err_set(e, ERR_INVALID,
	    "%s: no public key in PEM (-----BEGIN PUBLIC KEY----- or a "
	    "certificate)",
	    name);
}

static bool
contains(const char *text, size_t len, const char *what)
{
	return memmem(text, len, what, strlen(what)) != NULL;
}

static enum err_code
read_pem(struct key *k, const char *name, const char *text, size_t len,
    bool is_private, struct err *e)
{
	AUTO_SSL(BIO, from) = BIO_new_mem_buf(text, (int)len);

	if (from == NULL)
		return ssl_error(e, ERR_CRYPTO, name);
	if (is_private)
		TRY(read_private_pem(k, name, from, e));
	else if (contains(text, len, "PRIVATE KEY-----"))
		return err_set(e, ERR_INVALID,
		    "%s: holds a private key where its public half belongs "
		    "(openssl pkey -in FILE -pubout)",
		    name);
	else
		TRY(read_public_pem(k, name, from,
		    contains(text, len, "BEGIN CERTIFICATE-----"), e));
	k->is_private = is_private;
	return check_pair(k, name, e);
}

/* A damaged key, or one whose public half belongs to another, shows when it
 * verifies what it signed. */
static enum err_code
try_out(const struct key *k, const char *name, struct err *e)
{
	static const char sample[] = "sample";
	AUTO_BUF signature = { 0 };

	buf_init(&signature, KEY_SIGNATURE_MAX);
	if (key_sign(&signature, k, sample, sizeof sample, NULL) != ERR_OK ||
	    key_verify(k, sample, sizeof sample, signature.data, signature.len,
		NULL) != ERR_OK)
		return err_set(e, ERR_INVALID,
		    "%s: the key does not verify what it signs: it is damaged",
		    name);
	return ERR_OK;
}

static enum err_code
read_key(struct key **out, const char *id, enum key_algorithm a,
    const char *name, const char *text, size_t len, bool is_private,
    struct err *e)
{
	AUTO(key, k) = key_new(id, a);

	TRY(check_id(id, e));
	if (len > KEY_FILE_MAX)
		return err_set(e, ERR_LIMIT, "%s: larger than %d bytes", name,
		    KEY_FILE_MAX);
	if (key_is_symmetric(k))
		TRY(read_secret(k, name, text, len, e));
	else
		TRY(read_pem(k, name, text, len, is_private, e));
	if (k->is_private)
		TRY(try_out(k, name, e));
	*out = STEAL(k);
	return ERR_OK;
}

enum err_code
key_read_private(struct key **out, const char *id, enum key_algorithm a,
    const char *name, const char *text, size_t len, struct err *e)
{
	return read_key(out, id, a, name, text, len, true, e);
}

enum err_code
key_read_public(struct key **out, const char *id, enum key_algorithm a,
    const char *name, const char *text, size_t len, struct err *e)
{
	return read_key(out, id, a, name, text, len, false, e);
}

/* The memory BIO wipes what it held. */
static void
add_bio(struct buf *out, BIO *b)
{
	char *data = NULL;
	long len = BIO_get_mem_data(b, &data);

	if (len > 0)
		buf_add(out, data, (size_t)len);
}

void
key_write_private(struct buf *out, const struct key *k)
{
	assert(k->is_private);
	if (key_is_symmetric(k)) {
		buf_add(out, k->secret, k->secret_len);
		return;
	}
	AUTO_SSL(BIO, b) = BIO_new(BIO_s_mem());
	int ok = b != NULL &&
	    PEM_write_bio_PKCS8PrivateKey(b, k->pair, NULL, NULL, 0, NULL,
		NULL);

	assert(ok); /* a key that was read can be written */
	add_bio(out, b);
}

void
key_write_public(struct buf *out, const struct key *k)
{
	if (key_is_symmetric(k))
		return;
	AUTO_SSL(BIO, b) = BIO_new(BIO_s_mem());
	int ok = b != NULL && PEM_write_bio_PUBKEY(b, k->pair);

	assert(ok);
	add_bio(out, b);
}

/* RFC 7518 3.5: the salt is as long as the hash, MGF1 takes the same hash
 * (OpenSSL's default). */
static bool
pad(EVP_PKEY_CTX *ctx, enum family family)
{
	if (family == RSA_PKCS1)
		return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0;
	if (family == RSA_PSS_PADDING)
		return EVP_PKEY_CTX_set_rsa_padding(ctx,
			   RSA_PKCS1_PSS_PADDING) > 0 &&
		    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx,
			RSA_PSS_SALTLEN_DIGEST) > 0;
	return true;
}

static void
hmac(const struct key *k, const void *data, size_t len,
    unsigned char mac[EVP_MAX_MD_SIZE])
{
	const struct shape *s = &shapes[k->algorithm];
	size_t made = 0;
	void *ok = EVP_Q_mac(NULL, "HMAC", NULL, s->digest, NULL, k->secret,
	    k->secret_len, data, len, mac, EVP_MAX_MD_SIZE, &made);

	assert(ok != NULL && made == s->digest_size);
}

/* OpenSSL's DER into r||s of fixed width (RFC 7518 3.4). */
static bool
der_to_raw(struct buf *out, size_t width, const unsigned char *der, size_t len)
{
	AUTO_SSL(ECDSA_SIG, pair) = d2i_ECDSA_SIG(NULL, &der, (long)len);
	unsigned char raw[2 * 66];

	assert(2 * width <= sizeof raw);
	if (pair == NULL ||
	    BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, (int)width) < 0 ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + width, (int)width) < 0)
		return false;
	buf_add(out, raw, 2 * width);
	return true;
}

/* And back: the length of the DER, allocated by OpenSSL into *der, or -1. */
static int
raw_to_der(unsigned char **der, size_t width, const unsigned char *raw,
    size_t len)
{
	AUTO_SSL(ECDSA_SIG, pair) = ECDSA_SIG_new();
	BIGNUM *r, *s;

	if (len != 2 * width || pair == NULL)
		return -1;
	r = BN_bin2bn(raw, (int)width, NULL);
	s = BN_bin2bn(raw + width, (int)width, NULL);
	if (r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		return -1;
	}
	return i2d_ECDSA_SIG(pair, der);
}

enum err_code
key_sign(struct buf *out, const struct key *k, const void *data, size_t len,
    struct err *e)
{
	const struct shape *s = &shapes[k->algorithm];
	unsigned char made[KEY_SIGNATURE_MAX];
	size_t made_len = sizeof made;
	EVP_PKEY_CTX *pctx;

	assert(k->is_private);
	if (s->family == HMAC_SECRET) {
		hmac(k, data, len, made);
		buf_add(out, made, s->digest_size);
		return ERR_OK;
	}
	AUTO_SSL(EVP_MD_CTX, ctx) = EVP_MD_CTX_new();
	if (ctx == NULL ||
	    EVP_DigestSignInit_ex(ctx, &pctx, s->digest, NULL, NULL, k->pair,
		NULL) != 1 ||
	    !pad(pctx, s->family) ||
	    EVP_DigestSign(ctx, made, &made_len, data, len) != 1)
		return ssl_error(e, ERR_CRYPTO, "signing");
	if (s->family != ECDSA)
		buf_add(out, made, made_len);
	else if (!der_to_raw(out, s->coordinate, made, made_len))
		return ssl_error(e, ERR_CRYPTO, "signing");
	return ERR_OK;
}

static bool
pair_verifies(const struct key *k, const void *data, size_t len,
    const unsigned char *signature, size_t signature_len)
{
	const struct shape *s = &shapes[k->algorithm];
	AUTO_SSL(EVP_MD_CTX, ctx) = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;

	return ctx != NULL &&
	    EVP_DigestVerifyInit_ex(ctx, &pctx, s->digest, NULL, NULL, k->pair,
		NULL) == 1 &&
	    pad(pctx, s->family) &&
	    EVP_DigestVerify(ctx, signature, signature_len, data, len) == 1;
}

static bool
ec_verifies(const struct key *k, const void *data, size_t len,
    const unsigned char *raw, size_t raw_len)
{
	unsigned char *der = NULL;
	int der_len =
	    raw_to_der(&der, shapes[k->algorithm].coordinate, raw, raw_len);
	bool good = der_len > 0 &&
	    pair_verifies(k, data, len, der, (size_t)der_len);

	OPENSSL_free(der);
	return good;
}

static bool
hmac_verifies(const struct key *k, const void *data, size_t len,
    const unsigned char *mac, size_t mac_len)
{
	unsigned char right[EVP_MAX_MD_SIZE];

	hmac(k, data, len, right);
	return mac_len == shapes[k->algorithm].digest_size &&
	    CRYPTO_memcmp(mac, right, mac_len) == 0;
}

enum err_code
key_verify(const struct key *k, const void *data, size_t len,
    const void *signature, size_t signature_len, struct err *e)
{
	enum family family = shapes[k->algorithm].family;
	bool good;

	if (family == HMAC_SECRET)
		good = hmac_verifies(k, data, len, signature, signature_len);
	else if (family == ECDSA)
		good = ec_verifies(k, data, len, signature, signature_len);
	else
		good = pair_verifies(k, data, len, signature, signature_len);
	ERR_clear_error();
	if (good)
		return ERR_OK;
	return err_set(e, ERR_CRYPTO,
	    "the signature was not made by key %s over this content",
	    k->id != NULL ? k->id : "given");
}
