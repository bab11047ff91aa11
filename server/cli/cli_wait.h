#ifndef SERVER_CLI_WAIT_H
#define SERVER_CLI_WAIT_H

/* Waits until engines have taken what was assigned, as their polls tell. Only
 * engines with a name can be waited for; silent ones are counted, not waited
 * for. One thread. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/cli/cli_client.h"

enum { CLI_WAIT_SECONDS = 300 };

/* assignments as the server answered them. *out is the caller's: {"done": bool,
 * "engines", "converged", "silent": numbers, "ms", "missing": [{"cluster",
 * "bundle","engine","state","seen_at"}]}. CONFLICT when somebody changed one of
 * them meanwhile. */
enum err_code cli_wait(struct client *c, const json_t *assignments,
    int64_t timeout_ms, json_t **out, struct err *e) MUST_CHECK;

void cli_wait_print(const json_t *result);

#endif
