#include "server/http/jwt_known.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "signing/digest.h"

struct jwt_memory {
	struct jwt_known *table; /* oldest first */
	size_t count;
	int64_t logged_ms;   /* monotonic */
	unsigned int silent; /* refusals since then that were not logged */
	bool logged;
};

struct jwt_memory *
jwt_memory_new(void)
{
	return mem_zalloc(sizeof(struct jwt_memory));
}

void
jwt_known_unref(struct jwt_known *k)
{
	if (k == NULL || --k->references > 0)
		return;
	mem_free(k->name);
	mem_free(k->engine);
	mem_free(k);
}

static void
forget(struct jwt_memory *m, struct jwt_known *k)
{
	HASH_DEL(m->table, k);
	m->count--;
	jwt_known_unref(k);
}

void
jwt_memory_free(struct jwt_memory *m)
{
	if (m == NULL)
		return;
	while (m->table != NULL)
		forget(m, m->table);
	mem_free(m);
}

static void
keep(struct jwt_memory *m, struct jwt_known *k)
{
	if (m->count >= JWT_KNOWN_MAX)
		forget(m, m->table);
	k->references++;
	HASH_ADD(hh, m->table, token.digest[0], DIGEST_HEX_SIZE - 1, k);
	m->count++;
}

/* ---- the header ---- */

/* The token of "Bearer TOKEN", in place. */
static const char *
bearer(size_t *len, const char *header)
{
	const char *token;

	if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0)
		return NULL;
	token = header + 7;
	token += strspn(token, " ");
	*len = strcspn(token, " \t");
	return token[*len + strspn(token + *len, " \t")] == '\0' ? token : NULL;
}

bool
jwt_known_is_like(const char *header)
{
	size_t len;
	const char *token = bearer(&len, header);

	return token != NULL && jwt_is_like(token, len);
}

/* ---- checking ---- */

bool
jwt_known_holds(const struct jwt_known *k, const struct access *a)
{
	const struct jwt_issuer *i = &a->issuers[k->issuer];

	assert(k->issuer < a->count);
	return i->keys != NULL && jwks_number(i->keys) == k->keys;
}

/* An attacker must not fill the disk. */
static void
tell(struct jwt_memory *m, const struct err *why)
{
	int64_t now = clock_mono_ms();

	if (m->logged && now - m->logged_ms < JWT_LOG_MS) {
		m->silent++;
		return;
	}
	log_warn("jwt.refused", "reason=\"%s\" more=%u", why->text, m->silent);
	m->logged = true;
	m->logged_ms = now;
	m->silent = 0;
}

static struct jwt_known *
make(const struct jwt *j, const char *digest, const struct access *a)
{
	struct jwt_known *k = mem_zalloc(sizeof *k);

	k->references = 1;
	k->name = mem_strdup(j->subject);
	k->engine = *j->pod != '\0' ? mem_strdup(j->pod) : NULL;
	k->issuer = j->issuer;
	k->keys = jwks_number(a->issuers[j->issuer].keys);
	k->token = (struct catalog_token){ .name = k->name,
		.role = SCOPE_ENGINE,
		.cluster = j->cluster,
		.expires_ms = j->expires_ms };
	memcpy(k->token.digest, digest, DIGEST_HEX_SIZE);
	return k;
}

static struct jwt_known *
remembered(struct jwt_memory *m, const char *digest, const struct access *a,
    int64_t wall_ms)
{
	struct jwt_known *k;
	int64_t until;

	HASH_FIND(hh, m->table, digest, DIGEST_HEX_SIZE - 1, k);
	if (k == NULL)
		return NULL;
	until = a->issuers[k->issuer].keys_until_ms;
	if (jwt_known_holds(k, a) && k->token.expires_ms > wall_ms &&
	    (until == 0 || until > wall_ms))
		return k;
	forget(m, k);
	return NULL;
}

enum auth_result
jwt_known_check(struct jwt_known **out, struct jwt_memory *m,
    const struct access *a, const char *header, int64_t wall_ms, bool *asks,
    bool *verified)
{
	char digest[DIGEST_HEX_SIZE];
	size_t len = 0;
	const char *token = bearer(&len, header);
	size_t missing;
	struct err e = { 0 };
	struct jwt_known *k;
	struct jwt j;

	*asks = *verified = false;
	if (token == NULL || len > JWT_SIZE_MAX)
		return AUTH_WRONG;
	digest_hex(digest, token, len);
	k = remembered(m, digest, a, wall_ms);
	if (k == NULL) {
		if (jwt_read(&j, token, len, a->issuers, a->count, wall_ms,
			&missing, &e) != ERR_OK) {
			*asks = missing < a->count &&
			    a->issuers[missing].conf->jwks_url != NULL;
			tell(m, &e);
			return AUTH_WRONG;
		}
		*verified = true;
		k = make(&j, digest, a);
		keep(m, k);
	} else {
		k->references++;
	}
	*out = k;
	return AUTH_KNOWN;
}
