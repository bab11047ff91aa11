/* fetch, suspend, unsuspend, accept: what concerns a watched repository. */

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"

static const struct cli_option repository_options[] = {
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	CLIENT_OPTIONS,
	{ 0 },
};

static const struct cli_option fetch_options[] = {
	CLIENT_OPTIONS,
	{ 0 },
};

/* The only repository need not be named. */
static enum err_code
repository_name(struct client *c, const struct cli_args *a, char **out,
    struct err *e)
{
	json_t *list = NULL;

	if (a->rest_count == 1) {
		*out = mem_strdup(a->rest[0]);
		return ERR_OK;
	}
	TRY(client_list(c, "/repositories", 100, &list, e));
	if (json_array_size(list) == 1)
		*out =
		    mem_strdup(table_string(json_array_get(list, 0), "name"));
	json_decref(list);
	return *out != NULL ? ERR_OK
			    : err_set(e, ERR_INVALID,
				  "which repository? edict status lists them");
}

static enum err_code
post(struct client *c, const struct cli_args *a, json_t *body, json_t **out,
    char **name, struct err *e)
{
	json_t *answer = NULL;
	long status = 0;

	TRY(repository_name(c, a, name, e));
	AUTO_STR segment = client_segment(*name);
	AUTO_STR path =
	    mem_printf("/repositories/%s/%s", segment, a->command->name);
	TRY(client_call(c, "POST", path, body, &answer, &status, e));
	if (status == 202) {
		const json_t *operation = json_object_get(answer, "operation");
		json_t *done = NULL;
		enum err_code code = client_await(c,
		    operation != NULL ? operation : answer, &done, e);

		json_decref(answer);
		if (code != ERR_OK)
			return code;
		answer = done;
	}
	*out = answer;
	return ERR_OK;
}

static enum err_code
describe(struct client *c, const struct cli_args *a, const char *name,
    struct err *e)
{
	AUTO_STR segment = client_segment(name);
	AUTO_STR path = mem_printf("/repositories/%s", segment);
	json_t *r = NULL;
	const char *followed;

	TRY(client_call(c, "GET", path, NULL, &r, NULL, e));
	followed = table_string(r, "followed");
	if (cli_given(a, "json"))
		(void)client_print_json(r);
	else
		(void)printf("%s: %s, at %.12s\n", name,
		    json_is_true(json_object_get(r, "suspended"))
			? "suspended"
			: table_string(r, "state"),
		    followed != NULL ? followed : "no commit yet");
	json_decref(r);
	return ERR_OK;
}

static int
act(const struct cli_command *command, int argc, char **argv)
{
	AUTO(client, c) = NULL;
	AUTO_STR name = NULL;
	struct cli_args a;
	struct err e = { 0 };
	json_t *answer = NULL;
	json_t *body;
	enum err_code code;
	int n = cli_parse(&a, command, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count > 1)
		return cli_usage(command, "name one repository");
	body = json_object();
	if (command->options == repository_options &&
	    cli_value(&a, "reason") != NULL)
		(void)json_object_set_new(body, "reason",
		    json_string(cli_value(&a, "reason")));
	code = client_open(&c, &a, &e);
	if (code == ERR_OK)
		code = post(c, &a, body, &answer, &name, &e);
	json_decref(body);
	json_decref(answer);
	if (code == ERR_OK)
		code = describe(c, &a, name, &e);
	return code == ERR_OK ? 0 : client_fail(&a, &e);
}

static int
fetch(int argc, char **argv)
{
	return act(&cli_fetch, argc, argv);
}

static int
suspend(int argc, char **argv)
{
	return act(&cli_suspend, argc, argv);
}

static int
unsuspend(int argc, char **argv)
{
	return act(&cli_unsuspend, argc, argv);
}

static int
accept_history(int argc, char **argv)
{
	return act(&cli_accept, argc, argv);
}

const struct cli_command cli_fetch = {
	.name = "fetch",
	.group = "Repositories",
	.usage = "[REPO] [options]",
	.summary = "ask the Git host now instead of at the next poll",
	.help = "Waits for the answer; what is new is tested right after.",
	.options = fetch_options,
	.run = fetch,
};

const struct cli_command cli_suspend = {
	.name = "suspend",
	.group = "Repositories",
	.usage = "[REPO] [options]",
	.summary = "stop fetching and testing; go on serving",
	.help =
	    "Nothing is fetched, tested or assigned from this repository until\n"
	    "`edict unsuspend`. Engines keep what they have, and rollback\n"
	    "works.",
	.options = repository_options,
	.run = suspend,
};

const struct cli_command cli_unsuspend = {
	.name = "unsuspend",
	.group = "Repositories",
	.usage = "[REPO] [options]",
	.summary = "fetch and test again",
	.help = "The opposite of `edict suspend`.",
	.options = repository_options,
	.run = unsuspend,
};

const struct cli_command cli_accept = {
	.name = "accept",
	.group = "Repositories",
	.usage = "[REPO] [options]",
	.summary = "follow a branch that was rewritten",
	.help =
	    "When the branch no longer descends from what was followed, edict\n"
	    "raises an alarm and goes on serving what it had. Look at the new\n"
	    "history; if it is what you want, accept it. Its commits are\n"
	    "tested like any others.",
	.options = repository_options,
	.run = accept_history,
};
