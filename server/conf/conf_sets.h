#ifndef SERVER_CONF_SETS_H
#define SERVER_CONF_SETS_H

/* How the bundles of one cluster change together: `sets:` in server.yaml. Part
 * of the configuration, immutable after the start. */

#include <stdint.h>

#include "core/spec.h"

struct conf_sets {
	int64_t handover_timeout; /* seconds */
};

extern const struct spec conf_sets_spec[];

#endif
