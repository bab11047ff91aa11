#ifndef SERVER_SUPERVISOR_PROCESSES_H
#define SERVER_SUPERVISOR_PROCESSES_H

/* The table of the long-lived processes: which run, when one that ended is
 * started again, and how one is exchanged for another. What they do it does not
 * know (roles.h).
 *
 * An http process has two places, and takes turns between them. To replace it,
 * a successor is started in the other place, on the same listening sockets. Once
 * that says that it serves, the old one gets SIGUSR2: it accepts no more, has
 * those who wait ask again, answers what comes on connections it has with
 * "Connection: close", and ends when there are none. A successor that does not
 * get as far as serving is tried again after PROCESSES_AGAIN_MS, and the old one
 * goes on until then. Should the old one die meanwhile, it is started again as it
 * was: only successors are begun with what is new (owner.run).
 *
 * Whoever of http has not said for PROCESSES_READY_MS that it serves, or that it
 * gets on with what it does before that, is killed.
 *
 * Belongs to the supervisor's one thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The numbers of the processes. Those of http follow: places PROCESS_HTTP + 2n
 * and + 2n + 1 are the n-th's. */
enum {
	PROCESS_LEDGER,
	PROCESS_KEEPER,
	PROCESS_PIPELINE,
	PROCESS_HTTP,
	PROCESSES_HTTP_MAX = 16,
	PROCESSES_MAX = PROCESS_HTTP + 2 * PROCESSES_HTTP_MAX
};

enum {
	PROCESSES_BACKOFF_MIN_MS = 100,
	PROCESSES_BACKOFF_MAX_MS = 5000,
	/* One that ran for so long is started at once when it dies. */
	PROCESSES_SETTLED_MS = 5000,
	PROCESSES_AGAIN_MS = 15000, /* a successor, after one failed */
	PROCESSES_READY_MS = 60000, /* for http, to serve or to get on */
	PROCESSES_LEAVE_MS = 90000, /* for the one that it replaces, to end */
	PROCESSES_STOP_MS = 10000   /* for an end, of one or of all */
};

/* arg is the caller's. */
struct processes_owner {
	void *arg;
	/* About to start this one. */
	void (*starting)(void *arg, size_t id, bool successor);
	/* In the new process: does not return. */
	void (*run)(void *arg, size_t id, bool successor)
	    __attribute__((noreturn));
	/* It ended; lost: not as it was told to. */
	void (*ended)(void *arg, size_t id, bool lost);
	/* This place's process was to succeed another, and never served. */
	void (*failed)(void *arg, size_t id);
};

struct processes;

/* Aborts when there is no memory. http_count: 1 to PROCESSES_HTTP_MAX. */
struct processes *processes_new(size_t http_count,
    const struct processes_owner *owner);
void processes_free(struct processes *p);

/* "ledger", "http", "http-2", … */
const char *processes_name(size_t id);
size_t processes_count(const struct processes *p); /* numbers in use */
bool processes_runs(const struct processes *p, size_t id);
/* Is it, or the next in its place, there to stay? */
bool processes_is_kept(const struct processes *p, size_t id);

/* Starts who is due, ends who has had its time; the milliseconds until there is
 * more to do, or -1. Call before each wait, the first time to start all. */
int64_t processes_tick(struct processes *p, int64_t now_ms);

/* A process was reaped: true if it was one of these. */
bool processes_reaped(struct processes *p, pid_t pid, int status);

/* An http process that is there and did not say yet that it serves; it said so;
 * it said that it gets on. */
bool processes_is_awaited(const struct processes *p, size_t id);
void processes_serves(struct processes *p, size_t id);
void processes_gets_on(struct processes *p, size_t id);
/* Do all of http serve? */
bool processes_all_serve(const struct processes *p);

/* Is there nothing to wait for: do all run, and serve, and is nobody about to be
 * replaced or renewed? Old ones of http may still be leaving, and those whose
 * successors failed (processes_is_failing) go on while others are tried. */
bool processes_is_settled(const struct processes *p);
bool processes_is_failing(const struct processes *p);

/* Replaces every http process, one after the other. Asked again meanwhile, it
 * begins anew with those that were begun with. */
void processes_replace_http(struct processes *p);
/* Now those whose successors failed. */
void processes_retry_http(struct processes *p);

/* Ends one of the others, and starts it again. */
void processes_renew(struct processes *p, size_t id);
/* All the others, one after the other: ledger, keeper, pipeline. */
void processes_renew_others(struct processes *p);

/* Ends all: first those that take work in; ledger and keeper once nobody asks
 * them. Nothing is started any more. True, from processes_are_gone, at last. */
void processes_stop(struct processes *p);
bool processes_are_gone(const struct processes *p);

#endif
