/* What is in the files of a bundle: read, checked and hashed by several
 * threads, or known from before. */

#include "bundler/plan.h"

#include <stdatomic.h>
#include <string.h>

#include "bundler/cache.h"
#include "bundler/crew.h"
#include "bundler/data.h"
#include "core/mem.h"

/* Blobs that a thread takes at a time, and that are worth a second thread. */
enum { READ_STEP = 16, READ_SHARED = 128 };

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
	const char *base = plan_base_of(s->path);
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

/* The rules on its path in the bundle. */
static enum err_code
check_place(struct source *s, struct err *e)
{
	return s->kind == SOURCE_POLICY ? check_policy_path(s, e)
					: split_folder(s, e);
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
	    : data_kind_of(plan_base_of(s->path));

	return blob_key(s->entry->id, kinds[kind]);
}

/* What several threads share while they read. Each takes the next few sources;
 * the first that is wrong, by order of paths, is the one that is told,
 * whichever thread found it. */
struct shared_reading {
	struct plan *p;
	atomic_size_t next;
	atomic_size_t bad;       /* the first that is known to be wrong */
	atomic_size_t documents; /* bytes of memory */
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

static size_t
documents_max(const struct bundle_means *m)
{
	return m->documents_max > 0 ? m->documents_max : BUNDLE_DOCUMENTS_MAX;
}

void
plan_spend(struct bundle_means *m, const struct bundle *b)
{
	size_t max = documents_max(m);

	m->documents_max = max > b->documents ? max - b->documents : 1;
}

/* Each thread stops with the document that is too much: a pack of some hundred
 * kilobytes can hold the text of many times the memory that there is. */
static enum err_code
count_document(struct shared_reading *r, const struct source *s, struct err *e)
{
	size_t size = document_bytes(s->blob->doc);

	if (atomic_fetch_add(&r->documents, size) + size <=
	    documents_max(r->p->means))
		return ERR_OK;
	/* No name of a file: which one it is that is too much, depends on
	 * threads. */
	return err_set(e, ERR_LIMIT,
	    "with this one the data of the commit's bundles takes more than %zu "
	    "MiB of memory once it is read, some 70 bytes for each value and 4 "
	    "KiB for each file; keep less data in Git",
	    BUNDLE_DOCUMENTS_MAX >> 20);
}

static enum err_code
read_source(struct shared_reading *r, struct tree_reader *reader,
    struct source *s, struct err *e)
{
	struct plan *p = r->p;
	/* What memory knew was good there. */
	const bool good = s->from != NULL && s->known && s->before == NULL;

	if (s->kind == SOURCE_MANIFEST)
		return ERR_OK;
	if (s->from == NULL)
		TRY(check_place(s, e));
	if (s->blob == NULL)
		TRY(read_blob(p, reader, s, e));
	if (s->kind == SOURCE_POLICY)
		return ERR_OK;
	TRY(count_document(r, s, e));
	if (good)
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
		if (read_source(r, reader, &p->sources[i], &r->errors[who]) !=
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
	atomic_init(&r->documents, 0);
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
	p->bundle->documents = atomic_load(&r->documents);
	mem_free(r);
	return code;
}

/* Has it the blob that memory knew? */
static bool
is_as_before(const struct plan *p, struct source *s)
{
	if (s->blob == NULL)
		return false;
	if (memcmp(s->blob->key.id, s->entry->id, sizeof s->entry->id) == 0) {
		cache_touch(p->means->cache, s->blob);
		return true;
	}
	s->before = STEAL(s->blob);
	return false;
}

/* How many are left to be read. */
static size_t
take_known(struct plan *p)
{
	size_t unknown = 0;

	for (size_t i = 0; i < p->count && p->means->cache != NULL; i++) {
		struct source *s = &p->sources[i];

		if (i + BLOB_AHEAD < p->count)
			BLOB_SOON(p->sources[i + BLOB_AHEAD].blob);
		s->known = false;
		if (s->kind == SOURCE_MANIFEST)
			continue;
		if (!is_as_before(p, s)) {
			const struct blob_key key = key_of(s);

			s->blob = cache_blob(p->means->cache, &key);
		}
		s->known = s->blob != NULL;
		unknown += !s->known;
	}
	return p->means->cache != NULL ? unknown : p->count;
}

enum err_code
plan_read(struct plan *p)
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
