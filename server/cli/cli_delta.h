#ifndef SERVER_CLI_DELTA_H
#define SERVER_CLI_DELTA_H

/* Shows what bundler/delta.h found to people. One thread. */

#include <jansson.h>

/* What stands before the two sides: file names, or "rev" as they were asked
 * for. */
void cli_delta_print(const json_t *delta, const char *from, const char *to);

#endif
