#include "policies/definition_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/names.h"
#include "core/text.h"

enum { ARGUMENT_MAX = 4096 };

/* A path of the repository without "./" in front and "/" at the end; "" is all
 * of it. NULL when it is no such path. Caller: mem_free. */
char *
definition_clean_path(const char *text)
{
	size_t len;

	while (strncmp(text, "./", 2) == 0)
		text += 2;
	len = strlen(text);
	while (len > 0 && text[len - 1] == '/')
		len--;
	if (len == 0 && text[0] == '/')
		return NULL;
	if (len == 1 && text[0] == '.')
		len = 0;
	return len < TREE_PATH_MAX ? mem_strndup(text, len) : NULL;
}

bool
definition_is_clean(const char *path)
{
	if (path[0] == '\0')
		return true;
	for (const char *s = path; s != NULL;) {
		const char *end = strchr(s, '/');
		size_t len = end != NULL ? (size_t)(end - s) : strlen(s);

		if (len == 0 || (len == 1 && s[0] == '.') ||
		    (len == 2 && memcmp(s, "..", 2) == 0))
			return false;
		s = end != NULL ? end + 1 : NULL;
	}
	return strpbrk(path, "\\\n\r\t") == NULL;
}

bool
definition_exists(const struct tree *t, const char *path)
{
	size_t low = 0, high = t->count, len = strlen(path);

	if (len == 0)
		return true;
	/* The first entry that is not before path is path itself, or, as long
	 * as only names like "path.x" are between, what is below "path/". */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(t->entries[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < t->count; low++) {
		const char *p = t->entries[low].path;

		if (strncmp(p, path, len) != 0)
			return false;
		if (p[len] == '\0' || p[len] == '/')
			return true;
	}
	return false;
}

/* Edits from one name to the other, for "did you mean"; names are short. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[65];
	size_t n = strlen(b);

	if (n >= 65)
		return n;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			size_t best = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j + 1] + 1 < best)
				best = row[j + 1] + 1;
			row[j + 1] = best;
		}
	}
	return row[n];
}

static const struct definition_bundle *
nearest(const struct definition *d, const char *name)
{
	const struct definition_bundle *bundles = d->bundles.items;
	const struct definition_bundle *best = NULL;
	size_t least = strlen(name) / 2 + 1;

	for (size_t i = 0; i < d->bundles.count; i++) {
		size_t edits = distance(name, bundles[i].name);

		if (edits < least) {
			least = edits;
			best = &bundles[i];
		}
	}
	return best;
}

int
definition_by_name(const void *a, const void *b)
{
	/* Bundles and clusters both begin with their name. */
	return strcmp(*(char *const *)a, *(char *const *)b);
}

_Static_assert(offsetof(struct definition_bundle, name) == 0 &&
	offsetof(struct definition_cluster, name) == 0,
    "definition_by_name reads the first member");

static bool
has_bundle(const struct definition *d, const char *name)
{
	return d->bundles.count > 0 &&
	    bsearch(&name, d->bundles.items, d->bundles.count,
		sizeof(struct definition_bundle), definition_by_name) != NULL;
}

const struct value *
definition_at(const struct value *item, const char *key)
{
	const struct value *v = NULL;

	if (item != NULL && item->kind == VALUE_OBJECT)
		v = value_get(item, key);
	return v != NULL ? v : item;
}

const struct value *
definition_at_item(const struct value *item, const char *key, size_t i)
{
	const struct value *v = definition_at(item, key);

	return v != NULL && v->kind == VALUE_ARRAY && i < v->count ? v->items[i]
								   : v;
}

static void
check_path(const struct reading *r, const struct value *at,
    const struct definition_path *p)
{
	const char *base = strrchr(p->from, '/');

	base = base != NULL ? base + 1 : p->from;
	if (!definition_exists(r->tree, p->from))
		spec_fault(r->faults, at,
		    "paths: \"%s\": no such file or folder", p->from);
	else if (tree_find(r->tree, p->from) != NULL && p->to[0] == '\0')
		spec_fault(r->faults, at,
		    "\"%s\" is a file: to has to name a file as well", p->from);
	else if (strcmp(p->to, MANIFEST_FILE) != 0
		? definition_hidden(p->from) || definition_hidden(p->to)
		: strcmp(base, MANIFEST_FILE) != 0)
		spec_fault(r->faults, at,
		    "\"%s\": hidden files and folders are never part of a bundle",
		    p->from);
}

static void
check_excludes(const struct reading *r, const struct value *item,
    struct definition_bundle *b)
{
	for (size_t i = 0; i < b->exclude.count; i++) {
		char *glob = b->exclude.items[i];
		size_t len = strlen(glob);
		const struct value *at = definition_at_item(item, "exclude", i);

		while (len > 1 && glob[len - 1] == '/')
			glob[--len] = '\0';
		if (len == 0 || len > DEFINITION_GLOB_MAX)
			spec_fault(r->faults, at, "a pattern has 1 to %d bytes",
			    DEFINITION_GLOB_MAX);
		else if (glob[0] == '/' || strncmp(glob, "./", 2) == 0)
			spec_fault(r->faults, at,
			    "\"%s\" matches nothing: write paths without \"%s\" "
			    "in front",
			    glob, glob[0] == '/' ? "/" : "./");
	}
}

/* opa matches them with the last segment of each file and folder. */
static void
check_ignored(const struct reading *r, const struct value *item,
    const struct definition_bundle *b)
{
	for (size_t i = 0; i < b->ignore.count; i++) {
		const char *glob = b->ignore.items[i];
		const struct value *at = definition_at_item(item, "ignore", i);

		if (glob[0] == '\0' || strlen(glob) > DEFINITION_GLOB_MAX)
			spec_fault(r->faults, at, "a pattern has 1 to %d bytes",
			    DEFINITION_GLOB_MAX);
		else if (strchr(glob, '/') != NULL)
			spec_fault(r->faults, at,
			    "\"%s\" matches nothing: ignore takes names, "
			    "without \"/\"; exclude takes paths",
			    glob);
		else if (strpbrk(glob, "[]\\") != NULL)
			spec_fault(r->faults, at,
			    "\"%s\": only * and ? are understood in patterns",
			    glob);
	}
}

static void
check_roots(const struct reading *r, const struct value *item,
    struct definition_bundle *b)
{
	char **roots = b->roots.items;

	b->has_roots = item != NULL && item->kind == VALUE_OBJECT &&
	    value_get(item, "roots") != NULL;
	for (size_t i = 0; i < b->roots.count; i++) {
		const struct value *at = definition_at_item(item, "roots", i);
		char *root = roots[i];
		size_t len = strlen(root);
		size_t skip = strspn(root, "/");

		/* OPA trims slashes as well. */
		memmove(root, root + skip, len - skip + 1);
		len -= skip;
		while (len > 0 && root[len - 1] == '/')
			root[--len] = '\0';
		if (!definition_is_clean(root) || len >= TREE_PATH_MAX)
			spec_fault(r->faults, at,
			    "\"%s\" is no root: write segments with \"/\" between, "
			    "as in infra/aws",
			    root);
		for (size_t k = 0; k < i; k++) {
			if (text_path_holds(roots[k], root) ||
			    text_path_holds(root, roots[k]))
				spec_fault(r->faults, at,
				    "roots \"%s\" and \"%s\" overlap", roots[k],
				    root);
		}
	}
}

static void
check_bundle(const struct reading *r, struct definition_bundle *b)
{
	const struct value *item = NULL;
	const struct definition_path *paths = b->paths.items;

	if (r->root != NULL)
		item =
		    definition_at(definition_at(r->root, "bundles"), b->name);
	if (strcmp(b->name, DISCOVERY_NAME) == 0)
		spec_fault(r->faults, item,
		    "the name discovery is reserved; choose another");
	for (size_t i = 0; i < b->paths.count; i++)
		check_path(r, definition_at_item(item, "paths", i), &paths[i]);
	check_excludes(r, item, b);
	check_ignored(r, item, b);
	check_roots(r, item, b);
	definition_check_compile(r, item, b);
	definition_check_capabilities(r, definition_at(item, "capabilities"),
	    &b->capabilities);
	if (b->metadata != NULL && b->metadata->kind != VALUE_OBJECT)
		spec_fault(r->faults, b->metadata, "metadata is an object");
}

static bool
is_elsewhere(const struct reading *r, const char *bundle)
{
	return r->elsewhere != NULL &&
	    r->elsewhere->defines(r->elsewhere->arg, bundle);
}

static void
check_cluster(const struct reading *r, const struct definition_cluster *c)
{
	const struct value *item = NULL;

	if (r->root != NULL)
		item =
		    definition_at(definition_at(r->root, "clusters"), c->name);
	if (strcmp(c->name, DISCOVERY_NAME) == 0)
		spec_fault(r->faults, item,
		    "the name discovery is reserved; choose another");
	for (size_t i = 0; i < c->bundles.count; i++) {
		const char *name = c->bundles.items[i];
		const struct value *at = definition_at_item(item, "bundles", i);
		const struct definition_bundle *near = nearest(r->d, name);

		for (size_t k = 0; k < i; k++) {
			if (strcmp(name, c->bundles.items[k]) == 0)
				spec_fault(r->faults, at,
				    "bundle \"%s\" is listed twice", name);
		}
		if (has_bundle(r->d, name) || is_elsewhere(r, name))
			continue;
		spec_fault(r->faults, at,
		    "cluster \"%s\": there is no bundle \"%s\"%s%s%s", c->name,
		    name, near != NULL ? "; did you mean \"" : "",
		    near != NULL ? near->name : "", near != NULL ? "\"?" : "");
	}
}

void
definition_check_argument(const struct reading *r, const struct value *at,
    char **path)
{
	AUTO_STR clean = definition_clean_path(*path);

	if (clean == NULL || !definition_is_clean(clean))
		spec_fault(r->faults, at, "\"%s\" is no path of the repository",
		    *path);
	else if (strchr(clean, ':') != NULL)
		spec_fault(r->faults, at,
		    "\"%s\": opa does not take a path with a colon", *path);
	else if (definition_hidden(clean))
		spec_fault(r->faults, at,
		    "\"%s\": hidden files and folders are left out", *path);
	else if (!definition_exists(r->tree, clean))
		spec_fault(r->faults, at, "\"%s\": no such file or folder",
		    *path);
	if (clean == NULL)
		return;
	mem_free(*path);
	*path = clean[0] != '\0' ? STEAL(clean) : mem_strdup(".");
}

static void
check_ignore(const struct reading *r, const struct value *test)
{
	const struct spec_strings *ignore = &r->d->gate.ignore;

	for (size_t i = 0; i < ignore->count; i++) {
		const char *glob = ignore->items[i];

		/* opa splits the option at commas, as CSV does. */
		if (glob[0] == '\0' || strpbrk(glob, ",\"\n\r") != NULL ||
		    strlen(glob) > DEFINITION_GLOB_MAX)
			spec_fault(r->faults,
			    definition_at_item(test, "ignore", i),
			    "\"%s\": write one pattern per item, without commas "
			    "and quotes",
			    glob);
	}
}

static void
check_command(const struct reading *r, const struct value *list, size_t i)
{
	const struct definition_command *all = r->d->gate.commands.items;
	const struct definition_command *c = &all[i];
	const struct value *at = list;

	if (list != NULL && list->kind == VALUE_ARRAY && i < list->count)
		at = list->items[i];
	if (c->name == NULL)
		return; /* said already */
	if (c->run.count == 0 || !spec_is_name(c->run.items[0]))
		spec_fault(r->faults, definition_at(at, "run"),
		    "command \"%s\": run begins with the name of a program, not "
		    "a path; the server says which file it is",
		    c->name);
	for (size_t k = 0; k < c->run.count; k++) {
		if (strlen(c->run.items[k]) > ARGUMENT_MAX)
			spec_fault(r->faults, definition_at_item(at, "run", k),
			    "an argument has at most %d bytes", ARGUMENT_MAX);
	}
	for (size_t k = 0; k < i; k++) {
		if (all[k].name != NULL && strcmp(all[k].name, c->name) == 0)
			spec_fault(r->faults, definition_at(at, "name"),
			    "there are two commands \"%s\"", c->name);
	}
}

static void
check_gate(const struct reading *r)
{
	struct definition_gate *g = &r->d->gate;
	const struct value *gate = NULL, *test;

	if (r->root != NULL)
		gate = definition_at(r->root, "gate");
	test = definition_at(gate, "test");
	if (g->schemas != NULL)
		definition_check_argument(r,
		    definition_at(definition_at(gate, "check"), "schemas"),
		    &g->schemas);
	for (size_t i = 0; i < g->test_paths.count; i++)
		definition_check_argument(r,
		    definition_at_item(test, "paths", i),
		    &g->test_paths.items[i]);
	check_ignore(r, test);
	definition_check_capabilities(r, definition_at(gate, "capabilities"),
	    &g->capabilities);
	for (size_t i = 0; i < g->commands.count; i++)
		check_command(r, definition_at(gate, "commands"), i);
}

enum err_code
definition_check(const struct reading *r, struct err *e)
{
	struct definition_bundle *bundles = r->d->bundles.items;
	struct definition_cluster *clusters = r->d->clusters.items;

	for (size_t i = 0; i < r->d->bundles.count; i++)
		check_bundle(r, &bundles[i]);
	for (size_t i = 0; i < r->d->clusters.count; i++)
		check_cluster(r, &clusters[i]);
	check_gate(r);
	return spec_verdict(r->faults, e);
}
