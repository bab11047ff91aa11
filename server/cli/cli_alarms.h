#ifndef SERVER_CLI_ALARMS_H
#define SERVER_CLI_ALARMS_H

/* What `edict status` shows of alarms, of a server.yaml that is not in force, and
 * of targets of events that fail. */

#include <jansson.h>

#include "server/cli/cli_client.h"

/* Adds "alarms", "configuration" and "targets" to all; a credential that may not
 * see them gets empty lists and null. */
enum err_code cli_alarms_ask(json_t *all, struct client *c, struct err *e)
    MUST_CHECK;

/* Nothing while nothing is wrong. */
void cli_alarms_print(const json_t *all);

#endif
