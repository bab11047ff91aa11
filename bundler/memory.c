#include "bundler/memory.h"

#include <string.h>

#include "bundler/cache.h"
#include "bundler/data.h"
#include "bundler/plan.h"
#include "core/mem.h"

void
memory_free(struct memory *m)
{
	if (m == NULL)
		return;
	plan_sources_free(m->sources, m->count);
	roots_clear(&m->roots);
	mem_free(m);
}

/* All that definition_place looks at. */
static void
digest_definition(char out[DIGEST_HEX_SIZE], const struct definition_bundle *d)
{
	const struct definition_path *paths = d->paths.items;
	struct digest *sum = digest_new();

	for (size_t i = 0; i < d->paths.count; i++) {
		digest_add_piece(sum, "path", strlen("path"));
		digest_add_piece(sum, paths[i].from, strlen(paths[i].from));
		digest_add_piece(sum, paths[i].to, strlen(paths[i].to));
	}
	for (size_t i = 0; i < d->exclude.count; i++) {
		digest_add_piece(sum, "exclude", strlen("exclude"));
		digest_add_piece(sum, d->exclude.items[i],
		    strlen(d->exclude.items[i]));
	}
	for (size_t i = 0; i < d->ignore.count; i++) {
		digest_add_piece(sum, "ignore", strlen("ignore"));
		digest_add_piece(sum, d->ignore.items[i],
		    strlen(d->ignore.items[i]));
	}
	digest_end(sum, out);
}

void
memory_take(struct plan *p)
{
	char definition[DIGEST_HEX_SIZE];

	if (p->means->cache == NULL)
		return;
	p->memory = cache_take_memory(p->means->cache, p->d->name);
	if (p->memory == NULL)
		return;
	digest_definition(definition, p->d);
	if (strcmp(p->memory->definition, definition) != 0)
		memory_free(STEAL(p->memory));
}

/* Sources are in the order of their paths in the bundle, nearly always the
 * order of the tree too; one that is out of line is taken for a new one. */
bool
memory_source(struct plan *p, const char *from, struct source *out)
{
	struct memory *m = p->memory;
	int order = 1;

	while (m != NULL && p->recalled < m->count) {
		order = strcmp(m->sources[p->recalled].from, from);
		if (order >= 0)
			break;
		p->recalled++; /* it is gone */
		p->moved = true;
	}
	if (order != 0)
		return false;
	*out = m->sources[p->recalled];
	/* Its strings have one owner. */
	m->sources[p->recalled++] = (struct source){ 0 };
	return true;
}

static bool
same_text(const struct value *a, const struct value *b)
{
	return a->text_len == b->text_len &&
	    memcmp(a->text, b->text, a->text_len) == 0;
}

/* The same keys all the way down: the layout asks no more of data. Recursion is
 * bounded by the readers' depth. */
static bool
same_shape(const struct value *a, const struct value *b)
{
	if (a->kind != VALUE_OBJECT || b->kind != VALUE_OBJECT)
		return a->kind != VALUE_OBJECT && b->kind != VALUE_OBJECT;
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!same_text(a->keys[i], b->keys[i]) ||
		    !same_shape(a->items[i], b->items[i]))
			return false;
	}
	return true;
}

static bool
same_package(const struct module_package *a, const struct module_package *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->segments[i], b->segments[i]) != 0)
			return false;
	}
	return true;
}

static bool
same_part(const struct source *s)
{
	if (s->before == NULL) /* its blob is the same, or it has none */
		return s->known || s->kind == SOURCE_MANIFEST;
	if (s->kind == SOURCE_POLICY)
		return same_package(&s->before->package, &s->blob->package);
	return same_shape(document_root(s->before->doc),
	    document_root(s->blob->doc));
}

bool
memory_same_sources(const struct plan *p)
{
	return p->memory != NULL && !p->moved &&
	    p->recalled == p->memory->count;
}

bool
memory_same_parts(const struct plan *p)
{
	if (!memory_same_sources(p))
		return false;
	for (size_t i = 0; i < p->count; i++) {
		if (!same_part(&p->sources[i]))
			return false;
	}
	return true;
}

static void
keep_roots(struct memory *m, const struct bundle *b)
{
	for (size_t i = 0; i < b->root_count; i++)
		roots_add(&m->roots, b->roots[i], strlen(b->roots[i]));
}

/* What one source takes, about. */
static size_t
cost_of(const struct source *s)
{
	enum { HEAP = 16 };

	return sizeof *s + 2 * strlen(s->from) + s->segment_count * HEAP +
	    4 * HEAP;
}

void
memory_keep(struct plan *p)
{
	struct memory *m;
	size_t cost = sizeof *m;

	if (p->means->cache == NULL)
		return;
	for (size_t i = 0; i < p->count; i++) {
		struct source *s = &p->sources[i];

		if (i + BLOB_AHEAD < p->count)
			BLOB_SOON(p->sources[i + BLOB_AHEAD].blob);
		/* Blobs that the cache does not count must not be held. */
		if (s->blob != NULL &&
		    !cache_has_used(p->means->cache, s->blob))
			return;
		if (s->from == NULL)
			s->from = mem_strdup(s->entry->path);
		s->entry = NULL;
		blob_unref(STEAL(s->before));
		cost += cost_of(s);
	}
	m = mem_zalloc(sizeof *m);
	digest_definition(m->definition, p->d);
	m->sources = STEAL(p->sources);
	m->count = p->count;
	p->count = 0;
	m->worked_out = p->worked_out;
	keep_roots(m, p->bundle);
	cache_keep_memory(p->means->cache, p->d->name, m, cost);
}
