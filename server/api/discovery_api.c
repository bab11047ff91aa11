#include "server/api/discovery_api.h"

#include "server/api/bundle_api.h"
#include "server/http/engine.h"
#include "server/http/loop.h"
#include "server/http/poll.h"
#include "server/http/reply.h"

/* What this credential may not read looks like what does not exist. */
static const struct catalog_entry *
find(const struct request *r, const char *cluster)
{
	if (!bundle_api_serves(r, cluster))
		return NULL;
	return catalog_discovery(loop_catalog(r->loop), cluster);
}

void
discovery_api_get(struct request *r)
{
	const char *cluster = route_param(r->match, "cluster");
	const struct catalog_entry *entry = find(r, cluster);

	if (entry == NULL) {
		reply_fault(r, 404, "not_found",
		    "there is no discovery bundle of cluster %s for this "
		    "credential; the server's log says what keeps one from "
		    "being made (discovery.stale)",
		    cluster);
	} else if (poll_has(request_header(r, "If-None-Match"), entry->etag)) {
		bundle_api_answer(r, 304, entry);
	} else {
		engine_told(r, cluster);
		bundle_api_answer(r, 200, entry);
	}
}
