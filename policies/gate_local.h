#ifndef POLICIES_GATE_LOCAL_H
#define POLICIES_GATE_LOCAL_H

/* The gate's programs as confined children: which files they see, which limits
 * hold. The supervisor starts them for the server, the command line for itself;
 * both with these rules. No network, no secrets, no writable file but a granted
 * scratch folder, an environment of our own. Only from a process with a single
 * thread (see core/child.h). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/child.h"
#include "core/err.h"
#include "policies/gate.h"

enum {
	GATE_PROCESSES = 64, /* threads of an engine */
	GATE_FILES_OPEN = 64
};
#define GATE_MEMORY_DEFAULT (INT64_C(512) << 20)
#define GATE_MEMORY_MIN (INT64_C(128) << 20) /* Go does not start with less */

/* One program to start. Strings are borrowed. */
struct gate_program {
	bool best_effort; /* go on without Landlock or seccomp */
	/* The engine: absolute path and first arguments. */
	const char *const *argv;
	size_t argc;
	/* Or a command that the server allows; NULL: the engine. */
	const char *command_path;
	int64_t processes;      /* a command's; 0: none but itself */
	int64_t scratch;        /* bytes per file it may write to work/scratch,
	                         * where TMPDIR points, not of all files
	                         * together; 0: writes nothing */
	int64_t timeout_max_ms; /* 0: as asked for */
	int64_t memory_max;     /* 0: GATE_MEMORY_DEFAULT */

	const char *const *args; /* NULL-terminated, after those of argv */
	const char *work;        /* the whole folder can be read */
	const char *dir;         /* where it runs, in or below work */
	int64_t timeout_ms;      /* for the limit on CPU time */
};

/* Starts it with these as stdout and stderr; whoever starts it ends it at its
 * deadline. */
enum err_code gate_program_start(pid_t *pid, const struct gate_program *p,
    int stdout_fd, int stderr_fd, struct err *e) MUST_CHECK;

/* Runs it to its end. */
enum err_code gate_program_run(struct child_result *out,
    const struct gate_program *p, size_t out_max, struct err *e) MUST_CHECK;

/* A runner for the command line: the engine, and no commands unless `command`
 * finds one. It is the ctx of the runner and has to outlive it. */
struct gate_local {
	const char *const *engine; /* absolute path and first arguments */
	size_t engine_count;
	const char *work;
	bool best_effort;
	int64_t memory_max; /* 0: the default */
	/* Fills command_path, processes, scratch, memory_max, timeout_max_ms.
	 * NULL: none is allowed. */
	enum err_code (*command)(void *arg, const char *name,
	    struct gate_program *p, struct err *e);
	void *arg;
};
struct gate_runner gate_local_runner(struct gate_local *local);

/* What confine_describe says of the gate's rules on this machine. */
void gate_local_sandbox(char out[64]);

#endif
