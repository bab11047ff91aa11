#ifndef SERVER_HTTP_CERTIFICATE_H
#define SERVER_HTTP_CERTIFICATE_H

/* Engines that are known by a client certificate. libmicrohttpd only asks for
 * one: whether its chain ends in tls.client_ca, whether it is good at this time,
 * meant for clients and not revoked is checked here, for each request. Its names are the DNS
 * names and URIs of its subjectAltName, or its common name when it has neither;
 * the first that access.certificates knows says which engine it is, and of which
 * cluster. In the loop's own thread. */

#include <microhttpd.h>

#include "core/spec.h"
#include "server/http/auth.h"
#include "server/http/tls.h"

enum { CERTIFICATE_NAME_MAX = 255, CERTIFICATE_NAMES_MAX = 32 };

struct certificate {
	char name[CERTIFICATE_NAME_MAX + 1];
	struct catalog_token token; /* an engine's, with this name */
};

/* NONE: there is none. WRONG: *e says why. tls is what holds now, map
 * is access.certificates, which outlives *out; *out must not move afterwards. */
enum auth_result certificate_check(struct certificate *out,
    struct MHD_Connection *connection, const struct tls *tls,
    const struct spec_list *map, struct err *e);

/* Does a name of a certificate have this pattern, in which * is any run of
 * characters but "." and "/"? One with "://" is for URIs only. */
bool certificate_fits(const char *pattern, const char *name);

#endif
