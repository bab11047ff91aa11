/* log: what became of each commit. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"

enum { LOG_LINES = 20, LOG_LINES_MAX = 100000, LOG_PLACES = 8 };

static const struct cli_option log_options[] = {
	{ "lines", 'n', "N", "how many commits; default: 20" },
	{ "repo", 0, "REPO", "where several are watched" },
	CLIENT_OPTIONS,
	{ 0 },
};

/* How it came to run there; "" when it follows. */
static const char *
manner(const json_t *place)
{
	const char *mode = table_string(place, "mode");

	if (json_is_true(json_object_get(place, "forced")))
		return " (forced)";
	return mode != NULL && strcmp(mode, "held") == 0 ? " (held)" : "";
}

/* "runs in prod-eu:authz, prod-us:authz (held)", or that and how many more. */
static void
note_places(struct table *t, const json_t *commit)
{
	const json_t *list = json_object_get(commit, "runs_in");
	size_t count = json_array_size(list);
	AUTO_BUF b = { 0 };

	if (count == 0)
		return;
	buf_init(&b, 4096);
	for (size_t i = 0; i < count && i < LOG_PLACES; i++) {
		const json_t *r = json_array_get(list, i);

		buf_printf(&b, "%s%s:%s%s", i > 0 ? ", " : "",
		    table_string(r, "cluster"), table_string(r, "bundle"),
		    manner(r));
	}
	if (count > LOG_PLACES)
		buf_printf(&b, " and %zu more", count - LOG_PLACES);
	table_note(t, TINT_FAINT, "runs in %s", b.data);
}

static void
add_commit(struct table *t, const json_t *c)
{
	const json_t *v = json_object_get(c, "verdict");
	const json_t *tests = json_object_get(v, "tests");
	const char *state = table_string(v, "state");
	AUTO_STR id = table_brief(table_string(c, "revision"));
	AUTO_STR count = !json_is_object(v)
	    ? mem_strdup("-")
	    : mem_printf("%lld/%lld", (long long)table_number(tests, "passed"),
		  (long long)table_number(tests, "total"));
	AUTO_STR age = table_age(table_string(c, "committed_at"));
	const char *cells[] = { id, state != NULL ? state : "not tested", count,
		age, table_string(c, "subject") };

	table_row(t, cells);
	note_places(t, c);
}

static void
print_log(const json_t *list)
{
	static const char *const headings[] = { "COMMIT", "VERDICT", "TESTS",
		"AGE", "SUBJECT", NULL };
	struct table *t = table_new(headings);
	const json_t *c;
	size_t i;

	table_states(t, 1);
	json_array_foreach(list, i, c)
		add_commit(t, c);
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
	if (lines < 1 || lines > LOG_LINES_MAX)
		return cli_usage(&cli_log, "--lines takes 1 to %d",
		    LOG_LINES_MAX);
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

const struct cli_command cli_log = {
	.name = "log",
	.group = "Looking",
	.usage = "[options]",
	.summary = "commits with their verdicts, newest first",
	.help =
	    "Lists the tracked branch's commits with what the tests said and\n"
	    "where each one runs now (cluster:bundle).",
	.options = log_options,
	.run = show_log,
};
