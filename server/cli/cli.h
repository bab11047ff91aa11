#ifndef SERVER_CLI_H
#define SERVER_CLI_H

/* The command line: one table of commands, from which usage, help pages and
 * the man page follow. A command's file is cli_GROUP.c. Exit status: 0 done, 1
 * refused or failed, 2 usage. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli_option {
	const char *name;     /* "reason"; NULL ends the table */
	char letter;          /* 'c', or 0 */
	const char *argument; /* "FILE", or NULL for a switch */
	const char *help;
};

struct cli_command {
	const char *name;
	const char *group;   /* heading in the overview */
	const char *usage;   /* "BUNDLE --to REV --reason TEXT [options]" */
	const char *summary; /* one line */
	const char *help;    /* paragraphs that teach, with examples */
	const struct cli_option *options;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct cli_command *const cli_commands[]; /* NULL-terminated */

/* Prints a command's help, or the overview for NULL. */
void cli_help(const struct cli_command *command);
/* "edict COMMAND: text", what to do, and returns 2. */
int cli_usage(const struct cli_command *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Parsed options of one command: values by option name; the remaining
 * arguments. Unknown options, missing arguments: message, usage, status 2. */
struct cli_args {
	const struct cli_command *command;
	const char *values[32]; /* index as in command->options */
	bool given[32];
	char **rest;
	int rest_count;
};
/* 0, or the exit status to end with plus one when help was asked or a fault
 * was printed: callers write `if ((n = cli_parse(…)) != 0) return n - 1;` */
int cli_parse(struct cli_args *out, const struct cli_command *command, int argc,
    char **argv);
const char *cli_value(const struct cli_args *a, const char *option);
bool cli_given(const struct cli_args *a, const char *option);

/* "90d", "12h", "30m", "10s" in seconds; 0: it is none of these. */
int64_t cli_seconds(const char *text);

extern const struct cli_command cli_serve;           /* cli_serve.c */
extern const struct cli_command cli_init, cli_check; /* cli_policy.c */
extern const struct cli_command cli_build;           /* cli_build.c */
extern const struct cli_command cli_diff;            /* cli_diff.c */
extern const struct cli_command cli_verify;          /* cli_verify.c */
extern const struct cli_command cli_keygen;          /* cli_key.c */
extern const struct cli_command cli_keys;            /* cli_keys.c */
extern const struct cli_command cli_status;          /* cli_status.c */
extern const struct cli_command cli_log;             /* cli_log.c */
extern const struct cli_command cli_show;            /* cli_show.c */
extern const struct cli_command cli_rollback, cli_pin,
    cli_resume;                              /* cli_rollback.c */
extern const struct cli_command cli_retest;  /* cli_retest.c */
extern const struct cli_command cli_cluster; /* cli_cluster.c */
extern const struct cli_command cli_fetch, cli_suspend, cli_unsuspend,
    cli_accept;                                          /* cli_repository.c */
extern const struct cli_command cli_engine_config;       /* cli_engine.c */
extern const struct cli_command cli_token;               /* cli_token.c */
extern const struct cli_command cli_audit;               /* cli_audit.c */
extern const struct cli_command cli_backup, cli_restore; /* cli_backup.c */
extern const struct cli_command cli_gc;                  /* cli_gc.c */
extern const struct cli_command cli_man;                 /* cli_man.c */

#endif
