#include "bundler/bundle.h"

#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundler/blob.h"
#include "bundler/cache.h"
#include "bundler/crew.h"
#include "bundler/data.h"
#include "bundler/layout.h"
#include "bundler/manifest.h"
#include "core/canon.h"
#include "core/mem.h"
#include "core/order.h"
#include "core/text.h"
#include "signing/digest.h"

#define DATA_FILE "data.json"

/* Blobs that a thread takes at a time, and that are worth a second thread. */
enum { READ_STEP = 16, READ_SHARED = 128 };

enum source_kind { SOURCE_POLICY, SOURCE_DATA, SOURCE_MANIFEST };

/* A file of the tree that goes in. */
struct source {
	const struct tree_entry *entry;
	enum source_kind kind;
	char *path;        /* in the bundle */
	struct blob *blob; /* but for the manifest */
	bool known;        /* it came from the cache */
	char *folder; /* of data, its slashes made NULs: segments point in */
	char **segments;
	size_t segment_count;
};

/* Work in hand; everything is released by plan_clear. */
struct plan {
	const struct tree *tree;
	const struct definition_bundle *d;
	const struct bundle_means *means;
	struct source *sources; /* sorted by path */
	size_t count;
	size_t cap;
	const char *manifest_name; /* path in the repository, or NULL */
	struct manifest manifest;
	struct roots roots;
	const struct value *metadata;
	struct manifest_file_rule *rules;
	size_t rule_count;
	struct bundle *bundle;
	size_t file_cap;
	struct err *e;
};

static void
source_clear(struct source *s)
{
	mem_free(s->path);
	blob_unref(s->blob);
	mem_free(s->folder);
	mem_free(s->segments);
}

static void
plan_clear(struct plan *p)
{
	for (size_t i = 0; i < p->count; i++)
		source_clear(&p->sources[i]);
	mem_free(p->sources);
	manifest_clear(&p->manifest);
	roots_clear(&p->roots);
	mem_free(p->rules);
	bundle_free(p->bundle);
}

void
bundle_free(struct bundle *b)
{
	if (b == NULL)
		return;
	for (size_t i = 0; i < b->count; i++) {
		mem_free(b->files[i].path);
		if (b->files[i].blob != NULL)
			blob_unref(b->files[i].blob);
		else
			mem_free(b->files[i].data);
	}
	for (size_t i = 0; i < b->root_count; i++)
		mem_free(b->roots[i]);
	mem_free(b->files);
	mem_free(b->roots);
	mem_free(b->name);
	mem_free(b);
}

/* Which files */

static const char *
base_of(const char *path)
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
	else if (data_kind_of(base_of(path)) != DATA_NONE)
		*out = SOURCE_DATA;
	else
		return false;
	return true;
}

static void
add_source(struct plan *p, const struct tree_entry *entry, const char *path,
    enum source_kind kind)
{
	if (p->count == p->cap) {
		p->cap = p->cap == 0 ? 64 : p->cap * 2;
		p->sources = mem_grow(p->sources, p->cap, sizeof *p->sources);
	}
	p->sources[p->count++] = (struct source){ .entry = entry,
		.path = mem_strdup(path),
		.kind = kind };
}

static int
compare_sources(const void *a, const void *b)
{
	const struct source *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static enum err_code
choose(struct plan *p)
{
	char path[TREE_PATH_MAX];
	enum source_kind kind;
	size_t loaded = 0;

	for (size_t i = 0; i < p->tree->count; i++) {
		const struct tree_entry *entry = &p->tree->entries[i];

		if (!definition_place(p->d, entry->path, path) ||
		    !kind_of(path, &kind))
			continue;
		add_source(p, entry, path, kind);
		loaded += kind != SOURCE_MANIFEST;
	}
	if (loaded == 0)
		return err_set(p->e, ERR_INVALID,
		    "no policies and no data at its paths; a bundle needs a "
		    ".rego file or a data.json");
	order_sort(p->sources, p->count, sizeof *p->sources, compare_sources);
	for (size_t i = 1; i < p->count; i++) {
		if (strcmp(p->sources[i - 1].path, p->sources[i].path) == 0)
			return err_set(p->e, ERR_INVALID,
			    "%s and %s would both become %s",
			    p->sources[i - 1].entry->path,
			    p->sources[i].entry->path, p->sources[i].path);
	}
	return ERR_OK;
}

/* Reading them */

static enum err_code
check_policy_path(const struct source *s, struct err *e)
{
	/* Engines take what follows for a URL escape and stop at a bad one. */
	if (strchr(s->path, '%') != NULL)
		return err_set(e, ERR_INVALID,
		    "%s: a %% in the path of a policy; rename it",
		    s->entry->path);
	return ERR_OK;
}

static enum err_code
split_folder(struct source *s, struct err *e)
{
	const char *base = base_of(s->path);
	char *rest;

	if (base == s->path)
		return ERR_OK;
	s->folder = mem_strndup(s->path, (size_t)(base - s->path) - 1);
	rest = s->folder;
	while (rest != NULL) {
		char *segment = strsep(&rest, "/");

		if (!root_segment_is_plain(segment, strlen(segment)))
			return err_set(e, ERR_INVALID,
			    "%s: engines read the folder name \"%s\" "
			    "differently; use letters, digits and -_.~$&+=:@ "
			    "in the path of data",
			    s->entry->path, segment);
		s->segments = mem_grow(s->segments, s->segment_count + 1,
		    sizeof *s->segments);
		s->segments[s->segment_count++] = segment;
	}
	return ERR_OK;
}

static enum err_code
read_manifest(struct plan *p, struct source *s)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, TREE_BLOB_MAX);
	TRY(tree_read(p->tree, s->entry, &text, p->e));
	p->manifest_name = s->entry->path;
	return manifest_read(&p->manifest, s->entry->path, text.data, text.len,
	    true, p->e);
}

static struct blob_key
key_of(const struct source *s)
{
	static const enum blob_kind kinds[] = { [DATA_NONE] = BLOB_POLICY,
		[DATA_JSON] = BLOB_JSON,
		[DATA_YAML] = BLOB_YAML };
	enum data_kind kind = s->kind == SOURCE_POLICY
	    ? DATA_NONE
	    : data_kind_of(base_of(s->path));

	return blob_key(s->entry->id, kinds[kind]);
}

/* What several threads share while they read. Each takes the next few sources;
 * the first that is wrong, by order of paths, is the one that is told,
 * whichever thread found it. */
struct shared_reading {
	struct plan *p;
	atomic_size_t next;
	atomic_size_t bad; /* the first that is known to be wrong */
	struct err errors[CREW_MAX];
	size_t bad_of[CREW_MAX];
};

/* reader: NULL in the thread that owns the tree. */
static enum err_code
read_blob(struct plan *p, struct tree_reader *reader, struct source *s,
    struct err *e)
{
	const struct blob_key key = key_of(s);
	AUTO_BUF text = { 0 };

	buf_init(&text, TREE_BLOB_MAX);
	if (reader != NULL)
		TRY(tree_reader_read(reader, s->entry, &text, e));
	else
		TRY(tree_read(p->tree, s->entry, &text, e));
	return blob_new(&s->blob, &key, s->entry->path, &text, e);
}

static enum err_code
read_source(struct plan *p, struct tree_reader *reader, struct source *s,
    struct err *e)
{
	if (s->kind == SOURCE_MANIFEST)
		return ERR_OK;
	if (s->kind == SOURCE_POLICY)
		TRY(check_policy_path(s, e));
	else
		TRY(split_folder(s, e));
	if (s->blob == NULL)
		TRY(read_blob(p, reader, s, e));
	if (s->kind == SOURCE_POLICY)
		return ERR_OK;
	return data_check(s->blob->doc, s->entry->path, s->segment_count == 0,
	    e);
}

static void
note_bad(struct shared_reading *r, unsigned int who, size_t i)
{
	size_t bad = atomic_load(&r->bad);

	r->bad_of[who] = i;
	while (i < bad && !atomic_compare_exchange_weak(&r->bad, &bad, i))
		continue;
}

static void
read_step(struct shared_reading *r, struct tree_reader *reader,
    unsigned int who, size_t start)
{
	struct plan *p = r->p;

	for (size_t i = start; i < start + READ_STEP && i < p->count; i++) {
		if (i > atomic_load(&r->bad))
			return;
		if (read_source(p, reader, &p->sources[i], &r->errors[who]) !=
		    ERR_OK) {
			note_bad(r, who, i);
			return;
		}
	}
}

static void
read_share(void *arg, unsigned int who)
{
	struct shared_reading *r = arg;
	AUTO(tree_reader, reader) = NULL;
	size_t start;

	/* Not for two threads, or no more files to be had: others do it. */
	if (who > 0 && tree_reader_open(&reader, r->p->tree, NULL) != ERR_OK)
		return;
	while ((start = atomic_fetch_add(&r->next, READ_STEP)) < r->p->count &&
	    start <= atomic_load(&r->bad))
		read_step(r, reader, who, start);
}

static enum err_code
read_shared(struct plan *p, unsigned int threads)
{
	struct shared_reading *r = mem_zalloc(sizeof *r);
	enum err_code code = ERR_OK;
	size_t bad;

	r->p = p;
	atomic_init(&r->bad, SIZE_MAX);
	for (size_t i = 0; i < CREW_MAX; i++)
		r->bad_of[i] = SIZE_MAX;
	crew_run(threads, read_share, r);
	bad = atomic_load(&r->bad);
	for (size_t i = 0; i < CREW_MAX && bad != SIZE_MAX; i++) {
		if (r->bad_of[i] == bad) {
			*p->e = r->errors[i];
			code = p->e->code;
		}
	}
	mem_free(r);
	return code;
}

/* How many are left to be read. */
static size_t
take_known(struct plan *p)
{
	size_t unknown = 0;

	for (size_t i = 0; i < p->count; i++) {
		struct source *s = &p->sources[i];
		const struct blob_key key = key_of(s);

		if (p->means->cache != NULL && s->kind != SOURCE_MANIFEST)
			s->blob = cache_blob(p->means->cache, &key);
		s->known = s->blob != NULL;
		unknown += !s->known;
	}
	return unknown;
}

static enum err_code
read_sources(struct plan *p)
{
	size_t unknown;
	unsigned int threads = p->means->threads;

	for (size_t i = 0; i < p->count; i++) {
		if (p->sources[i].kind == SOURCE_MANIFEST)
			TRY(read_manifest(p, &p->sources[i]));
		p->bundle->policies += p->sources[i].kind == SOURCE_POLICY;
	}
	if (p->means->cache != NULL)
		cache_begin(p->means->cache);
	unknown = take_known(p);
	TRY(read_shared(p, unknown >= READ_SHARED ? threads : 1));
	for (size_t i = 0; i < p->count && p->means->cache != NULL; i++) {
		if (p->sources[i].blob != NULL && !p->sources[i].known)
			cache_add_blob(p->means->cache, p->sources[i].blob);
	}
	return ERR_OK;
}

/* What edict.yaml and .manifest say together */

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

static enum err_code
settle_roots(struct plan *p, const struct layout_part *parts, size_t count)
{
	struct roots *theirs = &p->manifest.roots;

	if (p->manifest.has_roots)
		TRY(roots_check(theirs, p->manifest_name, p->e));
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
	layout_roots(&p->roots, parts, count);
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

static enum err_code
settle(struct plan *p)
{
	size_t count;
	struct layout_part *parts = make_parts(p, &count);
	enum err_code code = settle_roots(p, parts, count);

	if (code == ERR_OK)
		code = layout_check(parts, count, &p->roots, p->e);
	mem_free(parts);
	TRY(code);
	TRY(settle_version(p));
	TRY(settle_metadata(p));
	return settle_file_versions(p);
}

/* Writing the files */

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
	return (size_t)(base_of(s->path) - s->path);
}

/* The data files of one folder become one. They follow each other by path but
 * for policies between them. */
static enum err_code
add_data(struct plan *p, size_t first)
{
	const struct source *s = &p->sources[first];
	const struct value *values[3];
	size_t len = folder_len(s), count = 0;
	AUTO_BUF text = { 0 };
	AUTO_STR path = NULL;

	for (size_t i = first; i < p->count &&
	     strncmp(p->sources[i].path, s->path, len + strlen("data.")) == 0;
	     i++) {
		struct source *other = &p->sources[i];

		if (other->kind != SOURCE_DATA || folder_len(other) != len)
			continue;
		assert(count < 3);
		values[count++] = document_root(other->blob->doc);
	}
	path = mem_printf("%.*s" DATA_FILE, (int)len, s->path);
	if (count == 1 && s->blob->text != NULL)
		return add_blob(p, STEAL(path), blob_ref(s->blob));
	buf_init(&text, (size_t)BUNDLE_SIZE_MAX);
	data_write(&text, values, count);
	TRY(buf_check(&text, s->entry->path, p->e));
	return add_text(p, STEAL(path), &text);
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

		if (s->kind == SOURCE_POLICY)
			TRY(add_blob(p, mem_strdup(s->path), STEAL(s->blob)));
		else if (s->kind == SOURCE_DATA && !is_further_data(p, i))
			TRY(add_data(p, i));
	}
	return ERR_OK;
}

static int
compare_files(const void *a, const void *b)
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

static void
digest_content(struct bundle *b, const char *manifest_hash)
{
	struct digest *d = digest_new();

	for (size_t i = 0; i < b->count; i++) {
		const struct bundle_file *f = &b->files[i];
		const char *hash = f->hash;

		if (strcmp(f->path, MANIFEST_FILE) == 0)
			hash = manifest_hash;
		digest_add(d, hash, DIGEST_HEX_SIZE - 1);
		digest_add(d, "  ", 2);
		digest_add(d, f->path, strlen(f->path));
		digest_add(d, "\n", 1);
	}
	digest_end(d, b->content);
}

static enum err_code
finish(struct plan *p)
{
	struct bundle *b = p->bundle;
	char manifest_hash[DIGEST_HEX_SIZE];

	/* First, since that is where most trees have it by order. */
	TRY(add_manifest(p, manifest_hash));
	TRY(add_files(p));
	order_sort(b->files, b->count, sizeof *b->files, compare_files);
	digest_content(b, manifest_hash);
	b->roots = p->roots.items;
	b->root_count = p->roots.count;
	p->roots = (struct roots){ 0 };
	return ERR_OK;
}

static enum err_code
make(struct plan *p)
{
	TRY(choose(p));
	TRY(read_sources(p));
	TRY(settle(p));
	return finish(p);
}

unsigned int
bundle_threads(unsigned int max)
{
	cpu_set_t set;
	unsigned int count = 1;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		count = (unsigned int)CPU_COUNT(&set);
	return count < max ? count : max;
}

static const struct bundle_means alone = { .threads = 1 };

enum err_code
bundle_plan(struct bundle **out, const struct tree *t,
    const struct definition_bundle *d, struct err *e)
{
	return bundle_plan_with(out, t, d, &alone, e);
}

enum err_code
bundle_plan_with(struct bundle **out, const struct tree *t,
    const struct definition_bundle *d, const struct bundle_means *means,
    struct err *e)
{
	struct err unread;
	struct plan p = { .tree = t,
		.d = d,
		.means = means,
		.e = e != NULL ? e : &unread };
	enum err_code code;

	p.bundle = mem_zalloc(sizeof *p.bundle);
	p.bundle->name = mem_strdup(d->name);
	(void)snprintf(p.bundle->revision, sizeof p.bundle->revision, "%s",
	    t->commit.id);
	code = make(&p);
	if (code == ERR_OK)
		*out = STEAL(p.bundle);
	else
		err_add(e, "bundle %s", d->name);
	plan_clear(&p);
	return code;
}

/* All of a definition */

void
bundle_set_clear(struct bundle_set *s)
{
	for (size_t i = 0; i < s->count; i++)
		bundle_free(s->bundles[i]);
	mem_free(s->bundles);
	*s = (struct bundle_set){ 0 };
}

static int
compare_name(const void *name, const void *bundle)
{
	return strcmp(name, (*(struct bundle *const *)bundle)->name);
}

/* A set is sorted by name, as definitions are. */
static const struct bundle *
find_bundle(const struct bundle_set *s, const char *name)
{
	struct bundle *const *found = NULL;

	if (s->count > 0)
		found = bsearch(name, s->bundles, s->count, sizeof *s->bundles,
		    compare_name);
	return found != NULL ? *found : NULL;
}

static struct root_owner *
list_owners(const struct bundle_set *s, const struct spec_strings *names,
    size_t *count)
{
	struct root_owner *list = NULL;

	*count = 0;
	for (size_t i = 0; i < names->count; i++) {
		const struct bundle *b = find_bundle(s, names->items[i]);

		if (b == NULL)
			continue;
		list = mem_grow(list, *count + b->root_count, sizeof *list);
		for (size_t k = 0; k < b->root_count; k++)
			list[(*count)++] =
			    (struct root_owner){ b->roots[k], b->name };
	}
	return list;
}

static enum err_code
check_cluster(const struct bundle_set *s, const struct definition_cluster *c,
    struct err *e)
{
	const struct root_owner *a, *b;
	size_t count;
	struct root_owner *list = list_owners(s, &c->bundles, &count);
	enum err_code code = ERR_OK;

	if (roots_clash(list, count, &a, &b))
		code = err_set(e, ERR_INVALID,
		    "cluster %s: bundles %s (root \"%s\") and %s (root "
		    "\"%s\") overlap; an engine refuses two bundles that own "
		    "the same path",
		    c->name, a->owner, a->root, b->owner, b->root);
	mem_free(list);
	return code;
}

static enum err_code
plan_set(struct bundle_set *s, const struct tree *t, const struct definition *d,
    const struct bundle_means *means, struct err *e)
{
	const struct definition_bundle *bundles = d->bundles.items;
	const struct definition_cluster *clusters = d->clusters.items;

	s->bundles = mem_array(d->bundles.count + 1, sizeof *s->bundles);
	for (; s->count < d->bundles.count; s->count++)
		TRY(bundle_plan_with(&s->bundles[s->count], t,
		    &bundles[s->count], means, e));
	for (size_t i = 0; i < d->clusters.count; i++)
		TRY(check_cluster(s, &clusters[i], e));
	return ERR_OK;
}

enum err_code
bundle_plan_all(struct bundle_set *out, const struct tree *t,
    const struct definition *d, struct err *e)
{
	return bundle_plan_all_with(out, t, d, &alone, e);
}

enum err_code
bundle_plan_all_with(struct bundle_set *out, const struct tree *t,
    const struct definition *d, const struct bundle_means *means, struct err *e)
{
	struct bundle_set s = { 0 };
	enum err_code code = plan_set(&s, t, d, means, e);

	if (code != ERR_OK)
		bundle_set_clear(&s);
	else
		*out = s;
	return code;
}

struct jws_file *
bundle_jws_files(const struct bundle *b)
{
	struct jws_file *files = mem_array(b->count + 1, sizeof *files);

	for (size_t i = 0; i < b->count; i++)
		files[i] =
		    (struct jws_file){ b->files[i].path, b->files[i].hash };
	return files;
}
