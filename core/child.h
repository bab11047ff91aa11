#ifndef CORE_CHILD_H
#define CORE_CHILD_H

/* Short-lived children: one confined program or function, started by a
 * single-threaded process (the supervisor, or a command-line command), because
 * the parent-death signal follows the thread that forked. A child has its own
 * process group, an explicit environment, no descriptors but those named, and
 * dies with its parent. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/buf.h"
#include "core/confine.h"
#include "core/err.h"

enum { CHILD_FDS_MAX = 8, CHILD_GRACE_MS = 2000 };

struct child_spec {
	const char *name;          /* for messages and ps: "opa test" */
	const char *path;          /* absolute; NULL: run function instead */
	const char *const *argv;   /* NULL-terminated, with argv[0] */
	const char *const *envp;   /* NULL-terminated; NULL is empty */
	const char *cwd;           /* NULL: "/" */
	int stdin_fd;              /* -1: /dev/null */
	int stdout_fd;             /* -1: /dev/null */
	int stderr_fd;             /* -1: /dev/null; the log for functions */
	const int *keep;           /* further descriptors a function needs */
	size_t keep_count;
	/* In place of path: runs in the child; the result is the exit status.
	 * prepare runs before confinement (reading a credential), main after. */
	int (*prepare)(void *arg);
	int (*main)(void *arg);
	void *arg;
	struct confine_rules rules;
};

/* Forks, confines, executes. *pid is also the process group. */
enum err_code child_start(pid_t *pid, const struct child_spec *spec,
    struct err *e) MUST_CHECK;

enum child_end {
	CHILD_EXITED,   /* status is the exit status */
	CHILD_SIGNALLED,/* status is the signal: a crash, or out of memory */
	CHILD_TIMED_OUT,/* killed at the deadline */
	CHILD_FLOODED,  /* killed for too much output */
	CHILD_CANCELLED
};

struct child_result {
	enum child_end end;
	int status;
	int64_t wall_ms;
	int64_t cpu_ms;
	int64_t rss_max; /* bytes */
	struct buf out;  /* stdout, up to out_max */
	struct buf err;  /* stderr, up to out_max */
};

void child_result_clear(struct child_result *r);
const char *child_end_name(enum child_end end); /* "exited", "timed_out", … */

/* Runs a child to its end and gathers its output; stdout_fd and stderr_fd of
 * spec are ignored. TERM at the deadline, KILL after CHILD_GRACE_MS. Only an
 * error to start is an error; how it ended is in the result. */
enum err_code child_run(struct child_result *out, const struct child_spec *spec,
    int64_t timeout_ms, size_t out_max, struct err *e) MUST_CHECK;

/* Signals the whole group; waits for nothing. */
void child_signal(pid_t pid, int signal_number);

#endif
