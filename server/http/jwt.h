#ifndef SERVER_HTTP_JWT_H
#define SERVER_HTTP_JWT_H

/* Tokens of engines that somebody else issued, such as those of Kubernetes
 * service accounts: signed JWTs (RFC 7519, with RFC 8725 in mind). What counts
 * is the configuration: a token's header chooses among the algorithms and keys
 * that are allowed there, and nothing else of it is believed before its
 * signature is verified. Pure; any thread. */

#include <stddef.h>
#include <stdint.h>

#include "server/conf/conf_access.h"
#include "server/http/jwks.h"

enum {
	JWT_SIZE_MAX = 4096, /* bytes of a token */
	JWT_POD_MAX = 253    /* a name in Kubernetes */
};

/* An issuer that the configuration names, with its keys. */
struct jwt_issuer {
	const struct conf_jwt *conf;
	struct jwks *keys;     /* NULL: none are known */
	uint32_t algorithms;   /* conf_jwt_algorithms */
	int64_t keys_until_ms; /* wall clock: when they are too old; 0: never */
};

struct jwt {
	char subject[CONF_JWT_TEXT_MAX + 1];
	char pod[JWT_POD_MAX + 1]; /* kubernetes.io.pod.name, or "" */
	const char *cluster;       /* of the configuration */
	size_t issuer;             /* which of them */
	int64_t expires_ms;        /* wall clock, leeway included */
};

/* Could the text be one, and no token of our own? */
bool jwt_is_like(const char *text, size_t len);

/* Several issuers may have the same name and different keys. *missing: the one
 * that has no key of the token's id, or count; to be asked for newer keys.
 * DENIED and others say what is wrong, for the log: what they quote of the token
 * is its key's id only. */
enum err_code jwt_read(struct jwt *out, const char *text, size_t len,
    const struct jwt_issuer *issuers, size_t count, int64_t wall_ms,
    size_t *missing, struct err *e) MUST_CHECK;

/* Does a subject have this pattern, in which * is any run of characters but
 * ":"? */
bool jwt_fits(const char *pattern, const char *subject);

#endif
