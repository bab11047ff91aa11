#ifndef SERVER_SUPERVISOR_PREPARE_H
#define SERVER_SUPERVISOR_PREPARE_H

/* The data folder before anything runs: folders, left-overs of a process that
 * died, keys, the database and the first tokens. Runs in a child of its own, so
 * that the supervisor never holds a key. */

#include "core/err.h"
#include "server/conf/conf.h"

/* One server at a time: holds data_dir/lock until the process ends. CONFLICT
 * names the other. */
enum err_code prepare_lock(const struct conf *c, int *fd, struct err *e)
    MUST_CHECK;

/* All the rest, in a child; returns when it is done. */
enum err_code prepare_data(const struct conf *c, struct err *e) MUST_CHECK;

/* The same for another configuration, while the server runs. First whether it
 * can be run with (prepare_check.h), which changes nothing; then what it needs:
 * folders, keys. Each takes PREPARE_CHECK_S at most. */
enum err_code prepare_try(const struct conf *c, struct err *e) MUST_CHECK;
enum err_code prepare_again(const struct conf *c, struct err *e) MUST_CHECK;

#endif
