/* rollback, pin, resume: what changes who gets what. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"
#include "server/cli/cli_trial.h"
#include "server/cli/cli_wait.h"

#define WHERE_OPTIONS                                                          \
	{ "cluster", 0, "NAMES", "only these clusters, with commas between" }, \
	    { "selector", 0, "TERMS",                                          \
		    "only clusters labelled so: env=prod,region!=us" },        \
	    { "all", 0, NULL, "every bundle of those clusters, at once" },     \
	    { "expect", 0, "SERIALS",                                          \
		    "only if nothing changed: CLUSTER=SERIAL,... as seen" },   \
	    { "dry-run", 0, NULL, "change nothing; show what would be" },      \
	    { "wait", 0, NULL, "until the engines have taken it" },            \
	{                                                                      \
		"timeout", 0, "TIME", "how long to wait; default: 5m"          \
	}

static const struct cli_option rollback_options[] = {
	{ "to", 0, "REV", "commit to go back to: id, prefix, HEAD~2" },
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	WHERE_OPTIONS,
	{ "until-next", 0, NULL,
	    "follow again from the next commit that passes" },
	{ "force", 0, NULL, "though it did not pass; admins only" },
	CLIENT_OPTIONS,
	{ 0 },
};

static const struct cli_option pin_options[] = {
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	WHERE_OPTIONS,
	{ "until-next", 0, NULL,
	    "follow again from the next commit that passes" },
	CLIENT_OPTIONS,
	{ 0 },
};

static const struct cli_option resume_options[] = {
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	WHERE_OPTIONS,
	CLIENT_OPTIONS,
	{ 0 },
};

/* ---- what is asked ---- */

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

/* "prod-eu=7,prod-us=4" as {"prod-eu": 7, "prod-us": 4}. */
static bool
add_expected(json_t *body, const char *text)
{
	json_t *expect;

	if (text == NULL)
		return true;
	expect = json_object();
	(void)json_object_set_new(body, "expect", expect);
	while (*text != '\0') {
		size_t len = strcspn(text, "=,");
		const char *number = text + len + 1;
		size_t digits;
		AUTO_STR name = mem_strndup(text, len);

		if (len == 0 || text[len] != '=')
			return false;
		digits = strspn(number, "0123456789");
		if (digits == 0 || digits > 18 ||
		    (number[digits] != ',' && number[digits] != '\0'))
			return false;
		(void)json_object_set_new(expect, name,
		    json_integer(strtoll(number, NULL, 10)));
		text = number + digits + (number[digits] == ',');
	}
	return true;
}

static void
add_text(json_t *body, const struct cli_args *a, const char *option)
{
	const char *value = cli_value(a, option);

	if (value != NULL)
		(void)json_object_set_new(body, option, json_string(value));
}

/* One bundle stands in the path; several, or all, are the body's. */
static void
add_bundles(json_t *body, const struct cli_args *a)
{
	json_t *list;

	if (a->rest_count < 2)
		return;
	list = json_array();
	for (int i = 0; i < a->rest_count; i++)
		(void)json_array_append_new(list, json_string(a->rest[i]));
	(void)json_object_set_new(body, "bundles", list);
}

static char *
path_of(const struct cli_args *a, const char *action)
{
	AUTO_STR bundle = NULL;

	if (a->rest_count != 1)
		return mem_printf("/%s", action);
	bundle = client_segment(a->rest[0]);
	return mem_printf("/bundles/%s/%s", bundle, action);
}

/* ---- what is answered ---- */

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
		bool forced = json_is_true(json_object_get(a, "forced"));
		AUTO_STR brief = mem_strndup(revision != NULL ? revision : "",
		    revision != NULL ? strnlen(revision, 12) : 0);
		AUTO_STR mode = mem_printf("%s%s", table_string(a, "mode"),
		    forced ? ", forced" : "");
		AUTO_STR serial =
		    mem_printf("%lld", (long long)table_number(a, "serial"));
		const char *cells[] = { table_string(a, "cluster"),
			table_string(a, "bundle"), brief, mode, serial,
			table_string(a, "by") };

		table_row(t, cells);
	}
	table_print(t);
}

static int
finish_trial(const struct cli_args *a, struct client *c, json_t *answer)
{
	cli_trial_compare(c, answer);
	if (cli_given(a, "json"))
		(void)client_print_json(answer);
	else
		cli_trial_print(answer);
	return cli_trial_refused(answer) ? 1 : 0;
}

/* Assignments are printed before the wait, so that one who breaks it off knows
 * what was done. */
static int
finish(const struct cli_args *a, struct client *c, json_t *answer)
{
	const char *timeout = cli_value(a, "timeout");
	int64_t seconds = timeout != NULL ? cli_seconds(timeout)
					  : CLI_WAIT_SECONDS;
	const json_t *list = json_object_get(answer, "assignments");
	bool json = cli_given(a, "json");
	json_t *result = NULL;
	struct err e = { 0 };
	bool done;

	if (!json)
		print_assignments(list);
	if (!cli_given(a, "wait"))
		return json ? client_print_json(answer) : 0;
	(void)fflush(stdout);
	if (cli_wait(c, list, seconds * 1000, &result, &e) != ERR_OK)
		return client_fail(a, &e);
	done = json_is_true(json_object_get(result, "done"));
	(void)json_object_set(answer, "waited", result);
	if (json)
		(void)client_print_json(answer);
	else
		cli_wait_print(result);
	json_decref(result);
	return done ? 0 : 1;
}

/* 202: it has to be tested and built first. */
static enum err_code
call(struct client *c, const char *path, const json_t *body, json_t **out,
    struct err *e)
{
	json_t *answer = NULL;
	const json_t *operation;
	long status = 0;
	enum err_code code;

	TRY(client_call(c, "POST", path, body, &answer, &status, e));
	if (status != 202) {
		*out = answer;
		return ERR_OK;
	}
	operation = json_object_get(answer, "operation");
	code = client_await(c, operation != NULL ? operation : answer, out, e);
	json_decref(answer);
	return code;
}

static int
act(const struct cli_args *a, const char *action, const json_t *body)
{
	AUTO(client, c) = NULL;
	AUTO_STR path = path_of(a, action);
	json_t *answer = NULL;
	struct err e = { 0 };
	int n;

	if (client_open(&c, a, &e) != ERR_OK ||
	    call(c, path, body, &answer, &e) != ERR_OK)
		return client_fail(a, &e);
	n = cli_given(a, "dry-run") ? finish_trial(a, c, answer)
				    : finish(a, c, answer);
	json_decref(answer);
	return n;
}

/* ---- the commands ---- */

/* 0, or the status to end with plus one. */
static int
parse(struct cli_args *a, const struct cli_command *command, int argc,
    char **argv)
{
	int n = cli_parse(a, command, argc, argv);
	bool all;

	if (n != 0)
		return n;
	all = cli_given(a, "all");
	if (all ? a->rest_count > 0 : a->rest_count == 0)
		return cli_usage(command,
			   all ? "name bundles, or give --all: not both"
			       : "name a bundle, or give --all") +
		    1;
	if (cli_value(a, "cluster") != NULL && cli_value(a, "selector") != NULL)
		return cli_usage(command, "give --cluster or --selector") + 1;
	if (cli_value(a, "timeout") != NULL &&
	    cli_seconds(cli_value(a, "timeout")) == 0)
		return cli_usage(command,
			   "--timeout %s: a number with s, m, h or d behind it",
			   cli_value(a, "timeout")) +
		    1;
	return 0;
}

static int
run(const struct cli_args *a, const char *action, json_t *body)
{
	int n;

	add_text(body, a, "reason");
	add_text(body, a, "selector");
	add_clusters(body, cli_value(a, "cluster"));
	add_bundles(body, a);
	if (cli_given(a, "dry-run"))
		(void)json_object_set_new(body, "dry_run", json_true());
	if (add_expected(body, cli_value(a, "expect")))
		n = act(a, action, body);
	else
		n = cli_usage(a->command,
		    "--expect takes CLUSTER=SERIAL, with commas between; for "
		    "several bundles CLUSTER/BUNDLE=SERIAL");
	json_decref(body);
	return n;
}

static void
add_switch(json_t *body, const struct cli_args *a, const char *option,
    const char *key)
{
	if (cli_given(a, option))
		(void)json_object_set_new(body, key, json_true());
}

static int
rollback(int argc, char **argv)
{
	struct cli_args a;
	json_t *body;
	int n = parse(&a, &cli_rollback, argc, argv);

	if (n != 0)
		return n - 1;
	if (cli_value(&a, "to") == NULL || cli_value(&a, "reason") == NULL)
		return cli_usage(&cli_rollback,
		    "--to REV and --reason TEXT are needed");
	body = json_pack("{s:s}", "to", cli_value(&a, "to"));
	add_switch(body, &a, "until-next", "until_next");
	add_switch(body, &a, "force", "force");
	return run(&a, "rollback", body);
}

static int
pin(int argc, char **argv)
{
	struct cli_args a;
	json_t *body;
	int n = parse(&a, &cli_pin, argc, argv);

	if (n != 0)
		return n - 1;
	if (cli_value(&a, "reason") == NULL)
		return cli_usage(&cli_pin, "--reason TEXT is needed");
	body = json_object();
	add_switch(body, &a, "until-next", "until_next");
	return run(&a, "pin", body);
}

static int
resume(int argc, char **argv)
{
	struct cli_args a;
	int n = parse(&a, &cli_resume, argc, argv);

	if (n != 0)
		return n - 1;
	return run(&a, "resume", json_object());
}

const struct cli_command cli_rollback = {
	.name = "rollback",
	.group = "Who gets what",
	.usage = "BUNDLE...|--all --to REV --reason TEXT [options]",
	.summary = "go back to any commit, and hold there",
	.help =
	    "Gives engines the bundle as it was at another commit. If that\n"
	    "revision is stored, they get it at once; if it never was built, it\n"
	    "is tested and built first, and a commit that does not pass is not\n"
	    "served.\n"
	    "\n"
	    "A rollback holds: new commits are tested and built, but engines\n"
	    "stay where they are until `edict resume`, or with --until-next\n"
	    "until the next commit that passes. What was rolled back from does\n"
	    "not come back by itself, under whatever commit id.\n"
	    "\n"
	    "Several bundles, or --all of the clusters', go together: the set\n"
	    "as a whole has to fit, and either all clusters take it or none.\n"
	    "With several repositories, write REPOSITORY@REV.\n"
	    "\n"
	    "--force serves a commit whose tests fail, for an admin who has to:\n"
	    "signed and loaded by the engine like any other, and shown as\n"
	    "forced wherever it runs, until the next change.\n"
	    "\n"
	    "--wait ends with status 0 when every engine that has a name and\n"
	    "is not silent has it, else with 1, and says which have not.\n"
	    "--expect refuses when somebody else was first, and says who.\n"
	    "\n"
	    "Example, for a bundle that broke production five minutes ago:\n"
	    "  edict log\n"
	    "  edict rollback authz --to HEAD~1 --reason 'denies all logins' \\\n"
	    "      --dry-run\n"
	    "  edict rollback authz --to HEAD~1 --reason 'denies all logins' \\\n"
	    "      --selector env=prod,region!=us --wait --timeout 2m\n"
	    "  edict rollback --all --cluster prod-eu --to HEAD~3 \\\n"
	    "      --reason 'as it was on Friday' --until-next",
	.options = rollback_options,
	.run = rollback,
};

const struct cli_command cli_pin = {
	.name = "pin",
	.group = "Who gets what",
	.usage = "BUNDLE...|--all --reason TEXT [options]",
	.summary = "hold a bundle at the revision it has",
	.help =
	    "Engines stay at the revision they have now; new commits are tested\n"
	    "and built but not assigned until `edict resume`, or with\n"
	    "--until-next until the next commit that passes.\n"
	    "\n"
	    "  edict pin authz --reason 'change freeze until Monday'\n"
	    "  edict pin --all --selector env=prod --reason 'change freeze'",
	.options = pin_options,
	.run = pin,
};

const struct cli_command cli_resume = {
	.name = "resume",
	.group = "Who gets what",
	.usage = "BUNDLE...|--all [options]",
	.summary = "follow the branch again after a rollback or pin",
	.help =
	    "The bundle moves to the newest commit that passed and follows the\n"
	    "branch from there; what was quarantined by a rollback is forgiven.\n"
	    "One that was forced goes to the newest that passed, too, even if\n"
	    "that is older.\n"
	    "\n"
	    "  edict resume authz --reason 'fixed in 3f2a81c'\n"
	    "  edict resume --all --cluster prod-eu --wait",
	.options = resume_options,
	.run = resume,
};
