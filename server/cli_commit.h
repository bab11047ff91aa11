#ifndef SERVER_CLI_COMMIT_H
#define SERVER_CLI_COMMIT_H

/* A bundle as a commit of a repository on this machine has it, for commands
 * that compare. One thread. */

#include "bundler/bundle.h"

/* rev of the repository that dir is in; name NULL: the only bundle there is.
 * UNSUPPORTED when it goes through `opa build`: then the error says so. The
 * caller owns *out. */
enum err_code cli_commit_bundle(struct bundle **out, const char *dir,
    const char *rev, const char *name, struct err *e) MUST_CHECK;

/* A bundle file. The caller clears *out. */
enum err_code cli_commit_file(struct bundle_archive *out, const char *path,
    struct buf *bytes, struct err *e) MUST_CHECK;

#endif
