#ifndef SERVER_API_DISCOVERY_API_H
#define SERVER_API_DISCOVERY_API_H

/* The discovery bundle of an engine's cluster: as bundles are served, but never
 * held, whatever the request prefers. */

struct request;

void discovery_api_get(struct request *r);

#endif
