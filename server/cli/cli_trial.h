#ifndef SERVER_CLI_TRIAL_H
#define SERVER_CLI_TRIAL_H

/* Shows what a rollback, pin or resume would do, and how the bundles differ.
 * One thread. */

#include <jansson.h>

#include "server/cli/cli_client.h"

/* answer is what the server said to "dry_run". Adds "differences": what
 * /v1/bundles/{bundle}/diff says of each bundle that would move, where both of
 * its revisions are stored. */
void cli_trial_compare(struct client *c, json_t *answer);

void cli_trial_print(const json_t *answer);

/* Would it be refused, anywhere? */
bool cli_trial_refused(const json_t *answer);

#endif
