#ifndef SERVER_CLI_AUDIT_H
#define SERVER_CLI_AUDIT_H

/* What commands show of the audit, and what `edict audit` consists of. One
 * thread. */

#include <jansson.h>

#include "core/err.h"
#include "server/cli/cli_client.h"

enum {
	CLI_AUDIT_MAX = 1000000, /* events that are read at once */
	CLI_AUDIT_HEADS_MAX = 100000,
	CLI_AUDIT_KEYS_MAX = 16
};

/* What matters most of an event's detail, in one line; mem_ memory. */
char *cli_audit_detail(const json_t *detail);

/* All events that the options choose, newest first, and all signed heads, the
 * same. LIMIT when there are more than fit. The caller owns *out. */
enum err_code cli_audit_events(json_t **out, struct client *c,
    const struct cli_args *a, struct err *e) MUST_CHECK;
enum err_code cli_audit_heads(json_t **out, struct client *c, struct err *e)
    MUST_CHECK;

/* `edict audit verify`: cli_audit_verify.c. CORRUPT and CRYPTO after it has
 * printed what it found. */
enum err_code cli_audit_verify(const struct cli_args *a, struct err *e)
    MUST_CHECK;

/* `edict audit sign`: cli_audit_sign.c. */
enum err_code cli_audit_sign(const struct cli_args *a, struct err *e)
    MUST_CHECK;

#endif
