/* rollback, pin, resume, retest: what changes who gets what. */

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_table.h"

static const struct cli_option rollback_options[] = {
	{ "to", 0, "REV", "commit to go back to: id, prefix, HEAD~2" },
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	{ "cluster", 0, "NAMES", "only these clusters, with commas between" },
	CLIENT_OPTIONS,
	{ 0 },
};

static const struct cli_option hold_options[] = {
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	{ "cluster", 0, "NAMES", "only these clusters, with commas between" },
	CLIENT_OPTIONS,
	{ 0 },
};

static const struct cli_option retest_options[] = {
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	CLIENT_OPTIONS,
	{ 0 },
};

static void
add_clusters(json_t *body, const char *names)
{
	json_t *list;

	if (names == NULL)
		return;
	list = json_array();
	while (*names != '\0') {
		size_t len = strcspn(names, ",");

		if (len > 0)
			(void)json_array_append_new(list,
			    json_stringn(names, len));
		names += len + (names[len] == ',');
	}
	(void)json_object_set_new(body, "clusters", list);
}

static void
print_assignments(const json_t *list)
{
	static const char *const headings[] = { "CLUSTER", "BUNDLE", "REVISION",
		"MODE", "SERIAL", "BY", NULL };
	struct table *t = table_new(headings);
	const json_t *a;
	size_t i;

	json_array_foreach(list, i, a) {
		const char *revision = table_string(a, "revision");
		AUTO_STR brief = mem_strndup(revision != NULL ? revision : "",
		    revision != NULL ? strnlen(revision, 12) : 0);
		AUTO_STR serial =
		    mem_printf("%lld", (long long)table_number(a, "serial"));
		const char *cells[] = { table_string(a, "cluster"),
			table_string(a, "bundle"), brief,
			table_string(a, "mode"), serial,
			table_string(a, "by") };

		table_row(t, cells);
	}
	table_print(t);
}

static int
finish(const struct cli_args *a, const json_t *answer)
{
	if (cli_given(a, "json"))
		return client_print_json(answer);
	print_assignments(json_object_get(answer, "assignments"));
	return 0;
}

/* 202: it has to be tested and built first. */
static int
act(const struct cli_args *a, const char *path, const json_t *body)
{
	AUTO(client, c) = NULL;
	json_t *answer = NULL;
	struct err e = { 0 };
	long status = 0;
	int n;

	if (client_open(&c, a, &e) != ERR_OK ||
	    client_call(c, "POST", path, body, &answer, &status, &e) != ERR_OK)
		return client_fail(a, &e);
	if (status == 202) {
		json_t *done = NULL;
		const json_t *operation = json_object_get(answer, "operation");
		enum err_code code = client_await(c,
		    operation != NULL ? operation : answer, &done, &e);

		json_decref(answer);
		if (code != ERR_OK)
			return client_fail(a, &e);
		answer = done;
	}
	n = finish(a, answer);
	json_decref(answer);
	return n;
}

static int
on_bundle(const struct cli_args *a, const char *action, json_t *body)
{
	AUTO_STR bundle = client_segment(a->rest[0]);
	AUTO_STR path = mem_printf("/bundles/%s/%s", bundle, action);
	int n;

	if (cli_value(a, "reason") != NULL)
		(void)json_object_set_new(body, "reason",
		    json_string(cli_value(a, "reason")));
	add_clusters(body, cli_value(a, "cluster"));
	n = act(a, path, body);
	json_decref(body);
	return n;
}

static int
rollback(int argc, char **argv)
{
	struct cli_args a;
	int n = cli_parse(&a, &cli_rollback, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1)
		return cli_usage(&cli_rollback, "name one bundle");
	if (cli_value(&a, "to") == NULL || cli_value(&a, "reason") == NULL)
		return cli_usage(&cli_rollback,
		    "--to REV and --reason TEXT are needed");
	return on_bundle(&a, "rollback",
	    json_pack("{s:s}", "to", cli_value(&a, "to")));
}

static int
pin(int argc, char **argv)
{
	struct cli_args a;
	int n = cli_parse(&a, &cli_pin, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1 || cli_value(&a, "reason") == NULL)
		return cli_usage(&cli_pin,
		    "name one bundle, and --reason TEXT");
	return on_bundle(&a, "pin", json_object());
}

static int
resume(int argc, char **argv)
{
	struct cli_args a;
	int n = cli_parse(&a, &cli_resume, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1)
		return cli_usage(&cli_resume, "name one bundle");
	return on_bundle(&a, "resume", json_object());
}

static int
show_verdict(const struct cli_args *a, struct client *c, const char *rev)
{
	AUTO_STR segment = client_segment(rev);
	AUTO_STR path = mem_printf("/commits/%s", segment);
	json_t *commit = NULL;
	struct err e = { 0 };
	const json_t *verdict;
	const char *state;
	int n;

	if (client_call(c, "GET", path, NULL, &commit, NULL, &e) != ERR_OK)
		return client_fail(a, &e);
	verdict = json_object_get(commit, "verdict");
	state = table_string(verdict, "state");
	if (cli_given(a, "json"))
		(void)client_print_json(commit);
	else
		(void)printf("%s: %s\n", rev, state != NULL ? state : "-");
	if (!cli_given(a, "json"))
		table_text(table_string(verdict, "reason"), 2, 20);
	n = state != NULL && strcmp(state, "passed") == 0 ? 0 : 1;
	json_decref(commit);
	return n;
}

static int
retest(int argc, char **argv)
{
	AUTO(client, c) = NULL;
	struct cli_args a;
	struct err e = { 0 };
	json_t *answer = NULL;
	json_t *done = NULL;
	json_t *body;
	enum err_code code;
	int n = cli_parse(&a, &cli_retest, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count != 1)
		return cli_usage(&cli_retest, "name one commit");
	AUTO_STR segment = client_segment(a.rest[0]);
	AUTO_STR path = mem_printf("/commits/%s/retest", segment);
	body = json_pack("{s:s*}", "reason", cli_value(&a, "reason"));
	code = client_open(&c, &a, &e);
	if (code == ERR_OK)
		code = client_call(c, "POST", path, body, &answer, NULL, &e);
	json_decref(body);
	if (code == ERR_OK) {
		const json_t *operation = json_object_get(answer, "operation");

		code = client_await(c, operation != NULL ? operation : answer,
		    &done, &e);
	}
	json_decref(answer);
	json_decref(done);
	if (code != ERR_OK)
		return client_fail(&a, &e);
	return show_verdict(&a, c, a.rest[0]);
}

const struct cli_command cli_rollback = {
	.name = "rollback",
	.group = "Who gets what",
	.usage = "BUNDLE --to REV --reason TEXT [options]",
	.summary = "go back to any commit, and hold there",
	.help =
	    "Gives engines the bundle as it was at another commit. If that\n"
	    "revision is stored, they get it at once; if it never was built, it\n"
	    "is tested and built first, and a commit that does not pass is not\n"
	    "served.\n"
	    "\n"
	    "A rollback holds: new commits are tested and built, but engines\n"
	    "stay where they are until `edict resume`. What was rolled back\n"
	    "from does not come back by itself, under whatever commit id.\n"
	    "\n"
	    "Example, for a bundle that broke production five minutes ago:\n"
	    "  edict log\n"
	    "  edict rollback authz --to HEAD~1 --reason 'denies all logins'",
	.options = rollback_options,
	.run = rollback,
};

const struct cli_command cli_pin = {
	.name = "pin",
	.group = "Who gets what",
	.usage = "BUNDLE --reason TEXT [options]",
	.summary = "hold a bundle at the revision it has",
	.help =
	    "Engines stay at the revision they have now; new commits are tested\n"
	    "and built but not assigned until `edict resume`.\n"
	    "\n"
	    "  edict pin authz --reason 'change freeze until Monday'",
	.options = hold_options,
	.run = pin,
};

const struct cli_command cli_resume = {
	.name = "resume",
	.group = "Who gets what",
	.usage = "BUNDLE [options]",
	.summary = "follow the branch again after a rollback or pin",
	.help =
	    "The bundle moves to the newest commit that passed and follows the\n"
	    "branch from there; what was quarantined by a rollback is forgiven.\n"
	    "\n"
	    "  edict resume authz --reason 'fixed in 3f2a81c'",
	.options = hold_options,
	.run = resume,
};

const struct cli_command cli_retest = {
	.name = "retest",
	.group = "Commits",
	.usage = "REV [options]",
	.summary = "run a commit's tests again",
	.help =
	    "Asks the gate once more, even though it has answered. The new\n"
	    "verdict stands beside the old one, and counts. Ends with status 0\n"
	    "when the commit passes now.",
	.options = retest_options,
	.run = retest,
};
