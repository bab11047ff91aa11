#include "manual.h"

#include <stdio.h>
#include <string.h>

#include "fixture.h"

static const char *
cell(const char *row, int n)
{
	const char *start = row;

	for (int i = 0; i <= n && start != NULL; i++)
		start = strchr(start + (i > 0), '|');
	if (start == NULL)
		return "";
	start += 1 + strspn(start + 1, " ");
	return daemon_printf("%.*s", (int)strcspn(start, "|"), start);
}

static const char *
trimmed(const char *text, const char *unwanted)
{
	size_t len;

	text += strspn(text, unwanted);
	len = strlen(text);
	while (len > 0 && strchr(unwanted, text[len - 1]) != NULL)
		len--;
	return daemon_printf("%.*s", (int)len, text);
}

struct manual
manual_read(void)
{
	struct manual m = { json_object(), json_object() };
	FILE *f = fopen("docs/json.md", "re");
	char line[1024];
	json_t *kind = NULL;

	assert_non_null(f);
	while (fgets(line, sizeof line, f) != NULL) {
		if (strncmp(line, "## ", 3) == 0) {
			kind = json_object();
			json_object_set_new(m.kinds, trimmed(line + 3, " \n"),
			    kind);
		} else if (strncmp(line, "| `", 3) == 0 && kind != NULL) {
			json_object_set_new(kind, trimmed(cell(line, 0), " `"),
			    json_string(trimmed(cell(line, 1), " ")));
		}
	}
	(void)fclose(f);
	return m;
}

static void
check_object(struct manual *m, const char *name, const json_t *j,
    const char *path)
{
	json_t *kind = json_object_get(m->kinds, name);
	const char *key;
	json_t *value;

	if (kind == NULL)
		fail_msg("%s: docs/json.md does not say what %s is", path,
		    name);
	if (!json_is_object(j))
		fail_msg("%s: no object, but docs/json.md says %s", path, name);
	json_object_set_new(m->seen, name, json_true());
	json_object_foreach((json_t *)(uintptr_t)j, key, value) {
		const char *holds =
		    json_string_value(json_object_get(kind, key));

		if (holds == NULL)
			fail_msg("%s.%s is not in docs/json.md, under %s", path,
			    key, name);
		manual_check(m, holds, value,
		    daemon_printf("%s.%s", path, key));
	}
	json_object_foreach(kind, key, value)
		if (json_object_get(j, key) == NULL &&
		    strstr(json_string_value(value), ", optional") == NULL)
			fail_msg("%s: %s of docs/json.md, under %s, is missing",
			    path, key, name);
}

static bool
is_simple(const char *holds, const json_t *j, bool *right)
{
	if (strcmp(holds, "text") == 0)
		*right = json_is_string(j);
	else if (strcmp(holds, "number") == 0)
		*right = json_is_number(j);
	else if (strcmp(holds, "boolean") == 0)
		*right = json_is_boolean(j);
	else
		*right = strcmp(holds, "anything") == 0;
	return *right || strcmp(holds, "text") == 0 ||
	    strcmp(holds, "number") == 0 || strcmp(holds, "boolean") == 0;
}

static void
check_members(struct manual *m, const char *holds, const json_t *j,
    const char *path)
{
	const char *key;
	json_t *value;
	size_t i;

	if (strncmp(holds, "list of ", 8) == 0) {
		if (!json_is_array(j))
			fail_msg("%s: no list, but docs/json.md says so", path);
		json_array_foreach(j, i, value)
			manual_check(m, holds + 8, value,
			    daemon_printf("%s[%zu]", path, i));
		return;
	}
	if (!json_is_object(j))
		fail_msg("%s: no map, but docs/json.md says so", path);
	json_object_foreach((json_t *)(uintptr_t)j, key, value)
		manual_check(m, holds + 7, value,
		    daemon_printf("%s.%s", path, key));
}

void
manual_check(struct manual *m, const char *holds, const json_t *j,
    const char *path)
{
	const char *optional = strstr(holds, ", optional");
	const char *what = optional == NULL
	    ? holds
	    : daemon_printf("%.*s", (int)(optional - holds), holds);
	size_t len = strlen(what);
	bool right;

	if (len > 8 && strcmp(what + len - 8, " or null") == 0) {
		if (json_is_null(j))
			return;
		what = daemon_printf("%.*s", (int)len - 8, what);
	}
	if (is_simple(what, j, &right)) {
		if (!right)
			fail_msg("%s: is not %s, as docs/json.md says", path,
			    what);
	} else if (strncmp(what, "list of ", 8) == 0 ||
	    strncmp(what, "map of ", 7) == 0) {
		check_members(m, what, j, path);
	} else {
		check_object(m, what, j, path);
	}
}
