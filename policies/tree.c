#include "policies/tree.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/order.h"
#include "policies/gitlib.h"
#include "policies/utf8.h"

enum {
	FOLDED_MAX = TREE_PATH_MAX * 2,
	TREE_OBJECT_MAX = 256 << 20,
	SHOWN_MAX = 256
};

static const char zero_id[TREE_ID_SIZE] =
    "0000000000000000000000000000000000000000";

/* What callers see comes first, so that tree_free can find the rest. */
struct tree_whole {
	struct tree tree;
	struct tree_entry *entries; /* tree.entries, for releasing */
	struct tree_source source;
};

/* -- hygiene: one path ---------------------------------------------------- */

static const char *
character_fault(const char *path, size_t len)
{
	const unsigned char *p = (const unsigned char *)path;
	const unsigned char *end = p + len;

	while (p < end) {
		uint32_t c = utf8_next(&p, end);

		if (c == 0)
			return "is not UTF-8";
		if (utf8_is_control(c))
			return "has a control character";
		if (c == '\\')
			return "has a backslash";
	}
	return NULL;
}

static const char *
segment_fault(const char *s, size_t len)
{
	if (len == 0)
		return "has an empty segment";
	if (len == 1 && s[0] == '.')
		return "has a \".\" segment";
	if (len == 2 && s[0] == '.' && s[1] == '.')
		return "has a \"..\" segment";
	if (len == 4 && strncasecmp(s, ".git", 4) == 0)
		return "has a \".git\" segment";
	return NULL;
}

static const char *
segments_fault(const char *path)
{
	size_t depth = 0;

	for (const char *s = path;; s++) {
		size_t len = strcspn(s, "/");
		const char *fault = segment_fault(s, len);

		if (fault != NULL)
			return fault;
		if (++depth > TREE_DEPTH_MAX)
			return "is nested deeper than 64 folders";
		s += len;
		if (*s == '\0')
			return NULL;
	}
}

static enum err_code
refuse_path(const char *path, size_t len, const char *fault, struct err *e)
{
	AUTO_STR shown = utf8_clean(path, len, SHOWN_MAX);

	return err_set(e, ERR_INVALID,
	    "\"%s\": the path %s; rename it (git mv) and commit again", shown,
	    fault);
}

enum err_code
tree_check_path(const char *path, struct err *e)
{
	size_t len = strlen(path);
	const char *fault = NULL;

	if (len > TREE_PATH_MAX)
		fault = "is longer than 1024 bytes";
	else if (len == 0)
		fault = "is empty";
	else if (path[0] == '/')
		fault = "is absolute";
	if (fault == NULL)
		fault = character_fault(path, len);
	if (fault == NULL)
		fault = segments_fault(path);
	if (fault == NULL)
		return ERR_OK;
	return refuse_path(path, len, fault, e);
}

enum err_code
tree_check_size(const char *path, int64_t size, struct err *e)
{
	if (size <= TREE_BLOB_MAX)
		return ERR_OK;
	return err_set(e, ERR_LIMIT,
	    "%s: %" PRId64 " bytes; a file may have at most %d (64 MiB): make "
	    "it smaller or move it out of the policy repository",
	    path, size, (int)TREE_BLOB_MAX);
}

/* -- hygiene: all paths together ------------------------------------------ */

/* Simple lower case for the scripts that file names are commonly written in:
 * no locale, because confined processes cannot load one and results may not
 * depend on it. */
static uint32_t
fold_character(uint32_t c)
{
	if ((c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7))
		return c + 32;
	if ((c >= 0x391 && c <= 0x3a9) || (c >= 0x410 && c <= 0x42f))
		return c + 32;
	if (c >= 0x400 && c <= 0x40f)
		return c + 80;
	if ((c >= 0x100 && c <= 0x137 && c != 0x130) ||
	    (c >= 0x14a && c <= 0x177) || (c >= 0x460 && c <= 0x481))
		return c | 1;
	if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
		return c + (c & 1);
	return c;
}

struct folded {
	char *key; /* folded path, '/' as \1: a file sorts right before what
	            * would lie below a folder of its name */
	const char *path;
};

static char *
fold_path(const char *path)
{
	const unsigned char *p = (const unsigned char *)path;
	const unsigned char *end = p + strlen(path);
	char out[FOLDED_MAX + 1];
	size_t n = 0;

	while (p < end) {
		uint32_t c = utf8_next(&p, end);

		n += utf8_put(out + n, c == '/' ? 1 : fold_character(c));
	}
	return mem_strndup(out, n);
}

static int
folded_compare(const void *a, const void *b)
{
	const struct folded *x = a, *y = b;
	int by_key = strcmp(x->key, y->key);

	return by_key != 0 ? by_key : strcmp(x->path, y->path);
}

static enum err_code
check_neighbours(const struct folded *a, const struct folded *b, struct err *e)
{
	size_t len = strlen(a->key);

	if (strncmp(a->key, b->key, len) != 0)
		return ERR_OK;
	if (b->key[len] == '\0')
		return err_set(e, ERR_INVALID,
		    "%s and %s: these paths are equal, or equal but for case; "
		    "rename one of them",
		    a->path, b->path);
	if (b->key[len] == 1)
		return err_set(e, ERR_INVALID,
		    "%s and %s: the one is a file where the other needs a "
		    "folder; rename one of them",
		    a->path, b->path);
	return ERR_OK;
}

static enum err_code
check_distinct(const struct tree_entry *entries, size_t count, struct err *e)
{
	struct folded *all = mem_array(count + 1, sizeof(*all));
	enum err_code code = ERR_OK;

	for (size_t i = 0; i < count; i++) {
		all[i].key = fold_path(entries[i].path);
		all[i].path = entries[i].path;
	}
	order_sort(all, count, sizeof(*all), folded_compare);
	for (size_t i = 0; code == ERR_OK && i + 1 < count; i++)
		code = check_neighbours(&all[i], &all[i + 1], e);
	for (size_t i = 0; i < count; i++)
		mem_free(all[i].key);
	mem_free(all);
	return code;
}

/* -- making --------------------------------------------------------------- */

/* path points to the second field of one of these, so that the mode travels
 * along while entries are sorted. */
struct maker_path {
	bool executable;
	char text[];
};

struct tree_maker {
	struct tree_source source;
	struct tree_entry *entries;
	size_t count, room;
	int64_t total;
};

static struct maker_path *
path_of(const struct tree_entry *entry)
{
	uintptr_t text = (uintptr_t)entry->path;

	return (struct maker_path *)(text - offsetof(struct maker_path, text));
}

static void
entries_free(struct tree_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		mem_free(path_of(&entries[i]));
	mem_free(entries);
}

struct tree_maker *
tree_maker_new(struct tree_source source)
{
	struct tree_maker *m = mem_zalloc(sizeof(*m));

	m->source = source;
	return m;
}

void
tree_maker_free(struct tree_maker *m)
{
	if (m == NULL)
		return;
	entries_free(m->entries, m->count);
	if (m->source.release != NULL)
		m->source.release(m->source.arg);
	mem_free(m);
}

enum err_code
tree_maker_add(struct tree_maker *m, const char *path, const char *id,
    int64_t size, bool executable, struct err *e)
{
	struct tree_entry *entry;
	struct maker_path *kept;
	size_t len = strlen(path);

	TRY(tree_check_path(path, e));
	TRY(tree_check_size(path, size, e));
	if (m->count == TREE_FILES_MAX)
		return err_set(e, ERR_LIMIT,
		    "more than %d files; split the policy repository",
		    (int)TREE_FILES_MAX);
	m->total += size;
	if (m->total > TREE_TOTAL_MAX)
		return err_set(e, ERR_LIMIT,
		    "%s: with it all files together have more than %" PRId64
		    " bytes (2 GiB); split the policy repository",
		    path, TREE_TOTAL_MAX);
	if (m->count == m->room) {
		m->room = m->room == 0 ? 64 : m->room * 2;
		m->entries = mem_grow(m->entries, m->room, sizeof(*m->entries));
	}
	kept = mem_alloc(sizeof(*kept) + len + 1);
	kept->executable = executable;
	memcpy(kept->text, path, len + 1);
	entry = &m->entries[m->count++];
	entry->path = kept->text;
	entry->size = size;
	assert(strlen(id) == TREE_ID_SIZE - 1);
	memcpy(entry->id, id, TREE_ID_SIZE);
	return ERR_OK;
}

static int
entry_compare(const void *a, const void *b)
{
	const struct tree_entry *x = a, *y = b;

	return strcmp(x->path, y->path);
}

void
tree_commit_clear(struct tree_commit *commit)
{
	mem_free(STEAL(commit->author));
	mem_free(STEAL(commit->subject));
}

/* -- a tree's id, as Git works it out ------------------------------------- */

/* One folder that is open while the sorted entries pass by. */
struct open_folder {
	size_t name_at, name_len; /* its name within the path of its entries */
	struct buf object;
};

static enum err_code
add_tree_line(struct buf *object, const char *mode, const char *name,
    size_t name_len, const git_oid *id, struct err *e)
{
	buf_add_str(object, mode);
	buf_add_char(object, ' ');
	buf_add(object, name, name_len);
	buf_add_char(object, '\0');
	buf_add(object, id->id, sizeof(id->id));
	return buf_check(object, "a folder of the tree", e);
}

static enum err_code
hash_tree(git_oid *out, const struct buf *object, struct err *e)
{
	int rc = git_odb_hash(out, object->data, object->len, GIT_OBJECT_TREE);

	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "hashing a tree");
}

/* Closes the innermost folder: its id becomes a line of the one above. path is
 * of an entry that was in it. */
static enum err_code
close_folder(struct open_folder *stack, size_t *depth, const char *path,
    struct err *e)
{
	struct open_folder *f = &stack[*depth - 1];
	git_oid id;

	TRY(hash_tree(&id, &f->object, e));
	TRY(add_tree_line(&stack[*depth - 2].object, "40000", path + f->name_at,
	    f->name_len, &id, e));
	buf_clear(&f->object);
	(*depth)--;
	return ERR_OK;
}

static bool
still_inside(const struct open_folder *f, const char *old, const char *path)
{
	size_t len = f->name_at + f->name_len + 1;

	return strncmp(old, path, len) == 0;
}

static void
open_folders(struct open_folder *stack, size_t *depth, const char *path)
{
	struct open_folder *top = &stack[*depth - 1];
	size_t at = *depth == 1 ? 0 : top->name_at + top->name_len + 1;
	const char *slash;

	while ((slash = strchr(path + at, '/')) != NULL) {
		struct open_folder *f = &stack[(*depth)++];

		f->name_at = at;
		f->name_len = (size_t)(slash - path) - at;
		buf_init(&f->object, TREE_OBJECT_MAX);
		at = (size_t)(slash - path) + 1;
	}
}

/* Sorted whole paths are Git's order too: it sorts a folder as if its name
 * ended in '/'. */
static enum err_code
fold_entries(struct open_folder *stack, size_t *depth,
    const struct tree_entry *entries, size_t count, struct err *e)
{
	const char *old = "";

	for (size_t i = 0; i < count; i++) {
		const char *path = entries[i].path;
		const char *slash = strrchr(path, '/');
		const char *name = slash == NULL ? path : slash + 1;
		git_oid id;

		while (*depth > 1 &&
		    !still_inside(&stack[*depth - 1], old, path))
			TRY(close_folder(stack, depth, old, e));
		open_folders(stack, depth, path);
		TRY(gitlib_oid(&id, entries[i].id, e));
		TRY(add_tree_line(&stack[*depth - 1].object,
		    path_of(&entries[i])->executable ? "100755" : "100644",
		    name, strlen(name), &id, e));
		old = path;
	}
	while (*depth > 1)
		TRY(close_folder(stack, depth, old, e));
	return ERR_OK;
}

static enum err_code
work_out_id(char out[TREE_ID_SIZE], const struct tree_entry *entries,
    size_t count, struct err *e)
{
	struct open_folder *stack =
	    mem_array(TREE_DEPTH_MAX + 1, sizeof(*stack));
	size_t depth = 1;
	enum err_code code;
	git_oid id;

	buf_init(&stack[0].object, TREE_OBJECT_MAX);
	code = fold_entries(stack, &depth, entries, count, e);
	if (code == ERR_OK)
		code = hash_tree(&id, &stack[0].object, e);
	if (code == ERR_OK)
		gitlib_hex(out, &id);
	while (depth > 0)
		buf_clear(&stack[--depth].object);
	mem_free(stack);
	return code;
}

enum err_code
tree_maker_end(struct tree_maker *m, struct tree_commit *commit,
    struct tree **out, struct err *e)
{
	struct tree_whole *w;

	order_sort(m->entries, m->count, sizeof(*m->entries), entry_compare);
	TRY(check_distinct(m->entries, m->count, e));
	if (commit->tree[0] == '\0')
		TRY(work_out_id(commit->tree, m->entries, m->count, e));
	w = mem_zalloc(sizeof(*w));
	w->source = m->source;
	w->entries = STEAL(m->entries);
	w->tree.entries = w->entries;
	w->tree.count = m->count;
	w->tree.total = m->total;
	w->tree.commit = *commit;
	if (w->tree.commit.id[0] == '\0')
		memcpy(w->tree.commit.id, zero_id, TREE_ID_SIZE);
	if (w->tree.commit.author == NULL)
		w->tree.commit.author = mem_strdup("");
	if (w->tree.commit.subject == NULL)
		w->tree.commit.subject = mem_strdup("");
	memset(m, 0, sizeof(*m));
	memset(commit, 0, sizeof(*commit));
	*out = &w->tree;
	return ERR_OK;
}

/* -- using ---------------------------------------------------------------- */

void
tree_free(struct tree *t)
{
	struct tree_whole *w = (struct tree_whole *)t;

	if (t == NULL)
		return;
	entries_free(w->entries, w->tree.count);
	tree_commit_clear(&w->tree.commit);
	if (w->source.release != NULL)
		w->source.release(w->source.arg);
	mem_free(w);
}

const struct tree_entry *
tree_find(const struct tree *t, const char *path)
{
	struct tree_entry key = { .path = path };

	if (t->count == 0)
		return NULL;
	return bsearch(&key, t->entries, t->count, sizeof(key), entry_compare);
}

static enum err_code
source_read(const struct tree_source *source, const struct tree_entry *entry,
    struct buf *out, struct err *e)
{
	size_t before = out->len;

	if (out->max - out->len < (size_t)entry->size)
		return err_set(e, ERR_LIMIT,
		    "%s: %" PRId64 " bytes are more than the %zu that fit here",
		    entry->path, entry->size, out->max - out->len);
	TRY(source->read(source->arg, entry, out, e));
	assert(out->len - before == (size_t)entry->size);
	return ERR_OK;
}

enum err_code
tree_read(const struct tree *t, const struct tree_entry *entry, struct buf *out,
    struct err *e)
{
	const struct tree_whole *w = (const struct tree_whole *)t;

	return source_read(&w->source, entry, out, e);
}

struct tree_reader {
	struct tree_source source;
};

enum err_code
tree_reader_open(struct tree_reader **out, const struct tree *t, struct err *e)
{
	const struct tree_whole *w = (const struct tree_whole *)t;
	struct tree_source source = { 0 };

	if (w->source.another == NULL)
		return err_set(e, ERR_UNSUPPORTED,
		    "these files are read by one thread only");
	TRY(w->source.another(w->source.arg, &source, e));
	*out = mem_zalloc(sizeof(**out));
	(*out)->source = source;
	return ERR_OK;
}

enum err_code
tree_reader_read(struct tree_reader *r, const struct tree_entry *entry,
    struct buf *out, struct err *e)
{
	return source_read(&r->source, entry, out, e);
}

void
tree_reader_free(struct tree_reader *r)
{
	if (r == NULL)
		return;
	if (r->source.release != NULL)
		r->source.release(r->source.arg);
	mem_free(r);
}

/* -- writing -------------------------------------------------------------- */

static enum err_code
make_parents(int dir, const char *path, struct err *e)
{
	char parent[TREE_PATH_MAX + 1];

	for (const char *s = strchr(path, '/'); s != NULL;
	     s = strchr(s + 1, '/')) {
		memcpy(parent, path, (size_t)(s - path));
		parent[s - path] = '\0';
		if (mkdirat(dir, parent, 0700) != 0 && errno != EEXIST)
			return err_errno(e, "%s: make the folder", parent);
	}
	return ERR_OK;
}

static enum err_code
write_blob(int dir, const char *path, const struct buf *b, struct err *e)
{
	enum err_code code;
	int fd = openat(dir, path,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(e, "%s: create", path);
	code = file_write_all(fd, b->data, b->len, e);
	if (code != ERR_OK)
		(void)err_add(e, "%s", path);
	if (close(fd) != 0 && code == ERR_OK)
		code = err_errno(e, "%s: close", path);
	return code;
}

static enum err_code
write_entries(const struct tree *t, int dir,
    bool (*keep)(void *arg, const struct tree_entry *entry), void *arg,
    struct err *e)
{
	AUTO_BUF b = { 0 };

	buf_init(&b, TREE_BLOB_MAX);
	for (size_t i = 0; i < t->count; i++) {
		const struct tree_entry *entry = &t->entries[i];

		if (keep != NULL && !keep(arg, entry))
			continue;
		buf_reset(&b);
		TRY(tree_read(t, entry, &b, e));
		TRY(make_parents(dir, entry->path, e));
		TRY(write_blob(dir, entry->path, &b, e));
	}
	return ERR_OK;
}

enum err_code
tree_write(const struct tree *t, const char *dir,
    bool (*keep)(void *arg, const struct tree_entry *entry), void *arg,
    struct err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err_code code;

	if (fd < 0)
		return err_errno(e, "%s", dir);
	code = write_entries(t, fd, keep, arg, e);
	close(fd);
	if (code != ERR_OK)
		(void)err_add(e, "%s", dir);
	return code;
}

/* -- from memory ---------------------------------------------------------- */

struct memory_blob {
	char id[TREE_ID_SIZE];
	struct buf data;
};

struct memory_source {
	struct memory_blob *blobs; /* sorted by id once all are there */
	size_t count;
};

static int
blob_compare(const void *a, const void *b)
{
	const struct memory_blob *x = a, *y = b;

	return strcmp(x->id, y->id);
}

static enum err_code
memory_read(void *arg, const struct tree_entry *entry, struct buf *out,
    struct err *e)
{
	const struct memory_source *s = arg;
	struct memory_blob key;
	const struct memory_blob *blob;

	memcpy(key.id, entry->id, TREE_ID_SIZE);
	blob = bsearch(&key, s->blobs, s->count, sizeof(key), blob_compare);
	assert(blob != NULL);
	buf_add(out, blob->data.data, blob->data.len);
	return buf_check(out, entry->path, e);
}

/* Nothing changes while it is read, so all threads may share it. */
static enum err_code
memory_another(void *arg, struct tree_source *out, struct err *e)
{
	(void)e;
	*out = (struct tree_source){ .read = memory_read, .arg = arg };
	return ERR_OK;
}

static void
memory_release(void *arg)
{
	struct memory_source *s = arg;

	for (size_t i = 0; i < s->count; i++)
		buf_clear(&s->blobs[i].data);
	mem_free(s->blobs);
	mem_free(s);
}

static enum err_code
memory_add(struct memory_source *s, struct tree_maker *m,
    const struct tree_file *file, struct err *e)
{
	struct memory_blob *blob = &s->blobs[s->count];
	const void *data = file->data != NULL ? file->data : "";
	git_oid id;
	int rc;

	/* Before anything as large as len is looked at. */
	TRY(tree_check_path(file->path, e));
	if (file->len > TREE_BLOB_MAX)
		return tree_check_size(file->path, (int64_t)TREE_BLOB_MAX + 1,
		    e);
	rc = git_odb_hash(&id, data, file->len, GIT_OBJECT_BLOB);
	if (rc != 0)
		return gitlib_err(e, rc, "%s: hash", file->path);
	gitlib_hex(blob->id, &id);
	buf_init(&blob->data, TREE_BLOB_MAX);
	s->count++;
	buf_add(&blob->data, data, file->len);
	return tree_maker_add(m, file->path, blob->id, (int64_t)file->len,
	    false, e);
}

enum err_code
tree_from_memory(struct tree **out, const struct tree_file *files, size_t count,
    const char *commit_id, struct err *e)
{
	struct memory_source *s = mem_zalloc(sizeof(*s));
	struct tree_source source = { .read = memory_read,
		.release = memory_release,
		.arg = s,
		.another = memory_another };
	AUTO(tree_maker, m) = tree_maker_new(source);
	struct tree_commit commit = { 0 };

	TRY(gitlib_init(e));
	if (count > TREE_FILES_MAX)
		return err_set(e, ERR_LIMIT, "more than %d files",
		    (int)TREE_FILES_MAX);
	s->blobs = mem_array(count + 1, sizeof(*s->blobs));
	for (size_t i = 0; i < count; i++)
		TRY(memory_add(s, m, &files[i], e));
	qsort(s->blobs, s->count, sizeof(*s->blobs), blob_compare);
	if (commit_id != NULL) {
		git_oid id;

		TRY(gitlib_oid(&id, commit_id, e));
		gitlib_hex(commit.id, &id);
	}
	return tree_maker_end(m, &commit, out, e);
}
