#ifndef SERVER_SUPERVISOR_KEY_WATCH_H
#define SERVER_SUPERVISOR_KEY_WATCH_H

/* The folder of keys, as the supervisor sees it: when a key was added there, the
 * keeper, which reads it once, is started anew. One thread. */

#include <stdbool.h>

#include "core/err.h"

/* *fd becomes readable when something happens; the caller closes it. */
enum err_code key_watch_open(int *fd, const char *data_dir, struct err *e)
    MUST_CHECK;

/* What has happened since: was a key added (its ID.json comes last), or another
 * made the default? */
bool key_watch_changed(int fd);

#endif
