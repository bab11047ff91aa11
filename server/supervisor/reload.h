#ifndef SERVER_SUPERVISOR_RELOAD_H
#define SERVER_SUPERVISOR_RELOAD_H

/* server.yaml, read again while the server runs (SIGHUP). It is taken as a
 * whole or not at all: what would not start a server changes nothing. In the
 * supervisor's one thread; children read what is secret. */

#include <stdbool.h>

#include "server/conf/conf.h"
#include "server/conf/conf_change.h"
#include "server/conf/conf_state.h"

/* True when there is something to do: *next is the caller's, in place of now,
 * which is freed once nobody in this process looks at it any more; *needs are the
 * processes that have to begin anew (conf_change.h). What waits for a restart of
 * the server is in *next as it is now. False when nothing differs, or the file is
 * refused; state says which, and so does the log. Without a file there is nothing
 * to read. */
bool reload_read(struct conf **next, unsigned int *needs,
    const struct conf *now, const struct conf_flags *flags,
    struct conf_state *state);

/* The same questions asked of a server that is to be started: for people.
 * Changes nothing, makes no folder. */
enum err_code reload_check(const struct conf_flags *flags, struct err *e)
    MUST_CHECK;

#endif
