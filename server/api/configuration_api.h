#ifndef SERVER_API_CONFIGURATION_API_H
#define SERVER_API_CONFIGURATION_API_H

/* How the last reading of server.yaml went, with the reason: that may name files
 * of secrets, and is for operators without limits. */

struct request;

void configuration_api_get(struct request *r);

#endif
