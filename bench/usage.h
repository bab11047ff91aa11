#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H

/* What processes of others use, from /proc. Ends the program when one of them
 * is gone. */

#include <stddef.h>
#include <sys/types.h>

enum { USAGE_PIDS_MAX = 64 };

struct usage_of {
	pid_t pids[USAGE_PIDS_MAX];
	size_t count;
};

/* "12,13" */
void usage_read(struct usage_of *out, const char *text);

double usage_cpu_ms(const struct usage_of *p); /* of all their threads so far */
double usage_rss_kib(const struct usage_of *p);
size_t usage_descriptors(const struct usage_of *p);

/* Until they have nothing to do; ends the program when that takes too long. */
void usage_settle(const struct usage_of *p);
/* The same, and all that they write down from time to time is written. */
void usage_rest(const struct usage_of *p);

#endif
