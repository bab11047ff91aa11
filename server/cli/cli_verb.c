#include "server/cli/cli_verb.h"

#include <string.h>

const struct cli_verb *
cli_verb_find(const struct cli_verb *verbs, const struct cli_args *a)
{
	for (; verbs->name != NULL; verbs++)
		if (a->rest_count == verbs->rest &&
		    strcmp(a->rest[0], verbs->name) == 0)
			return verbs;
	return NULL;
}

int
cli_verb_run(const struct cli_verb *verb, const struct cli_args *a)
{
	AUTO(client, c) = NULL;
	struct err e = { 0 };

	if (client_open(&c, a, &e) != ERR_OK || verb->run(c, a, &e) != ERR_OK)
		return client_fail(a, &e);
	return 0;
}

enum err_code
cli_verb_delete(struct client *c, const struct cli_args *a, const char *path,
    void (*print)(const struct cli_args *a, const json_t *answer),
    struct err *e)
{
	json_t *body = json_pack("{s:s*}", "reason", cli_value(a, "reason"));
	json_t *answer = NULL;
	enum err_code code;

	if (body == NULL)
		return err_set(e, ERR_INVALID, "--reason is not UTF-8");
	code = client_call(c, "DELETE", path, body, &answer, NULL, e);
	json_decref(body);
	if (code != ERR_OK)
		return code;
	if (cli_given(a, "json"))
		(void)client_print_json(answer);
	else
		print(a, answer);
	json_decref(answer);
	return ERR_OK;
}
