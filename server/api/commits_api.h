#ifndef SERVER_API_COMMITS_API_H
#define SERVER_API_COMMITS_API_H

/* /v1/commits: what the store says of commits and their verdicts. */

struct request;

void commits_api_list(struct request *r);
void commits_api_get(struct request *r);

#endif
