#ifndef CORE_CHILD_H
#define CORE_CHILD_H

/* Short-lived children: one confined program or function, started by a
 * single-threaded process (the supervisor, or a command-line command), because
 * the parent-death signal follows the thread that forked. A child has its own
 * process group, an explicit environment, default signals, no descriptors but
 * those named, no core dumps, and dies with its parent. Reap by process id,
 * never with wait(-1): child_step waits for its own. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/buf.h"
#include "core/confine.h"
#include "core/err.h"

enum { CHILD_FDS_MAX = 8, CHILD_GRACE_MS = 2000 };

struct child_spec {
	const char *name;        /* for messages and ps: "opa test" */
	const char *path;        /* absolute; NULL: run function instead */
	const char *const *argv; /* NULL-terminated, with argv[0]; NULL:
	                            * the path alone */
	const char *const *envp; /* NULL-terminated; NULL is empty */
	const char *cwd;         /* NULL: "/" */
	int stdin_fd;            /* -1: /dev/null */
	int stdout_fd;           /* -1: /dev/null */
	int stderr_fd;           /* -1: /dev/null; the log for functions */
	const int *keep;         /* further descriptors, under the same
	                            * numbers, all above 2 */
	size_t keep_count;       /* CHILD_FDS_MAX at most */
	/* In place of path: runs in the child; the result is the exit status.
	 * prepare runs before confinement (reading a credential), main after;
	 * the parent waits for prepare, and fails to start if its result is not
	 * 0. The child ends with _exit: nothing registered with atexit runs. */
	int (*prepare)(void *arg);
	int (*main)(void *arg);
	void *arg;
	struct confine_rules rules;
};

/* Forks, confines, executes. *pid is also the process group. What fails before
 * the program or main runs (no such program, no confinement) is an error here,
 * not an exit status. The caller reaps (waitpid). */
enum err_code child_start(pid_t *pid, const struct child_spec *spec,
    struct err *e) MUST_CHECK;

enum child_end {
	CHILD_EXITED,    /* status is the exit status */
	CHILD_SIGNALLED, /* status is the signal: a crash, or out of memory */
	CHILD_TIMED_OUT, /* killed at the deadline */
	CHILD_FLOODED,   /* killed for too much output */
	CHILD_CANCELLED  /* ended by child_cancel */
};

struct child_result {
	enum child_end end;
	int status;
	int64_t wall_ms;
	int64_t cpu_ms;
	int64_t rss_max; /* bytes; at least what its parent had at the fork */
	struct buf out;  /* stdout, up to out_max */
	struct buf err;  /* stderr, up to out_max */
};

void child_result_clear(struct child_result *r);
const char *child_end_name(enum child_end end); /* "exited", "timed_out", … */

/* A child whose output is gathered, for an event loop: when child_fd is
 * readable, call child_step; when that says true, child_take. TERM to the
 * group at the deadline, KILL after CHILD_GRACE_MS; KILL at once for more than
 * out_max bytes on one of its outputs. stdout_fd and stderr_fd of spec are
 * ignored. What the child leaves running in its group dies with it. */
struct child;
enum err_code child_open(struct child **out, const struct child_spec *spec,
    int64_t timeout_ms, size_t out_max, struct err *e) MUST_CHECK;
int child_fd(const struct child *c);
pid_t child_pid(const struct child *c);
bool child_step(struct child *c) MUST_CHECK; /* true: it has ended */
void child_cancel(struct child *c); /* TERM, grace, KILL; step goes on */
/* After child_step said true, once. The caller clears the result. */
void child_take(struct child_result *out, struct child *c);
/* Kills and reaps what still runs. */
void child_free(struct child *c);
AUTO_FREE(child)

/* All of it at once, for a command that has nothing else to do. Only an error
 * to start is an error; how it ended is in the result. */
enum err_code child_run(struct child_result *out, const struct child_spec *spec,
    int64_t timeout_ms, size_t out_max, struct err *e) MUST_CHECK;

/* Signals the whole group; waits for nothing. */
void child_signal(pid_t pid, int signal_number);

#endif
