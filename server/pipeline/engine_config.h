#ifndef SERVER_PIPELINE_ENGINE_CONFIG_H
#define SERVER_PIPELINE_ENGINE_CONFIG_H

/* The configuration that a real OPA needs to follow a cluster, to be pasted:
 * service with its credential, public keys, and either each bundle or discovery;
 * always signature verification with keyid and scope (without keyid OPA would
 * accept unsigned bundles). As plain configuration, for an OPA beside Envoy, or
 * as what Kubernetes takes. */

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

/* The service that engines know us by, in all configuration we write. */
#define ENGINE_SERVICE "edict"

/* Where Kubernetes puts things. */
#define ENGINE_TOKEN_PATH "/var/run/secrets/edict/token"
#define ENGINE_PERSIST_PATH "/var/lib/opa"

enum engine_for { ENGINE_FOR_OPA, ENGINE_FOR_ENVOY, ENGINE_FOR_KUBERNETES };

struct engine_key {
	const char *id;
	const char *algorithm;
	const char *public_pem; /* NULL for HS: a place to fill in */
};

struct engine_bundle {
	const char *name;
	const char *key_id; /* one of the keys */
};

/* A proxy between engines and server, and what it does to long polls. */
struct engine_proxy {
	const char *name;
	int wait_seconds;  /* that fits */
	int limit_seconds; /* what it ends by itself, as it comes */
	const char *why;
};
/* nginx, envoy, alb; ends with a NULL name. */
extern const struct engine_proxy engine_proxies[];

struct engine_config {
	const char *url; /* of the server */
	const char *cluster;
	const char *token; /* written into the text; NULL: none. For Kubernetes
	                    * a file holds it, and this is not looked at */
	const struct engine_key *keys;
	size_t key_count;
	const struct engine_bundle *bundles; /* not with discovery */
	size_t bundle_count;
	const char *discovery_key; /* one of the keys; NULL: no discovery */
	int wait_seconds;          /* of a long poll; 0: plain polling */
	const struct engine_proxy *proxy; /* or NULL */
	const char *persist_dir;          /* NULL: no persistence */
	enum engine_for kind;
	const char *decision; /* for Envoy: what it asks for */
};

/* Appends YAML. */
void engine_config_write(struct buf *out, const struct engine_config *c);

#endif
