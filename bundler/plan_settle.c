/* What edict.yaml and .manifest say together, and whether packages, data and
 * roots get on. */

#include "bundler/plan.h"

#include <string.h>

#include "bundler/layout.h"
#include "core/canon.h"
#include "core/mem.h"

static enum err_code
said_twice(const struct plan *p, const char *what)
{
	return err_set(p->e, ERR_INVALID,
	    "%s and %s give different %s; keep one of them", DEFINITION_FILE,
	    p->manifest_name, what);
}

static bool
same_roots(const struct roots *a, const struct roots *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	}
	return true;
}

static struct layout_part *
make_parts(const struct plan *p, size_t *count)
{
	struct layout_part *parts = mem_array(p->count + 1, sizeof *parts);

	*count = 0;
	for (size_t i = 0; i < p->count; i++) {
		const struct source *s = &p->sources[i];
		bool policy = s->kind == SOURCE_POLICY;

		if (s->kind == SOURCE_MANIFEST)
			continue;
		parts[(*count)++] = (struct layout_part){
			.kind = policy ? LAYOUT_PACKAGE : LAYOUT_DATA,
			.segments = policy ? s->blob->package.segments
					   : s->segments,
			.count = policy ? s->blob->package.count
					: s->segment_count,
			.source = s->entry->path,
			.line = s->blob->package.line,
			.value = policy ? NULL : document_root(s->blob->doc),
		};
	}
	return parts;
}

static void
copy_roots(struct roots *to, const struct roots *from)
{
	for (size_t i = 0; i < from->count; i++)
		roots_add(to, from->items[i], strlen(from->items[i]));
}

static enum err_code
work_out_roots(struct plan *p)
{
	struct layout_part *parts;
	size_t count;

	p->worked_out = true;
	if (p->same_parts && p->memory->worked_out) {
		copy_roots(&p->roots, &p->memory->roots);
		return ERR_OK;
	}
	parts = make_parts(p, &count);
	layout_roots(&p->roots, parts, count);
	mem_free(parts);
	for (size_t i = 0; i < p->roots.count; i++) {
		if (strlen(p->roots.items[i]) > ROOT_LEN_MAX)
			return err_set(p->e, ERR_LIMIT,
			    "root \"%.60s…\": a package or a key of its data "
			    "has a path of more than %d bytes; shorten it",
			    p->roots.items[i], ROOT_LEN_MAX);
	}
	if (p->roots.count > ROOTS_MAX)
		return err_set(p->e, ERR_LIMIT,
		    "its packages and data have more than %d names at the top, "
		    "too many roots for an engine; put them below a few",
		    ROOTS_MAX);
	if (p->roots.count > 0)
		return ERR_OK;
	return err_set(p->e, ERR_INVALID,
	    "its data is empty and it has no policies; a bundle has to own "
	    "something");
}

static enum err_code
settle_roots(struct plan *p)
{
	struct roots *theirs = &p->manifest.roots;

	if (p->manifest.has_roots) {
		AUTO_STR where = mem_printf("%s:%u", p->manifest_name,
		    p->manifest.roots_line);

		TRY(roots_check(theirs, where, p->e));
	}
	if (p->d->has_roots) {
		for (size_t i = 0; i < p->d->roots.count; i++)
			roots_add(&p->roots, p->d->roots.items[i],
			    strlen(p->d->roots.items[i]));
		TRY(roots_check(&p->roots, DEFINITION_FILE, p->e));
		if (p->manifest.has_roots && !same_roots(&p->roots, theirs))
			return said_twice(p, "roots");
		return ERR_OK;
	}
	if (p->manifest.has_roots) {
		p->roots = *theirs;
		*theirs = (struct roots){ 0 };
		return ERR_OK;
	}
	return work_out_roots(p);
}

static enum err_code
settle_version(struct plan *p)
{
	int ours = (int)p->d->rego_version;
	int theirs = p->manifest_name != NULL ? p->manifest.rego_version : -1;

	if (ours >= 0 && theirs >= 0 && ours != theirs)
		return said_twice(p, "rego_version");
	p->bundle->rego_version = ours >= 0 ? ours : theirs >= 0 ? theirs : 1;
	return ERR_OK;
}

static bool
same_values(const struct value *x, const struct value *y)
{
	AUTO_BUF a, b;

	buf_init(&a, MANIFEST_FILE_MAX);
	buf_init(&b, MANIFEST_FILE_MAX);
	canon_write(&a, x);
	canon_write(&b, y);
	return !a.overflow && a.len == b.len &&
	    memcmp(a.data, b.data, a.len) == 0;
}

static enum err_code
settle_metadata(struct plan *p)
{
	const struct value *ours = p->d->metadata;
	const struct value *theirs = p->manifest.metadata;

	TRY(manifest_check_metadata(ours, DEFINITION_FILE, p->e));
	p->metadata = ours != NULL ? ours : theirs;
	if (ours != NULL && theirs != NULL && !same_values(ours, theirs))
		return said_twice(p, "metadata");
	return ERR_OK;
}

/* Only files whose version is not the bundle's need a rule. */
static enum err_code
settle_file_versions(struct plan *p)
{
	if (p->manifest.file_versions == NULL)
		return ERR_OK;
	p->rules = mem_array(p->count + 1, sizeof *p->rules);
	for (size_t i = 0; i < p->count; i++) {
		const struct source *s = &p->sources[i];
		int version;

		if (s->kind != SOURCE_POLICY)
			continue;
		TRY(manifest_file_version(&p->manifest, s->path,
		    p->manifest_name, &version, p->e));
		if (version >= 0 && version != p->bundle->rego_version)
			p->rules[p->rule_count++] =
			    (struct manifest_file_rule){ s->path, version };
	}
	return ERR_OK;
}

static enum err_code
check_layout(struct plan *p)
{
	struct layout_part *parts;
	enum err_code code;
	size_t count;

	if (p->same_parts && same_roots(&p->roots, &p->memory->roots))
		return ERR_OK;
	parts = make_parts(p, &count);
	code = layout_check(parts, count, &p->roots, p->e);
	mem_free(parts);
	return code;
}

enum err_code
plan_settle(struct plan *p)
{
	p->same_parts = memory_same_parts(p);
	TRY(settle_roots(p));
	TRY(check_layout(p));
	TRY(settle_version(p));
	TRY(settle_metadata(p));
	return settle_file_versions(p);
}
