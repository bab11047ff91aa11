#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

/* What one of those who take turns took, and what that is of another's. Ends
 * the program when a command fails. One thread. */

#include <stdbool.h>
#include <stddef.h>

enum { SERIES_MAX = 256, SERIES_ARGS_MAX = 12 };

struct series_sample {
	double wall_ms, cpu_ms; /* cpu: of the process and its children */
	double peak_mb;         /* 0: nobody knows */
};

struct series {
	const char *name;
	const char *args[SERIES_ARGS_MAX]; /* a command; none: not run here */
	size_t rounds;
	unsigned int limit_s; /* it is ended then; 0: never */
	bool late;            /* it was */
	struct series_sample samples[SERIES_MAX];
	size_t count;
};

double series_now_ms(void);
double series_cpu_ms(void); /* of this process */
/* Of the program that runs now, not of what it was forked from. */
double series_peak_mb(void);

void series_add(struct series *s, const struct series_sample *one);
void series_note(struct series *s, double value); /* as its wall_ms */
/* Runs the command in dir. It may say its own peak memory on a line of stdout,
 * in MB; else the kernel's word counts. */
void series_run(struct series *s, const char *dir);

double series_wall_ms(const struct series *s); /* medians; 0: no samples */
double series_cpu_median_ms(const struct series *s);
double series_peak_max_mb(const struct series *s);
void series_spread(const struct series *s, double *low, double *high);

/* A row: medians, spread, ratios to base. */
void series_head(void);
void series_print(const struct series *s, const struct series *base);
/* Name, median and spread alone, in milliseconds. */
void series_line(const struct series *s);

#endif
