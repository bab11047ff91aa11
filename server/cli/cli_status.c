/* status: who runs what, since when, why, and what is wrong with it. */

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_alarms.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_engines.h"
#include "server/cli/cli_table.h"

enum { STATUS_MAX = 10000, STATUS_BRIEF = 8 };

static const struct cli_option status_options[] = {
	{ "engines", 0, NULL, "every engine too" },
	{ "selector", 0, "TERMS",
	    "only clusters labelled so: env=prod,region!=us" },
	CLIENT_OPTIONS,
	{ 0 },
};

/* ---- repositories ---- */

static void
note_trouble(struct table *t, const json_t *r)
{
	const char *alarm =
	    table_string(json_object_get(r, "alarm"), "message");
	const char *error = table_string(r, "last_error");

	if (alarm != NULL)
		table_note(t, TINT_BAD, "%s", alarm);
	if (error != NULL)
		table_note(t, TINT_CARE, "%s", error);
}

static void
print_repositories(const json_t *list)
{
	static const char *const headings[] = { "REPOSITORY", "STATE", "BRANCH",
		"FOLLOWED", "FETCHED", NULL };
	struct table *t = table_new(headings);
	const json_t *r;
	size_t i;

	table_states(t, 1);
	json_array_foreach(list, i, r) {
		AUTO_STR followed = table_brief(table_string(r, "followed"));
		AUTO_STR age = table_age(table_string(r, "last_success_at"));
		const char *cells[] = { table_string(r, "name"),
			json_is_true(json_object_get(r, "suspended"))
			    ? "suspended"
			    : table_string(r, "state"),
			table_string(r, "branch"), followed, age };

		table_row(t, cells);
		note_trouble(t, r);
	}
	table_print(t);
}

/* ---- clusters ---- */

static bool
is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* "3m ago: text" or without a text. */
static char *
who_and_why(const json_t *a)
{
	const char *reason = table_string(a, "reason");
	const char *by = table_string(a, "by");
	AUTO_STR age = table_age(table_string(a, "at"));

	return mem_printf("by %s, %s ago%s%s", by != NULL ? by : "-", age,
	    reason != NULL ? ": " : "", reason != NULL ? reason : "");
}

static void
note_mode(struct table *t, const json_t *a, const char *mode)
{
	AUTO_STR why = who_and_why(a);
	size_t quarantined = json_array_size(json_object_get(a, "quarantined"));

	if (is_true(a, "forced"))
		table_note(t, TINT_BAD, "forced, with no passing verdict, %s",
		    why);
	if (strcmp(mode, "held") == 0)
		table_note(t, TINT_NONE, "held %s%s",
		    is_true(a, "until_next") ? "until the next passing commit "
					     : "",
		    why);
	if (quarantined > 0)
		table_note(t, TINT_NONE,
		    "%zu content%s quarantined until resume", quarantined,
		    quarantined == 1 ? "" : "s");
}

static void
note_place(struct table *t, const json_t *cluster, const json_t *a)
{
	const char *blocked = table_string(a, "blocked");
	const char *revision = table_string(a, "revision");
	const char *current = table_string(a, "current_with");

	if (is_true(cluster, "orphan"))
		table_note(t, TINT_CARE,
		    "the cluster is no longer defined in edict.yaml, still "
		    "served");
	else if (is_true(a, "orphan"))
		table_note(t, TINT_CARE,
		    "edict.yaml gives it this bundle no longer, still served");
	/* An orphan is blocked for that alone. */
	else if (blocked != NULL)
		table_note(t, TINT_BAD, "blocked: %s", blocked);
	if (current != NULL && revision != NULL &&
	    strcmp(current, revision) != 0)
		table_note(t, TINT_FAINT,
		    "current with %.*s, whose content is the same",
		    STATUS_BRIEF, current);
}

/* What it does now, in one word. */
static const char *
word_for(const json_t *cluster, const json_t *a)
{
	const char *mode = table_string(a, "mode");

	if (is_true(a, "forced"))
		return "forced";
	if (is_true(cluster, "orphan") || is_true(a, "orphan"))
		return "orphan";
	return table_string(a, "blocked") != NULL ? "blocked" : mode;
}

static void
add_assignment(struct table *t, const json_t *cluster, const json_t *a)
{
	const char *revision = table_string(a, "revision");
	const char *mode = table_string(a, "mode");
	AUTO_STR brief = revision == NULL
	    ? mem_strdup("-")
	    : mem_strndup(revision, strnlen(revision, STATUS_BRIEF));
	AUTO_STR age = table_age(table_string(a, "at"));
	AUTO_STR engines = cli_engines_sum(a);
	const char *cells[] = { table_string(cluster, "name"),
		table_string(a, "bundle"), brief, age, word_for(cluster, a),
		engines, table_string(a, "subject") };

	table_row(t, cells);
	table_paint(t, 5, cli_engines_tint(a));
	note_mode(t, a, mode != NULL ? mode : "");
	note_place(t, cluster, a);
	cli_engines_note(t, a);
}

static void
add_empty(struct table *t, const json_t *cluster)
{
	const char *cells[] = { table_string(cluster, "name"), NULL, NULL, NULL,
		NULL, NULL, "nothing assigned yet" };

	table_row(t, cells);
	if (is_true(cluster, "orphan"))
		table_note(t, TINT_CARE, "no longer defined in edict.yaml");
}

static void
print_clusters(const json_t *list)
{
	static const char *const headings[] = { "CLUSTER", "BUNDLE", "REVISION",
		"AGE", "MODE", "CONVERGED", "SUBJECT", NULL };
	struct table *t = table_new(headings);
	const json_t *cluster, *a;
	size_t i, k;

	table_states(t, 4);
	json_array_foreach(list, i, cluster) {
		const json_t *all = json_object_get(cluster, "assignments");

		if (json_array_size(all) == 0)
			add_empty(t, cluster);
		json_array_foreach(all, k, a)
			add_assignment(t, cluster, a);
	}
	table_print(t);
}

/* ---- the command ---- */

static char *
clusters_path(const struct cli_args *a)
{
	AUTO_STR selector = NULL;

	if (cli_value(a, "selector") == NULL)
		return mem_strdup("/clusters");
	selector = client_segment(cli_value(a, "selector"));
	return mem_printf("/clusters?selector=%s", selector);
}

static enum err_code
ask(json_t *all, const struct cli_args *a, struct err *e)
{
	AUTO(client, c) = NULL;
	AUTO_STR clusters = clusters_path(a);
	json_t *list = NULL;

	TRY(client_open(&c, a, e));
	TRY(client_list(c, "/repositories", STATUS_MAX, &list, e));
	json_object_set_new(all, "repositories", list);
	TRY(client_list(c, clusters, STATUS_MAX, &list, e));
	json_object_set_new(all, "clusters", list);
	TRY(cli_alarms_ask(all, c, e));
	if (!cli_given(a, "engines"))
		return ERR_OK;
	TRY(cli_engines_list(&list, c, json_object_get(all, "clusters"), e));
	json_object_set_new(all, "engines", list);
	return ERR_OK;
}

static void
print_all(const json_t *all)
{
	const json_t *engines = json_object_get(all, "engines");

	print_repositories(json_object_get(all, "repositories"));
	(void)printf("\n");
	print_clusters(json_object_get(all, "clusters"));
	cli_alarms_print(all);
	if (engines != NULL)
		cli_engines_print(engines);
}

static int
status(int argc, char **argv)
{
	struct cli_args a;
	struct err e = { 0 };
	enum err_code code;
	json_t *all;
	int n = cli_parse(&a, &cli_status, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count > 0)
		return cli_usage(&cli_status, "%s: not expected", a.rest[0]);
	all = json_object();
	code = ask(all, &a, &e);
	if (code == ERR_OK && cli_given(&a, "json"))
		(void)client_print_json(all);
	else if (code == ERR_OK)
		print_all(all);
	json_decref(all);
	return code == ERR_OK ? 0 : client_fail(&a, &e);
}

const struct cli_command cli_status = {
	.name = "status",
	.group = "Looking",
	.usage = "[options]",
	.summary = "repositories, and which cluster has which revision",
	.help =
	    "Shows each repository (when it was last fetched, what is wrong\n"
	    "with it) and each cluster's bundles: which revision since when,\n"
	    "following, held or blocked, by whom and why; and how many of the\n"
	    "engines have it, as their polls tell. One that is not converged is\n"
	    "behind, rejecting (it was sent the bundle and goes on without),\n"
	    "fresh (it never said that it has any) or silent.\n"
	    "\n"
	    "  edict status --selector env=prod --engines",
	.options = status_options,
	.run = status,
};
