#ifndef SERVER_AUDIT_API_H
#define SERVER_AUDIT_API_H

/* /v1/audit: who did what. */

struct request;

void audit_api_list(struct request *r);

#endif
