#ifndef BUNDLER_COMPILE_KEPT_H
#define BUNDLER_COMPILE_KEPT_H

/* What `opa build` wrote, kept in files by the digest of all that went in: it
 * outlives a restart. COMPILE_KEPT_MAX that were used last stay, as long as they
 * take no more than COMPILE_KEPT_BYTES. A damaged file is as one that is not
 * there, and what cannot be kept is logged and made again. Threads and processes may share a folder. */

#include <stdbool.h>

#include "core/buf.h"
#include "core/err.h"

/* folder NULL: nothing is kept. out is initialised here; buf_clear in any case. */
bool compile_kept_get(struct buf *out, const char *folder, const char *key);
void compile_kept_put(const char *folder, const char *key,
    const struct buf *result);

#endif
