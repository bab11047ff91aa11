#ifndef SERVER_CONF_LIMITS_H
#define SERVER_CONF_LIMITS_H

/* What clients may take of the server: `http.limits` in server.yaml; what each
 * of them is told is in docs/serving.md. All that is counted is counted by each
 * serving thread for itself. Part of the configuration, immutable after the
 * start. */

#include <stdint.h>

#include "core/spec.h"

struct conf_limits {
	int64_t headers_timeout; /* seconds, as are the next two */
	int64_t body_timeout;
	int64_t answer_grace;
	int64_t answer_rate; /* bytes per second; 0: any */
	/* 0: no limit. */
	int64_t address_connections;
	int64_t failures_rate, failures_burst; /* per second; at once */
	int64_t api_rate, api_burst;
};

extern const struct spec conf_limits_spec[];

#endif
