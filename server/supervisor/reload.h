#ifndef SERVER_SUPERVISOR_RELOAD_H
#define SERVER_SUPERVISOR_RELOAD_H

/* server.yaml, read again while the server runs (SIGHUP). It is taken as a
 * whole or not at all: what would not start a server changes nothing. Whether it
 * would, a child finds out, which also reads what is secret: files may take
 * their time, and the supervisor has none. Whoever asks meanwhile has the file
 * read once more when that is over. In the supervisor's one thread. */

#include <stdbool.h>
#include <sys/types.h>

#include "server/conf/conf.h"
#include "server/conf/conf_change.h"
#include "server/conf/conf_state.h"

struct reload;

/* flags and state outlive it. */
struct reload *reload_new(const struct conf_flags *flags,
    struct conf_state *state);
void reload_free(struct reload *r); /* ends what is under way */
AUTO_FREE(reload)

/* Somebody wants the file to be read. */
void reload_ask(struct reload *r);

/* Is anything asked for, or under way? */
bool reload_is_busy(const struct reload *r);

enum reload_outcome {
	RELOAD_NONE, /* nothing came to an end */
	RELOAD_SAME, /* all stays: nothing differs, or the file is refused */
	RELOAD_NEXT  /* *next is the caller's, and holds in place of now */
};

/* Call before each wait, and with the same now until RELOAD_NEXT. *needs are the
 * processes that have to begin anew (conf_change.h). What waits for a restart of
 * the server is in *next as it is now. How it went is in state, and in the log.
 * Without a file there is nothing to read: RELOAD_SAME. */
enum reload_outcome reload_step(struct reload *r, struct conf **next,
    unsigned int *needs, const struct conf *now);

/* A process was reaped: true if it was this one's child. */
bool reload_reaped(struct reload *r, pid_t pid, int status);

/* A descriptor that no other process may have, or -1. */
int reload_fd(const struct reload *r);

/* The same questions asked of a server that is to be started: for people.
 * Changes nothing, makes no folder. Waits. */
enum err_code reload_check(const struct conf_flags *flags, struct err *e)
    MUST_CHECK;

#endif
