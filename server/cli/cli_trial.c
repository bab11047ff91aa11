#include "server/cli/cli_trial.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "server/cli/cli_delta.h"
#include "server/cli/cli_table.h"

static char *
brief(const char *id)
{
	return id == NULL ? mem_strdup("-") : mem_strndup(id, strnlen(id, 12));
}

static bool
is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* ---- differences ---- */

static bool
is_compared(const json_t *list, const json_t *change)
{
	const json_t *d;
	size_t i;

	json_array_foreach(list, i, d)
		if (json_equal(json_object_get(d, "bundle"),
			json_object_get(change, "bundle")) &&
		    json_equal(json_object_get(json_object_get(d, "from"),
				   "rev"),
			json_object_get(change, "from")) &&
		    json_equal(json_object_get(json_object_get(d, "to"), "rev"),
			json_object_get(change, "to")))
			return true;
	return false;
}

static void
compare(struct client *c, json_t *list, const json_t *change)
{
	const char *from = table_string(change, "from");
	const char *to = table_string(change, "to");
	AUTO_STR bundle = client_segment(table_string(change, "bundle"));
	AUTO_STR path = mem_printf("/bundles/%s/diff?from=%s&to=%s", bundle,
	    from != NULL ? from : "", to != NULL ? to : "");
	json_t *delta = NULL;
	struct err e = { 0 };

	if (client_call(c, "GET", path, NULL, &delta, NULL, &e) == ERR_OK) {
		json_array_append_new(list, delta);
		return;
	}
	json_array_append_new(list,
	    json_pack("{s:O, s:{s:s?}, s:{s:s?}, s:s}", "bundle",
		json_object_get(change, "bundle"), "from", "rev", from, "to",
		"rev", to, "unknown", e.text));
}

void
cli_trial_compare(struct client *c, json_t *answer)
{
	json_t *list = json_array();
	const json_t *change;
	size_t i;

	json_array_foreach(json_object_get(answer, "changes"), i, change)
		if (is_true(change, "moves") && !is_compared(list, change) &&
		    json_is_null(json_object_get(answer, "build")))
			compare(c, list, change);
	json_object_set_new(answer, "differences", list);
}

/* ---- for people ---- */

static void
print_changes(const json_t *list)
{
	static const char *const headings[] = { "CLUSTER", "BUNDLE", "FROM",
		"TO", "MODE", "ENGINES", NULL };
	struct table *t = table_new(headings);
	const json_t *c;
	size_t i;

	json_array_foreach(list, i, c) {
		AUTO_STR from = brief(table_string(c, "from"));
		AUTO_STR to = brief(table_string(c, "to"));
		AUTO_STR mode = mem_printf("%s%s", table_string(c, "mode"),
		    is_true(c, "forced") ? ", forced" : "");
		const char *cells[] = { table_string(c, "cluster"),
			table_string(c, "bundle"), from, to, mode,
			is_true(c, "moves") ? "get another bundle"
					    : "keep what they have" };

		table_row(t, cells);
	}
	table_print(t);
}

static void
print_texts(const json_t *list, const char *key, const char *what)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		if (table_string(item, key) == NULL)
			continue;
		(void)printf("\n%s %s:\n", table_string(item, "cluster"), what);
		table_text(table_string(item, key), 2, 5);
	}
}

static void
print_unchecked(const json_t *list)
{
	const json_t *name;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	(void)printf("\nThe engine is asked first whether these bundles load "
		     "together, in:");
	json_array_foreach(list, i, name)
		(void)printf(" %s", json_string_value(name));
	(void)printf("\n");
}

static void
print_difference(const json_t *d)
{
	const char *from = table_string(json_object_get(d, "from"), "rev");
	const char *to = table_string(json_object_get(d, "to"), "rev");
	const char *unknown = table_string(d, "unknown");
	AUTO_STR from_text = brief(from);
	AUTO_STR to_text = brief(to);

	(void)printf("\n%s:\n", table_string(d, "bundle"));
	if (unknown != NULL)
		table_text(unknown, 2, 5);
	else
		cli_delta_print(d, from_text, to_text);
}

void
cli_trial_print(const json_t *answer)
{
	const json_t *changes = json_object_get(answer, "changes");
	const char *build = table_string(answer, "build");
	const json_t *d;
	size_t i;

	if (json_array_size(changes) > 0) {
		(void)printf("Nothing was changed. What would be:\n\n");
		print_changes(changes);
	} else {
		(void)printf("Nothing would change.\n");
	}
	if (build != NULL)
		(void)printf("\n%.12s has to be tested and built first; it is "
			     "refused if it does not\npass.\n",
		    build);
	print_texts(changes, "blocked", "would be blocked");
	print_texts(json_object_get(answer, "refused"), "message",
	    "refuses it");
	print_unchecked(json_object_get(answer, "unchecked"));
	json_array_foreach(json_object_get(answer, "differences"), i, d)
		print_difference(d);
}

bool
cli_trial_refused(const json_t *answer)
{
	return json_array_size(json_object_get(answer, "refused")) > 0;
}
