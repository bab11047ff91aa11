#ifndef SERVER_PIPELINE_DISCOVERY_DOCUMENT_H
#define SERVER_PIPELINE_DISCOVERY_DOCUMENT_H

/* What a cluster's discovery bundle says: its bundles as they are assigned, with
 * signature verification by the key that signed each, the public keys, and
 * where status goes. No address stands in it: engines refuse a change of the
 * service that discovery itself comes from. Pure; any thread. */

#include <jansson.h>

#include "core/err.h"
#include "server/conf/conf_discovery.h"

struct discovery_input {
	const char *cluster;
	const json_t *bundles; /* [{"bundle","key"}], a null bundle is none */
	const json_t *keys;    /* of KEEPER_KEYS */
	const struct conf_discovery *settings;
};

/* Every bundle-signing key that may sign is in it, so that engines have it
 * before it does; so is a retired one that something assigned is signed with.
 * UNSUPPORTED when that is an HS key: its secret cannot be told to engines this
 * way. NOT_FOUND: the keeper does not have the key any more. *out is the
 * caller's. */
enum err_code discovery_document(json_t **out, const struct discovery_input *in,
    struct err *e) MUST_CHECK;

#endif
