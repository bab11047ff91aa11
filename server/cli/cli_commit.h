#ifndef SERVER_CLI_COMMIT_H
#define SERVER_CLI_COMMIT_H

/* A bundle as a commit of a repository on this machine has it, for commands
 * that build one or compare. One thread. */

#include "bundler/bundle.h"
#include "server/cli/cli.h"

/* rev of the repository that dir is in; name NULL: the only bundle there is.
 * One with `compile` goes through the engine that the options --opa and
 * --best-effort tell, as CLI_COMMIT_OPTIONS has them. The caller owns *out. */
enum err_code cli_commit_bundle(struct bundle **out, const struct cli_args *a,
    const char *dir, const char *rev, const char *name, struct err *e)
    MUST_CHECK;

#define CLI_COMMIT_OPTIONS                                             \
	{ "opa", 0, "FILE",                                            \
		"for `compile`; default: EDICT_OPA, else from PATH" }, \
	{                                                              \
		"best-effort", 0, NULL,                                \
		    "run it even where the sandbox is incomplete"      \
	}

/* A bundle file. The caller clears *out. */
enum err_code cli_commit_file(struct bundle_archive *out, const char *path,
    struct buf *bytes, struct err *e) MUST_CHECK;

#endif
