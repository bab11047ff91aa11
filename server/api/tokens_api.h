#ifndef SERVER_API_TOKENS_API_H
#define SERVER_API_TOKENS_API_H

/* /v1/tokens: who may do what, without the tokens themselves. */

struct request;

void tokens_api_list(struct request *r);

#endif
