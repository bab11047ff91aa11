#ifndef BUNDLER_COMPILE_KEPT_H
#define BUNDLER_COMPILE_KEPT_H

/* What `opa build` wrote, kept in files by the digest of all that went in: it
 * outlives a restart, and the newest COMPILE_KEPT_MAX stay. A damaged file is as
 * one that is not there. Threads and processes may share a folder. */

#include <stdbool.h>

#include "core/buf.h"
#include "core/err.h"

/* folder NULL: nothing is kept. out is initialised here; buf_clear in any case. */
bool compile_kept_get(struct buf *out, const char *folder, const char *key);
enum err_code compile_kept_put(const char *folder, const char *key,
    const struct buf *result, struct err *e) MUST_CHECK;

#endif
