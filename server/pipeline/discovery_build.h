#ifndef SERVER_PIPELINE_DISCOVERY_BUILD_H
#define SERVER_PIPELINE_DISCOVERY_BUILD_H

/* From a discovery document to files that may be served: packed, signed, looked
 * at by the real engine. In the thread of server/pipeline/discovery.c. */

#include "bundler/bundle.h"
#include "server/pipeline/desk.h"

struct discovery_build {
	struct desk *desk;
	const char *repository; /* whose engine looks at it */
	const char *cluster;
	const json_t *keys; /* of KEEPER_KEYS */
	const struct bundle *bundle;
	const char *document; /* as JSON text: what the engine has to see */
};

/* *out is what LEDGER_DISCOVERY takes as artifact; the caller's. An error is
 * the server's trouble, and nothing is served that was not looked at. */
enum err_code discovery_build(json_t **out, const struct discovery_build *b,
    struct err *e) MUST_CHECK;

#endif
