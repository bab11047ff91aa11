/* The files that ship, sorted, and the content digest. */

#include "bundler/plan.h"

#include <string.h>

#include "bundler/data.h"
#include "core/mem.h"
#include "core/order.h"
#include "signing/digest.h"

enum { LINES_FULL = 32 << 10, LINES_MAX = 64 << 10 };

#define DATA_FILE "data.json"

/* f's path and data are taken over; its hash is set. */
static enum err_code
add_file(struct plan *p, const struct bundle_file *f)
{
	struct bundle *b = p->bundle;

	if (b->count == p->file_cap) {
		p->file_cap = p->file_cap == 0 ? 64 : p->file_cap * 2;
		b->files = mem_grow(b->files, p->file_cap, sizeof *b->files);
	}
	b->files[b->count++] = *f;
	b->unpacked += (int64_t)f->len;
	if (b->unpacked > BUNDLE_SIZE_MAX || b->count > BUNDLE_FILES_MAX)
		return err_set(p->e, ERR_LIMIT,
		    "larger than %lld bytes or %d files, which engines do not "
		    "take; split it",
		    (long long)BUNDLE_SIZE_MAX, BUNDLE_FILES_MAX);
	return ERR_OK;
}

static enum err_code
add_text(struct plan *p, char *path, struct buf *text)
{
	struct bundle_file f = { .path = path };

	f.data = buf_steal(text, &f.len);
	digest_hex(f.hash, f.data, f.len);
	return add_file(p, &f);
}

/* Both are taken over. */
static enum err_code
add_blob(struct plan *p, char *path, struct blob *blob)
{
	struct bundle_file f = { .path = path,
		.data = blob->text,
		.len = blob->len,
		.blob = blob };

	memcpy(f.hash, blob->hash, sizeof f.hash);
	return add_file(p, &f);
}

static size_t
folder_len(const struct source *s)
{
	return (size_t)(plan_base_of(s->path) - s->path);
}

/* The data files of one folder from the first on: up to max values, and how
 * many there are. They follow each other by path but for policies between
 * them. */
static size_t
data_of_folder(const struct plan *p, size_t first, const struct value **values,
    size_t max)
{
	const char *path = p->sources[first].path;
	size_t len = folder_len(&p->sources[first]), count = 0;

	for (size_t i = first; i < p->count &&
	     strncmp(p->sources[i].path, path, len + strlen("data.")) == 0;
	     i++) {
		const struct source *s = &p->sources[i];

		if (s->kind != SOURCE_DATA || folder_len(s) != len)
			continue;
		if (count < max)
			values[count] = document_root(s->blob->doc);
		count++;
	}
	return count;
}

/* path is taken over. */
static enum err_code
add_merged(struct plan *p, size_t first, size_t count, char *path)
{
	const struct source *s = &p->sources[first];
	const struct value **values = mem_array(count, sizeof *values);
	AUTO_BUF text = { 0 };
	AUTO_STR own = path;

	(void)data_of_folder(p, first, values, count);
	buf_init(&text, (size_t)BUNDLE_SIZE_MAX);
	data_write(&text, values, count);
	mem_free(values);
	TRY(buf_check(&text, s->entry->path, p->e));
	return add_text(p, STEAL(own), &text);
}

/* The data files of one folder become one. */
static enum err_code
add_data(struct plan *p, size_t first)
{
	const struct source *s = &p->sources[first];
	size_t count = data_of_folder(p, first, NULL, 0);
	char *path = mem_printf("%.*s" DATA_FILE, (int)folder_len(s), s->path);

	if (count == 1 && s->blob->text != NULL)
		return add_blob(p, path, blob_ref(s->blob));
	return add_merged(p, first, count, path);
}

/* Is there a data file of the same folder before this one? */
static bool
is_further_data(const struct plan *p, size_t i)
{
	const struct source *s = &p->sources[i];
	size_t len = folder_len(s);

	while (i-- > 0) {
		const struct source *before = &p->sources[i];

		if (strncmp(before->path, s->path, len + strlen("data.")) != 0)
			return false;
		if (before->kind == SOURCE_DATA && folder_len(before) == len)
			return true;
	}
	return false;
}

static enum err_code
add_files(struct plan *p)
{
	for (size_t i = 0; i < p->count; i++) {
		struct source *s = &p->sources[i];

		if (i + BLOB_AHEAD < p->count)
			BLOB_SOON(p->sources[i + BLOB_AHEAD].blob);
		if (s->kind == SOURCE_POLICY)
			TRY(add_blob(p, mem_strdup(s->path),
			    blob_ref(s->blob)));
		else if (s->kind == SOURCE_DATA && !is_further_data(p, i))
			TRY(add_data(p, i));
	}
	return ERR_OK;
}

int
plan_compare_files(const void *a, const void *b)
{
	const struct bundle_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* Also notes the hash of what of it counts as content. */
static enum err_code
add_manifest(struct plan *p, char content_hash[DIGEST_HEX_SIZE])
{
	const struct manifest_content m = {
		.bundle = p->bundle->name,
		.commit = &p->tree->commit,
		.roots = &p->roots,
		.rego_version = p->bundle->rego_version,
		.metadata = p->metadata,
		.rules = p->rules,
		.rule_count = p->rule_count,
	};
	AUTO_BUF text = { 0 };

	buf_init(&text, (size_t)BUNDLE_SIZE_MAX);
	manifest_write(&text, &m, false);
	TRY(buf_check(&text, MANIFEST_FILE, p->e));
	digest_hex(content_hash, text.data, text.len);
	buf_reset(&text);
	manifest_write(&text, &m, true);
	TRY(buf_check(&text, MANIFEST_FILE, p->e));
	return add_text(p, mem_strdup(MANIFEST_FILE), &text);
}

void
plan_digest_content(struct bundle *b, const char *manifest_hash)
{
	struct digest *d = digest_new();
	AUTO_BUF lines = { 0 };

	buf_init(&lines, LINES_MAX);
	for (size_t i = 0; i < b->count; i++) {
		const struct bundle_file *f = &b->files[i];
		const char *hash = f->hash;

		if (f->path[0] == '.' && strcmp(f->path, MANIFEST_FILE) == 0)
			hash = manifest_hash;
		buf_add(&lines, hash, DIGEST_HEX_SIZE - 1);
		buf_add(&lines, "  ", 2);
		buf_add_str(&lines, f->path);
		buf_add_char(&lines, '\n');
		if (lines.len < LINES_FULL && i + 1 < b->count)
			continue;
		/* A call for each piece would take longer than hashing it. */
		digest_add(d, lines.data, lines.len);
		buf_reset(&lines);
	}
	digest_end(d, b->content);
}

enum err_code
plan_finish(struct plan *p)
{
	struct bundle *b = p->bundle;
	char manifest_hash[DIGEST_HEX_SIZE];

	/* First, since that is where most trees have it by order. */
	TRY(add_manifest(p, manifest_hash));
	TRY(add_files(p));
	order_sort(b->files, b->count, sizeof *b->files, plan_compare_files);
	plan_digest_content(b, manifest_hash);
	b->roots = p->roots.items;
	b->root_count = p->roots.count;
	p->roots = (struct roots){ 0 };
	return ERR_OK;
}
