/* Packages and rules. Modules are read as far as their package line first; only
 * packages that a changed file is of are looked into. */

#include <stdlib.h>
#include <string.h>

#include "bundler/delta.h"
#include "bundler/delta_private.h"
#include "bundler/module.h"
#include "bundler/rule.h"
#include "core/mem.h"
#include "core/text.h"

/* A .rego file of one side. */
struct unit {
	char *package; /* data.a.b */
	const struct bundle_file *file;
	enum delta_side side;
	bool changed;
};

/* A definition; the rule's name is owned here. */
struct clause {
	struct rule rule;
	const struct unit *unit;
};

struct units {
	struct delta *d;
	struct unit *items;
	size_t count;
	size_t cap;
};

/* One package: its units, and what they define. */
struct group {
	struct delta *d;
	const struct unit *units;
	size_t unit_count;
	bool has[2]; /* is the side in it */
	struct clause *items;
	size_t count;
	size_t cap;
};

/* ---- packages ---- */

static void
add_unit(struct units *u, enum delta_side side, const struct bundle_file *f,
    bool changed)
{
	enum { TEXT_MAX = 8 * MODULE_NAME_MAX };
	struct module_package p = { 0 };
	struct err why = { 0 };
	AUTO_BUF name = { 0 };

	if (module_package_read(&p, f->path, f->data, f->len, &why) != ERR_OK) {
		if (changed)
			delta_unread(u->d, side, f->path, &why);
		return;
	}
	buf_init(&name, TEXT_MAX);
	module_path_write(&name, p.segments, p.count);
	module_package_clear(&p);
	if (u->count == u->cap) {
		u->cap = u->cap == 0 ? 64 : 2 * u->cap;
		u->items = mem_grow(u->items, u->cap, sizeof *u->items);
	}
	u->items[u->count++] =
	    (struct unit){ mem_strdup(name.data), f, side, changed };
}

static void
find_units(struct units *u)
{
	struct delta_pair p = { 0 };

	while (delta_next(&p, u->d)) {
		const struct bundle_file *any = p.files[0] != NULL ? p.files[0]
								   : p.files[1];

		if (!text_ends_with(any->path, ".rego"))
			continue;
		for (int side = 0; side < 2; side++)
			if (p.files[side] != NULL)
				add_unit(u, (enum delta_side)side,
				    p.files[side], !delta_pair_same(&p));
	}
}

static int
compare_units(const void *a, const void *b)
{
	const struct unit *x = a;
	const struct unit *y = b;
	int order = strcmp(x->package, y->package);

	if (order == 0)
		order = strcmp(x->file->path, y->file->path);
	return order != 0 ? order : (int)x->side - (int)y->side;
}

/* ---- definitions ---- */

static enum err_code
version_of(const struct delta *d, const struct unit *u, int *out)
{
	const struct manifest *m = &d->manifests[u->side];

	TRY(manifest_file_version(m, u->file->path, MANIFEST_FILE, out, d->e));
	if (*out < 0)
		*out = m->rego_version;
	if (*out < 0)
		*out = 1;
	return ERR_OK;
}

static enum err_code
take_rules(struct group *g, const struct unit *u, struct rule_list *l)
{
	if (l->count > DELTA_RULES_MAX - g->count)
		return err_set(g->d->e, ERR_LIMIT,
		    "package %.200s has more than %d definitions", u->package,
		    DELTA_RULES_MAX);
	if (g->count + l->count > g->cap) {
		g->cap = 2 * (g->count + l->count);
		g->items = mem_grow(g->items, g->cap, sizeof *g->items);
	}
	for (size_t i = 0; i < l->count; i++)
		g->items[g->count++] = (struct clause){ l->items[i], u };
	mem_free(l->items); /* the names are ours now */
	*l = (struct rule_list){ 0 };
	return ERR_OK;
}

static enum err_code
read_unit(struct group *g, const struct unit *u)
{
	struct rule_list l = { 0 };
	struct err why = { 0 };
	enum err_code code;
	int version;

	TRY(version_of(g->d, u, &version));
	if (rule_read(&l, u->file->path, u->file->data, u->file->len, version,
		&why) != ERR_OK) {
		delta_unread(g->d, u->side, u->file->path, &why);
		return ERR_OK;
	}
	code = take_rules(g, u, &l);
	rule_list_clear(&l);
	return code;
}

/* By name, imports by themselves; then as they are to be shown. */
static int
compare_names(const struct clause *a, const struct clause *b)
{
	bool x = a->rule.kind == RULE_IMPORT;
	bool y = b->rule.kind == RULE_IMPORT;

	return x != y ? (int)y - (int)x : strcmp(a->rule.name, b->rule.name);
}

static int
compare_definitions(const void *a, const void *b)
{
	const struct clause *x = a;
	const struct clause *y = b;
	int order = compare_names(x, y);

	if (order == 0)
		order = (int)x->unit->side - (int)y->unit->side;
	if (order == 0)
		order = strcmp(x->unit->file->path, y->unit->file->path);
	if (order == 0 && x->rule.start != y->rule.start)
		order = x->rule.start < y->rule.start ? -1 : 1;
	return order;
}

/* ---- one rule ---- */

/* All definitions of one name on one side. */
struct named {
	const struct clause *items;
	size_t count;
	const char **hashes; /* sorted */
};

static int
compare_hashes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
sort_hashes(struct named *n)
{
	n->hashes = mem_array(n->count + 1, sizeof *n->hashes);
	for (size_t i = 0; i < n->count; i++)
		n->hashes[i] = n->items[i].rule.hash;
	qsort(n->hashes, n->count, sizeof *n->hashes, compare_hashes);
}

static bool
same_hashes(const struct named *a, const struct named *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->hashes[i], b->hashes[i]) != 0)
			return false;
	return true;
}

/* The first that the other side has not; where only the order or the number
 * differs, the first. */
static const struct clause *
first_new(const struct named *n, const struct named *other)
{
	for (size_t i = 0; i < n->count; i++) {
		const char *hash = n->items[i].rule.hash;

		if (bsearch(&hash, other->hashes, other->count,
			sizeof *other->hashes, compare_hashes) == NULL)
			return &n->items[i];
	}
	return &n->items[0];
}

static json_t *
place_json(const struct named *n, const struct named *other)
{
	const struct clause *first;

	if (n->count == 0)
		return json_null();
	first = first_new(n, other);
	return json_pack("{s:s,s:I,s:I}", "file", first->unit->file->path,
	    "line", (json_int_t)first->rule.line, "definitions",
	    (json_int_t)n->count);
}

/* A default alone does not say what a rule is. */
static const char *
kind_of(const struct named *n)
{
	for (size_t i = 0; i < n->count; i++)
		if (!n->items[i].rule.is_default)
			return rule_kind_name(n->items[i].rule.kind);
	return rule_kind_name(n->items[0].rule.kind);
}

static void
emit(const struct group *g, enum delta_change change,
    const struct named sides[2])
{
	const struct named *shown =
	    &sides[sides[DELTA_TO].count > 0 ? DELTA_TO : DELTA_FROM];

	if (!delta_count(&g->d->rules, change))
		return;
	delta_add(&g->d->rules, change,
	    json_pack("{s:s,s:s,s:s,s:o,s:o}", "package", g->units->package,
		"name", shown->items[0].rule.name, "kind", kind_of(shown),
		"from", place_json(&sides[DELTA_FROM], &sides[DELTA_TO]), "to",
		place_json(&sides[DELTA_TO], &sides[DELTA_FROM])));
}

/* Files may import the same thing, so only whether any does is compared; and
 * for a package that is new or gone it goes without saying. */
static void
compare_named(const struct group *g, struct named sides[2])
{
	bool import =
	    (sides[0].count > 0 ? sides[0] : sides[1]).items->rule.kind ==
	    RULE_IMPORT;

	if (import && !(g->has[DELTA_FROM] && g->has[DELTA_TO]))
		return;
	sort_hashes(&sides[DELTA_FROM]);
	sort_hashes(&sides[DELTA_TO]);
	if (sides[DELTA_FROM].count == 0)
		emit(g, DELTA_ADDED, sides);
	else if (sides[DELTA_TO].count == 0)
		emit(g, DELTA_REMOVED, sides);
	else if (!import && !same_hashes(&sides[DELTA_FROM], &sides[DELTA_TO]))
		emit(g, DELTA_CHANGED, sides);
	mem_free(sides[DELTA_FROM].hashes);
	mem_free(sides[DELTA_TO].hashes);
}

static void
compare_group(const struct group *g)
{
	for (size_t i = 0; i < g->count;) {
		struct named sides[2] = { { .items = &g->items[i] },
			{ .items = NULL } };
		size_t end = i;

		for (; end < g->count &&
		     compare_names(&g->items[i], &g->items[end]) == 0;
		     end++) {
			struct named *n = &sides[g->items[end].unit->side];

			if (n->count++ == 0)
				n->items = &g->items[end];
		}
		compare_named(g, sides);
		i = end;
	}
}

/* ---- all packages ---- */

static void
group_clear(struct group *g)
{
	for (size_t i = 0; i < g->count; i++)
		mem_free(g->items[i].rule.name);
	mem_free(g->items);
}

static enum err_code
compare_package(struct group *g)
{
	for (size_t i = 0; i < g->unit_count; i++)
		TRY(read_unit(g, &g->units[i]));
	if (g->count > 0)
		qsort(g->items, g->count, sizeof *g->items,
		    compare_definitions);
	compare_group(g);
	return ERR_OK;
}

static void
note_package(const struct group *g)
{
	enum delta_change change = g->has[DELTA_FROM] ? DELTA_REMOVED
						      : DELTA_ADDED;

	if (g->has[DELTA_FROM] && g->has[DELTA_TO])
		return;
	if (delta_count(&g->d->packages, change))
		delta_add(&g->d->packages, change,
		    json_pack("{s:s}", "package", g->units->package));
}

static enum err_code
compare_packages(struct units *u)
{
	for (size_t i = 0; i < u->count;) {
		struct group g = { .d = u->d, .units = &u->items[i] };
		bool changed = false;
		enum err_code code = ERR_OK;

		for (; i < u->count &&
		     strcmp(u->items[i].package, g.units->package) == 0;
		     i++) {
			g.unit_count++;
			g.has[u->items[i].side] = true;
			changed |= u->items[i].changed;
		}
		if (changed) {
			note_package(&g);
			code = compare_package(&g);
		}
		group_clear(&g);
		if (code != ERR_OK)
			return code;
	}
	return ERR_OK;
}

enum err_code
delta_rules(struct delta *d)
{
	struct units u = { .d = d };
	enum err_code code;

	find_units(&u);
	if (u.count > 0)
		qsort(u.items, u.count, sizeof *u.items, compare_units);
	code = compare_packages(&u);
	for (size_t i = 0; i < u.count; i++)
		mem_free(u.items[i].package);
	mem_free(u.items);
	return code;
}
