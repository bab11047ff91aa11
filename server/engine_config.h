#ifndef SERVER_ENGINE_CONFIG_H
#define SERVER_ENGINE_CONFIG_H

/* The configuration that a real OPA needs to follow a cluster, to be pasted:
 * service with its credential, public keys, bundles with long polling, signature
 * verification with keyid and scope (without keyid OPA would accept unsigned
 * bundles), persistence. */

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

struct engine_key {
	const char *id;
	const char *algorithm;
	const char *public_pem; /* NULL for HS: a place to fill in */
};

struct engine_bundle {
	const char *name;
	const char *key_id; /* one of the keys */
};

struct engine_config {
	const char *url; /* of the server */
	const char *cluster;
	const char *token; /* written into the text, or NULL for none */
	const struct engine_key *keys;
	size_t key_count;
	const struct engine_bundle *bundles;
	size_t bundle_count;
	int wait_seconds;        /* of a long poll; 0: plain polling */
	const char *persist_dir; /* NULL: no persistence */
};

/* Appends YAML. */
void engine_config_write(struct buf *out, const struct engine_config *c);

#endif
