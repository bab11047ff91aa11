#ifndef CLUSTERS_COUNTERS_H
#define CLUSTERS_COUNTERS_H

/* Numbers that all processes count in and /metrics shows: shared memory, made
 * by the supervisor before it forks, so they outlive the restart of a process.
 * They hold nothing that decides anything: what is shared are numbers alone, the
 * names are each process's own. Any thread, any process. */

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
	COUNTERS
};

/* How many http processes and repositories have numbers of their own. */
enum { COUNTERS_HTTP_MAX = 16, COUNTERS_REPOSITORIES_MAX = 64 };

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

void counters_add(struct counters *c, enum counter which, uint64_t by);
uint64_t counters_get(const struct counters *c, enum counter which);

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
