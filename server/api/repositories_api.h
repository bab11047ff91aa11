#ifndef SERVER_API_REPOSITORIES_API_H
#define SERVER_API_REPOSITORIES_API_H

/* /v1/repositories: how each is followed. */

struct request;

void repositories_api_list(struct request *r);
void repositories_api_get(struct request *r);

#endif
