#ifndef BUNDLER_CREW_H
#define BUNDLER_CREW_H

/* A few threads that share one piece of work for as long as a call lasts. Any
 * thread may call. */

#include <stddef.h>

enum { CREW_MAX = 16 };

/* Runs work(arg, 0) here and work(arg, 1) … in threads of their own, and
 * returns when all are through. A thread that the system refuses is left out:
 * work has to be shared in a way that fewer hands finish it too. */
void crew_run(unsigned int threads, void (*work)(void *arg, unsigned int who),
    void *arg);

#endif
