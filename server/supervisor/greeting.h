#ifndef SERVER_SUPERVISOR_GREETING_H
#define SERVER_SUPERVISOR_GREETING_H

/* What `edict serve` says on stdout once it listens: where, which tokens, and
 * what to do next. Also leaves the address in data_dir/address for commands on
 * the same machine. */

#include "core/err.h"
#include "server/conf/conf.h"

/* Where commands on this machine look for the server. A failure is logged. */
void greeting_put_address(const struct conf *c, const char *address);

/* address as it became, should the port have been 0. */
enum err_code greeting_print(const struct conf *c, const char *address,
    struct err *e) MUST_CHECK;

#endif
