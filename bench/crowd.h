#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

/* Engines in processes of their own, because a process has descriptors for
 * 20,000 at most; this one orders and looks on. In those processes nothing else
 * runs; they end with this one. A process that fails ends the program. Make all
 * crowds before any thread. */

#include "bench/engines.h"

enum { CROWD_PROCESSES_MAX = 64 };

struct crowd;

struct crowd_seen { /* all of them together */
	size_t got, polls, unchanged, retried, failed, left, bytes;
	double first_ms, last_ms;
	char fault[ENGINES_FAULT_MAX];
};

/* bundle and tokens outlive it. each: engines of one process at most. */
struct crowd *crowd_new(const char *bundle, size_t engines, size_t each,
    const struct engines_tokens *tokens, bool tls);
void crowd_free(struct crowd *c); /* waits for their end */

/* Orders; each returns when all processes have begun with it. */
void crowd_ask(struct crowd *c, const struct sockaddr_in *server,
    const struct engines_habit *habits, size_t habit_count);
void crowd_hang_up(struct crowd *c);
void crowd_begin_round(struct crowd *c); /* nobody has a bundle */

struct crowd_seen crowd_look(struct crowd *c);
size_t crowd_size(const struct crowd *c);

/* Until every engine got a bundle in this round; ends the program when that
 * takes too long, or when one was not answered well. */
struct crowd_seen crowd_wait(struct crowd *c);

#endif
