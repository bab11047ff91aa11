#ifndef SERVER_CONF_ACCESS_LOG_H
#define SERVER_CONF_ACCESS_LOG_H

/* `http.access_log:` of server.yaml (server/http/access_log.h). Part of the
 * configuration. */

#include <stdint.h>

#include "core/spec.h"

struct conf_access_log {
	int64_t sample; /* one of so many; 0: none */
};

/* Of struct conf_access_log. */
extern const struct spec conf_access_log_spec[];

#endif
