#include "bundler/inspect.h"

#include <string.h>

#include "bundler/data.h"
#include "bundler/layout.h"
#include "bundler/manifest.h"
#include "bundler/module.h"
#include "core/mem.h"
#include "core/text.h"

static const struct bundle_file *
find_manifest(const struct bundle_archive *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->files[i].path, MANIFEST_FILE) == 0)
			return &a->files[i];
	return NULL;
}

static char *
text_of(const struct value *object, const char *key)
{
	const struct value *v = value_get(object, key);

	if (v == NULL || v->kind != VALUE_STRING ||
	    strlen(v->text) != v->text_len)
		return NULL;
	return mem_strdup(v->text);
}

static int
number_of(const struct value *object, const char *key)
{
	const struct value *v = value_get(object, key);

	if (v == NULL || v->kind != VALUE_NUMBER || v->text_len != 1 ||
	    v->text[0] < '0' || v->text[0] > '9')
		return 0;
	return v->text[0] - '0';
}

enum err_code
inspect_origin_read(struct inspect_origin *out, const struct bundle_archive *a,
    struct err *e)
{
	const struct bundle_file *f = find_manifest(a);
	const struct value *ours = NULL;
	struct manifest m;

	*out = (struct inspect_origin){ 0 };
	if (f == NULL)
		return ERR_OK;
	TRY(manifest_read(&m, MANIFEST_FILE, f->data, f->len, false, e));
	if (m.metadata != NULL)
		ours = value_get(m.metadata, "edict");
	if (ours != NULL && ours->kind == VALUE_OBJECT)
		*out = (struct inspect_origin){
			.bundle = text_of(ours, "bundle"),
			.commit = text_of(ours, "commit"),
			.author = text_of(ours, "author"),
			.date = text_of(ours, "committer_date"),
			.opa = text_of(ours, "opa"),
			.format = number_of(ours, "format"),
		};
	manifest_clear(&m);
	return ERR_OK;
}

void
inspect_origin_clear(struct inspect_origin *o)
{
	mem_free(o->bundle);
	mem_free(o->commit);
	mem_free(o->author);
	mem_free(o->date);
	mem_free(o->opa);
	*o = (struct inspect_origin){ 0 };
}

/* ---- the layout ---- */

/* What one file puts below `data`. */
struct piece {
	struct module_package package;
	struct document *doc;
	char *folder; /* its slashes made NULs: segments point in */
	char **segments;
	size_t count;
};

struct pieces {
	struct piece *items;
	struct layout_part *parts;
	size_t count;
};

static void
piece_clear(struct piece *p)
{
	module_package_clear(&p->package);
	document_free(p->doc);
	mem_free(p->folder);
	mem_free(p->segments);
}

static const char *
base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void
split_folder(struct piece *p, const char *path)
{
	size_t len = (size_t)(base_of(path) - path);
	size_t max = 1;

	p->folder = mem_strndup(path, len);
	for (size_t i = 0; i < len; i++)
		max += path[i] == '/' ? 1 : 0;
	p->segments = mem_array(max, sizeof *p->segments);
	for (char *at = p->folder; *at != '\0';) {
		char *end = strchr(at, '/');

		p->segments[p->count++] = at;
		*end = '\0';
		at = end + 1;
	}
}

static enum err_code
add_module(struct pieces *all, const struct bundle_file *f, struct err *e)
{
	struct piece *p = &all->items[all->count];

	TRY(module_package_read(&p->package, f->path, f->data, f->len, e));
	all->parts[all->count++] = (struct layout_part){
		.kind = LAYOUT_PACKAGE,
		.segments = p->package.segments,
		.count = p->package.count,
		.source = f->path,
		.line = p->package.line,
	};
	return ERR_OK;
}

static enum err_code
add_data(struct pieces *all, const struct bundle_file *f, enum data_kind kind,
    struct err *e)
{
	struct piece *p = &all->items[all->count];
	bool top = strchr(f->path, '/') == NULL;

	TRY(data_read(&p->doc, kind, f->path, f->data, f->len, e));
	TRY(data_check(p->doc, f->path, top, e));
	split_folder(p, f->path);
	all->parts[all->count++] = (struct layout_part){
		.kind = LAYOUT_DATA,
		.segments = p->segments,
		.count = p->count,
		.source = f->path,
		.value = document_root(p->doc),
	};
	return ERR_OK;
}

static enum err_code
check_files(struct pieces *all, const struct bundle_archive *a, struct err *e)
{
	struct roots roots = { a->roots, a->root_count };

	for (size_t i = 0; i < a->count; i++) {
		const struct bundle_file *f = &a->files[i];
		enum data_kind kind = data_kind_of(base_of(f->path));

		if (text_ends_with(f->path, ".rego"))
			TRY(add_module(all, f, e));
		else if (kind != DATA_NONE)
			TRY(add_data(all, f, kind, e));
	}
	return layout_check(all->parts, all->count, &roots, e);
}

enum err_code
inspect_layout(const struct bundle_archive *a, struct err *e)
{
	struct pieces all = {
		.items = mem_array(a->count + 1, sizeof *all.items),
		.parts = mem_array(a->count + 1, sizeof *all.parts),
	};
	enum err_code code = check_files(&all, a, e);

	for (size_t i = 0; i < a->count; i++)
		piece_clear(&all.items[i]);
	mem_free(all.items);
	mem_free(all.parts);
	return code;
}
