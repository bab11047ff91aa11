/* Which files of the tree go into a bundle. */

#include "bundler/plan.h"

#include <string.h>

#include "bundler/data.h"
#include "core/mem.h"
#include "core/order.h"
#include "core/text.h"

const char *
plan_base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* False: not for engines. */
static bool
kind_of(const char *path, enum source_kind *out)
{
	if (strcmp(path, MANIFEST_FILE) == 0)
		*out = SOURCE_MANIFEST;
	else if (text_ends_with(path, ".rego") &&
	    !text_ends_with(path, "_test.rego"))
		*out = SOURCE_POLICY;
	else if (data_kind_of(plan_base_of(path)) != DATA_NONE)
		*out = SOURCE_DATA;
	else
		return false;
	return true;
}

static void
add_source(struct plan *p, const struct source *s)
{
	if (p->count == p->cap) {
		p->cap = p->cap == 0 ? 64 : p->cap * 2;
		p->sources = mem_grow(p->sources, p->cap, sizeof *p->sources);
	}
	p->sources[p->count++] = *s;
}

/* False: not for this bundle. */
static bool
place(const struct plan *p, const char *from, struct source *out)
{
	char path[TREE_PATH_MAX];
	enum source_kind kind;

	if (!definition_place(p->d, from, path) || !kind_of(path, &kind))
		return false;
	*out = (struct source){ .path = mem_strdup(path), .kind = kind };
	return true;
}

/* Data of several folders may have one place. */
static int
compare_sources(const void *a, const void *b)
{
	const struct source *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	return order != 0 ? order : strcmp(x->entry->path, y->entry->path);
}

static enum err_code
sort_sources(struct plan *p)
{
	order_sort(p->sources, p->count, sizeof *p->sources, compare_sources);
	for (size_t i = 1; i < p->count; i++) {
		const struct source *a = &p->sources[i - 1];
		const struct source *b = &p->sources[i];

		if (b->kind != SOURCE_DATA && strcmp(a->path, b->path) == 0)
			return err_set(p->e, ERR_INVALID,
			    "%s and %s would both become %s; rename one, or "
			    "give its folder another \"to\" in paths",
			    a->entry->path, b->entry->path, b->path);
	}
	return ERR_OK;
}

enum err_code
plan_choose(struct plan *p)
{
	size_t loaded = 0;

	for (size_t i = 0; i < p->tree->count; i++) {
		const struct tree_entry *entry = &p->tree->entries[i];
		struct source s;

		if (!memory_source(p, entry->path, &s)) {
			if (!place(p, entry->path, &s))
				continue;
			p->moved = true;
		}
		s.entry = entry;
		add_source(p, &s);
		loaded += s.kind != SOURCE_MANIFEST;
	}
	if (loaded == 0)
		return err_set(p->e, ERR_INVALID,
		    "no policies and no data at its paths; a bundle needs a "
		    ".rego file or a data.json");
	return memory_same_sources(p) ? ERR_OK : sort_sources(p);
}
