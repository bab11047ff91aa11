#ifndef SERVER_CONF_ACCESS_H
#define SERVER_CONF_ACCESS_H

/* access.jwt of server.yaml: issuers of tokens that engines may show, such as a
 * Kubernetes cluster's for its service accounts. Part of the configuration:
 * read once, immutable afterwards. */

#include <stdint.h>

#include "core/spec.h"

enum {
	CONF_JWT_MAX = 64,
	CONF_JWT_SUBJECTS_MAX = 1000,
	CONF_JWT_TEXT_MAX = 255 /* bytes of an issuer, audience or subject */
};

/* Engines whose token has such a subject are of this cluster. */
struct conf_jwt_subject {
	char *subject;
	char *cluster;
};

struct conf_jwt {
	char *issuer;
	char *audience;
	struct spec_strings algorithms;
	char *jwks_file; /* this, or */
	char *jwks_url;
	char *ca_file;
	char *token_file;
	int64_t refresh, stale_max, leeway; /* seconds */
	struct spec_list subjects;          /* of conf_jwt_subject */
};

extern const struct spec conf_jwt_spec[];

/* The algorithms that its tokens may be signed with: bits, 1 << enum
 * key_algorithm. */
uint32_t conf_jwt_algorithms(const struct conf_jwt *j);

/* What no table can say. */
enum err_code conf_jwt_check(const struct spec_list *list, struct err *e)
    MUST_CHECK;

#endif
