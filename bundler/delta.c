#include "bundler/delta.h"

#include <stdlib.h>
#include <string.h>

#include "bundler/delta_private.h"
#include "core/canon.h"
#include "core/mem.h"

/* The keys of a manifest that change with each commit, or are compared by
 * themselves. */
static const char *const commit_keys[] = { "revision", NULL };
static const char *const own_keys[] = { "edict", NULL };
static const char *const compared_keys[] = { "revision", "roots", NULL };

struct bundle_archive
delta_view(const struct bundle *b)
{
	/* Only read through the view. */
	return (struct bundle_archive){
		.files = b->files,
		.count = b->count,
		.revision = (char *)(uintptr_t)b->revision,
		.roots = b->roots,
		.root_count = b->root_count,
	};
}

/* ---- lists ---- */

bool
delta_count(struct delta_list *l, enum delta_change change)
{
	l->counts[change]++;
	return json_array_size(l->items) < DELTA_LIST_MAX;
}

void
delta_add(struct delta_list *l, enum delta_change change, json_t *item)
{
	static const char *const names[] = { "added", "removed", "changed" };
	json_t *first = json_pack("{s:s}", "change", names[change]);

	(void)json_object_update(first, item);
	json_decref(item);
	(void)json_array_append_new(l->items, first);
}

void
delta_unread(struct delta *d, enum delta_side side, const char *file,
    const struct err *why)
{
	if (json_array_size(d->unread) == DELTA_LIST_MAX)
		return;
	(void)json_array_append_new(d->unread,
	    json_pack("{s:s,s:s,s:s}", "side",
		side == DELTA_FROM ? "from" : "to", "file", file, "message",
		why->text));
}

static json_t *
list_json(struct delta_list *l)
{
	size_t all = l->counts[DELTA_ADDED] + l->counts[DELTA_REMOVED] +
	    l->counts[DELTA_CHANGED];
	size_t listed = json_array_size(l->items);

	return json_pack("{s:I,s:I,s:I,s:O,s:I}", "added",
	    (json_int_t)l->counts[DELTA_ADDED], "removed",
	    (json_int_t)l->counts[DELTA_REMOVED], "changed",
	    (json_int_t)l->counts[DELTA_CHANGED], "items", l->items, "more",
	    (json_int_t)(all - listed));
}

/* ---- files ---- */

bool
delta_next(struct delta_pair *p, const struct delta *d)
{
	const struct bundle_file *next[2];
	int order;

	for (int side = 0; side < 2; side++)
		next[side] = p->at[side] < d->archives[side]->count
		    ? &d->archives[side]->files[p->at[side]]
		    : NULL;
	if (next[0] == NULL && next[1] == NULL)
		return false;
	order = next[0] == NULL ? 1
	    : next[1] == NULL   ? -1
				: strcmp(next[0]->path, next[1]->path);
	p->files[0] = order <= 0 ? next[0] : NULL;
	p->files[1] = order >= 0 ? next[1] : NULL;
	for (int side = 0; side < 2; side++)
		p->at[side] += p->files[side] != NULL ? 1 : 0;
	return true;
}

bool
delta_pair_same(const struct delta_pair *p)
{
	return p->files[0] != NULL && p->files[1] != NULL &&
	    strcmp(p->files[0]->hash, p->files[1]->hash) == 0;
}

static json_t *
size_json(const struct bundle_file *f)
{
	return f != NULL ? json_integer((json_int_t)f->len) : json_null();
}

static void
compare_files(struct delta *d)
{
	struct delta_pair p = { 0 };

	while (delta_next(&p, d)) {
		const struct bundle_file *from = p.files[DELTA_FROM];
		const struct bundle_file *to = p.files[DELTA_TO];
		const struct bundle_file *any = from != NULL ? from : to;
		enum delta_change change = from == NULL ? DELTA_ADDED
		    : to == NULL                        ? DELTA_REMOVED
							: DELTA_CHANGED;

		if (delta_pair_same(&p) ||
		    strcmp(any->path, MANIFEST_FILE) == 0)
			continue;
		if (delta_count(&d->files, change))
			delta_add(&d->files, change,
			    json_pack("{s:s,s:o,s:o}", "path", any->path,
				"from_size", size_json(from), "to_size",
				size_json(to)));
	}
}

/* ---- the manifest ---- */

static bool
is_among(const struct value *key, const char *const *names)
{
	for (size_t i = 0; names[i] != NULL; i++)
		if (key->text_len == strlen(names[i]) &&
		    memcmp(key->text, names[i], key->text_len) == 0)
			return true;
	return false;
}

/* The object without these keys, in memory of d's. */
static struct value *
without(struct document *d, const struct value *object,
    const char *const *names)
{
	struct value *v = document_value(d, VALUE_OBJECT, 0, 0);

	v->keys = document_pointers(d, object->count + 1);
	v->items = document_pointers(d, object->count + 1);
	for (size_t i = 0; i < object->count; i++) {
		if (is_among(object->keys[i], names))
			continue;
		v->keys[v->count] = object->keys[i];
		v->items[v->count++] = object->items[i];
	}
	return v;
}

/* The manifest without what only says which commit it is of. */
static struct value *
plain_manifest(struct document *d, const struct manifest *m,
    const char *const *names)
{
	static const struct value none = { .kind = VALUE_OBJECT };
	const struct value *root = m->doc != NULL ? document_root(m->doc)
						  : &none;
	struct value *v = without(d, root, names);

	for (size_t i = 0; i < v->count; i++)
		if (v->items[i] == m->metadata && m->metadata != NULL)
			v->items[i] = without(d, v->items[i], own_keys);
	return v;
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **
sorted_roots(const struct bundle_archive *a)
{
	char **roots = mem_array(a->root_count + 1, sizeof *roots);

	for (size_t i = 0; i < a->root_count; i++)
		roots[i] = a->roots[i];
	qsort(roots, a->root_count, sizeof *roots, compare_texts);
	return roots;
}

static void
add_root(struct delta *d, enum delta_change change, const char *root)
{
	if (delta_count(&d->manifest, change))
		delta_add(&d->manifest, change,
		    json_pack("{s:s,s:s?,s:s?}", "path", "roots", "from",
			change == DELTA_REMOVED ? root : NULL, "to",
			change == DELTA_ADDED ? root : NULL));
}

static void
compare_roots(struct delta *d)
{
	char **from = sorted_roots(d->archives[DELTA_FROM]);
	char **to = sorted_roots(d->archives[DELTA_TO]);
	size_t i = 0;
	size_t j = 0;

	while (from[i] != NULL || to[j] != NULL) {
		int order = from[i] == NULL ? 1
		    : to[j] == NULL         ? -1
					    : strcmp(from[i], to[j]);

		if (order < 0)
			add_root(d, DELTA_REMOVED, from[i]);
		if (order > 0)
			add_root(d, DELTA_ADDED, to[j]);
		i += order <= 0 ? 1 : 0;
		j += order >= 0 ? 1 : 0;
	}
	mem_free(from);
	mem_free(to);
}

static enum err_code
compare_manifests(struct delta *d)
{
	AUTO(document, scratch) = document_new();
	const struct value *plain[2];

	for (int side = 0; side < 2; side++)
		plain[side] =
		    plain_manifest(scratch, &d->manifests[side], compared_keys);
	compare_roots(d);
	return delta_objects(d, &d->manifest, "", plain[DELTA_FROM],
	    plain[DELTA_TO]);
}

static const struct bundle_file *
manifest_file(const struct bundle_archive *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->files[i].path, MANIFEST_FILE) == 0)
			return &a->files[i];
	return NULL;
}

/* A bundle without one has an empty one. */
static enum err_code
read_manifest(struct manifest *out, const struct bundle_archive *a,
    struct err *e)
{
	const struct bundle_file *f = manifest_file(a);

	*out = (struct manifest){ .rego_version = -1 };
	if (f == NULL)
		return ERR_OK;
	return manifest_read(out, MANIFEST_FILE, f->data, f->len, false, e);
}

/* ---- the content digest ---- */

static void
add_line(struct digest *sum, const char *hash, const char *path)
{
	digest_add(sum, hash, strlen(hash));
	digest_add(sum, "  ", 2);
	digest_add(sum, path, strlen(path));
	digest_add(sum, "\n", 1);
}

static enum err_code
hash_plain(char out[DIGEST_HEX_SIZE], const struct manifest *m, struct err *e)
{
	AUTO(document, scratch) = document_new();
	AUTO_BUF text = { 0 };

	buf_init(&text, 2 * (size_t)MANIFEST_FILE_MAX);
	canon_write(&text, plain_manifest(scratch, m, commit_keys));
	TRY(buf_check(&text, MANIFEST_FILE, e));
	digest_hex(out, text.data, text.len);
	return ERR_OK;
}

static enum err_code
content_of(char out[DIGEST_HEX_SIZE], const struct bundle_archive *a,
    const struct manifest *m, struct err *e)
{
	char plain[DIGEST_HEX_SIZE];
	struct digest *sum;

	TRY(hash_plain(plain, m, e));
	sum = digest_new();
	for (size_t i = 0; i < a->count; i++) {
		const struct bundle_file *f = &a->files[i];
		bool manifest = strcmp(f->path, MANIFEST_FILE) == 0;

		add_line(sum, manifest ? plain : f->hash, f->path);
	}
	digest_end(sum, out);
	return ERR_OK;
}

enum err_code
delta_content(char out[DIGEST_HEX_SIZE], const struct bundle_archive *a,
    struct err *e)
{
	struct manifest m;
	enum err_code code;

	TRY(read_manifest(&m, a, e));
	code = content_of(out, a, &m, e);
	manifest_clear(&m);
	return code;
}

/* ---- all together ---- */

static json_t *
side_json(const struct bundle_archive *a, const char *content)
{
	json_int_t bytes = 0;
	json_int_t files = 0;

	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->files[i].path, MANIFEST_FILE) == 0)
			continue;
		files++;
		bytes += (json_int_t)a->files[i].len;
	}
	return json_pack("{s:s?,s:s,s:I,s:I}", "revision", a->revision,
	    "content", content, "files", files, "size", bytes);
}

static enum err_code
compare(struct delta *d)
{
	compare_files(d);
	TRY(delta_rules(d));
	TRY(delta_data(d));
	return compare_manifests(d);
}

static enum err_code
answer(json_t **out, struct delta *d)
{
	char from[DIGEST_HEX_SIZE];
	char to[DIGEST_HEX_SIZE];

	TRY(content_of(from, d->archives[0], &d->manifests[0], d->e));
	TRY(content_of(to, d->archives[1], &d->manifests[1], d->e));
	TRY(compare(d));
	*out = json_pack("{s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:O}", "same",
	    strcmp(from, to) == 0, "from", side_json(d->archives[0], from),
	    "to", side_json(d->archives[1], to), "manifest",
	    list_json(&d->manifest), "files", list_json(&d->files), "packages",
	    list_json(&d->packages), "rules", list_json(&d->rules), "data",
	    list_json(&d->data), "unread", d->unread);
	if (*out == NULL)
		return err_set(d->e, ERR_INVALID,
		    "a name in the bundle is not UTF-8");
	return ERR_OK;
}

enum err_code
delta_make(json_t **out, const struct bundle_archive *from,
    const struct bundle_archive *to, size_t values_max, struct err *e)
{
	struct delta d = {
		.values_max = values_max,
		.archives = { from, to },
		.unread = json_array(),
		.e = e,
	};
	struct delta_list *lists[] = { &d.files, &d.packages, &d.rules, &d.data,
		&d.manifest };
	enum err_code code;

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		lists[i]->items = json_array();
	code = read_manifest(&d.manifests[0], from, e);
	if (code == ERR_OK)
		code = read_manifest(&d.manifests[1], to, e);
	if (code == ERR_OK)
		code = answer(out, &d);
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		json_decref(lists[i]->items);
	json_decref(d.unread);
	manifest_clear(&d.manifests[0]);
	manifest_clear(&d.manifests[1]);
	return code;
}
