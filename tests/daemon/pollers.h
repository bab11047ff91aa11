#ifndef TESTS_DAEMON_POLLERS_H
#define TESTS_DAEMON_POLLERS_H

/* Engines that poll without end, each in a thread of its own: with the ETag of
 * what they have and a name, over a new connection each or over one that stays,
 * held or not. A connection that the server ended while it was idle is made
 * again, once, as every HTTP client does (curl by itself): no failed poll.
 * Begin and end them in the scenario; what fails only counts. */

#include <stddef.h>

enum { POLLERS_FAULT_MAX = 256 };

struct pollers_habit {
	int keep;   /* the next poll goes over the same connection */
	int wait_s; /* 0: plain polling */
};

struct pollers_seen {
	size_t polls;  /* answered with 200 or 304 */
	size_t broken; /* without an answer */
	size_t wrong;  /* answered with something else */
	size_t least;  /* polls of who has fewest */
	size_t again;  /* connections that were made anew by who keeps one */
	const char *fault; /* the first; "" */
};

struct pollers;

/* One of each habit, `times` over. They poll path as engines. */
struct pollers *pollers_begin(const char *path,
    const struct pollers_habit *habits, size_t count, size_t times);
struct pollers_seen pollers_look(struct pollers *p);

/* Until each had `more` further polls. */
void pollers_wait(struct pollers *p, size_t more);

/* No poll failed so far. */
void pollers_check(struct pollers *p);

/* Waits for their last polls; safe to call once. */
struct pollers_seen pollers_end(struct pollers *p);

#endif
