#include "clusters/scope.h"

#include <string.h>

const char *const scope_role_names[SCOPE_ROLES] = {
	[SCOPE_ENGINE] = "engine",
	[SCOPE_VIEWER] = "viewer",
	[SCOPE_RELEASER] = "releaser",
	[SCOPE_ADMIN] = "admin",
};

bool
scope_role_parse(enum scope_role *out, const char *name)
{
	for (size_t i = 0; i < SCOPE_ROLES; i++) {
		if (strcmp(scope_role_names[i], name) != 0)
			continue;
		*out = (enum scope_role)i;
		return true;
	}
	return false;
}

/* One * is tried again from where it matched last, so the work is at most the
 * product of both lengths. */
static bool
matches(const char *pattern, const char *name)
{
	const char *star = NULL;
	const char *from = NULL;

	while (*name != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			from = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star != NULL) {
			pattern = star + 1;
			name = ++from;
		} else {
			return false;
		}
	}
	pattern += strspn(pattern, "*");
	return *pattern == '\0';
}

static bool
allows(const json_t *list, const char *name)
{
	size_t i;
	json_t *item;

	if (json_array_size(list) == 0)
		return true;
	json_array_foreach(list, i, item)
		if (json_is_string(item) &&
		    matches(json_string_value(item), name))
			return true;
	return false;
}

bool
scope_is_limited(const struct scope *s)
{
	return json_array_size(s->clusters) > 0 ||
	    json_array_size(s->bundles) > 0;
}

bool
scope_cluster(const struct scope *s, const char *cluster)
{
	return allows(s->clusters, cluster);
}

bool
scope_bundle(const struct scope *s, const char *bundle)
{
	return allows(s->bundles, bundle);
}

const char *
scope_only(const json_t *list)
{
	const char *text = json_string_value(json_array_get(list, 0));

	if (json_array_size(list) != 1 || text == NULL ||
	    strpbrk(text, "*?") != NULL)
		return NULL;
	return text;
}

static bool
is_pattern(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= SCOPE_PATTERN_MAX &&
	    strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-*?") == len;
}

enum err_code
scope_check(const json_t *list, const char *what, struct err *e)
{
	size_t i;
	json_t *item;

	if (list == NULL)
		return ERR_OK;
	if (!json_is_array(list))
		return err_set(e, ERR_INVALID, "%s: has to be a list of names",
		    what);
	if (json_array_size(list) > SCOPE_PATTERNS_MAX)
		return err_set(e, ERR_LIMIT, "%s: more than %d names", what,
		    (int)SCOPE_PATTERNS_MAX);
	json_array_foreach(list, i, item)
		if (!json_is_string(item) ||
		    strlen(json_string_value(item)) !=
			json_string_length(item) ||
		    !is_pattern(json_string_value(item)))
			return err_set(e, ERR_INVALID,
			    "%s: number %zu is no name: a-z, 0-9 and ._- up to "
			    "%d, with * and ? for what may differ",
			    what, i + 1, (int)SCOPE_PATTERN_MAX);
	return ERR_OK;
}
