#ifndef SERVER_API_AUDIT_API_H
#define SERVER_API_AUDIT_API_H

/* /v1/audit: who did what, and the signed heads of that. */

struct request;

void audit_api_list(struct request *r);
void audit_api_heads(struct request *r);

#endif
