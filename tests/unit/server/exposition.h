#ifndef TESTS_EXPOSITION_H
#define TESTS_EXPOSITION_H

/* A strict reader of Prometheus' text format 0.0.4, for checking what /metrics
 * says: stricter than any scraper, as `promtool check metrics` is. Every family
 * has HELP and TYPE once, one after the other and before its samples, which
 * follow each other; names and labels are well-formed, no series is there twice;
 * counters end in _total and are not negative; the buckets of a histogram rise
 * in le and in number, the last is +Inf and equals _count, and there is a _sum.
 * Histograms have no other labels than le. */

#include <stddef.h>

/* "" when all is well, else what is wrong with which line. */
void exposition_check(char *fault, size_t size, const char *text);

/* The value of a series as it is written there, labels and all; -1: none. */
double exposition_value(const char *text, const char *series);

#endif
