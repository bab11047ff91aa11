#ifndef SERVER_SUPERVISOR_CALL_PRIVATE_H
#define SERVER_SUPERVISOR_CALL_PRIVATE_H

/* What the parent's and the child's half of a call share. */

#include "server/supervisor/call.h"

enum { CALL_PATHS_MAX = CONFINE_NETWORK_PATHS + 4 };

struct call_child {
	struct child_spec spec;
	struct confine_path paths[CALL_PATHS_MAX];
	size_t path_count;
	const struct call_target *target;
	char *headers[CALL_HEADERS_MAX]; /* "Name: value" */
	size_t header_count;
	int body_fd;
};

/* The child's side; arg is a struct call_child. */
int call_prepare(void *arg);
int call_main(void *arg);

/* The value of X-Edict-Signature: "t=1700000000,v1=<hex>[,v1=<hex>]", HMAC with
 * SHA-256 over the time's digits, a dot and the body, once for each secret. */
char *call_signature(const char *const *secrets, size_t count, int64_t time_s,
    const void *body, size_t len);

#endif
