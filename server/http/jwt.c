#include "server/http/jwt.h"

#include <assert.h>
#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "core/base64.h"
#include "core/mem.h"
#include "core/value.h"

enum { AUDIENCES_MAX = 32 };

/* The end of year 9999: no time later than that is meant. */
static const double time_max = 253402300800;

/* The three parts of a compact JWS (RFC 7515 7.1), in place, and what the first
 * two say. Nothing of it is believed yet. */
struct reading {
	const char *signed_text, *payload, *signature;
	size_t signed_len, payload_len, signature_len;
	json_t *header, *claims;
	enum key_algorithm algorithm;
	const char *kid;
};

bool
jwt_fits(const char *pattern, const char *subject)
{
	const char *star = NULL;
	const char *from = NULL;

	while (*subject != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			from = subject;
		} else if (*pattern == *subject) {
			pattern++;
			subject++;
		} else if (star != NULL && *from != ':') {
			pattern = star + 1;
			subject = ++from;
		} else {
			return false;
		}
	}
	pattern += strspn(pattern, "*");
	return *pattern == '\0';
}

/* A JSON object in base64url starts so: {" or { and a space. */
bool
jwt_is_like(const char *text, size_t len)
{
	const char *dot = memchr(text, '.', len);

	return len > 3 && text[0] == 'e' && dot != NULL &&
	    memchr(dot + 1, '.', (size_t)(text + len - dot - 1)) != NULL;
}

/* ---- reading ---- */

static enum err_code
split(struct reading *r, const char *text, size_t len, struct err *e)
{
	const char *end = text + len;
	const char *first = memchr(text, '.', len);
	const char *second = first == NULL
	    ? NULL
	    : memchr(first + 1, '.', (size_t)(end - first - 1));

	if (len > JWT_SIZE_MAX)
		return err_set(e, ERR_LIMIT, "larger than %d bytes",
		    JWT_SIZE_MAX);
	if (second == NULL ||
	    memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL)
		return err_set(e, ERR_INVALID, "not three parts");
	r->signed_text = text;
	r->signed_len = (size_t)(second - text);
	r->payload = first + 1;
	r->payload_len = (size_t)(second - first - 1);
	r->signature = second + 1;
	r->signature_len = (size_t)(end - second - 1);
	return ERR_OK;
}

static enum err_code
read_json(json_t **out, const char *text, size_t len, const char *what,
    struct err *e)
{
	AUTO_BUF json = { 0 };

	buf_init(&json, JWT_SIZE_MAX);
	TRY(base64url_read(&json, text, len, what, e));
	*out = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(*out))
		return err_set(e, ERR_INVALID, "%s: not a JSON object", what);
	return ERR_OK;
}

static const char *
text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* RFC 8725 3.11: a token that says it is something else is not for us. */
static bool
is_typed(const json_t *typ)
{
	static const char *const types[] = { "JWT", "at+jwt",
		"application/at+jwt", "application/jwt" };

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (json_is_string(typ) &&
		    strcasecmp(json_string_value(typ), types[i]) == 0)
			return true;
	return typ == NULL;
}

static enum err_code
read_header(struct reading *r, struct err *e)
{
	const char *alg = text_of(r->header, "alg");

	if (alg == NULL || key_algorithm_parse(&r->algorithm, alg, NULL) != 0)
		return err_set(e, ERR_DENIED, "header: no alg that is known");
	/* RFC 7515 4.1.11: what it names must be understood; we know none. */
	if (json_object_get(r->header, "crit") != NULL)
		return err_set(e, ERR_DENIED,
		    "header: crit names extensions that are not supported");
	if (!is_typed(json_object_get(r->header, "typ")))
		return err_set(e, ERR_DENIED, "header: typ is not JWT");
	r->kid = text_of(r->header, "kid");
	if (r->kid == NULL || strlen(r->kid) > JWKS_KID_MAX)
		return err_set(e, ERR_DENIED,
		    "header: no kid, or one longer than %d bytes",
		    JWKS_KID_MAX);
	return ERR_OK;
}

/* ---- checking what it claims, once it is verified ---- */

/* NumericDate (RFC 7519 2): seconds, perhaps with a fraction. */
static enum err_code
read_time(double *out, bool *there, const struct reading *r, const char *key,
    struct err *e)
{
	const json_t *v = json_object_get(r->claims, key);

	*there = v != NULL;
	*out = json_number_value(v);
	if (v != NULL && (!json_is_number(v) || *out < 0 || *out > time_max))
		return err_set(e, ERR_DENIED, "%s is no time", key);
	return ERR_OK;
}

static enum err_code
check_times(struct jwt *out, const struct reading *r, const struct conf_jwt *c,
    int64_t wall_ms, struct err *e)
{
	double exp, nbf, iat;
	bool is_exp, is_nbf, is_iat;
	double now = (double)wall_ms / 1000;
	double leeway = (double)c->leeway;

	TRY(read_time(&exp, &is_exp, r, "exp", e));
	TRY(read_time(&nbf, &is_nbf, r, "nbf", e));
	TRY(read_time(&iat, &is_iat, r, "iat", e));
	if (!is_exp)
		return err_set(e, ERR_DENIED, "it has no exp");
	if (now >= exp + leeway)
		return err_set(e, ERR_DENIED, "it is expired");
	if (is_nbf && now + leeway < nbf)
		return err_set(e, ERR_DENIED, "it is not valid yet (nbf)");
	if (is_iat && now + leeway < iat)
		return err_set(e, ERR_DENIED, "it comes from the future (iat)");
	out->expires_ms = (int64_t)((exp + leeway) * 1000);
	return ERR_OK;
}

static enum err_code
check_audience(const struct reading *r, const struct conf_jwt *c, struct err *e)
{
	const json_t *aud = json_object_get(r->claims, "aud");
	size_t count = json_is_string(aud) ? 1 : json_array_size(aud);
	bool found = false;

	if (count > AUDIENCES_MAX)
		return err_set(e, ERR_DENIED, "more than %d audiences",
		    AUDIENCES_MAX);
	for (size_t i = 0; i < count; i++) {
		const json_t *v = json_is_string(aud) ? aud
						      : json_array_get(aud, i);

		if (!json_is_string(v))
			return err_set(e, ERR_DENIED,
			    "aud is no list of texts");
		found |= strcmp(json_string_value(v), c->audience) == 0;
	}
	return found ? ERR_OK
		     : err_set(e, ERR_DENIED, "it is for another audience");
}

static enum err_code
take_subject(struct jwt *out, const struct reading *r, const struct conf_jwt *c,
    struct err *e)
{
	const struct conf_jwt_subject *rows = c->subjects.items;
	const char *sub = text_of(r->claims, "sub");

	if (sub == NULL || *sub == '\0' || strlen(sub) > CONF_JWT_TEXT_MAX)
		return err_set(e, ERR_DENIED, "it has no sub of %d bytes",
		    CONF_JWT_TEXT_MAX);
	for (const char *p = sub; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
			return err_set(e, ERR_DENIED,
			    "its sub holds more than letters and signs");
	for (size_t i = 0; i < c->subjects.count; i++) {
		if (!jwt_fits(rows[i].subject, sub))
			continue;
		memcpy(out->subject, sub, strlen(sub) + 1);
		out->cluster = rows[i].cluster;
		return ERR_OK;
	}
	return err_set(e, ERR_DENIED, "access.jwt knows no subject like %.100s",
	    sub);
}

/* Where a token is bound to a pod, Kubernetes says so. */
static void
take_pod(struct jwt *out, const struct reading *r)
{
	const json_t *k = json_object_get(r->claims, "kubernetes.io");
	const char *name = text_of(json_object_get(k, "pod"), "name");

	out->pod[0] = '\0';
	if (name != NULL && strlen(name) <= JWT_POD_MAX)
		memcpy(out->pod, name, strlen(name) + 1);
}

static enum err_code
verify(const struct reading *r, const struct key *k, struct err *e)
{
	AUTO_BUF signature = { 0 };

	buf_init(&signature, KEY_SIGNATURE_MAX + 8);
	TRY(base64url_read(&signature, r->signature, r->signature_len,
	    "signature", e));
	TRY(buf_check(&signature, "signature", e));
	return key_verify(k, r->signed_text, r->signed_len, signature.data,
	    signature.len, e);
}

/* As this issuer's; r->claims are believed from the signature on. */
static enum err_code
check(struct jwt *out, const struct reading *r, const struct jwt_issuer *from,
    int64_t wall_ms, struct err *e)
{
	const struct key *k;

	if ((from->algorithms >> r->algorithm & 1) == 0)
		return err_set(e, ERR_DENIED, "%s is not among its algorithms",
		    key_algorithm_name(r->algorithm));
	k = jwks_find(from->keys, r->kid, r->algorithm);
	if (k == NULL)
		return err_set(e, ERR_DENIED, "its key is not one for %s",
		    key_algorithm_name(r->algorithm));
	TRY(verify(r, k, e));
	TRY(check_times(out, r, from->conf, wall_ms, e));
	TRY(check_audience(r, from->conf, e));
	TRY(take_subject(out, r, from->conf, e));
	take_pod(out, r);
	return ERR_OK;
}

static bool
is_from(const struct reading *r, const struct jwt_issuer *i)
{
	const char *iss = text_of(r->claims, "iss");

	return iss != NULL && strcmp(iss, i->conf->issuer) == 0;
}

/* Has this issuer the key that the token names? */
static enum err_code
look_for_key(const struct reading *r, const struct jwt_issuer *i,
    int64_t wall_ms, struct err *e)
{
	char shown[VALUE_QUOTE_SIZE];

	if (i->keys == NULL)
		return err_set(e, ERR_UNAVAILABLE,
		    "the keys of its issuer are not known yet");
	if (i->keys_until_ms != 0 && i->keys_until_ms <= wall_ms)
		return err_set(e, ERR_UNAVAILABLE,
		    "the keys of its issuer are older than stale_max");
	if (!jwks_has(i->keys, r->kid))
		return err_set(e, ERR_NOT_FOUND, "its issuer has no key %s",
		    value_quote(shown, r->kid, strlen(r->kid)));
	return ERR_OK;
}

static enum err_code
try_issuers(struct jwt *out, const struct reading *r,
    const struct jwt_issuer *issuers, size_t count, int64_t wall_ms,
    size_t *missing, struct err *e)
{
	enum err_code code =
	    err_set(e, ERR_DENIED, "access.jwt does not know its issuer");

	for (size_t i = 0; i < count; i++) {
		if (!is_from(r, &issuers[i]))
			continue;
		code = look_for_key(r, &issuers[i], wall_ms, e);
		if (code == ERR_NOT_FOUND)
			*missing = i;
		if (code != ERR_OK)
			continue;
		code = check(out, r, &issuers[i], wall_ms, e);
		out->issuer = i;
		*missing = count;
		/* No other has that key, or it would be the same issuer. */
		return code;
	}
	return code;
}

static enum err_code
read_all(struct reading *r, struct jwt *out, const char *text, size_t len,
    const struct jwt_issuer *issuers, size_t count, int64_t wall_ms,
    size_t *missing, struct err *e)
{
	const char *dot;

	TRY(split(r, text, len, e));
	dot = r->payload - 1;
	TRY(read_json(&r->header, text, (size_t)(dot - text), "header", e));
	TRY(read_header(r, e));
	TRY(read_json(&r->claims, r->payload, r->payload_len, "claims", e));
	return try_issuers(out, r, issuers, count, wall_ms, missing, e);
}

enum err_code
jwt_read(struct jwt *out, const char *text, size_t len,
    const struct jwt_issuer *issuers, size_t count, int64_t wall_ms,
    size_t *missing, struct err *e)
{
	struct reading r = { 0 };
	enum err_code code;

	*missing = count;
	code =
	    read_all(&r, out, text, len, issuers, count, wall_ms, missing, e);
	json_decref(r.header);
	json_decref(r.claims);
	return code;
}
