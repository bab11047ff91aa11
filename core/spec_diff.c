#include "core/spec_diff.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/spec_parts.h"

enum { PATH_SIZE = 512 };

struct walk {
	spec_diff_visit *visit;
	void *arg;
	char path[PATH_SIZE];
};

static bool same_struct(const struct spec *table, const void *a, const void *b);

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_strings(const struct spec_strings *a, const struct spec_strings *b)
{
	for (size_t i = 0; a->count == b->count && i < a->count; i++)
		if (!same_text(a->items[i], b->items[i]))
			return false;
	return a->count == b->count;
}

static const void *
item(const struct spec_list *list, const struct spec *s, size_t i)
{
	return (const char *)list->items + i * s->size;
}

static bool
same_list(const struct spec_list *a, const struct spec_list *b,
    const struct spec *s)
{
	for (size_t i = 0; a->count == b->count && i < a->count; i++)
		if (!same_struct(s->sub, item(a, s, i), item(b, s, i)))
			return false;
	return a->count == b->count;
}

static bool
same_field(const struct spec *s, const void *a, const void *b)
{
	switch (s->kind) {
	case SPEC_STRING:
	case SPEC_NAME:
		return same_text(*(char *const *)a, *(char *const *)b);
	case SPEC_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case SPEC_INT:
	case SPEC_SIZE:
	case SPEC_SECONDS:
		return *(const int64_t *)a == *(const int64_t *)b;
	case SPEC_ENUM:
		return *(const int *)a == *(const int *)b;
	case SPEC_STRINGS:
		return same_strings(a, b);
	case SPEC_OBJECT:
		return same_struct(s->sub, a, b);
	case SPEC_LIST:
	case SPEC_MAP:
		return same_list(a, b, s);
	default:
		assert(0 && "not to be compared");
	}
	return false;
}

static const void *
field_of(const void *from, const struct spec *s)
{
	return (const char *)from + s->offset;
}

static bool
same_struct(const struct spec *table, const void *a, const void *b)
{
	for (const struct spec *s = table; s->key != NULL; s++) {
		/* Members of an object lie in the struct of their own offset. */
		const void *of_a = field_of(a, s);
		const void *of_b = field_of(b, s);

		if (!same_field(s, of_a, of_b))
			return false;
	}
	return true;
}

/* ---- maps, whose members have names whatever their order ---- */

static const char *
name_of(const void *member, const struct spec *s)
{
	return *(char *const *)field_of(member, s->sub);
}

static const void *
find(const struct spec_list *map, const struct spec *s, const char *name)
{
	for (size_t i = 0; i < map->count; i++)
		if (same_text(name_of(item(map, s, i), s), name))
			return item(map, s, i);
	return NULL;
}

static void
visit_member(struct walk *w, const struct spec *s, const char *name,
    const void *a, const void *b)
{
	size_t len = strlen(w->path);

	(void)snprintf(w->path + len, sizeof w->path - len, ".%s", name);
	w->visit(w->arg, w->path, s, a, b);
	w->path[len] = '\0';
}

static void
walk_map(struct walk *w, const struct spec *s, const struct spec_list *a,
    const struct spec_list *b)
{
	for (size_t i = 0; i < a->count; i++) {
		const void *member = item(a, s, i);
		const void *other = find(b, s, name_of(member, s));

		if (other == NULL || !same_struct(s->sub, member, other))
			visit_member(w, s, name_of(member, s), a, b);
	}
	for (size_t i = 0; i < b->count; i++) {
		const char *name = name_of(item(b, s, i), s);

		if (find(a, s, name) == NULL)
			visit_member(w, s, name, a, b);
	}
}

static void
walk(struct walk *w, const struct spec *table, const void *a, const void *b)
{
	size_t len = strlen(w->path);

	for (const struct spec *s = table; s->key != NULL; s++) {
		const void *of_a = field_of(a, s);
		const void *of_b = field_of(b, s);

		(void)snprintf(w->path + len, sizeof w->path - len, "%s%s",
		    len > 0 ? "." : "", s->key);
		if (s->kind == SPEC_OBJECT)
			walk(w, s->sub, of_a, of_b);
		else if (s->kind == SPEC_MAP)
			walk_map(w, s, of_a, of_b);
		else if (!same_field(s, of_a, of_b))
			w->visit(w->arg, w->path, s, of_a, of_b);
		w->path[len] = '\0';
	}
}

void
spec_diff(const struct spec *table, const void *a, const void *b,
    spec_diff_visit *visit, void *arg)
{
	struct walk w = { .visit = visit, .arg = arg };

	walk(&w, table, a, b);
}
