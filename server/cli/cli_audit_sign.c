#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "server/cli/cli_audit.h"
#include "server/cli/cli_table.h"

enum { SIGN_WAIT_MS = 30000, SIGN_LOOK_NS = 150 * 1000000 };

/* The newest head, once it covers this event; NULL: not yet. */
static enum err_code
look(json_t **out, struct client *c, int64_t seq, struct err *e)
{
	json_t *list;
	json_t *newest;

	*out = NULL;
	TRY(client_list(c, "/audit/heads", 1, &list, e));
	newest = json_array_get(list, 0);
	if (table_number(newest, "seq") >= seq)
		*out = json_incref(newest);
	json_decref(list);
	return ERR_OK;
}

static enum err_code
await(json_t **out, struct client *c, int64_t seq, struct err *e)
{
	const struct timespec pause = { .tv_nsec = SIGN_LOOK_NS };
	int64_t until = clock_mono_ms() + SIGN_WAIT_MS;

	for (;;) {
		TRY(look(out, c, seq, e));
		if (*out != NULL)
			return ERR_OK;
		if (clock_mono_ms() >= until)
			return err_set(e, ERR_TIMEOUT,
			    "not signed yet; it will be when the server can: "
			    "see its log for audit.unsigned");
		(void)nanosleep(&pause, NULL);
	}
}

enum err_code
cli_audit_sign(const struct cli_args *a, struct err *e)
{
	AUTO(client, c) = NULL;
	const char *reason = cli_value(a, "reason");
	json_t *body = json_object();
	json_t *asked = NULL;
	json_t *head;
	int64_t seq;
	enum err_code code;

	if (reason != NULL)
		(void)json_object_set_new(body, "reason", json_string(reason));
	code = client_open(&c, a, e);
	if (code == ERR_OK)
		code = client_call(c, "POST", "/audit/heads", body, &asked,
		    NULL, e);
	json_decref(body);
	if (code != ERR_OK)
		return code;
	seq = table_number(asked, "seq");
	json_decref(asked);
	TRY(await(&head, c, seq, e));
	if (cli_given(a, "json"))
		(void)client_print_json(head);
	else
		(void)printf("%s\n", table_string(head, "jws"));
	json_decref(head);
	return ERR_OK;
}
