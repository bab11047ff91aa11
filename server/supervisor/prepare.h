#ifndef SERVER_SUPERVISOR_PREPARE_H
#define SERVER_SUPERVISOR_PREPARE_H

/* The data folder before anything runs: folders, left-overs of a process that
 * died, keys, the database and the first tokens. Runs in a child of its own, so
 * that the supervisor never holds a key. */

#include <stdbool.h>
#include <sys/types.h>

#include "core/err.h"
#include "server/conf/conf.h"

/* One server at a time: holds data_dir/lock until the process ends. CONFLICT
 * names the other. */
enum err_code prepare_lock(const struct conf *c, int *fd, struct err *e)
    MUST_CHECK;

/* All the rest, in a child; returns when it is done. */
enum err_code prepare_data(const struct conf *c, struct err *e) MUST_CHECK;

/* Whether a server could be run with it (prepare_check.h), which changes nothing.
 * Takes PREPARE_CHECK_S at most. */
enum err_code prepare_try(const struct conf *c, struct err *e) MUST_CHECK;

/* Another configuration, while the server runs, which must not be held up: in a
 * child that the caller reaps. First the same question; then next becomes as the
 * server will have it (conf_change_keep), and if that is wanted (more), what it
 * needs: folders, keys. Takes PREPARE_CHECK_S for each at most. Only prepare_end,
 * once, or prepare_stop gives back what prepare_begin took. */
struct prepare_child {
	pid_t pid; /* 0: none */
	int fd;    /* what it says; -1: none */
};
enum err_code prepare_begin(struct prepare_child *out, const struct conf *now,
    struct conf *next, bool more, struct err *e) MUST_CHECK;
/* It was reaped, with this wait status: how it went. */
enum err_code prepare_end(struct prepare_child *p, int status, struct err *e)
    MUST_CHECK;
void prepare_stop(struct prepare_child *p); /* kills and reaps */

#endif
