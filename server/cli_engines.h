#ifndef SERVER_CLI_ENGINES_H
#define SERVER_CLI_ENGINES_H

/* What `edict status` shows of engines. One thread. */

#include <jansson.h>

#include "server/cli_client.h"

/* How many engines of each cluster have each bundle, and which need looking
 * at; clusters as the API lists them. Nothing when there are no engines. */
void cli_engines_summary(const json_t *clusters);

/* Every engine of every cluster. */
enum err_code cli_engines_list(json_t **out, struct client *c,
    const json_t *clusters, struct err *e) MUST_CHECK;
void cli_engines_print(const json_t *engines);

#endif
