#include "server/api/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "clusters/tally.h"
#include "core/clock.h"
#include "server/http/reply.h"

enum { METRICS_MAX = 8 << 20 };

static void
add_samples(struct buf *out, const struct counters *c, const char *name)
{
	for (int i = 0; i < COUNTERS; i++) {
		const struct counter_name *n = &counter_names[i];
		bool labels = n->labels[0] != '\0';

		if (strcmp(n->name, name) == 0)
			buf_printf(out, "%s%s%s%s %" PRIu64 "\n", name,
			    labels ? "{" : "", n->labels, labels ? "}" : "",
			    counters_get(c, (enum counter)i));
	}
}

static bool
is_first_of_name(int i)
{
	for (int k = 0; k < i; k++)
		if (strcmp(counter_names[k].name, counter_names[i].name) == 0)
			return false;
	return true;
}

/* The samples of a name follow each other, below one head. */
static void
add_counters(struct buf *out, const struct counters *c)
{
	for (int i = 0; i < COUNTERS; i++) {
		const struct counter_name *n = &counter_names[i];

		if (!is_first_of_name(i))
			continue;
		buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", n->name,
		    n->help, n->name);
		add_samples(out, c, n->name);
	}
}

static void
add_wakes(struct buf *out, const struct counters *c)
{
	static const char name[] = "edict_wake_seconds";
	struct counters_histogram h;
	uint64_t count = 0;

	counters_histogram(c, HISTOGRAM_WAKE, &h);
	buf_printf(out,
	    "# HELP %s From the decision to serve another revision to the "
	    "answer that brings it to an engine that was waiting.\n"
	    "# TYPE %s histogram\n",
	    name, name);
	for (size_t i = 0; i < COUNTERS_BOUNDS; i++) {
		count += h.counts[i];
		buf_printf(out, "%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", name,
		    (double)counters_bounds_ms[i] / 1000, count);
	}
	count += h.counts[COUNTERS_BOUNDS];
	buf_printf(out,
	    "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.3f\n"
	    "%s_count %" PRIu64 "\n",
	    name, count, name, (double)h.sum_ms / 1000, name, count);
}

static void
add_head(struct buf *out, const char *name, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static void
add_gauge(struct buf *out, const char *name, const char *help, double value)
{
	add_head(out, name, help);
	buf_printf(out, "%s %.17g\n", name, value);
}

static void
add_seconds(struct buf *out, int64_t since_ms, int64_t now_ms)
{
	if (since_ms == 0)
		buf_add_str(out, " +Inf\n");
	else
		buf_printf(out, " %.3f\n", (double)(now_ms - since_ms) / 1000);
}

/* Names are [a-z0-9._-], so they need no escapes. */
static void
add_fetch_ages(struct buf *out, const struct counters *c, bool names)
{
	static const char name[] = "edict_fetch_age_seconds";
	int64_t now = clock_now_ms();
	int64_t oldest = INT64_MAX;
	size_t count = counters_repositories(c);

	if (count == 0)
		return;
	add_head(out, name,
	    names ? "Time since the last successful fetch."
		  : "Time since the last successful fetch, of the repository "
		    "where it is longest.");
	for (size_t i = 0; i < count; i++) {
		int64_t at;
		const char *repository = counters_repository(c, i, &at);

		if (at < oldest)
			oldest = at;
		if (!names)
			continue;
		buf_printf(out, "%s{repository=\"%s\"}", name, repository);
		add_seconds(out, at, now);
	}
	if (!names) {
		buf_add_str(out, name);
		add_seconds(out, oldest, now);
	}
}

static void
add_catalog(struct buf *out, struct service *s)
{
	struct catalog *c = service_catalog(s);

	add_gauge(out, "edict_catalog_assignments",
	    "Bundles that are served, counted per cluster.",
	    c != NULL ? (double)catalog_count(c) : 0);
	add_gauge(out, "edict_catalog_missing",
	    "Assignments whose artifact is missing or damaged.",
	    c != NULL ? (double)catalog_missing(c) : 0);
	add_head(out, "edict_catalog_age_seconds",
	    "Time since what is served was last known to be up to date.");
	buf_add_str(out, "edict_catalog_age_seconds");
	add_seconds(out, service_good_ms(s), clock_now_ms());
	catalog_unref(c);
}

/* Of the table of engines, at most once a second: anybody may ask. */
static void
count_states(struct request *r, size_t out[ENGINES_STATES])
{
	struct service *s = r->service;
	int64_t now = clock_mono_ms();
	struct tally *t;
	bool fresh;

	pthread_mutex_lock(&s->lock);
	fresh = s->states_ms != 0 && now - s->states_ms < 1000;
	memcpy(out, s->states, sizeof s->states);
	pthread_mutex_unlock(&s->lock);
	if (fresh || loop_catalog(r->loop) == NULL)
		return;
	t = tally_new(s->engines, loop_catalog(r->loop), clock_now_ms(),
	    s->conf->engines.silent_after * 1000);
	memcpy(out, t->states, sizeof t->states);
	tally_free(t);
	pthread_mutex_lock(&s->lock);
	memcpy(s->states, out, sizeof s->states);
	s->states_ms = now;
	pthread_mutex_unlock(&s->lock);
}

static void
add_states(struct buf *out, const char *cluster,
    const size_t states[ENGINES_STATES])
{
	for (int i = 0; i < ENGINES_STATES; i++)
		buf_printf(out, "edict_engines{%s%s%sstate=\"%s\"} %zu\n",
		    cluster != NULL ? "cluster=\"" : "",
		    cluster != NULL ? cluster : "",
		    cluster != NULL ? "\"," : "", engines_state_names[i],
		    states[i]);
}

static void
add_engines(struct buf *out, struct request *r, bool names)
{
	struct service *s = r->service;
	const struct catalog *c = loop_catalog(r->loop);
	size_t states[ENGINES_STATES];
	struct tally *t;

	add_gauge(out, "edict_engines_tracked",
	    "Engines and anonymous credentials in the table.",
	    (double)engines_count(s->engines));
	add_head(out, "edict_engines",
	    "Engines that have a name, each by the worst of its bundles.");
	if (!names || c == NULL) {
		count_states(r, states);
		add_states(out, NULL, states);
		return;
	}
	t = tally_new(s->engines, c, clock_now_ms(),
	    s->conf->engines.silent_after * 1000);
	for (size_t i = 0; i < t->cluster_count; i++)
		add_states(out, t->clusters[i].name, t->clusters[i].states);
	tally_free(t);
}

static bool
is_operator(struct request *r)
{
	const struct catalog_token *token;
	const struct catalog *c = loop_catalog(r->loop);

	return c != NULL &&
	    auth_check(&token, c, request_header(r, "Authorization"),
		clock_now_ms()) == AUTH_KNOWN &&
	    token->role >= SCOPE_VIEWER && !scope_is_limited(&token->scope);
}

void
metrics_get(struct request *r)
{
	struct service *s = r->service;
	AUTO_BUF out = { 0 };

	buf_init(&out, METRICS_MAX);
	counters_set_waiting(s->counters, s->place, atomic_load(&s->held));
	add_counters(&out, s->counters);
	add_gauge(&out, "edict_engines_waiting",
	    "Long polls that are held now.",
	    (double)counters_waiting(s->counters));
	add_wakes(&out, s->counters);
	add_gauge(&out, "edict_artifacts_memory_bytes",
	    "Artifacts that are kept in memory.",
	    (double)counters_level(s->counters, LEVEL_ARTIFACTS_MEMORY));
	add_gauge(&out, "edict_artifacts_mapped_bytes",
	    "Artifacts that are served from their files.",
	    (double)counters_level(s->counters, LEVEL_ARTIFACTS_MAPPED));
	add_catalog(&out, s);
	add_engines(&out, r, is_operator(r));
	add_fetch_ages(&out, s->counters, is_operator(r));
	add_gauge(&out, "process_start_time_seconds",
	    "When the http process started, since 1970.",
	    (double)s->started_ms / 1000);
	add_head(&out, "edict_info", "The version that runs.");
	buf_printf(&out, "edict_info{version=\"%s\"} 1\n", EDICT_VERSION);
	reply_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", out.data,
	    out.len);
}
