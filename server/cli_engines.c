#include "server/cli_engines.h"

#include <stdio.h>
#include <string.h>

#include "clusters/engines.h"
#include "core/mem.h"
#include "server/cli_table.h"

enum { CLI_ENGINES_MAX = 100000 };

static char *
number(const json_t *counts, const char *key)
{
	return mem_printf("%lld", (long long)table_number(counts, key));
}

static void
add_counts(struct table *t, const json_t *cluster, const json_t *a)
{
	const json_t *counts = json_object_get(a, "engines");
	char *cells[2 + ENGINES_STATES];
	const char *shown[2 + ENGINES_STATES];
	int64_t sum = 0;

	for (int i = 0; i < ENGINES_STATES; i++) {
		cells[2 + i] = number(counts, engines_state_names[i]);
		sum += table_number(counts, engines_state_names[i]);
	}
	shown[0] = table_string(cluster, "name");
	shown[1] = table_string(a, "bundle");
	for (int i = 0; i < ENGINES_STATES; i++)
		shown[2 + i] = cells[2 + i];
	if (sum > 0)
		table_row(t, shown);
	for (int i = 0; i < ENGINES_STATES; i++)
		mem_free(cells[2 + i]);
}

/* Engines without a name can only be counted by what they asked. */
static void
print_anonymous(const json_t *cluster, const json_t *a)
{
	const json_t *n =
	    json_object_get(json_object_get(a, "engines"), "anonymous");

	if (table_number(n, "credentials") == 0)
		return;
	(void)
	    printf("\n%s, %s: requests of engines without a name: %lld having "
		   "it, %lld having\nsomething else, %lld having nothing\n",
		table_string(cluster, "name"), table_string(a, "bundle"),
		(long long)table_number(n, "current"),
		(long long)table_number(n, "other"),
		(long long)table_number(n, "none"));
}

static void
print_regressed(const json_t *cluster, const json_t *a)
{
	int64_t n = table_number(json_object_get(a, "engines"), "regressed");

	if (n > 0)
		(void)printf("\n%s, %s: %lld engine%s went back to something "
			     "older by %s;\nsee edict status --engines\n",
		    table_string(cluster, "name"), table_string(a, "bundle"),
		    (long long)n, n == 1 ? "" : "s",
		    n == 1 ? "itself" : "themselves");
}

void
cli_engines_summary(const json_t *clusters)
{
	static const char *const headings[] = { "CLUSTER", "BUNDLE",
		"CONVERGED", "BEHIND", "REJECTING", "FRESH", "SILENT", NULL };
	struct table *t = table_new(headings);
	const json_t *cluster, *a;
	size_t i, k;

	json_array_foreach(clusters, i, cluster)
		json_array_foreach(json_object_get(cluster, "assignments"), k,
		    a)
			add_counts(t, cluster, a);
	if (table_rows(t) > 0) {
		(void)printf("\n");
		table_print(t);
	} else {
		table_free(t);
	}
	json_array_foreach(clusters, i, cluster)
		json_array_foreach(json_object_get(cluster, "assignments"), k,
		    a) {
			print_anonymous(cluster, a);
			print_regressed(cluster, a);
		}
}

enum err_code
cli_engines_list(json_t **out, struct client *c, const json_t *clusters,
    struct err *e)
{
	json_t *all = json_array();
	const json_t *cluster;
	size_t i;

	json_array_foreach(clusters, i, cluster) {
		AUTO_STR segment =
		    client_segment(table_string(cluster, "name"));
		AUTO_STR path = mem_printf("/clusters/%s/engines", segment);
		json_t *list = NULL;
		json_t *item;
		size_t k;
		enum err_code code =
		    client_list(c, path, CLI_ENGINES_MAX, &list, e);

		if (code != ERR_OK) {
			json_decref(all);
			return code;
		}
		json_array_foreach(list, k, item)
			json_object_set(item, "cluster",
			    json_object_get(cluster, "name"));
		json_array_extend(all, list);
		json_decref(list);
	}
	*out = all;
	return ERR_OK;
}

static void
add_engine(struct table *t, const json_t *e)
{
	const json_t *b;
	size_t i;
	AUTO_STR seen = table_age(table_string(e, "seen_at"));

	json_array_foreach(json_object_get(e, "bundles"), i, b) {
		const json_t *has = json_object_get(b, "has");
		const char *revision = table_string(has, "revision");
		AUTO_STR brief = revision == NULL
		    ? mem_strdup("-")
		    : mem_strndup(revision, strnlen(revision, 12));
		AUTO_STR since = table_age(table_string(has, "since"));
		const char *cells[] = { table_string(e, "cluster"),
			table_string(b, "bundle"), table_string(b, "state"),
			brief, since, seen, table_string(e, "version"),
			table_string(e, "engine") };

		table_row(t, cells);
	}
}

static void
print_sent(const json_t *b)
{
	const json_t *sent = json_object_get(b, "sent");
	const char *revision = table_string(sent, "revision");
	AUTO_STR age = table_age(table_string(sent, "since"));
	const char *retry = table_string(b, "retry_at");

	(void)printf("  was sent %.12s %lld time%s in %s, and does not have it",
	    revision != NULL ? revision : "another bundle",
	    (long long)table_number(sent, "times"),
	    table_number(sent, "times") == 1 ? "" : "s", age);
	if (retry != NULL)
		(void)printf(";\n  again after %s", retry);
	(void)printf("\n");
}

static void
print_error(const json_t *error)
{
	if (!json_is_object(error))
		return;
	(void)printf("  ");
	if (table_string(error, "file") != NULL)
		(void)printf("%s:%lld: ", table_string(error, "file"),
		    (long long)table_number(error, "row"));
	(void)printf("%s: ", table_string(error, "code"));
	table_text(table_string(error, "message"), 0, 3);
}

/* What is wrong with it, if anything is. */
static void
print_trouble(const json_t *e)
{
	const char *note = table_string(e, "version_note");
	const json_t *b;
	size_t i;

	json_array_foreach(json_object_get(e, "bundles"), i, b) {
		const char *state = table_string(b, "state");
		const json_t *back = json_object_get(b, "regressed");
		bool rejecting = state != NULL &&
		    strcmp(state, "rejecting") == 0;

		if (!rejecting && !json_is_object(back) &&
		    !json_is_object(json_object_get(b, "error")))
			continue;
		(void)printf("\n%s, %s, %s:\n", table_string(e, "cluster"),
		    table_string(e, "engine"), table_string(b, "bundle"));
		if (rejecting)
			print_sent(b);
		if (json_is_object(back))
			(void)printf("  went back from serial %lld by itself, "
				     "at %s\n",
			    (long long)table_number(back, "from_serial"),
			    table_string(back, "at"));
		print_error(json_object_get(b, "error"));
	}
	if (note == NULL && !json_is_object(json_object_get(e, "plugins")))
		return;
	(void)printf("\n%s, %s:\n", table_string(e, "cluster"),
	    table_string(e, "engine"));
	print_error(json_object_get(e, "plugins"));
	if (note != NULL)
		(void)printf("  OPA %s: ", table_string(e, "version"));
	table_text(note, 0, 3);
}

void
cli_engines_print(const json_t *engines)
{
	static const char *const headings[] = { "CLUSTER", "BUNDLE", "STATE",
		"HAS", "SINCE", "SEEN", "OPA", "ENGINE", NULL };
	struct table *t = table_new(headings);
	const json_t *e;
	size_t i;

	json_array_foreach(engines, i, e)
		add_engine(t, e);
	if (table_rows(t) == 0) {
		table_free(t);
		return;
	}
	(void)printf("\n");
	table_print(t);
	json_array_foreach(engines, i, e)
		print_trouble(e);
}
