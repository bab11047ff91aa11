#include "signing/digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST_SIZE = 32 };

/* Fetched once: OpenSSL 3 looks EVP_sha256() up in its provider at each use,
 * which takes longer than hashing a small file. */
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;

/* SHA-256 over memory fails only when OpenSSL has no memory or no default
 * provider: the same as a machine that cannot run us. */
static void
certain(int ok)
{
	if (ok != 1)
		abort();
}

static void
sha256_fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static const EVP_MD *
algorithm(void)
{
	certain(pthread_once(&sha256_once, sha256_fetch) == 0);
	certain(sha256 != NULL);
	return sha256;
}

static void
to_hex(char out[DIGEST_HEX_SIZE], const unsigned char *bytes)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[DIGEST_HEX_SIZE - 1] = '\0';
}

void
digest_hex(char out[DIGEST_HEX_SIZE], const void *data, size_t len)
{
	unsigned char bytes[DIGEST_SIZE];

	certain(EVP_Digest(data, len, bytes, NULL, algorithm(), NULL));
	to_hex(out, bytes);
}

/* Never allocated: struct digest is OpenSSL's context under our name. */
static EVP_MD_CTX *
context(struct digest *d)
{
	return (EVP_MD_CTX *)d;
}

struct digest *
digest_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	certain(ctx != NULL);
	certain(EVP_DigestInit_ex(ctx, algorithm(), NULL));
	return (struct digest *)ctx;
}

void
digest_add(struct digest *d, const void *data, size_t len)
{
	certain(EVP_DigestUpdate(context(d), data, len));
}

void
digest_add_piece(struct digest *d, const void *data, size_t len)
{
	unsigned char length[8];

	for (size_t i = 0; i < sizeof length; i++)
		length[i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
	digest_add(d, length, sizeof length);
	digest_add(d, data, len);
}

void
digest_end(struct digest *d, char out[DIGEST_HEX_SIZE])
{
	unsigned char bytes[DIGEST_SIZE];

	certain(EVP_DigestFinal_ex(context(d), bytes, NULL));
	EVP_MD_CTX_free(context(d));
	to_hex(out, bytes);
}

int
digest_is_hex(const char *text)
{
	/* Numbers without a sign: below '0' is far above. */
	unsigned int bad = 0;

	if (strlen(text) != DIGEST_HEX_SIZE - 1)
		return false;
	/* Without a branch for each digit: there are many hashes. */
	for (size_t i = 0; i < DIGEST_HEX_SIZE - 1; i++) {
		unsigned char c = (unsigned char)text[i];

		bad |= (unsigned int)((unsigned char)(c - '0') > 9) &
		    (unsigned int)((unsigned char)(c - 'a') > 5);
	}
	return bad == 0;
}
