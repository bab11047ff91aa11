#ifndef SERVER_CLI_ENGINES_H
#define SERVER_CLI_ENGINES_H

/* What `edict status` shows of engines. One thread. */

#include <jansson.h>

#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"

/* Of one assignment: "9 of 12" converged, "-" where no engine is known by name
 * (mem_ memory); what that means; and, below its row, what there is to say of
 * the rest. */
char *cli_engines_sum(const json_t *assignment);
enum screen_tint cli_engines_tint(const json_t *assignment);
void cli_engines_note(struct table *t, const json_t *assignment);

/* Every engine of every cluster. */
enum err_code cli_engines_list(json_t **out, struct client *c,
    const json_t *clusters, struct err *e) MUST_CHECK;
void cli_engines_print(const json_t *engines);

#endif
