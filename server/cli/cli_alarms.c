#include "server/cli/cli_alarms.h"

#include <stdio.h>

#include "core/mem.h"
#include "server/cli/cli_table.h"

enum { ALARMS_MAX = 10000 };

static enum err_code
list(json_t *all, struct client *c, const char *path, const char *name,
    struct err *e)
{
	json_t *items = NULL;
	enum err_code code = client_list(c, path, ALARMS_MAX, &items, e);

	/* Neither for limited operators nor of older servers. */
	if (code == ERR_DENIED || code == ERR_NOT_FOUND)
		items = json_array();
	else if (code != ERR_OK)
		return code;
	json_object_set_new(all, name, items);
	return ERR_OK;
}

enum err_code
cli_alarms_ask(json_t *all, struct client *c, struct err *e)
{
	TRY(list(all, c, "/alarms", "alarms", e));
	return list(all, c, "/events/targets", "targets", e);
}

static void
add_target(struct table *t, const json_t *target)
{
	const char *since = table_string(target, "failing_since");
	AUTO_STR age = since != NULL ? table_age(since) : NULL;
	AUTO_STR name = mem_printf("events.%s", table_string(target, "name"));
	const char *cells[] = { "not delivered", name, age };

	if (since == NULL)
		return;
	table_row(t, cells);
	table_note(t, TINT_CARE, "%lld waiting: %s",
	    (long long)json_integer_value(json_object_get(target, "pending")),
	    table_string(target, "error"));
}

static bool
is_failing(const json_t *targets)
{
	for (size_t i = 0; i < json_array_size(targets); i++)
		if (table_string(json_array_get(targets, i), "failing_since") !=
		    NULL)
			return true;
	return false;
}

void
cli_alarms_print(const json_t *all)
{
	static const char *const headings[] = { "ALARM", "ABOUT", "SINCE",
		NULL };
	const json_t *alarms = json_object_get(all, "alarms");
	const json_t *targets = json_object_get(all, "targets");
	struct table *t;

	if (json_array_size(alarms) == 0 && !is_failing(targets))
		return;
	t = table_new(headings);
	for (size_t i = 0; i < json_array_size(alarms); i++) {
		const json_t *a = json_array_get(alarms, i);
		AUTO_STR age = table_age(table_string(a, "since"));
		const char *cells[] = { table_string(a, "kind"),
			table_string(a, "subject"), age };

		table_row(t, cells);
	}
	for (size_t i = 0; i < json_array_size(targets); i++)
		add_target(t, json_array_get(targets, i));
	(void)printf("\n");
	table_print(t);
}
