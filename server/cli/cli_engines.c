#include "server/cli/cli_engines.h"

#include <stdio.h>
#include <string.h>

#include "clusters/engines.h"
#include "core/mem.h"
#include "server/cli/cli_table.h"

enum { CLI_ENGINES_MAX = 100000 };

static const json_t *
counts_of(const json_t *a)
{
	return json_object_get(a, "engines");
}

static int64_t
count_all(const json_t *counts)
{
	int64_t sum = 0;

	for (int i = 0; i < ENGINES_STATES; i++)
		sum += table_number(counts, engines_state_names[i]);
	return sum;
}

char *
cli_engines_sum(const json_t *a)
{
	const json_t *counts = counts_of(a);
	int64_t sum = count_all(counts);

	return sum == 0
	    ? mem_strdup("-")
	    : mem_printf("%lld of %lld",
		  (long long)table_number(counts, "converged"), (long long)sum);
}

enum screen_tint
cli_engines_tint(const json_t *a)
{
	const json_t *counts = counts_of(a);
	int64_t sum = count_all(counts);

	if (table_number(counts, "rejecting") > 0)
		return TINT_BAD;
	if (sum == 0)
		return TINT_NONE;
	return table_number(counts, "converged") == sum ? TINT_GOOD : TINT_CARE;
}

/* "2 behind, 1 rejecting". */
static void
note_states(struct table *t, const json_t *counts)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, 512);
	for (int i = 0; i < ENGINES_STATES; i++) {
		const char *name = engines_state_names[i];
		int64_t n = table_number(counts, name);

		if (n > 0 && strcmp(name, "converged") != 0)
			buf_printf(&text, "%s%lld %s", text.len > 0 ? ", " : "",
			    (long long)n, name);
	}
	if (text.len == 0)
		return;
	table_note(t,
	    table_number(counts, "rejecting") > 0 ? TINT_BAD : TINT_CARE,
	    "%s; see edict status --engines", text.data);
}

/* Engines without a name can only be counted by what they asked. */
static void
note_anonymous(struct table *t, const json_t *counts)
{
	const json_t *n = json_object_get(counts, "anonymous");

	if (table_number(n, "current") + table_number(n, "other") +
		table_number(n, "none") ==
	    0)
		return;
	table_note(t, TINT_FAINT,
	    "requests of engines without a name: %lld having it, %lld having "
	    "something else, %lld having nothing",
	    (long long)table_number(n, "current"),
	    (long long)table_number(n, "other"),
	    (long long)table_number(n, "none"));
}

void
cli_engines_note(struct table *t, const json_t *a)
{
	const json_t *counts = counts_of(a);
	int64_t back = table_number(counts, "regressed");

	note_states(t, counts);
	note_anonymous(t, counts);
	if (back > 0)
		table_note(t, TINT_BAD,
		    "%lld engine%s went back to something older by %s; see "
		    "edict status --engines",
		    (long long)back, back == 1 ? "" : "s",
		    back == 1 ? "itself" : "themselves");
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
	AUTO_STR text = mem_printf(
	    "was sent %.12s %lld time%s in %s, and does not have it%s%s",
	    revision != NULL ? revision : "another bundle",
	    (long long)table_number(sent, "times"),
	    table_number(sent, "times") == 1 ? "" : "s", age,
	    retry != NULL ? "; again after " : "", retry != NULL ? retry : "");

	table_text(text, 2, 1);
}

static void
print_error(const json_t *error)
{
	const char *file = table_string(error, "file");

	if (!json_is_object(error))
		return;
	AUTO_STR place = file == NULL
	    ? mem_strdup("")
	    : mem_printf("%s:%lld: ", file,
		  (long long)table_number(error, "row"));
	AUTO_STR text = mem_printf("%s%s: %s", place,
	    table_string(error, "code"), table_string(error, "message"));
	table_text(text, 2, 3);
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
	if (note == NULL)
		return;
	AUTO_STR text =
	    mem_printf("OPA %s: %s", table_string(e, "version"), note);
	table_text(text, 2, 3);
}

void
cli_engines_print(const json_t *engines)
{
	static const char *const headings[] = { "CLUSTER", "BUNDLE", "STATE",
		"HAS", "SINCE", "SEEN", "OPA", "ENGINE", NULL };
	struct table *t = table_new(headings);
	const json_t *e;
	size_t i;

	table_states(t, 2);
	table_ends(t, 7);
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
