#ifndef SERVER_CLI_KEY_H
#define SERVER_CLI_KEY_H

/* Keys that commands read from files. One thread. */

#include <stdbool.h>

#include "core/err.h"
#include "signing/key.h"

/* The key in a file: its private half to sign, its public one to verify; a
 * shared secret (HS*) has one half only. algorithm NULL: RS256; id NULL: none.
 * The caller owns *out. */
enum err_code cli_key_read(struct key **out, const char *file, const char *id,
    const char *algorithm, bool private_half, struct err *e) MUST_CHECK;

#endif
