#include "server/http/auth.h"

#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

#include "core/text.h"
#include "signing/digest.h"

/* b64token of RFC 6750. */
static const struct text_set token_chars = { { ['a' ... 'z'] = true,
    ['A' ... 'Z'] = true,
    ['0' ... '9'] = true,
    ['-'] = true,
    ['.'] = true,
    ['_'] = true,
    ['~'] = true,
    ['+'] = true,
    ['/'] = true } };

enum auth_result
auth_bearer(char out[AUTH_TOKEN_MAX + 1], const char *header)
{
	const char *token;
	size_t len;
	size_t pad;

	if (header == NULL)
		return AUTH_NONE;
	if (strncasecmp(header, "Bearer ", 7) != 0)
		return AUTH_WRONG;
	token = header + 7;
	token += strspn(token, " ");
	len = text_span(token, &token_chars);
	pad = strspn(token + len, "=");
	if (len == 0 || len + pad > AUTH_TOKEN_MAX ||
	    token[len + pad + strspn(token + len + pad, " \t")] != '\0')
		return AUTH_WRONG;
	memcpy(out, token, len + pad);
	out[len + pad] = '\0';
	return AUTH_KNOWN;
}

enum auth_result
auth_check(const struct catalog_token **out, const struct catalog *c,
    const char *header, int64_t wall_ms)
{
	char token[AUTH_TOKEN_MAX + 1];
	char digest[DIGEST_HEX_SIZE];
	const struct catalog_token *found;
	enum auth_result result = auth_bearer(token, header);
	size_t len;

	if (result != AUTH_KNOWN)
		return result;
	len = strlen(token);
	digest_hex(digest, token, len);
	OPENSSL_cleanse(token, len);
	found = catalog_token(c, digest);
	/* Looking up tells nothing by its time: what is looked up is a hash.
	 * Compared once more, because a hash table may be clever. */
	if (found == NULL ||
	    CRYPTO_memcmp(found->digest, digest, DIGEST_HEX_SIZE - 1) != 0 ||
	    (found->expires_ms != 0 && found->expires_ms <= wall_ms))
		return AUTH_WRONG;
	*out = found;
	return AUTH_KNOWN;
}
