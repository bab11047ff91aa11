#ifndef SERVER_CLI_AUDIT_H
#define SERVER_CLI_AUDIT_H

/* What commands show of the audit. One thread. */

#include <jansson.h>

/* What matters most of an event's detail, in one line; mem_ memory. */
char *cli_audit_detail(const json_t *detail);

#endif
