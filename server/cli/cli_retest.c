/* retest: asks the gate once more. */

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"

static const struct cli_option retest_options[] = {
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	CLIENT_OPTIONS,
	{ 0 },
};

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
