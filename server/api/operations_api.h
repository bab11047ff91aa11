#ifndef SERVER_API_OPERATIONS_API_H
#define SERVER_API_OPERATIONS_API_H

/* What operators want done, and how far it is. Every POST is a question to the
 * ledger, which checks the operator's token and all fields itself; here they
 * are only put into shape. */

struct request;

void operations_api_get(struct request *r);
void operations_api_ask(struct request *r);

#endif
