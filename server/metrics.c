#include "server/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "core/clock.h"
#include "server/reply.h"

enum { METRICS_MAX = 1 << 20 };

/* One type for all the samples of a name, which follow each other. */
static void
add_counters(struct buf *out, const struct counters *c)
{
	const char *last = "";

	for (int i = 0; i < COUNTERS; i++) {
		const struct counter_name *n = &counter_names[i];
		bool labels = n->labels != NULL && n->labels[0] != '\0';

		if (strcmp(n->name, last) != 0)
			buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n",
			    n->name, n->help, n->name);
		last = n->name;
		buf_printf(out, "%s%s%s%s %" PRIu64 "\n", n->name,
		    labels ? "{" : "", labels ? n->labels : "",
		    labels ? "}" : "", counters_get(c, (enum counter)i));
	}
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

static bool
is_operator(struct request *r)
{
	const struct catalog_token *token;
	const struct catalog *c = loop_catalog(r->loop);

	return c != NULL &&
	    auth_check(&token, c, request_header(r, "Authorization"),
		clock_now_ms()) == AUTH_KNOWN &&
	    token->role == CATALOG_ADMIN;
}

void
metrics_get(struct request *r)
{
	struct service *s = r->service;
	AUTO_BUF out = { 0 };

	buf_init(&out, METRICS_MAX);
	counters_set_waiting(s->counters, 0, atomic_load(&s->held));
	add_counters(&out, s->counters);
	add_gauge(&out, "edict_engines_waiting",
	    "Long polls that are held now.",
	    (double)counters_waiting(s->counters));
	add_catalog(&out, s);
	add_fetch_ages(&out, s->counters, is_operator(r));
	add_gauge(&out, "process_start_time_seconds",
	    "When the http process started, since 1970.",
	    (double)s->started_ms / 1000);
	add_head(&out, "edict_info", "The version that runs.");
	buf_printf(&out, "edict_info{version=\"%s\"} 1\n", EDICT_VERSION);
	reply_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", out.data,
	    out.len);
}
