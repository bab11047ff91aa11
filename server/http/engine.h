#ifndef SERVER_HTTP_ENGINE_H
#define SERVER_HTTP_ENGINE_H

/* Which engine a request is from, and what its poll tells the table of engines
 * (clusters/engines.h). A name is what the header X-Edict-Engine says; it proves
 * nothing, and the credential binds the cluster. A name that is none (see
 * engines_is_name) makes the engine an anonymous one: it is served all the
 * same. In the thread of the request's loop; never waits. */

#include "clusters/engines.h"
#include "server/http/request.h"

/* A request for a bundle, as the table wants it. All of it lives as long as the
 * request and the catalog do. */
struct engine {
	struct engines_poll poll;
	struct engines_mark has;
	const char *revision; /* of what is assigned */
	char version[ENGINES_VERSION_SIZE];
	bool tracked;  /* not an operator's request, nor a HEAD */
	bool settling; /* it was told another configuration: see engines_told */
	bool missed;   /* what this poll tells could not be noted */
};

/* Is it OPA that asks, by what it says? Go's HTTP client behind it is made anew
 * for every poll, and would leave its connection idle for 90 s. */
bool engine_is_opa(const struct request *r);

/* The name that the request gives its engine, or NULL. */
const char *engine_name(const struct request *r);

void engine_read(struct engine *out, const struct request *r,
    const struct catalog_entry *entry);

/* Tells the table; false: what is assigned is not to be sent now. A request
 * that was held asks once more, without being counted again. */
bool engine_may_have(struct request *r, struct engine *e);

/* Its cluster's discovery bundle is being sent. */
void engine_told(struct request *r, const char *cluster);

/* It is being sent. If that does not get through, engine_failed. */
void engine_sent(struct request *r, const struct engine *e);
void engine_failed(struct request *r);

#endif
