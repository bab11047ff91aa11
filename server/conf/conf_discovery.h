#ifndef SERVER_CONF_DISCOVERY_H
#define SERVER_CONF_DISCOVERY_H

/* `discovery:` of server.yaml: what discovery bundles tell engines about every
 * bundle. */

#include <stdbool.h>
#include <stdint.h>

#include "core/spec.h"

struct conf_discovery {
	bool persist;
	int64_t wait;                 /* seconds, as are the next; 0: none */
	int64_t min_delay, max_delay; /* between polls */
};

/* Of struct conf_discovery. */
extern const struct spec conf_discovery_spec[];

enum err_code conf_discovery_check(const struct conf_discovery *c,
    struct err *e) MUST_CHECK;

#endif
