#include "bundler/compile_read.h"

#include <stdlib.h>
#include <string.h>

#include "bundler/compile.h"
#include "bundler/compile_order.h"
#include "bundler/manifest.h"
#include "bundler/module.h"
#include "bundler/plan.h"
#include "core/canon.h"
#include "core/mem.h"
#include "core/order.h"
#include "core/text.h"
#include "signing/digest.h"

#define FROM_INPUT GATE_COMPILE_INPUT "/"
#define MADE "optimized/" /* by the optimizer */
#define DATA_FILE "data.json"

/* A policy of what opa wrote. */
struct policy {
	const struct bundle_file *file;
	char *path; /* in our bundle */
	struct module_package package;
	char *folder; /* its package as a path, for made ones */
	int version;
	char *ordered;              /* text of a made one, put in order */
	char hash[DIGEST_HEX_SIZE]; /* of it */
};

struct work {
	const struct compile_reading *r;
	struct bundle_archive archive;
	struct manifest theirs, from; /* manifests */
	struct policy *policies;
	size_t count;
	struct roots roots;
	struct bundle *bundle;
	struct err *e;
};

static void
work_clear(struct work *w)
{
	for (size_t i = 0; i < w->count; i++) {
		mem_free(w->policies[i].path);
		mem_free(w->policies[i].folder);
		mem_free(w->policies[i].ordered);
		module_package_clear(&w->policies[i].package);
	}
	mem_free(w->policies);
	bundle_archive_clear(&w->archive);
	manifest_clear(&w->theirs);
	manifest_clear(&w->from);
	roots_clear(&w->roots);
	bundle_free(w->bundle);
}

static const struct bundle_file *
find(const struct bundle_file *files, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(files[i].path, path) == 0)
			return &files[i];
	}
	return NULL;
}

static enum err_code
read_manifest(struct manifest *out, const char *name,
    const struct bundle_file *files, size_t count, struct err *e)
{
	const struct bundle_file *f = find(files, count, MANIFEST_FILE);

	if (f == NULL)
		return err_set(e, ERR_INVALID, "%s: no manifest", name);
	return manifest_read(out, name, f->data, f->len, false, e);
}

/* ---- policies ---- */

static bool
is_plain(const char *segment)
{
	for (const char *s = segment; *s != '\0'; s++) {
		if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') &&
		    !(*s >= '0' && *s <= '9') && *s != '_' && *s != '-')
			return false;
	}
	return segment[0] != '\0';
}

/* "optimized/" and the package, as opa calls them; "optimized/_" where that
 * would be no good path. */
static char *
made_folder(const struct module_package *p)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, TREE_PATH_MAX / 2);
	buf_add_str(&text, MADE);
	for (size_t i = 0; i < p->count; i++) {
		if (!is_plain(p->segments[i]))
			return mem_strdup(MADE "_");
		if (i > 0)
			buf_add_char(&text, '/');
		buf_add_str(&text, p->segments[i]);
	}
	return text.overflow ? mem_strdup(MADE "_") : buf_steal(&text, NULL);
}

static bool
holds(const char *root, const struct module_package *p)
{
	const char *s = root;

	for (size_t i = 0; i < p->count && *s != '\0'; i++) {
		size_t len = strcspn(s, "/");

		if (strlen(p->segments[i]) != len ||
		    memcmp(s, p->segments[i], len) != 0)
			return false;
		s += len + (s[len] == '/');
	}
	return *s == '\0';
}

static enum err_code
check_root(struct work *w, const struct policy *p)
{
	const struct bundle *from = w->r->from;
	AUTO_BUF package = { 0 };

	for (size_t i = 0; i < w->roots.count; i++) {
		if (holds(w->roots.items[i], &p->package))
			return ERR_OK;
	}
	if (w->r->namespace != NULL && holds(w->r->namespace, &p->package)) {
		roots_add(&w->roots, w->r->namespace, strlen(w->r->namespace));
		return ERR_OK;
	}
	buf_init(&package, 2 * MODULE_NAME_MAX);
	module_path_write(&package, p->package.segments, p->package.count);
	return err_set(w->e, ERR_INVALID,
	    "opa build wrote %s, of package %s, which lies outside the roots "
	    "of bundle %s",
	    p->file->path, package.data, from->name);
}

static enum err_code
read_policy(struct work *w, const struct bundle_file *f)
{
	struct policy *p = &w->policies[w->count];
	const char *name = f->path;

	*p = (struct policy){ .file = f };
	if (strncmp(name, FROM_INPUT, strlen(FROM_INPUT)) == 0)
		p->path = mem_strdup(name + strlen(FROM_INPUT));
	else if (strncmp(name, MADE, strlen(MADE)) != 0)
		return err_set(w->e, ERR_INVALID,
		    "opa build wrote %s, which is not understood", name);
	TRY(module_package_read(&p->package, name, f->data, f->len, w->e));
	w->count++;
	if (p->path == NULL)
		p->folder = made_folder(&p->package);
	TRY(manifest_file_version(&w->theirs, name, "opa build", &p->version,
	    w->e));
	if (p->version < 0)
		p->version = w->theirs.rego_version;
	if (p->version < 0)
		p->version = 1;
	return check_root(w, p);
}

/* Made ones by package and text, not by the names that opa gave them. */
static int
compare_policies(const void *a, const void *b)
{
	const struct policy *x = a, *y = b;
	int order = strcmp(x->folder != NULL ? x->folder : "",
	    y->folder != NULL ? y->folder : "");

	if (order != 0)
		return order;
	if (x->path != NULL && y->path != NULL)
		return strcmp(x->path, y->path);
	return strcmp(x->hash, y->hash);
}

static enum compile_kind
kind_of(const struct work *w, const struct policy *p)
{
	if (p->folder == NULL)
		return COMPILE_SOURCE;
	return w->r->namespace != NULL && p->package.count == 1 &&
		strcmp(p->package.segments[0], w->r->namespace) == 0
	    ? COMPILE_HELPERS
	    : COMPILE_MADE;
}

static enum err_code
order_made(struct work *w)
{
	struct compile_module *all = mem_array(w->count + 1, sizeof *all);
	enum err_code code;

	for (size_t i = 0; i < w->count; i++) {
		const struct policy *p = &w->policies[i];

		all[i] = (struct compile_module){ .name = p->file->path,
			.text = p->file->data,
			.len = p->file->len,
			.version = p->version,
			.kind = kind_of(w, p) };
	}
	code = compile_order(all, w->count, w->r->namespace, w->e);
	for (size_t i = 0; i < w->count; i++) {
		struct policy *p = &w->policies[i];

		if (code == ERR_OK && p->folder != NULL) {
			digest_hex(p->hash, all[i].out.data, all[i].out.len);
			p->ordered = buf_steal(&all[i].out, NULL);
		}
		buf_clear(&all[i].out);
	}
	mem_free(all);
	return code;
}

/* In later turns the names of earlier ones are taken; no package's folder has
 * a dot in it. */
static void
name_made(struct work *w)
{
	AUTO_STR turn = w->r->turn > 0 ? mem_printf(".e%zu", w->r->turn)
				       : mem_strdup("");
	size_t n = 0;

	for (size_t i = 0; i < w->count; i++) {
		struct policy *p = &w->policies[i];

		if (p->folder == NULL)
			continue;
		n = i > 0 && w->policies[i - 1].folder != NULL &&
			strcmp(w->policies[i - 1].folder, p->folder) == 0
		    ? n + 1
		    : 0;
		p->path = n == 0
		    ? mem_printf("%s%s.rego", p->folder, turn)
		    : mem_printf("%s%s.%zu.rego", p->folder, turn, n);
	}
}

static int
compare_paths(const void *a, const void *b)
{
	const struct policy *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static enum err_code
read_policies(struct work *w)
{
	const struct bundle_archive *a = &w->archive;

	w->policies = mem_array(a->count + 1, sizeof *w->policies);
	for (size_t i = 0; i < a->count; i++) {
		if (text_ends_with(a->files[i].path, ".rego"))
			TRY(read_policy(w, &a->files[i]));
	}
	TRY(order_made(w));
	order_sort(w->policies, w->count, sizeof *w->policies,
	    compare_policies);
	name_made(w);
	order_sort(w->policies, w->count, sizeof *w->policies, compare_paths);
	for (size_t i = 1; i < w->count; i++) {
		if (strcmp(w->policies[i - 1].path, w->policies[i].path) == 0)
			return err_set(w->e, ERR_INVALID,
			    "opa build puts a file of its own at %s; move "
			    "yours elsewhere",
			    w->policies[i].path);
	}
	return ERR_OK;
}

/* ---- files ---- */

static void
add_file(struct bundle *b, const char *path, const char *data, size_t len)
{
	struct bundle_file *f = &b->files[b->count++];

	*f = (struct bundle_file){ .path = mem_strdup(path),
		.data = mem_alloc(len + 1),
		.len = len };
	if (len > 0)
		memcpy(f->data, data, len);
	f->data[len] = '\0';
	digest_hex(f->hash, data, len);
	b->unpacked += (int64_t)len;
}

/* opa writes every bundle's data, though it be {}. */
static enum err_code
add_data(struct work *w, const struct bundle_file *f)
{
	AUTO(document, doc) = NULL;
	AUTO_BUF text = { 0 };

	TRY(canon_read(&doc, "opa build: " DATA_FILE, f->data, f->len, w->e));
	if (document_root(doc)->count == 0)
		return ERR_OK;
	buf_init(&text, (size_t)BUNDLE_SIZE_MAX);
	canon_write(&text, document_root(doc));
	TRY(buf_check(&text, DATA_FILE, w->e));
	add_file(w->bundle, DATA_FILE, text.data, text.len);
	return ERR_OK;
}

static enum err_code
add_others(struct work *w)
{
	for (size_t i = 0; i < w->archive.count; i++) {
		const struct bundle_file *f = &w->archive.files[i];

		if (strcmp(f->path, DATA_FILE) == 0)
			TRY(add_data(w, f));
		else if (strcmp(f->path, COMPILE_WASM_FILE) == 0 ||
		    strcmp(f->path, COMPILE_PLAN_FILE) == 0)
			add_file(w->bundle, f->path, f->data, f->len);
		else if (!text_ends_with(f->path, ".rego") &&
		    strcmp(f->path, MANIFEST_FILE) != 0)
			return err_set(w->e, ERR_INVALID,
			    "opa build wrote %s, which is not understood",
			    f->path);
	}
	return ERR_OK;
}

/* ---- the manifest ---- */

/* Without what only we say: that is said anew. The arrays are the caller's. */
static struct value
users_metadata(const struct value *all)
{
	static const struct value none = { .kind = VALUE_OBJECT };
	struct value v = all != NULL ? *all : none;
	size_t count = 0;

	v.keys = mem_array(v.count + 1, sizeof *v.keys);
	v.items = mem_array(v.count + 1, sizeof *v.items);
	for (size_t i = 0; i < v.count; i++) {
		if (strcmp(all->keys[i]->text, "edict") == 0)
			continue;
		v.keys[count] = all->keys[i];
		v.items[count++] = all->items[i];
	}
	v.count = count;
	return v;
}

static enum err_code
write_manifest(struct work *w, struct manifest_content *m)
{
	char content_hash[DIGEST_HEX_SIZE];
	AUTO_BUF text = { 0 };

	buf_init(&text, (size_t)BUNDLE_SIZE_MAX);
	manifest_write(&text, m, false);
	TRY(buf_check(&text, MANIFEST_FILE, w->e));
	digest_hex(content_hash, text.data, text.len);
	buf_reset(&text);
	manifest_write(&text, m, true);
	TRY(buf_check(&text, MANIFEST_FILE, w->e));
	add_file(w->bundle, MANIFEST_FILE, text.data, text.len);
	order_sort(w->bundle->files, w->bundle->count, sizeof *w->bundle->files,
	    plan_compare_files);
	plan_digest_content(w->bundle, content_hash);
	return ERR_OK;
}

static enum err_code
add_manifest(struct work *w)
{
	struct value metadata = users_metadata(w->from.metadata);
	struct manifest_file_rule *rules =
	    mem_array(w->count + 1, sizeof *rules);
	struct manifest_content m = { .bundle = w->bundle->name,
		.commit = w->r->commit,
		.roots = &w->roots,
		.rego_version = w->bundle->rego_version,
		.metadata = &metadata,
		.rules = rules,
		.opa = w->r->engine,
		.wasm = w->theirs.wasm };
	enum err_code code;

	for (size_t i = 0; i < w->count; i++) {
		const struct policy *p = &w->policies[i];

		if (p->version != w->bundle->rego_version)
			rules[m.rule_count++] =
			    (struct manifest_file_rule){ p->path, p->version };
	}
	code = write_manifest(w, &m);
	mem_free(rules);
	mem_free(metadata.keys);
	mem_free(metadata.items);
	return code;
}

/* ---- all of it ---- */

static enum err_code
start_bundle(struct work *w)
{
	const struct bundle *from = w->r->from;
	struct bundle *b = mem_zalloc(sizeof *b);

	w->bundle = b;
	b->name = mem_strdup(from->name);
	memcpy(b->revision, from->revision, sizeof b->revision);
	b->rego_version = from->rego_version;
	b->files = mem_array(w->archive.count + 2, sizeof *b->files);
	for (size_t i = 0; i < from->root_count; i++)
		roots_add(&w->roots, from->roots[i], strlen(from->roots[i]));
	TRY(read_manifest(&w->from, from->name, from->files, from->count,
	    w->e));
	TRY(read_manifest(&w->theirs, "opa build", w->archive.files,
	    w->archive.count, w->e));
	if (w->theirs.wasm != NULL)
		TRY(manifest_check_wasm(w->theirs.wasm, COMPILE_WASM_FILE,
		    "opa build: " MANIFEST_FILE, w->e));
	return ERR_OK;
}

static enum err_code
make(struct work *w)
{
	TRY(start_bundle(w));
	TRY(read_policies(w));
	for (size_t i = 0; i < w->count; i++) {
		const struct policy *p = &w->policies[i];

		if (p->ordered != NULL)
			add_file(w->bundle, p->path, p->ordered,
			    strlen(p->ordered));
		else
			add_file(w->bundle, p->path, p->file->data,
			    p->file->len);
	}
	w->bundle->policies = w->count;
	TRY(add_others(w));
	roots_reduce(&w->roots);
	TRY(add_manifest(w));
	w->bundle->roots = w->roots.items;
	w->bundle->root_count = w->roots.count;
	w->roots = (struct roots){ 0 };
	return ERR_OK;
}

enum err_code
compile_read(struct bundle **out, const struct compile_reading *r,
    const void *data, size_t len, struct err *e)
{
	struct err unread;
	struct work w = { .r = r, .e = e != NULL ? e : &unread };
	enum err_code code =
	    bundle_read_built(&w.archive, "opa build", data, len, w.e);

	if (code == ERR_OK)
		code = make(&w);
	if (code == ERR_OK)
		*out = STEAL(w.bundle);
	work_clear(&w);
	return code;
}

enum err_code
compile_strip_manifest(struct buf *out, const struct bundle_file *manifest,
    struct err *e)
{
	AUTO(document, doc) = NULL;
	struct value rest;
	size_t count = 0;

	TRY(canon_read(&doc, MANIFEST_FILE, manifest->data, manifest->len, e));
	rest = *document_root(doc);
	rest.keys = mem_array(rest.count + 1, sizeof *rest.keys);
	rest.items = mem_array(rest.count + 1, sizeof *rest.items);
	for (size_t i = 0; i < rest.count; i++) {
		const struct value *root = document_root(doc);

		if (strcmp(root->keys[i]->text, "wasm") == 0)
			continue;
		rest.keys[count] = root->keys[i];
		rest.items[count++] = root->items[i];
	}
	rest.count = count;
	canon_write(out, &rest);
	mem_free(rest.keys);
	mem_free(rest.items);
	return buf_check(out, MANIFEST_FILE, e);
}
