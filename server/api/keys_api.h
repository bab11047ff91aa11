#ifndef SERVER_API_KEYS_API_H
#define SERVER_API_KEYS_API_H

/* /v1/keys: the signing keys, without their secrets; which clusters use each,
 * and which engines still depend on it, as far as engines say who they are. */

struct request;

void keys_api_list(struct request *r);
/* Asks the ledger, unless engines depend on the key and it is not forced. */
void keys_api_retire(struct request *r);

#endif
