#ifndef SERVER_CONF_RETENTION_H
#define SERVER_CONF_RETENTION_H

/* What is kept, and for how long: `retention:` in server.yaml. Immutable after
 * the start. */

#include "clusters/store_gc.h"
#include "core/spec.h"

struct conf_kept {
	int64_t count;
	int64_t age; /* seconds */
};

struct conf_retention {
	int64_t every; /* seconds; 0: only when asked */
	struct conf_kept artifacts, reports, operations;
	int64_t compiled; /* seconds since it was of use */
};

extern const struct spec conf_retention_spec[];

/* For the ledger; engines_age is `engines.forget_after`. */
struct store_keep conf_retention_keep(const struct conf_retention *r,
    int64_t engines_age);

#endif
