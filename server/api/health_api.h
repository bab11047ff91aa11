#ifndef SERVER_API_HEALTH_API_H
#define SERVER_API_HEALTH_API_H

/* For whoever watches the server: no credential, no names. */

struct request;

void health_api_alive(struct request *r);
void health_api_ready(struct request *r);

#endif
