#ifndef SERVER_API_CLUSTERS_API_H
#define SERVER_API_CLUSTERS_API_H

/* /v1/clusters: who is assigned what. */

struct request;

void clusters_api_list(struct request *r);
void clusters_api_get(struct request *r);

#endif
