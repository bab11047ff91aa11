/* token: who may do what. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_table.h"
#include "server/cli/cli_verb.h"

enum { CLI_TOKENS_MAX = 10000 };

static const struct cli_option token_options[] = {
	{ "role", 0, "ROLE", "engine, viewer, releaser or admin" },
	{ "cluster", 0, "NAMES", "only these clusters; * and ? may stand in" },
	{ "bundle", 0, "NAMES", "only these bundles; operators only" },
	{ "expires", 0, "TIME", "from now: 90d, 12h, 30m; default: never" },
	{ "reason", 0, "TEXT", "why; kept in the audit log" },
	{ "output", 'o', "FILE", "put the token here (mode 0600)" },
	CLIENT_OPTIONS,
	{ 0 },
};

static json_t *
split(const char *names)
{
	json_t *list = json_array();

	while (*names != '\0') {
		size_t len = strcspn(names, ",");

		if (len > 0)
			(void)json_array_append_new(list,
			    json_stringn(names, len));
		names += len + (names[len] == ',');
	}
	return list;
}

static void
add_list(json_t *body, const char *key, const char *names)
{
	if (names != NULL)
		(void)json_object_set_new(body, key, split(names));
}

static enum err_code
make_body(json_t **out, const struct cli_args *a, struct err *e)
{
	const char *expires = cli_value(a, "expires");
	int64_t seconds = expires != NULL ? cli_seconds(expires) : 0;

	if (expires != NULL && seconds == 0)
		return err_set(e, ERR_INVALID,
		    "--expires %s: a number with s, m, h or d behind it",
		    expires);
	*out = json_pack("{s:s, s:s, s:s*}", "name", a->rest[1], "role",
	    cli_value(a, "role"), "reason", cli_value(a, "reason"));
	if (*out == NULL)
		return err_set(e, ERR_INVALID, "what was given is not UTF-8");
	add_list(*out, "clusters", cli_value(a, "cluster"));
	add_list(*out, "bundles", cli_value(a, "bundle"));
	if (seconds != 0)
		(void)json_object_set_new(*out, "expires_in",
		    json_integer(seconds));
	return ERR_OK;
}

static enum err_code
put(const char *path, const char *token, struct err *e)
{
	AUTO_STR line = mem_printf("%s\n", token);
	enum err_code code = file_replace(path, line, strlen(line), 0600, e);

	explicit_bzero(line, strlen(line));
	return code;
}

/* Alone on stdout, so that it can go where it is needed. */
static enum err_code
show_new(const struct cli_args *a, const json_t *answer, struct err *e)
{
	const char *token = table_string(answer, "token");
	const char *expires = table_string(answer, "expires_at");
	const char *file = cli_value(a, "output");

	if (token == NULL)
		return err_set(e, ERR_CORRUPT, "the answer holds no token");
	if (file != NULL)
		TRY(put(file, token, e));
	else if (cli_given(a, "json"))
		(void)client_print_json(answer);
	else
		(void)printf("%s\n", token);
	(void)fprintf(stderr, "token %s made; %s%s. It is not shown again.\n",
	    a->rest[1], expires != NULL ? "expires " : "never expires",
	    expires != NULL ? expires : "");
	return ERR_OK;
}

static enum err_code
create(struct client *c, const struct cli_args *a, struct err *e)
{
	json_t *body = NULL;
	json_t *answer = NULL;
	enum err_code code;

	TRY(make_body(&body, a, e));
	code = client_call(c, "POST", "/tokens", body, &answer, NULL, e);
	json_decref(body);
	if (code == ERR_OK)
		code = show_new(a, answer, e);
	json_decref(answer);
	return code;
}

/* "prod-eu,prod-us", "*" for no limit; mem_ memory. */
static char *
join(const json_t *list)
{
	AUTO_STR all = NULL;
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		char *longer = mem_printf("%s%s%s", all != NULL ? all : "",
		    all != NULL ? "," : "", json_string_value(item));

		mem_free(all);
		all = longer;
	}
	return all != NULL ? STEAL(all) : mem_strdup("*");
}

static void
add_row(struct table *t, const json_t *token)
{
	AUTO_STR clusters = join(json_object_get(token, "clusters"));
	AUTO_STR bundles = join(json_object_get(token, "bundles"));
	AUTO_STR age = table_age(table_string(token, "created_at"));
	const char *expires = table_string(token, "expires_at");
	AUTO_STR day = expires != NULL ? mem_strndup(expires, 10)
				       : mem_strdup("never");
	const char *cells[] = { table_string(token, "name"),
		table_string(token, "role"), clusters, bundles, age,
		table_string(token, "created_by"),
		json_is_true(json_object_get(token, "expired")) ? "expired"
								: day };

	table_row(t, cells);
}

static enum err_code
list(struct client *c, const struct cli_args *a, struct err *e)
{
	static const char *const headings[] = { "NAME", "ROLE", "CLUSTERS",
		"BUNDLES", "AGE", "BY", "EXPIRES", NULL };
	struct table *t;
	const json_t *token;
	json_t *all = NULL;
	size_t i;

	TRY(client_list(c, "/tokens", CLI_TOKENS_MAX, &all, e));
	if (cli_given(a, "json")) {
		(void)client_print_json(all);
	} else {
		t = table_new(headings);
		json_array_foreach(all, i, token)
			add_row(t, token);
		table_print(t);
	}
	json_decref(all);
	return ERR_OK;
}

static void
print_revoked(const struct cli_args *a, const json_t *answer)
{
	(void)answer;
	(void)printf("token %s is revoked\n", a->rest[1]);
}

static enum err_code
revoke(struct client *c, const struct cli_args *a, struct err *e)
{
	AUTO_STR segment = client_segment(a->rest[1]);
	AUTO_STR path = mem_printf("/tokens/%s", segment);

	return cli_verb_delete(c, a, path, print_revoked, e);
}

static const struct cli_verb verbs[] = {
	{ "create", 2, create },
	{ "list", 1, list },
	{ "revoke", 2, revoke },
	{ 0 },
};

static int
token(int argc, char **argv)
{
	const struct cli_verb *verb;
	struct cli_args a;
	int n = cli_parse(&a, &cli_token, argc, argv);

	if (n != 0)
		return n - 1;
	verb = cli_verb_find(verbs, &a);
	if (verb == NULL)
		return cli_usage(&cli_token,
		    "say create NAME, list, or revoke NAME");
	if (verb->run == create && cli_value(&a, "role") == NULL)
		return cli_usage(&cli_token, "--role ROLE is needed");
	return cli_verb_run(verb, &a);
}

const struct cli_command cli_token = {
	.name = "token",
	.group = "Server",
	.usage = "create NAME --role ROLE [options] | list | revoke NAME",
	.summary = "say who may do what: make, list and revoke tokens",
	.help =
	    "An engine's token gets the bundles of its clusters and nothing\n"
	    "else. A viewer reads, a releaser also rolls back, pins and resumes,\n"
	    "an admin also makes tokens. Viewers and releasers may be limited to\n"
	    "clusters or bundles; what lies outside looks to them as if it did\n"
	    "not exist. In names, * stands for any run of characters and ? for\n"
	    "any one.\n"
	    "\n"
	    "A token is shown once, when it is made; the server keeps its hash\n"
	    "only. Revoking takes effect at once, for requests that wait, too.\n"
	    "\n"
	    "  edict token create prod-eu --role engine --cluster prod-eu\n"
	    "  edict token create ada --role releaser --cluster 'prod-*' \\\n"
	    "      --bundle authz --expires 90d -o ada-token\n"
	    "  edict token list\n"
	    "  edict token revoke ada --reason 'left the team'",
	.options = token_options,
	.run = token,
};
