#ifndef SERVER_CLI_VERB_H
#define SERVER_CLI_VERB_H

/* Commands of several verbs, each of which talks to a server: "edict token
 * list". One thread. */

#include "server/cli/cli_client.h"

struct cli_verb {
	const char *name; /* NULL ends the table */
	int rest;         /* words, itself included */
	/* NULL: it does not talk to a server, the command runs it itself. */
	enum err_code (*run)(struct client *c, const struct cli_args *a,
	    struct err *e);
};

/* NULL: none of them is meant. */
const struct cli_verb *cli_verb_find(const struct cli_verb *verbs,
    const struct cli_args *a);

/* Runs it with the server that is meant; the exit status. */
int cli_verb_run(const struct cli_verb *verb, const struct cli_args *a);

/* DELETE with the reason that was given, if any. The answer is printed: as it is
 * with --json, else by print. */
enum err_code cli_verb_delete(struct client *c, const struct cli_args *a,
    const char *path,
    void (*print)(const struct cli_args *a, const json_t *answer),
    struct err *e) MUST_CHECK;

#endif
