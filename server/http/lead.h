#ifndef SERVER_HTTP_LEAD_H
#define SERVER_HTTP_LEAD_H

/* What only one of several http processes may do at a time, it does who has the
 * lead: a lock on a nameless file that the supervisor makes and all inherit. The
 * kernel gives it free when its holder ends, however that happens, and the next
 * that asks has it. The locks are a process's own (fcntl): one thread of it. */

#include <stdbool.h>

#include "core/err.h"

/* In the supervisor, before it forks. */
enum err_code lead_open(int *out, struct err *e) MUST_CHECK;

/* Does this process have the lead now? Does not wait. */
bool lead_take(int fd);
void lead_leave(int fd);

/* Waits until nobody else is between the two. */
void lead_alone_begin(int fd);
void lead_alone_end(int fd);

#endif
