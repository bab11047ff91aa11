#include "server/cli/cli_wait.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "server/cli/cli_table.h"

enum { WAIT_ENGINES_MAX = 100000, WAIT_PAUSE_MS = 200 };

/* One look at all of them. */
struct look {
	size_t engines, converged, silent;
	bool known; /* the server shows what it answered, everywhere */
	json_t *missing;
};

static enum err_code
changed_again(const json_t *a, int64_t serial, struct err *e)
{
	return err_set(e, ERR_CONFLICT,
	    "bundle %s in cluster %s was changed again meanwhile: its serial "
	    "is %lld, not %lld; look at: edict status",
	    table_string(a, "bundle"), table_string(a, "cluster"),
	    (long long)serial, (long long)table_number(a, "serial"));
}

static void
take_engine(struct look *l, const json_t *a, const json_t *engine,
    const json_t *bundle)
{
	const char *state = table_string(bundle, "state");

	l->engines++;
	if (state != NULL && strcmp(state, "converged") == 0) {
		l->converged++;
		return;
	}
	if (state != NULL && strcmp(state, "silent") == 0) {
		l->silent++;
		return;
	}
	json_array_append_new(l->missing,
	    json_pack("{s:O, s:O, s:O, s:s?, s:O}", "cluster",
		json_object_get(a, "cluster"), "bundle",
		json_object_get(a, "bundle"), "engine",
		json_object_get(engine, "engine"), "state", state, "seen_at",
		json_object_get(engine, "seen_at")));
}

/* What it says of a serial that came before tells nothing. */
static enum err_code
look_at_engine(struct look *l, const json_t *a, const json_t *engine,
    struct err *e)
{
	int64_t wanted = table_number(a, "serial");
	const json_t *bundle;
	size_t i;

	json_array_foreach(json_object_get(engine, "bundles"), i, bundle) {
		int64_t serial = table_number(bundle, "serial");

		if (!json_equal(json_object_get(bundle, "bundle"),
			json_object_get(a, "bundle")))
			continue;
		if (serial > wanted)
			return changed_again(a, serial, e);
		if (serial < wanted)
			l->known = false;
		else
			take_engine(l, a, engine, bundle);
	}
	return ERR_OK;
}

static enum err_code
look_at_cluster(struct look *l, struct client *c, const json_t *assignments,
    const char *cluster, struct err *e)
{
	AUTO_STR segment = client_segment(cluster);
	AUTO_STR path = mem_printf("/clusters/%s/engines", segment);
	json_t *engines = NULL;
	const json_t *a, *engine;
	size_t i, k;
	enum err_code code =
	    client_list(c, path, WAIT_ENGINES_MAX, &engines, e);

	json_array_foreach(assignments, i, a)
		if (strcmp(table_string(a, "cluster"), cluster) == 0)
			json_array_foreach(engines, k, engine)
				if (code == ERR_OK)
					code = look_at_engine(l, a, engine, e);
	json_decref(engines);
	return code;
}

/* Clusters are asked once each, whatever their bundles. */
static bool
is_first(const json_t *assignments, size_t i)
{
	const char *cluster =
	    table_string(json_array_get(assignments, i), "cluster");

	for (size_t k = 0; k < i; k++)
		if (strcmp(table_string(json_array_get(assignments, k),
			       "cluster"),
			cluster) == 0)
			return false;
	return true;
}

static enum err_code
look(struct look *l, struct client *c, const json_t *assignments, struct err *e)
{
	json_t *missing = l->missing;
	const json_t *a;
	size_t i;

	json_array_clear(missing);
	*l = (struct look){ .missing = missing, .known = true };
	json_array_foreach(assignments, i, a)
		if (is_first(assignments, i))
			TRY(look_at_cluster(l, c, assignments,
			    table_string(a, "cluster"), e));
	return ERR_OK;
}

static void
show_progress(const struct look *l, size_t *last)
{
	if (!isatty(STDERR_FILENO) || l->converged == *last)
		return;
	*last = l->converged;
	(void)fprintf(stderr, "%zu of %zu ...\n", l->converged,
	    l->engines - l->silent);
}

static bool
is_done(const struct look *l)
{
	return l->known && json_array_size(l->missing) == 0;
}

static void
rest(void)
{
	const struct timespec pause = { .tv_nsec = WAIT_PAUSE_MS * 1000000 };

	(void)nanosleep(&pause, NULL);
}

static bool
is_blocked(const json_t *assignment)
{
	return json_is_string(json_object_get(assignment, "blocked"));
}

/* What is held up by something (its set is being looked at, its key signs) as
 * it stands now. */
static enum err_code
look_at_blocked(struct client *c, json_t *assignments, bool *blocked,
    struct err *e)
{
	const json_t *a, *now;
	size_t i, k;

	*blocked = false;
	json_array_foreach(assignments, i, a) {
		AUTO_STR segment = client_segment(table_string(a, "cluster"));
		AUTO_STR path = mem_printf("/clusters/%s", segment);
		json_t *cluster = NULL;

		if (!is_blocked(a))
			continue;
		TRY(client_call(c, "GET", path, NULL, &cluster, NULL, e));
		json_array_foreach(json_object_get(cluster, "assignments"), k,
		    now)
			if (json_equal(json_object_get(now, "bundle"),
				json_object_get(a, "bundle")))
				(void)json_array_set(assignments, i,
				    (json_t *)(uintptr_t)now);
		json_decref(cluster);
		*blocked |= is_blocked(json_array_get(assignments, i));
	}
	return ERR_OK;
}

/* Who goes on waits for engines then. */
static enum err_code
wait_moved(struct client *c, json_t *assignments, int64_t end_ms, bool *moved,
    struct err *e)
{
	bool blocked = true;

	while (blocked) {
		TRY(look_at_blocked(c, assignments, &blocked, e));
		if (blocked && clock_mono_ms() >= end_ms)
			break;
		if (blocked)
			rest();
	}
	*moved = !blocked;
	return ERR_OK;
}

static enum err_code
wait_taken(struct look *l, struct client *c, const json_t *assignments,
    int64_t end_ms, struct err *e)
{
	size_t last = SIZE_MAX;

	TRY(look(l, c, assignments, e));
	while (!is_done(l) && clock_mono_ms() < end_ms) {
		show_progress(l, &last);
		rest();
		TRY(look(l, c, assignments, e));
	}
	return ERR_OK;
}

enum err_code
cli_wait(struct client *c, const json_t *assignments, int64_t timeout_ms,
    json_t **out, struct err *e)
{
	struct look l = { .missing = json_array() };
	json_t *list = json_copy((json_t *)(uintptr_t)assignments);
	int64_t begin = clock_mono_ms();
	bool moved = false;
	enum err_code code = wait_moved(c, list, begin + timeout_ms, &moved, e);

	if (code == ERR_OK)
		code = wait_taken(&l, c, list, begin + timeout_ms, e);
	l.known &= moved;
	json_decref(list);
	if (code != ERR_OK) {
		json_decref(l.missing);
		return code;
	}
	*out = json_pack("{s:b, s:I, s:I, s:I, s:I, s:o}", "done", is_done(&l),
	    "engines", (json_int_t)l.engines, "converged",
	    (json_int_t)l.converged, "silent", (json_int_t)l.silent, "ms",
	    (json_int_t)(clock_mono_ms() - begin), "missing", l.missing);
	return ERR_OK;
}

static void
print_missing(const json_t *list)
{
	static const char *const headings[] = { "CLUSTER", "BUNDLE", "STATE",
		"SEEN", "ENGINE", NULL };
	struct table *t = table_new(headings);
	const json_t *m;
	size_t i;

	json_array_foreach(list, i, m) {
		AUTO_STR seen = table_age(table_string(m, "seen_at"));
		const char *cells[] = { table_string(m, "cluster"),
			table_string(m, "bundle"), table_string(m, "state"),
			seen, table_string(m, "engine") };

		table_row(t, cells);
	}
	table_print(t);
}

void
cli_wait_print(const json_t *result)
{
	const json_t *missing = json_object_get(result, "missing");
	long long engines = (long long)table_number(result, "engines");
	long long silent = (long long)table_number(result, "silent");
	double seconds = (double)table_number(result, "ms") / 1000;

	if (engines == 0)
		(void)printf("\nNo engine with a name polls for it: nobody to "
			     "wait for.\n");
	else
		(void)printf("\n%lld of %lld engines have it, after %.1f s%s\n",
		    (long long)table_number(result, "converged"), engines,
		    seconds, json_array_size(missing) > 0 ? "; not yet:" : "");
	if (silent > 0)
		(void)printf("%lld of them %s silent, and not waited for.\n",
		    silent, silent == 1 ? "is" : "are");
	if (json_array_size(missing) > 0)
		print_missing(missing);
}
