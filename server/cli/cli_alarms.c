#include "server/cli/cli_alarms.h"

#include <stdio.h>
#include <string.h>

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

static enum err_code
ask_configuration(json_t *all, struct client *c, struct err *e)
{
	json_t *found = NULL;
	enum err_code code =
	    client_call(c, "GET", "/configuration", NULL, &found, NULL, e);

	if (code == ERR_DENIED || code == ERR_NOT_FOUND)
		found = json_null();
	else if (code != ERR_OK)
		return code;
	json_object_set_new(all, "configuration", found);
	return ERR_OK;
}

enum err_code
cli_alarms_ask(json_t *all, struct client *c, struct err *e)
{
	TRY(list(all, c, "/alarms", "alarms", e));
	TRY(ask_configuration(all, c, e));
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

/* Its alarms say less, and later. */
static void
add_alarm(struct table *t, const json_t *a)
{
	const char *kind = table_string(a, "kind");
	AUTO_STR age = table_age(table_string(a, "since"));
	const char *cells[] = { kind, table_string(a, "subject"), age };

	if (kind == NULL || strncmp(kind, "configuration.", 14) != 0)
		table_row(t, cells);
}

static void
add_pending(struct table *t, const json_t *names)
{
	const char *cells[] = { "restart needed", "server.yaml", NULL };
	const json_t *name;
	size_t i;

	if (json_array_size(names) == 0)
		return;
	table_row(t, cells);
	json_array_foreach(names, i, name)
		table_note(t, TINT_CARE, "%s", json_string_value(name));
}

static void
add_configuration(struct table *t, const json_t *c)
{
	const char *since = table_string(c, "since");
	const char *state = table_string(c, "state");
	AUTO_STR age = since != NULL ? table_age(since) : NULL;
	AUTO_STR word = state != NULL ? mem_printf("configuration.%s", state)
				      : NULL;
	const char *cells[] = { word, "server.yaml", age };

	if (since != NULL) {
		table_row(t, cells);
		table_note(t, TINT_BAD, "%s", table_string(c, "fault"));
	}
	add_pending(t, json_object_get(c, "pending"));
}

void
cli_alarms_print(const json_t *all)
{
	static const char *const headings[] = { "ALARM", "ABOUT", "SINCE",
		NULL };
	const json_t *alarms = json_object_get(all, "alarms");
	const json_t *targets = json_object_get(all, "targets");
	struct table *t = table_new(headings);

	add_configuration(t, json_object_get(all, "configuration"));
	for (size_t i = 0; i < json_array_size(alarms); i++)
		add_alarm(t, json_array_get(alarms, i));
	for (size_t i = 0; i < json_array_size(targets); i++)
		add_target(t, json_array_get(targets, i));
	if (table_rows(t) == 0) {
		table_free(t);
		return;
	}
	(void)printf("\n");
	table_print(t);
}
