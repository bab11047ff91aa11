#include "policies/known_hosts.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "core/base64.h"
#include "core/mem.h"

enum { KEY_TEXT_MAX = 16 * 1024, SHA1_SIZE = 20, SSH_PORT = 22 };

/* A piece of the file; not NUL-terminated. */
struct word {
	const char *at;
	size_t len;
};

static struct word
next_word(const char **p, const char *end)
{
	struct word w;

	while (*p < end && (**p == ' ' || **p == '\t'))
		(*p)++;
	w.at = *p;
	while (*p < end && **p != ' ' && **p != '\t' && **p != '\r')
		(*p)++;
	w.len = (size_t)(*p - w.at);
	return w;
}

static bool
word_is(struct word w, const char *text)
{
	return w.len == strlen(text) && memcmp(w.at, text, w.len) == 0;
}

/* Is this base64 of len bytes? Then they are in out. */
static bool
decode(void *out, size_t len, struct word w)
{
	char raw[KEY_TEXT_MAX];
	size_t n;

	if (w.len > KEY_TEXT_MAX || !base64_read(raw, &n, w.at, w.len) ||
	    n != len)
		return false;
	memcpy(out, raw, len);
	return true;
}

static bool
same_key(struct word text, const void *key, size_t key_len)
{
	unsigned char raw[KEY_TEXT_MAX];

	return key_len <= sizeof raw && decode(raw, key_len, text) &&
	    memcmp(raw, key, key_len) == 0;
}

/* -- names ---------------------------------------------------------------- */

/* "*" and "?" as ssh has them, without regard to case. */
static bool
matches(struct word pattern, const char *name)
{
	const char *p = pattern.at, *p_end = pattern.at + pattern.len;
	const char *star = NULL, *resume = NULL;

	while (*name != '\0') {
		if (p < p_end && *p == '*') {
			star = p++;
			resume = name;
		} else if (p < p_end &&
		    (*p == '?' || strncasecmp(p, name, 1) == 0)) {
			p++;
			name++;
		} else if (star != NULL) {
			p = star + 1;
			name = ++resume;
		} else {
			return false;
		}
	}
	while (p < p_end && *p == '*')
		p++;
	return p == p_end;
}

/* |1|SALT|HASH with HASH = HMAC-SHA1(SALT, name). */
static bool
matches_hashed(struct word w, const char *name)
{
	unsigned char salt[SHA1_SIZE], expected[SHA1_SIZE];
	unsigned char actual[EVP_MAX_MD_SIZE];
	const char *end = w.at + w.len;
	const char *bar = memchr(w.at + 3, '|', w.len - 3);
	unsigned int len = 0;

	if (bar == NULL)
		return false;
	if (!decode(salt, sizeof salt,
		(struct word){ w.at + 3, (size_t)(bar - w.at) - 3 }) ||
	    !decode(expected, sizeof expected,
		(struct word){ bar + 1, (size_t)(end - bar) - 1 }))
		return false;
	return HMAC(EVP_sha1(), salt, SHA1_SIZE, (const unsigned char *)name,
		   strlen(name), actual, &len) != NULL &&
	    len == SHA1_SIZE && CRYPTO_memcmp(actual, expected, len) == 0;
}

static bool
names_host(struct word names, const char *name)
{
	const char *p = names.at, *end = names.at + names.len;
	bool yes = false;

	if (names.len > 3 && memcmp(names.at, "|1|", 3) == 0)
		return matches_hashed(names, name);
	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma != NULL ? comma : end;
		bool negated = *p == '!';
		struct word one = { p + negated, (size_t)(stop - p) - negated };

		if (matches(one, name)) {
			if (negated)
				return false;
			yes = true;
		}
		p = stop + 1;
	}
	return yes;
}

/* -- lines ---------------------------------------------------------------- */

struct question {
	const char *name;
	const void *key;
	size_t key_len;
	bool host_seen, matched, revoked;
};

static void
read_line(struct question *q, const char *p, const char *end)
{
	struct word names = next_word(&p, end);
	bool revoked = word_is(names, "@revoked");
	struct word type, key;

	if (names.len == 0 || names.at[0] == '#')
		return;
	if (revoked)
		names = next_word(&p, end);
	else if (names.at[0] == '@')
		return;
	type = next_word(&p, end);
	key = next_word(&p, end);
	if (type.len == 0 || key.len == 0 || names.len == 0)
		return;
	if (!names_host(names, q->name))
		return;
	if (!revoked)
		q->host_seen = true;
	if (!same_key(key, q->key, q->key_len))
		return;
	if (revoked)
		q->revoked = true;
	else
		q->matched = true;
}

enum known_hosts_answer
known_hosts_check(const char *text, size_t len, const char *host, int port,
    const void *key, size_t key_len)
{
	AUTO_STR name = port == SSH_PORT ? mem_strdup(host)
					 : mem_printf("[%s]:%d", host, port);
	struct question q = { .name = name, .key = key, .key_len = key_len };
	const char *p = text, *end = text + len;

	while (p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));

		if (stop == NULL)
			stop = end;
		read_line(&q, p, stop);
		p = stop + 1;
	}
	if (q.revoked)
		return KNOWN_HOSTS_REVOKED;
	if (q.matched)
		return KNOWN_HOSTS_MATCH;
	return q.host_seen ? KNOWN_HOSTS_MISMATCH : KNOWN_HOSTS_UNKNOWN;
}
