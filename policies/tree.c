#include "policies/tree.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/subtree.h"
#include "policies/tree_private.h"

static const char zero_id[TREE_ID_SIZE] =
    "0000000000000000000000000000000000000000";

struct tree_whole *
tree_whole_new(const struct tree_source *source, struct tree_commit *commit)
{
	struct tree_whole *w = mem_zalloc(sizeof(*w));

	w->source = *source;
	w->tree.commit = *commit;
	if (w->tree.commit.id[0] == '\0')
		memcpy(w->tree.commit.id, zero_id, TREE_ID_SIZE);
	if (w->tree.commit.author == NULL)
		w->tree.commit.author = mem_strdup("");
	if (w->tree.commit.subject == NULL)
		w->tree.commit.subject = mem_strdup("");
	memset(commit, 0, sizeof(*commit));
	return w;
}

void
tree_commit_clear(struct tree_commit *commit)
{
	mem_free(STEAL(commit->author));
	mem_free(STEAL(commit->subject));
}

void
tree_free(struct tree *t)
{
	struct tree_whole *w = (struct tree_whole *)t;

	if (t == NULL)
		return;
	if (w->root != NULL)
		mem_free(w->entries);
	else
		tree_entries_free(w->entries, w->tree.count);
	subtree_unref(w->root);
	tree_commit_clear(&w->tree.commit);
	if (w->source.release != NULL)
		w->source.release(w->source.arg);
	mem_free(w);
}

int
tree_entry_compare(const void *a, const void *b)
{
	const struct tree_entry *x = a, *y = b;

	return strcmp(x->path, y->path);
}

const struct tree_entry *
tree_find(const struct tree *t, const char *path)
{
	struct tree_entry key = { .path = path };

	if (t->count == 0)
		return NULL;
	return bsearch(&key, t->entries, t->count, sizeof(key),
	    tree_entry_compare);
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
