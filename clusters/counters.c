#include "clusters/counters.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/mem.h"

enum { COUNTERS_NAME_SIZE = 64 };

/* Any process may write anything here, so nothing here is ever relied on. */
struct shared_counters {
	_Atomic uint64_t counts[COUNTERS];
	_Atomic uint64_t levels[LEVELS][COUNTERS_HTTP_MAX];
	struct {
		_Atomic uint64_t counts[COUNTERS_BOUNDS + 1];
		_Atomic uint64_t sum_ms;
	} histograms[HISTOGRAMS];
	_Atomic int64_t success_ms[COUNTERS_REPOSITORIES_MAX];
};

/* Each process has its own copy, from before it was forked. */
struct counters {
	struct shared_counters *shared;
	size_t repositories;
	size_t places[COUNTERS_REPOSITORIES_MAX]; /* in success_ms */
	char names[COUNTERS_REPOSITORIES_MAX][COUNTERS_NAME_SIZE];
};

#define POLLS_HELP "Answers to engines asking for a bundle."
#define ANSWERS_HELP                                                            \
	"Answers to polls by kind: a bundle (sent) or nothing new (unchanged)," \
	" at once or after the poll was held; held until the engine went away"  \
	" (held_gone) or for another answer (held_other); no room to hold it"   \
	" (full); refused."
#define LIMITS_HELP "What was refused or ended because of a limit."
#define EVENTS_HELP "Attempts to tell others of events, and those given up."
#define VERDICTS_HELP "Verdicts on commits."

const struct counter_name counter_names[COUNTERS] = {
	[COUNTER_POLLS_200] = { "edict_polls_total", "code=\"200\"",
	    POLLS_HELP },
	[COUNTER_POLLS_304] = { "edict_polls_total", "code=\"304\"",
	    POLLS_HELP },
	[COUNTER_POLLS_401] = { "edict_polls_total", "code=\"401\"",
	    POLLS_HELP },
	[COUNTER_POLLS_404] = { "edict_polls_total", "code=\"404\"",
	    POLLS_HELP },
	[COUNTER_POLLS_503] = { "edict_polls_total", "code=\"503\"",
	    POLLS_HELP },
	[COUNTER_POLLS_OTHER] = { "edict_polls_total", "code=\"other\"",
	    POLLS_HELP },
	[COUNTER_BYTES] = { "edict_bundle_bytes_total", "",
	    "Bytes of bundles sent." },
	[COUNTER_HOLDS] = { "edict_holds_total", "",
	    "Long polls that were held." },
	[COUNTER_API] = { "edict_api_requests_total", "",
	    "Requests to the operators' API." },
	[COUNTER_BUILDS_DONE] = { "edict_builds_total", "outcome=\"done\"",
	    "Bundles built and signed." },
	[COUNTER_BUILDS_FAILED] = { "edict_builds_total", "outcome=\"failed\"",
	    "Bundles built and signed." },
	[COUNTER_VERDICTS_PASSED] = { "edict_verdicts_total",
	    "state=\"passed\"", VERDICTS_HELP },
	[COUNTER_VERDICTS_FAILED] = { "edict_verdicts_total",
	    "state=\"failed\"", VERDICTS_HELP },
	[COUNTER_VERDICTS_TIMED_OUT] = { "edict_verdicts_total",
	    "state=\"timed_out\"", VERDICTS_HELP },
	[COUNTER_VERDICTS_CRASHED] = { "edict_verdicts_total",
	    "state=\"crashed\"", VERDICTS_HELP },
	[COUNTER_VERDICTS_NO_TESTS] = { "edict_verdicts_total",
	    "state=\"no_tests\"", VERDICTS_HELP },
	[COUNTER_VERDICTS_COULD_NOT_RUN] = { "edict_verdicts_total",
	    "state=\"could_not_run\"", VERDICTS_HELP },
	[COUNTER_FETCHES_OK] = { "edict_fetches_total", "outcome=\"ok\"",
	    "Fetches from Git hosts." },
	[COUNTER_FETCHES_FAILED] = { "edict_fetches_total",
	    "outcome=\"failed\"", "Fetches from Git hosts." },
	[COUNTER_RESTARTS] = { "edict_process_restarts_total", "",
	    "Processes of the server that had to be started again." },
	[COUNTER_ENGINES_REJECTED] = { "edict_engine_rejections_total", "",
	    "Engines that were sent a bundle and did not activate it." },
	[COUNTER_ENGINES_HEALED] = { "edict_engine_recoveries_total", "",
	    "Engines that rejected a bundle and activated one since." },
	[COUNTER_ENGINES_BACK] = { "edict_engine_regressions_total", "",
	    "Engines that went back to an older bundle by themselves." },
	[COUNTER_ENGINES_SPARED] = { "edict_downloads_spared_total", "",
	    "Polls that were not sent again what failed before." },
	[COUNTER_ENGINES_UNTRACKED] = { "edict_engines_untracked_total", "",
	    "Polls of engines that found no room (engines.max)." },
	[COUNTER_ENGINES_MISSED] = { "edict_engines_missed_total", "",
	    "Polls that found the table of engines busy; what they tell is "
	    "known some seconds later." },
	[COUNTER_ENGINES_UNNAMED] = { "edict_engines_unnamed_total", "",
	    "Requests whose X-Edict-Engine is no name." },
	[COUNTER_STATUS_REPORTS] = { "edict_status_reports_total", "",
	    "Status reports of engines." },
	[COUNTER_LOG_UPLOADS] = { "edict_log_uploads_total", "",
	    "Uploads of decision logs." },
	[COUNTER_REPORTS_UNREAD] = { "edict_reports_unread_total", "",
	    "Status reports and log uploads with a number that is too "
	    "large." },
	[COUNTER_DECISIONS_OK] = { "edict_decisions_total", "outcome=\"ok\"",
	    "Decisions in uploaded logs, which are counted and dropped." },
	[COUNTER_EVENTS_DELIVERED] = { "edict_event_deliveries_total",
	    "result=\"delivered\"", EVENTS_HELP },
	[COUNTER_EVENTS_FAILED] = { "edict_event_deliveries_total",
	    "result=\"failed\"", EVENTS_HELP },
	[COUNTER_EVENTS_DROPPED] = { "edict_event_deliveries_total",
	    "result=\"dropped\"", EVENTS_HELP },
	[COUNTER_DECISIONS_ERROR] = { "edict_decisions_total",
	    "outcome=\"error\"",
	    "Decisions in uploaded logs, which are counted and dropped." },
	[COUNTER_JWT_VERIFIED] = { "edict_jwt_verified_total", "",
	    "JWTs whose signature was checked and good; remembered after." },
	[COUNTER_JWT_REFUSED] = { "edict_jwt_refused_total", "",
	    "Requests with a JWT that does not hold." },
	[COUNTER_JWT_UNKNOWN_KEYS] = { "edict_jwt_unknown_keys_total", "",
	    "Those whose key the issuer was not known to have." },
	[COUNTER_POLLS_403] = { "edict_polls_total", "code=\"403\"",
	    POLLS_HELP },
	[COUNTER_POLLS_429] = { "edict_polls_total", "code=\"429\"",
	    POLLS_HELP },
	[COUNTER_ANSWERS_SENT] = { "edict_poll_answers_total", "kind=\"sent\"",
	    ANSWERS_HELP },
	[COUNTER_ANSWERS_UNCHANGED] = { "edict_poll_answers_total",
	    "kind=\"unchanged\"", ANSWERS_HELP },
	[COUNTER_ANSWERS_HELD_SENT] = { "edict_poll_answers_total",
	    "kind=\"held_sent\"", ANSWERS_HELP },
	[COUNTER_ANSWERS_HELD_UNCHANGED] = { "edict_poll_answers_total",
	    "kind=\"held_unchanged\"", ANSWERS_HELP },
	[COUNTER_ANSWERS_HELD_OTHER] = { "edict_poll_answers_total",
	    "kind=\"held_other\"", ANSWERS_HELP },
	[COUNTER_ANSWERS_HELD_GONE] = { "edict_poll_answers_total",
	    "kind=\"held_gone\"", ANSWERS_HELP },
	[COUNTER_ANSWERS_FULL] = { "edict_poll_answers_total", "kind=\"full\"",
	    ANSWERS_HELP },
	[COUNTER_ANSWERS_REFUSED] = { "edict_poll_answers_total",
	    "kind=\"refused\"", ANSWERS_HELP },
	[COUNTER_LIMIT_WAITING] = { "edict_limits_hit_total",
	    "limit=\"http.engines_max\"", LIMITS_HELP },
	[COUNTER_LIMIT_ACTIONS] = { "edict_limits_hit_total",
	    "limit=\"actions\"", LIMITS_HELP },
	[COUNTER_LIMIT_BODIES] = { "edict_limits_hit_total", "limit=\"bodies\"",
	    LIMITS_HELP },
	[COUNTER_LIMIT_BODY_SIZE] = { "edict_limits_hit_total",
	    "limit=\"body_size\"", LIMITS_HELP },
	[COUNTER_LIMIT_PATH] = { "edict_limits_hit_total", "limit=\"path\"",
	    LIMITS_HELP },
	[COUNTER_LIMIT_REQUEST_TIME] = { "edict_limits_hit_total",
	    "limit=\"request_time\"", LIMITS_HELP },
	[COUNTER_LIMIT_ANSWER_RATE] = { "edict_limits_hit_total",
	    "limit=\"answer_rate\"", LIMITS_HELP },
	[COUNTER_LIMIT_CONNECTIONS] = { "edict_limits_hit_total",
	    "limit=\"connections\"", LIMITS_HELP },
	[COUNTER_LIMIT_ADDRESS] = { "edict_limits_hit_total",
	    "limit=\"address_connections\"", LIMITS_HELP },
	[COUNTER_LIMIT_FAILURES] = { "edict_limits_hit_total",
	    "limit=\"failures\"", LIMITS_HELP },
	[COUNTER_LIMIT_API_RATE] = { "edict_limits_hit_total",
	    "limit=\"api_rate\"", LIMITS_HELP },
	[COUNTER_LIMIT_HEADERS] = { "edict_limits_hit_total",
	    "limit=\"headers\"", LIMITS_HELP },
	[COUNTER_LIMIT_INFLATED] = { "edict_limits_hit_total",
	    "limit=\"inflated\"", LIMITS_HELP },
	[COUNTER_ARTIFACTS_EVICTED] = { "edict_artifacts_evicted_total", "",
	    "Artifacts that had to leave memory (http.memory_max)." },
	[COUNTER_ARTIFACTS_PROMOTED] = { "edict_artifacts_promoted_total", "",
	    "Artifacts that came back into memory." },
	[COUNTER_ACCESS_LINES] = { "edict_access_log_lines_total", "",
	    "Lines of the access log." },
	[COUNTER_ACCESS_DROPPED] = { "edict_access_log_dropped_total", "",
	    "Lines that were dropped because nobody read the log." },
};

const int64_t counters_bounds_ms[COUNTERS_BOUNDS] = { 5, 10, 25, 50, 100, 250,
	500, 1000, 2500, 5000, 10000, 30000, 60000 };

struct counters *
counters_new(const char *const *repositories, size_t count)
{
	struct counters *c = mem_zalloc(sizeof *c);
	void *shared = mmap(NULL, sizeof *c->shared, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		abort();
	c->shared = shared;
	counters_rename(c, repositories, count);
	return c;
}

/* Where a name is, or the number of them. */
static size_t
find_name(const struct counters *c, const char *name)
{
	size_t i = 0;

	while (i < c->repositories &&
	    strncmp(c->names[i], name, COUNTERS_NAME_SIZE - 1) != 0)
		i++;
	return i;
}

static bool
is_taken(const struct counters *c, size_t place)
{
	for (size_t i = 0; i < c->repositories; i++)
		if (c->places[i] == place)
			return true;
	return false;
}

/* One that old did not use either, while there is any: its processes still
 * write there. */
static size_t
free_place(const struct counters *c, const struct counters *old)
{
	size_t place = 0;

	while (place < COUNTERS_REPOSITORIES_MAX &&
	    (is_taken(c, place) || is_taken(old, place)))
		place++;
	if (place < COUNTERS_REPOSITORIES_MAX)
		return place;
	for (place = 0; is_taken(c, place);)
		place++;
	return place;
}

static void
take_place(struct counters *c, size_t place, const char *name)
{
	(void)snprintf(c->names[c->repositories], COUNTERS_NAME_SIZE, "%s",
	    name);
	c->places[c->repositories++] = place;
}

void
counters_rename(struct counters *c, const char *const *repositories,
    size_t count)
{
	struct counters old = *c;

	if (count > COUNTERS_REPOSITORIES_MAX)
		count = COUNTERS_REPOSITORIES_MAX;
	c->repositories = 0;
	/* First those that stay, so that nobody gets their places. */
	for (size_t i = 0; i < count; i++) {
		size_t at = find_name(&old, repositories[i]);

		if (at < old.repositories)
			take_place(c, old.places[at], repositories[i]);
	}
	for (size_t i = 0; i < count; i++) {
		size_t place;

		if (find_name(&old, repositories[i]) < old.repositories)
			continue;
		place = free_place(c, &old);
		atomic_store(&c->shared->success_ms[place], 0);
		take_place(c, place, repositories[i]);
	}
}

void
counters_free(struct counters *c)
{
	if (c == NULL)
		return;
	(void)munmap(c->shared, sizeof *c->shared);
	mem_free(c);
}

void
counters_add(struct counters *c, enum counter which, uint64_t by)
{
	atomic_fetch_add_explicit(&c->shared->counts[which], by,
	    memory_order_relaxed);
}

uint64_t
counters_get(const struct counters *c, enum counter which)
{
	return atomic_load_explicit(&c->shared->counts[which],
	    memory_order_relaxed);
}

void
counters_set_level(struct counters *c, enum counter_level which, size_t process,
    uint64_t n)
{
	if (process < COUNTERS_HTTP_MAX)
		atomic_store_explicit(&c->shared->levels[which][process], n,
		    memory_order_relaxed);
}

uint64_t
counters_level(const struct counters *c, enum counter_level which)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < COUNTERS_HTTP_MAX; i++)
		sum += atomic_load_explicit(&c->shared->levels[which][i],
		    memory_order_relaxed);
	return sum;
}

void
counters_clear_process(struct counters *c, size_t process)
{
	for (int which = 0; which < LEVELS; which++)
		counters_set_level(c, (enum counter_level)which, process, 0);
}

void
counters_set_waiting(struct counters *c, size_t process, uint64_t n)
{
	counters_set_level(c, LEVEL_WAITING, process, n);
}

uint64_t
counters_waiting(const struct counters *c)
{
	return counters_level(c, LEVEL_WAITING);
}

void
counters_observe(struct counters *c, enum counter_histogram which, int64_t ms)
{
	size_t i = 0;

	if (ms < 0)
		ms = 0;
	while (i < COUNTERS_BOUNDS && ms > counters_bounds_ms[i])
		i++;
	atomic_fetch_add_explicit(&c->shared->histograms[which].counts[i], 1,
	    memory_order_relaxed);
	atomic_fetch_add_explicit(&c->shared->histograms[which].sum_ms,
	    (uint64_t)ms, memory_order_relaxed);
}

void
counters_histogram(const struct counters *c, enum counter_histogram which,
    struct counters_histogram *out)
{
	for (size_t i = 0; i <= COUNTERS_BOUNDS; i++)
		out->counts[i] = atomic_load_explicit(
		    &c->shared->histograms[which].counts[i],
		    memory_order_relaxed);
	out->sum_ms = atomic_load_explicit(&c->shared->histograms[which].sum_ms,
	    memory_order_relaxed);
}

void
counters_set_success(struct counters *c, const char *repository,
    int64_t wall_ms)
{
	size_t i = find_name(c, repository);

	if (i < c->repositories)
		atomic_store_explicit(&c->shared->success_ms[c->places[i]],
		    wall_ms, memory_order_relaxed);
}

size_t
counters_repositories(const struct counters *c)
{
	return c->repositories;
}

const char *
counters_repository(const struct counters *c, size_t i, int64_t *success_ms)
{
	*success_ms = atomic_load_explicit(&c->shared->success_ms[c->places[i]],
	    memory_order_relaxed);
	return c->names[i];
}
