#ifndef SERVER_CLI_LOCAL_H
#define SERVER_CLI_LOCAL_H

/* The engine of this machine and a folder to run it in, for commands that do
 * without a server. Must not move once opened: the job points into it. */

#include "policies/gate.h"
#include "policies/gate_local.h"

struct cli_local {
	char *engine; /* absolute path */
	char *work;
	const char *argv[1];
	struct gate_local local;
	struct gate_runner runner;
	struct gate_engine known; /* after cli_local_ask */
	struct gate_minimum minimum;
	char sandbox[64];
	struct gate_job job; /* the caller sets its tree */
};

/* opa: what --opa says, or NULL: EDICT_OPA, else from PATH. */
enum err_code cli_local_open(struct cli_local *l, const char *opa,
    bool best_effort, struct err *e) MUST_CHECK;

/* Asks the engine who it is. */
enum err_code cli_local_ask(struct cli_local *l, struct err *e) MUST_CHECK;

/* Removes the folder. Also after cli_local_open failed. */
void cli_local_close(struct cli_local *l);

#endif
