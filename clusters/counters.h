#ifndef CLUSTERS_COUNTERS_H
#define CLUSTERS_COUNTERS_H

/* Numbers that all processes count in and /metrics shows: shared memory, made
 * by the supervisor before it forks, so they outlive the restart of a process.
 * They hold nothing that decides anything: what is shared are numbers alone, the
 * names are each process's own. Any thread, any process.
 *
 * Whoever refuses or ends something because of a limit counts it in a row of its
 * own: COUNTER_LIMIT_…, one sample of edict_limits_hit_total each. Rows of one
 * name need not follow each other: /metrics groups them. */

#include <stddef.h>
#include <stdint.h>

enum counter {
	COUNTER_POLLS_200,
	COUNTER_POLLS_304,
	COUNTER_POLLS_401,
	COUNTER_POLLS_404,
	COUNTER_POLLS_503,
	COUNTER_POLLS_OTHER,
	COUNTER_BYTES, /* of bundles sent */
	COUNTER_HOLDS, /* long polls that were held */
	COUNTER_API,   /* requests below /v1 */
	COUNTER_BUILDS_DONE,
	COUNTER_BUILDS_FAILED,
	COUNTER_VERDICTS_PASSED, /* in the order of enum gate_state */
	COUNTER_VERDICTS_FAILED,
	COUNTER_VERDICTS_TIMED_OUT,
	COUNTER_VERDICTS_CRASHED,
	COUNTER_VERDICTS_NO_TESTS,
	COUNTER_VERDICTS_COULD_NOT_RUN,
	COUNTER_FETCHES_OK,
	COUNTER_FETCHES_FAILED,
	COUNTER_RESTARTS,         /* of processes, by the supervisor */
	COUNTER_ENGINES_REJECTED, /* began to reject something */
	COUNTER_ENGINES_HEALED,
	COUNTER_ENGINES_BACK,      /* went back without a restart */
	COUNTER_ENGINES_SPARED,    /* downloads that would have failed again */
	COUNTER_ENGINES_UNTRACKED, /* polls that found no room in the table */
	COUNTER_ENGINES_UNNAMED,   /* requests with a name that is none */
	COUNTER_STATUS_REPORTS,
	COUNTER_LOG_UPLOADS,
	COUNTER_REPORTS_UNREAD, /* status or logs with numbers too large */
	COUNTER_DECISIONS_OK,
	COUNTER_DECISIONS_ERROR,
	COUNTER_JWT_VERIFIED,
	COUNTER_JWT_REFUSED,
	COUNTER_JWT_UNKNOWN_KEYS,
	COUNTER_EVENTS_DELIVERED,
	COUNTER_EVENTS_FAILED,
	COUNTER_EVENTS_DROPPED,
	COUNTER_POLLS_403,
	COUNTER_POLLS_429,
	COUNTER_ANSWERS_SENT, /* see the kinds in counters.c */
	COUNTER_ANSWERS_UNCHANGED,
	COUNTER_ANSWERS_HELD_SENT,
	COUNTER_ANSWERS_HELD_UNCHANGED,
	COUNTER_ANSWERS_HELD_OTHER, /* what it was may be gone by then */
	COUNTER_ANSWERS_HELD_GONE,  /* or the engine */
	COUNTER_ANSWERS_FULL,
	COUNTER_ANSWERS_REFUSED,
	COUNTER_LIMIT_WAITING,
	COUNTER_LIMIT_ACTIONS,
	COUNTER_LIMIT_BODIES,
	COUNTER_LIMIT_BODY_SIZE,
	COUNTER_LIMIT_PATH,
	COUNTER_LIMIT_REQUEST_TIME,
	COUNTER_LIMIT_ANSWER_RATE,
	COUNTER_LIMIT_CONNECTIONS,
	COUNTER_LIMIT_ADDRESS,
	COUNTER_LIMIT_FAILURES,
	COUNTER_LIMIT_API_RATE,
	COUNTER_LIMIT_HEADERS,
	COUNTER_LIMIT_INFLATED, /* the last of the limits */
	COUNTER_ARTIFACTS_EVICTED,
	COUNTER_ARTIFACTS_PROMOTED,
	COUNTER_ACCESS_LINES,
	COUNTER_ACCESS_DROPPED,
	COUNTER_ENGINES_MISSED, /* polls that found the table busy */
	COUNTERS
};

/* Numbers that each http process has of its own, and that rise and fall. */
enum counter_level {
	LEVEL_WAITING,          /* long polls */
	LEVEL_ARTIFACTS_MEMORY, /* bytes */
	LEVEL_ARTIFACTS_MAPPED, /* bytes that are not in memory as well */
	LEVELS
};

/* How long something took. */
enum counter_histogram { HISTOGRAM_WAKE, HISTOGRAMS };

/* How many http processes and repositories have numbers of their own. */
enum { COUNTERS_HTTP_MAX = 32, COUNTERS_REPOSITORIES_MAX = 64 };

/* A name and labels as Prometheus has them, one row per counter:
 * "edict_polls_total", "code=\"200\"" or "". */
struct counter_name {
	const char *name;
	const char *labels;
	const char *help;
};
extern const struct counter_name counter_names[COUNTERS];

struct counters;

/* Aborts when there is no memory. Names are copied, cut at 63 bytes;
 * repositories beyond the maximum are not counted. */
struct counters *counters_new(const char *const *repositories, size_t count);
void counters_free(struct counters *c);

/* Other repositories, for this process and those it forks from now on; those
 * that it had before keep their numbers. */
void counters_rename(struct counters *c, const char *const *repositories,
    size_t count);

void counters_add(struct counters *c, enum counter which, uint64_t by);
uint64_t counters_get(const struct counters *c, enum counter which);

/* The level of one http process, numbered from 0; those beyond the maximum are
 * not counted. And the sum of all. */
void counters_set_level(struct counters *c, enum counter_level which,
    size_t process, uint64_t n);
uint64_t counters_level(const struct counters *c, enum counter_level which);
/* It is gone: none of its levels count. */
void counters_clear_process(struct counters *c, size_t process);

/* Adds one that took so many milliseconds; negative ones (a clock was set back)
 * count as 0. Two additions, no lock. */
void counters_observe(struct counters *c, enum counter_histogram which,
    int64_t ms);

/* What was observed so far. counts[i] are those of at most counters_bounds_ms[i]
 * and more than the bound before, the last one those beyond all bounds. */
enum { COUNTERS_BOUNDS = 13 };
extern const int64_t counters_bounds_ms[COUNTERS_BOUNDS];
struct counters_histogram {
	uint64_t counts[COUNTERS_BOUNDS + 1];
	uint64_t sum_ms;
};
void counters_histogram(const struct counters *c, enum counter_histogram which,
    struct counters_histogram *out);

/* Engines waiting in one http process, numbered from 0; those beyond the
 * maximum are not counted. */
void counters_set_waiting(struct counters *c, size_t process, uint64_t n);
uint64_t counters_waiting(const struct counters *c); /* of all */

/* When a repository was last fetched with success; wall clock, 0: never. */
void counters_set_success(struct counters *c, const char *repository,
    int64_t wall_ms);
size_t counters_repositories(const struct counters *c);
const char *counters_repository(const struct counters *c, size_t i,
    int64_t *success_ms);

#endif
