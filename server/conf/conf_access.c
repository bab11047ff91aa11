#include "server/conf/conf_access.h"

#include <string.h>

#include "server/supervisor/call.h"
#include "signing/key.h"

static const struct spec subject_spec[] = {
	{ "subject", SPEC_STRING, offsetof(struct conf_jwt_subject, subject), 1,
	    CONF_JWT_TEXT_MAX, .required = true,
	    .help = "As `system:serviceaccount:NAMESPACE:NAME`; `*` is any run "
		    "of characters but `:`." },
	{ "cluster", SPEC_NAME, offsetof(struct conf_jwt_subject, cluster),
	    .max = 63, .required = true, .help = "Whose engine that is." },
	{ 0 }
};

const struct spec conf_jwt_spec[] = {
	{ "issuer", SPEC_STRING, offsetof(struct conf_jwt, issuer), 1,
	    CONF_JWT_TEXT_MAX, .required = true,
	    .help = "Its tokens' `iss`, to the letter." },
	{ "audience", SPEC_STRING, offsetof(struct conf_jwt, audience), 1,
	    CONF_JWT_TEXT_MAX, .required = true,
	    .help = "One of their `aud`; let it name this server." },
	{ "algorithms", SPEC_STRINGS, offsetof(struct conf_jwt, algorithms),
	    .max = 9, .text = "RS256",
	    .help = "Which may sign them: RS, PS or ES with 256, 384 or 512." },
	{ "jwks_file", SPEC_STRING, offsetof(struct conf_jwt, jwks_file),
	    .max = 4096,
	    .help = "The issuer's public keys as a JWK set; read again when "
		    "the file changes." },
	{ "jwks_url", SPEC_STRING, offsetof(struct conf_jwt, jwks_url),
	    .max = 4096,
	    .help = "Where to get that set instead: https, or http on this "
		    "machine." },
	{ "ca_file", SPEC_STRING, offsetof(struct conf_jwt, ca_file),
	    .max = 4096,
	    .help = "Certificate authorities for `jwks_url`; default: the "
		    "system's." },
	{ "token_file", SPEC_STRING, offsetof(struct conf_jwt, token_file),
	    .max = 4096,
	    .help = "Bearer token for `jwks_url`, read at each request." },
	{ "refresh", SPEC_SECONDS, offsetof(struct conf_jwt, refresh), 10,
	    86400, 600,
	    .help = "How often `jwks_url` is asked. A token signed by an "
		    "unknown key is reason to ask at once, at most once a "
		    "minute." },
	{ "stale_max", SPEC_SECONDS, offsetof(struct conf_jwt, stale_max), 60,
	    31536000, 604800,
	    .help =
		"How long its last answer counts while it gives no other." },
	{ "leeway", SPEC_SECONDS, offsetof(struct conf_jwt, leeway), 0, 300, 30,
	    .help = "How far its clock may be off." },
	{ "subjects", SPEC_LIST, offsetof(struct conf_jwt, subjects), 1,
	    CONF_JWT_SUBJECTS_MAX, .sub = subject_spec,
	    .size = sizeof(struct conf_jwt_subject), .required = true,
	    .help = "Whose tokens count, and for which cluster; the first that "
		    "fits." },
	{ 0 }
};

/* Never HS: what verifies such a token could make one. */
static bool
algorithm(enum key_algorithm *out, const char *name)
{
	return key_algorithm_parse(out, name, NULL) == ERR_OK &&
	    *out < KEY_HS256;
}

uint32_t
conf_jwt_algorithms(const struct conf_jwt *j)
{
	enum key_algorithm a;
	uint32_t bits = 0;

	for (size_t i = 0; i < j->algorithms.count; i++)
		if (algorithm(&a, j->algorithms.items[i]))
			bits |= UINT32_C(1) << a;
	return bits;
}

static enum err_code
check_one(const struct conf_jwt *j, size_t i, struct err *e)
{
	enum key_algorithm a;

	for (size_t k = 0; k < j->algorithms.count; k++)
		if (!algorithm(&a, j->algorithms.items[k]))
			return err_set(e, ERR_INVALID,
			    "access.jwt[%zu]: algorithm %.20s; use RS, PS or "
			    "ES with 256, 384 or 512, as in RS256",
			    i, j->algorithms.items[k]);
	if (j->algorithms.count == 0)
		return err_set(e, ERR_INVALID,
		    "access.jwt[%zu]: no algorithms; leave it out for RS256",
		    i);
	if ((j->jwks_file == NULL) == (j->jwks_url == NULL))
		return err_set(e, ERR_INVALID,
		    "access.jwt[%zu]: give jwks_file or jwks_url", i);
	if (j->jwks_url == NULL &&
	    (j->ca_file != NULL || j->token_file != NULL))
		return err_set(e, ERR_INVALID,
		    "access.jwt[%zu]: ca_file and token_file belong to "
		    "jwks_url",
		    i);
	if (j->jwks_url != NULL &&
	    call_url_check(j->jwks_url, false, e) != ERR_OK)
		return err_add(e, "access.jwt[%zu]: jwks_url", i);
	return ERR_OK;
}

enum err_code
conf_jwt_check(const struct spec_list *list, struct err *e)
{
	const struct conf_jwt *j = list->items;

	for (size_t i = 0; i < list->count; i++)
		TRY(check_one(&j[i], i, e));
	return ERR_OK;
}
