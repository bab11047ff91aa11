#ifndef SERVER_KEYS_API_H
#define SERVER_KEYS_API_H

/* /v1/keys: the public halves of the signing keys, as they were when this
 * process started. */

struct request;

void keys_api_list(struct request *r);

#endif
