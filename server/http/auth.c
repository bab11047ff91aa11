#include "server/http/auth.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "core/siphash.h"
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

/* The token of a header within it. */
static enum auth_result
find_token(const char **out, size_t *len, const char *header)
{
	const char *token, *end;

	if (header == NULL)
		return AUTH_NONE;
	if (strncasecmp(header, "Bearer ", 7) != 0)
		return AUTH_WRONG;
	for (token = header + 7; *token == ' '; token++)
		continue;
	end = token + text_span(token, &token_chars);
	if (end == token)
		return AUTH_WRONG;
	while (*end == '=')
		end++;
	*out = token;
	*len = (size_t)(end - token);
	while (*end == ' ' || *end == '\t')
		end++;
	return *end == '\0' && *len <= AUTH_TOKEN_MAX ? AUTH_KNOWN : AUTH_WRONG;
}

enum auth_result
auth_bearer(char out[AUTH_TOKEN_MAX + 1], const char *header)
{
	const char *token;
	size_t len;
	enum auth_result result = find_token(&token, &len, header);

	if (result != AUTH_KNOWN)
		return result;
	memcpy(out, token, len);
	out[len] = '\0';
	return AUTH_KNOWN;
}

/* ---- what this thread looked up before ---- */

/* A fleet shows the same tokens over and over, and SHA-256 would be a quarter
 * of what a poll takes. Tokens are told apart by a hash under a key that this
 * thread made up, so nothing that is remembered says what a token is. Only what
 * was found is remembered, and holds for the catalog it was found in: with the
 * next one, as after a revocation, everything is looked up anew. */
enum { MEMO_SLOTS = 4096 };

struct memo_slot {
	uint64_t catalog; /* catalog_id; 0: empty */
	struct siphash hash;
	const struct catalog_token *token;
};

static _Thread_local struct {
	bool ready;
	struct siphash_key key;
	struct memo_slot slots[MEMO_SLOTS];
} memo;

static struct siphash
memo_hash(const char *token, size_t len)
{
	if (!memo.ready &&
	    getrandom(&memo.key, sizeof memo.key, 0) !=
		(ssize_t)sizeof memo.key)
		abort();
	memo.ready = true;
	return siphash(&memo.key, token, len);
}

static struct memo_slot *
memo_slot(const struct siphash *hash)
{
	return &memo.slots[hash->words[0] % MEMO_SLOTS];
}

/* Without a branch on any part of the hash. */
static bool
memo_holds(const struct memo_slot *slot, uint64_t catalog,
    const struct siphash *hash)
{
	return ((slot->catalog ^ catalog) |
		   (slot->hash.words[0] ^ hash->words[0]) |
		   (slot->hash.words[1] ^ hash->words[1])) == 0;
}

static const struct catalog_token *
look_up(const struct catalog *c, const char *token, size_t len)
{
	char digest[DIGEST_HEX_SIZE];
	const struct catalog_token *found;

	digest_hex(digest, token, len);
	found = catalog_token(c, digest);
	/* Looking up tells nothing by its time: what is looked up is a hash.
	 * Compared once more, because a search may be clever. */
	if (found == NULL ||
	    CRYPTO_memcmp(found->digest, digest, DIGEST_HEX_SIZE - 1) != 0)
		return NULL;
	return found;
}

static const struct catalog_token *
know(const struct catalog *c, const char *token, size_t len)
{
	struct siphash hash = memo_hash(token, len);
	struct memo_slot *slot = memo_slot(&hash);
	const struct catalog_token *found;

	if (memo_holds(slot, catalog_id(c), &hash))
		return slot->token;
	found = look_up(c, token, len);
	if (found != NULL)
		*slot = (struct memo_slot){ catalog_id(c), hash, found };
	return found;
}

enum auth_result
auth_check(const struct catalog_token **out, const struct catalog *c,
    const char *header, int64_t wall_ms)
{
	const struct catalog_token *found;
	const char *token;
	size_t len;
	enum auth_result result = find_token(&token, &len, header);

	if (result != AUTH_KNOWN)
		return result;
	found = know(c, token, len);
	if (found == NULL ||
	    (found->expires_ms != 0 && found->expires_ms <= wall_ms))
		return AUTH_WRONG;
	*out = found;
	return AUTH_KNOWN;
}
