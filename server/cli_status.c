/* status, log, show: what is going on, what happened, what is in a commit. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_engines.h"
#include "server/cli_table.h"

enum { STATUS_MAX = 10000, LOG_LINES = 20 };

static const struct cli_option status_options[] = {
	{ "engines", 0, NULL, "every engine too" },
	CLIENT_OPTIONS,
	{ 0 },
};

static const struct cli_option log_options[] = {
	{ "lines", 'n', "N", "how many commits; default: 20" },
	{ "repo", 0, "REPO", "where several are watched" },
	CLIENT_OPTIONS,
	{ 0 },
};

static const struct cli_option show_options[] = {
	{ "tests", 0, NULL, "every test, not only those that did not pass" },
	CLIENT_OPTIONS,
	{ 0 },
};

static char *
brief(const char *id)
{
	return id == NULL ? mem_strdup("-") : mem_strndup(id, strnlen(id, 12));
}

/* ---- status ---- */

static void
print_repositories(const json_t *list)
{
	static const char *const headings[] = { "REPOSITORY", "STATE", "BRANCH",
		"FOLLOWED", "FETCHED", NULL };
	struct table *t = table_new(headings);
	const json_t *r;
	size_t i;

	json_array_foreach(list, i, r) {
		AUTO_STR followed = brief(table_string(r, "followed"));
		AUTO_STR age = table_age(table_string(r, "last_success_at"));
		const char *cells[] = { table_string(r, "name"),
			json_is_true(json_object_get(r, "suspended"))
			    ? "suspended"
			    : table_string(r, "state"),
			table_string(r, "branch"), followed, age };

		table_row(t, cells);
	}
	table_print(t);
	json_array_foreach(list, i, r) {
		const char *alarm =
		    table_string(json_object_get(r, "alarm"), "message");
		const char *error = table_string(r, "last_error");

		if (alarm != NULL || error != NULL)
			(void)printf("\n%s:\n", table_string(r, "name"));
		table_text(alarm, 2, 5);
		table_text(error, 2, 5);
	}
}

static void
add_assignments(struct table *t, const json_t *cluster)
{
	const json_t *a;
	size_t i;

	json_array_foreach(json_object_get(cluster, "assignments"), i, a) {
		AUTO_STR revision = brief(table_string(a, "revision"));
		AUTO_STR age = table_age(table_string(a, "at"));
		const char *cells[] = { table_string(cluster, "name"),
			table_string(a, "bundle"), revision,
			table_string(a, "mode"), age, table_string(a, "by"),
			table_string(a, "reason") };

		table_row(t, cells);
	}
}

static void
print_clusters(const json_t *list)
{
	static const char *const headings[] = { "CLUSTER", "BUNDLE", "REVISION",
		"MODE", "SINCE", "BY", "REASON", NULL };
	struct table *t = table_new(headings);
	const json_t *cluster, *a;
	size_t i, k;

	json_array_foreach(list, i, cluster)
		add_assignments(t, cluster);
	table_print(t);
	json_array_foreach(list, i, cluster) {
		if (json_is_true(json_object_get(cluster, "orphan")))
			(void)printf("\n%s: no longer defined in edict.yaml, "
				     "still served\n",
			    table_string(cluster, "name"));
		json_array_foreach(json_object_get(cluster, "assignments"), k,
		    a) {
			const char *blocked = table_string(a, "blocked");

			if (blocked == NULL)
				continue;
			(void)printf("\n%s, %s is blocked:\n",
			    table_string(cluster, "name"),
			    table_string(a, "bundle"));
			table_text(blocked, 2, 5);
		}
	}
}

static int
status(int argc, char **argv)
{
	AUTO(client, c) = NULL;
	struct cli_args a;
	struct err e = { 0 };
	json_t *repositories = NULL;
	json_t *clusters = NULL;
	json_t *engines = NULL;
	int n = cli_parse(&a, &cli_status, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count > 0)
		return cli_usage(&cli_status, "%s: not expected", a.rest[0]);
	if (client_open(&c, &a, &e) != ERR_OK ||
	    client_list(c, "/repositories", STATUS_MAX, &repositories, &e) !=
		ERR_OK ||
	    client_list(c, "/clusters", STATUS_MAX, &clusters, &e) != ERR_OK ||
	    (cli_given(&a, "engines") &&
		cli_engines_list(&engines, c, clusters, &e) != ERR_OK)) {
		json_decref(repositories);
		json_decref(clusters);
		return client_fail(&a, &e);
	}
	if (cli_given(&a, "json")) {
		json_t *all = json_pack("{s:O,s:O}", "repositories",
		    repositories, "clusters", clusters);

		if (engines != NULL)
			json_object_set(all, "engines", engines);
		(void)client_print_json(all);
		json_decref(all);
	} else {
		print_repositories(repositories);
		(void)printf("\n");
		print_clusters(clusters);
		cli_engines_summary(clusters);
		if (engines != NULL)
			cli_engines_print(engines);
	}
	json_decref(engines);
	json_decref(repositories);
	json_decref(clusters);
	return 0;
}

/* ---- log ---- */

/* "prod-eu:authz prod-us:authz", or how many when they are many. */
static char *
where(const json_t *commit)
{
	const json_t *list = json_object_get(commit, "runs_in");
	const json_t *r;
	size_t count = json_array_size(list);
	AUTO_BUF b = { 0 };
	size_t i;

	if (count == 0)
		return mem_strdup("");
	if (count > 2)
		return mem_printf("[runs in %zu places]", count);
	buf_init(&b, 512);
	json_array_foreach(list, i, r)
		buf_printf(&b, "%s%s:%s", i > 0 ? " " : "[",
		    table_string(r, "cluster"), table_string(r, "bundle"));
	buf_add_char(&b, ']');
	return mem_strdup(b.data);
}

static void
print_log(const json_t *list)
{
	static const char *const headings[] = { "COMMIT", "VERDICT", "TESTS",
		"AGE", "SUBJECT", NULL };
	struct table *t = table_new(headings);
	const json_t *c;
	size_t i;

	json_array_foreach(list, i, c) {
		const json_t *v = json_object_get(c, "verdict");
		const json_t *tests = json_object_get(v, "tests");
		const char *state = table_string(v, "state");
		AUTO_STR id = brief(table_string(c, "revision"));
		AUTO_STR count = v == NULL || json_is_null(v)
		    ? mem_strdup("-")
		    : mem_printf("%lld/%lld",
			  (long long)table_number(tests, "passed"),
			  (long long)table_number(tests, "total"));
		AUTO_STR age = table_age(table_string(c, "committed_at"));
		AUTO_STR places = where(c);
		const char *subject = table_string(c, "subject");
		AUTO_STR text = mem_printf("%s%s%s",
		    *places != '\0' ? places : "", *places != '\0' ? " " : "",
		    subject != NULL ? subject : "");
		const char *cells[] = { id,
			state != NULL ? state : "not tested", count, age,
			text };

		table_row(t, cells);
	}
	table_print(t);
}

static int
show_log(int argc, char **argv)
{
	AUTO(client, c) = NULL;
	struct cli_args a;
	struct err e = { 0 };
	json_t *list = NULL;
	long lines = LOG_LINES;
	int n = cli_parse(&a, &cli_log, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count > 0)
		return cli_usage(&cli_log, "%s: not expected", a.rest[0]);
	if (cli_value(&a, "lines") != NULL)
		lines = strtol(cli_value(&a, "lines"), NULL, 10);
	if (lines < 1 || lines > 100000)
		return cli_usage(&cli_log, "--lines takes 1 to 100000");
	AUTO_STR repo = cli_value(&a, "repo") != NULL
	    ? client_segment(cli_value(&a, "repo"))
	    : NULL;
	AUTO_STR path = repo != NULL
	    ? mem_printf("/commits?repository=%s", repo)
	    : mem_strdup("/commits");
	if (client_open(&c, &a, &e) != ERR_OK ||
	    client_list(c, path, (size_t)lines, &list, &e) != ERR_OK)
		return client_fail(&a, &e);
	if (cli_given(&a, "json"))
		(void)client_print_json(list);
	else
		print_log(list);
	json_decref(list);
	return 0;
}

/* ---- show ---- */

/* Only what is known: opa may have run no test, or not at all. */
static void
print_run(const json_t *v)
{
	const json_t *tests = json_object_get(v, "tests");
	const char *engine = table_string(v, "engine");

	if (engine == NULL || engine[0] == '\0')
		return;
	if (table_number(tests, "total") > 0)
		(void)printf("tests    %lld of %lld passed, ",
		    (long long)table_number(tests, "passed"),
		    (long long)table_number(tests, "total"));
	else
		(void)printf("tests    none, ");
	(void)printf("in %lld ms, by opa %s\n",
	    (long long)table_number(v, "duration_ms"), engine);
}

static void
print_facts(const json_t *c)
{
	const json_t *v = json_object_get(c, "verdict");
	const json_t *coverage = json_object_get(v, "coverage");
	const char *state = table_string(v, "state");

	(void)printf("commit   %s (%s)\n", table_string(c, "revision"),
	    table_string(c, "repository"));
	(void)printf("author   ");
	table_text(table_string(c, "author"), 0, 1);
	(void)printf("date     %s\n", table_string(c, "committed_at"));
	(void)printf("subject  ");
	table_text(table_string(c, "subject"), 0, 1);
	(void)printf("verdict  %s", state != NULL ? state : "not tested");
	if (table_string(v, "stage") != NULL)
		(void)printf(" (%s)", table_string(v, "stage"));
	(void)printf("\n");
	if (state == NULL)
		return;
	print_run(v);
	if (json_is_number(coverage))
		(void)printf("coverage %.1f %%\n", json_number_value(coverage));
	if (table_string(v, "reason") != NULL)
		(void)printf("\n");
	table_text(table_string(v, "reason"), 2, 40);
	if (table_string(v, "note") != NULL)
		(void)printf("note     ");
	table_text(table_string(v, "note"), 0, 20);
}

static void
print_tests(const json_t *c, bool all)
{
	static const char *const headings[] = { "OUTCOME", "WHERE", "TEST",
		NULL };
	const json_t *newest =
	    json_array_get(json_object_get(c, "verdicts"), 0);
	const json_t *list = json_object_get(newest, "results");
	struct table *t = table_new(headings);
	const json_t *r;
	size_t i;

	json_array_foreach(list, i, r) {
		const char *outcome = table_string(r, "outcome");
		AUTO_STR name = mem_printf("%s.%s", table_string(r, "package"),
		    table_string(r, "name"));
		AUTO_STR place = mem_printf("%s:%lld", table_string(r, "file"),
		    (long long)table_number(r, "line"));
		const char *cells[] = { outcome, place, name };

		if (!all && outcome != NULL && strcmp(outcome, "passed") == 0)
			continue;
		table_row(t, cells);
	}
	if (table_rows(t) == 0) {
		table_free(t);
		return;
	}
	(void)printf("\n");
	table_print(t);
}

static void
print_bundles(const json_t *c)
{
	static const char *const headings[] = { "BUNDLE", "CONTENT", "SIZE",
		"KEY", "ROOTS", NULL };
	const json_t *list = json_object_get(c, "bundles");
	struct table *t;
	const json_t *b;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	(void)printf("\n");
	t = table_new(headings);
	json_array_foreach(list, i, b) {
		const json_t *artifact = json_object_get(b, "artifact");
		const json_t *root;
		AUTO_STR content = brief(table_string(b, "content"));
		AUTO_STR size = json_is_object(artifact)
		    ? mem_printf("%lld",
			  (long long)table_number(artifact, "size"))
		    : mem_strdup("as before");
		AUTO_BUF roots = { 0 };
		size_t k;

		buf_init(&roots, 4096);
		json_array_foreach(json_object_get(b, "roots"), k, root)
			buf_printf(&roots, "%s%s", k > 0 ? " " : "",
			    json_string_value(root));
		const char *cells[] = { table_string(b, "bundle"), content,
			size, table_string(artifact, "key"), roots.data };

		table_row(t, cells);
	}
	table_print(t);
}

static int
show(int argc, char **argv)
{
	AUTO(client, c) = NULL;
	struct cli_args a;
	struct err e = { 0 };
	json_t *commit = NULL;
	int n = cli_parse(&a, &cli_show, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1)
		return cli_usage(&cli_show, "name one commit");
	AUTO_STR segment = client_segment(a.rest[0]);
	AUTO_STR path = mem_printf("/commits/%s", segment);
	if (client_open(&c, &a, &e) != ERR_OK ||
	    client_call(c, "GET", path, NULL, &commit, NULL, &e) != ERR_OK)
		return client_fail(&a, &e);
	if (cli_given(&a, "json")) {
		(void)client_print_json(commit);
	} else {
		print_facts(commit);
		print_tests(commit, cli_given(&a, "tests"));
		print_bundles(commit);
	}
	json_decref(commit);
	return 0;
}

const struct cli_command cli_status = {
	.name = "status",
	.group = "Looking",
	.usage = "[options]",
	.summary = "repositories, and which cluster has which revision",
	.help =
	    "Shows each repository (when it was last fetched, what is wrong\n"
	    "with it) and each cluster's bundles: which revision, following or\n"
	    "held, by whom and why; and how many engines have it, as their\n"
	    "polls tell. An engine is converged, behind, rejecting (it was\n"
	    "sent the bundle and goes on without), fresh (it never said that\n"
	    "it has any) or silent.",
	.options = status_options,
	.run = status,
};

const struct cli_command cli_log = {
	.name = "log",
	.group = "Looking",
	.usage = "[options]",
	.summary = "commits with their verdicts, newest first",
	.help =
	    "Lists the tracked branch's commits with what the tests said and\n"
	    "where each one runs now.",
	.options = log_options,
	.run = show_log,
};

const struct cli_command cli_show = {
	.name = "show",
	.group = "Looking",
	.usage = "REV [options]",
	.summary = "one commit: verdict, tests, bundles",
	.help =
	    "REV is a commit id, a prefix of four digits or more, HEAD or the\n"
	    "branch's name, with ~N behind it if wished.\n"
	    "\n"
	    "  edict show HEAD\n"
	    "  edict show HEAD~1 --tests",
	.options = show_options,
	.run = show,
};
