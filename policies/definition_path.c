#include "policies/definition.h"

#include <stdio.h>
#include <string.h>

#include "core/names.h"

/* A glob is matched by keeping the set of pattern positions that the path read
 * so far can stand at: no backtracking, so no pattern takes long. */
struct glob {
	const char *pattern;
	size_t len;
	bool at[DEFINITION_GLOB_MAX + 1];
};

static bool
starts_segment(const struct glob *g, size_t i)
{
	return i == 0 || g->pattern[i - 1] == '/';
}

/* Positions that can be reached from i without reading anything. */
static void
enter(struct glob *g, bool *at, size_t i)
{
	const char *p = g->pattern;

	while (i <= g->len && !at[i]) {
		at[i] = true;
		if (p[i] != '*')
			return;
		if (p[i + 1] != '*')
			i += 1;
		else if (p[i + 2] == '/' && starts_segment(g, i))
			i += 3;
		else
			i += 2;
	}
}

/* Follows one byte from position i. last: the next byte begins a character. */
static void
step(struct glob *g, bool *next, size_t i, char c, bool last)
{
	const char *p = g->pattern + i;

	if (p[0] == '*' && p[1] == '*') {
		/* A "**" with its "/" is left at the end of a segment only. */
		if (p[2] == '/' && starts_segment(g, i)) {
			next[i] = true;
			if (c == '/')
				enter(g, next, i + 3);
		} else {
			enter(g, next, i);
		}
	} else if (p[0] == '*') {
		if (c != '/')
			enter(g, next, i);
	} else if (p[0] == '?') {
		if (c != '/')
			enter(g, next, last ? i + 1 : i);
	} else if (p[0] == c && c != '\0') {
		enter(g, next, i + 1);
	}
}

static bool
is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static bool
glob_matches(const char *pattern, const char *path, size_t path_len)
{
	struct glob g = { .pattern = pattern, .len = strlen(pattern) };

	if (g.len > DEFINITION_GLOB_MAX)
		return false;
	enter(&g, g.at, 0);
	for (size_t k = 0; k < path_len; k++) {
		bool next[DEFINITION_GLOB_MAX + 1] = { false };
		bool last = k + 1 == path_len || !is_continuation(path[k + 1]);

		for (size_t i = 0; i < g.len; i++) {
			if (g.at[i])
				step(&g, next, i, path[k], last);
		}
		memcpy(g.at, next, g.len + 1);
	}
	return g.at[g.len];
}

bool
definition_glob(const char *pattern, const char *path)
{
	return glob_matches(pattern, path, strlen(path));
}

bool
definition_hidden(const char *path)
{
	if (strcmp(path, MANIFEST_FILE) == 0)
		return false;
	return path[0] == '.' || strstr(path, "/.") != NULL;
}

/* Does the pattern match the path or a folder that holds it? */
static bool
excludes(const char *pattern, const char *path)
{
	for (const char *end = strchr(path, '/'); end != NULL;
	     end = strchr(end + 1, '/')) {
		if (glob_matches(pattern, path, (size_t)(end - path)))
			return true;
	}
	return definition_glob(pattern, path);
}

/* Does the pattern match the file's name, or that of a folder it is in? */
static bool
ignores(const char *pattern, const char *path)
{
	for (;;) {
		size_t len = strcspn(path, "/");

		if (glob_matches(pattern, path, len))
			return true;
		if (path[len] == '\0')
			return false;
		path += len + 1;
	}
}

/* Maps path by one of the bundle's paths. */
static bool
map(const struct definition_path *rule, const char *path,
    char out[TREE_PATH_MAX])
{
	size_t len = strlen(rule->from);
	const char *rest = path;
	int written;

	if (len > 0) {
		if (strncmp(path, rule->from, len) != 0)
			return false;
		rest = path + len;
		if (*rest == '/')
			rest++;
		else if (*rest != '\0')
			return false;
	}
	written = snprintf(out, TREE_PATH_MAX, "%s%s%s", rule->to,
	    rule->to[0] != '\0' && rest[0] != '\0' ? "/" : "", rest);
	return written > 0 && written < TREE_PATH_MAX;
}

/* The .manifest at the bundle's root may come from any visible folder. */
static bool
is_shown(const char *path, const char *placed)
{
	const char *base = strrchr(path, '/');
	char folder[TREE_PATH_MAX];

	if (strcmp(placed, MANIFEST_FILE) != 0)
		return !definition_hidden(path) && !definition_hidden(placed);
	if (base == NULL)
		return strcmp(path, MANIFEST_FILE) == 0;
	(void)snprintf(folder, sizeof folder, "%.*s", (int)(base - path), path);
	return strcmp(base, "/.manifest") == 0 && !definition_hidden(folder);
}

bool
definition_place(const struct definition_bundle *d, const char *path,
    char out[TREE_PATH_MAX])
{
	static char nothing[] = "";
	static const struct definition_path everything = { nothing, nothing };
	const struct definition_path *rules = d->paths.items;
	size_t count = d->paths.count;
	bool found = false;

	if (count == 0) {
		rules = &everything;
		count = 1;
	}
	for (size_t i = 0; i < count && !found; i++)
		found = map(&rules[i], path, out);
	if (!found || !is_shown(path, out) ||
	    strcmp(path, DEFINITION_FILE) == 0)
		return false;
	for (size_t i = 0; i < d->exclude.count; i++) {
		if (excludes(d->exclude.items[i], path))
			return false;
	}
	for (size_t i = 0; i < d->ignore.count; i++) {
		if (ignores(d->ignore.items[i], path))
			return false;
	}
	return true;
}

static bool
excludes_any(const char *pattern, const struct tree *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (excludes(pattern, t->entries[i].path))
			return true;
	return false;
}

void
definition_idle_excludes(struct buf *out, const struct definition *d,
    const struct tree *t)
{
	const struct definition_bundle *b = d->bundles.items;

	for (size_t i = 0; i < d->bundles.count; i++)
		for (size_t k = 0; k < b[i].exclude.count; k++) {
			const char *pattern = b[i].exclude.items[k];

			if (!excludes_any(pattern, t))
				buf_printf(out,
				    "%sbundle %s: exclude \"%s\" matches "
				    "nothing here",
				    out->len > 0 ? "\n" : "", b[i].name,
				    pattern);
		}
}
