#include "policies/subtree.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/order.h"
#include "policies/tree_private.h"

/* Where a folder comes among the files beside it. */
struct child {
	struct subtree *folder;
	size_t before; /* files that come earlier */
};

struct subtree {
	atomic_uint refs;
	char id[TREE_ID_SIZE];
	/* All names in it and below it come as Git sorts them, and differ by
	 * more than case: then so do all paths. */
	bool tidy;
	struct buf text; /* its path, then its files', each with a NUL */
	const char *path;
	struct tree_entry *files;
	size_t count, room;
	struct child *children;
	size_t child_count, child_room;
	struct subtree_sums sums;
};

/* ---- one folder ---- */

struct subtree *
subtree_new(const char *id, const char *path)
{
	struct subtree *s = mem_zalloc(sizeof(*s));

	atomic_init(&s->refs, 1);
	memcpy(s->id, id, TREE_ID_SIZE);
	buf_init(&s->text, (size_t)(TREE_FILES_MAX + 1) * (TREE_PATH_MAX + 1));
	buf_add(&s->text, path, strlen(path) + 1);
	s->tidy = true;
	s->sums.folders = 1;
	return s;
}

void
subtree_add_file(struct subtree *s, const char *path, const char *id,
    int64_t size)
{
	struct tree_entry *entry;

	if (s->count == s->room) {
		s->room = s->room == 0 ? 16 : s->room * 2;
		s->files = mem_grow(s->files, s->room, sizeof(*s->files));
	}
	entry = &s->files[s->count++];
	entry->path = NULL; /* the text still moves */
	entry->size = size;
	memcpy(entry->id, id, TREE_ID_SIZE);
	buf_add(&s->text, path, strlen(path) + 1);
	s->sums.files++;
	s->sums.total += size;
}

void
subtree_add_folder(struct subtree *s, struct subtree *below)
{
	if (s->child_count == s->child_room) {
		s->child_room = s->child_room == 0 ? 4 : s->child_room * 2;
		s->children =
		    mem_grow(s->children, s->child_room, sizeof(*s->children));
	}
	s->children[s->child_count++] = (struct child){ below, s->count };
	s->tidy = s->tidy && below->tidy;
	s->sums.files += below->sums.files;
	s->sums.folders += below->sums.folders;
	s->sums.total += below->sums.total;
	s->sums.memory += below->sums.memory;
}

/* Calls see for each name in it, in the order they came, until it says false;
 * a folder's has its slash. */
static bool
each_name(const struct subtree *s,
    bool (*see)(void *arg, const char *name, size_t len), void *arg)
{
	size_t prefix = strlen(s->path), c = 0;

	for (size_t i = 0; i <= s->count; i++) {
		for (; c < s->child_count && s->children[c].before == i; c++) {
			const char *name = s->children[c].folder->path + prefix;

			if (!see(arg, name, strlen(name)))
				return false;
		}
		if (i < s->count &&
		    !see(arg, s->files[i].path + prefix,
			strlen(s->files[i].path + prefix)))
			return false;
	}
	return true;
}

static bool
see_order(void *arg, const char *name, size_t len)
{
	const char **before = arg;
	bool ordered = *before == NULL || strcmp(*before, name) < 0;

	(void)len;
	*before = name;
	return ordered;
}

/* Names without their case, one behind the other. */
struct folded_names {
	char *text;
	size_t len;
	const char **names;
	size_t count;
};

static bool
see_folded(void *arg, const char *name, size_t len)
{
	struct folded_names *f = arg;

	if (name[len - 1] == '/')
		len--;
	f->names[f->count++] = f->text + f->len;
	f->len += tree_fold(f->text + f->len, name, len);
	f->text[f->len++] = '\0';
	return true;
}

static int
name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool
see_len(void *arg, const char *name, size_t len)
{
	size_t *sum = arg;

	(void)name;
	*sum += len * 2 + 1;
	return true;
}

static bool
names_differ(const struct subtree *s)
{
	struct folded_names f = { 0 };
	size_t room = 1;
	bool differ = true;

	(void)each_name(s, see_len, &room);
	f.text = mem_alloc(room);
	f.names = mem_array(s->count + s->child_count + 1, sizeof(*f.names));
	(void)each_name(s, see_folded, &f);
	order_sort(f.names, f.count, sizeof(*f.names), name_compare);
	for (size_t i = 1; differ && i < f.count; i++)
		differ = strcmp(f.names[i - 1], f.names[i]) != 0;
	mem_free(f.text);
	mem_free(f.names);
	return differ;
}

void
subtree_end(struct subtree *s)
{
	const char *before = NULL;
	const char *text = s->text.data;

	/* Paths of at most TREE_FILES_MAX files, each checked. */
	assert(!s->text.overflow);
	s->path = text;
	if (s->count > 0)
		s->files = mem_grow(s->files, s->count, sizeof(*s->files));
	s->room = s->count;
	for (size_t i = 0; i < s->count; i++) {
		text += strlen(text) + 1;
		s->files[i].path = text;
	}
	s->tidy = s->tidy && each_name(s, see_order, &before) &&
	    names_differ(s);
	s->sums.memory += sizeof(*s) + s->room * sizeof(*s->files) +
	    s->child_room * sizeof(*s->children) + s->text.cap;
}

struct subtree *
subtree_ref(struct subtree *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void
subtree_unref(struct subtree *s)
{
	if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < s->child_count; i++)
		subtree_unref(s->children[i].folder);
	mem_free(s->children);
	mem_free(s->files);
	buf_clear(&s->text);
	mem_free(s);
}

static int
child_compare(const void *path, const void *child)
{
	const struct child *c = child;

	return strcmp(path, c->folder->path);
}

struct subtree *
subtree_below(const struct subtree *s, const char *path)
{
	const struct child *c;

	/* In a folder out of order some are not found, and read again. */
	if (s == NULL || s->child_count == 0)
		return NULL;
	c = bsearch(path, s->children, s->child_count, sizeof(*s->children),
	    child_compare);
	return c != NULL ? c->folder : NULL;
}

const struct subtree_sums *
subtree_sums(const struct subtree *s)
{
	return &s->sums;
}

const char *
subtree_id(const struct subtree *s)
{
	return s->id;
}

/* ---- all of them ---- */

/* At most TREE_DEPTH_MAX levels. */
static struct tree_entry *
copy_entries(struct tree_entry *to, const struct subtree *s)
{
	size_t from = 0;

	for (size_t c = 0; c <= s->child_count; c++) {
		size_t end = c < s->child_count ? s->children[c].before
						: s->count;

		if (end > from)
			memcpy(to, &s->files[from], (end - from) * sizeof(*to));
		to += end - from;
		from = end;
		if (c < s->child_count)
			to = copy_entries(to, s->children[c].folder);
	}
	return to;
}

enum err_code
subtree_tree(struct tree **out, struct subtree *root,
    const struct tree_source *source, struct tree_commit *commit, struct err *e)
{
	const struct subtree_sums *sums = &root->sums;
	struct tree_entry *entries =
	    mem_alloc((sums->files + 1) * sizeof(*entries));
	enum err_code code = ERR_OK;
	struct tree_whole *w;

	(void)copy_entries(entries, root);
	if (!root->tidy) {
		order_sort(entries, sums->files, sizeof(*entries),
		    tree_entry_compare);
		code = tree_check_distinct(entries, sums->files, e);
	}
	if (code != ERR_OK) {
		mem_free(entries);
		return code;
	}
	w = tree_whole_new(source, commit);
	w->root = subtree_ref(root);
	w->entries = entries;
	w->tree.entries = entries;
	w->tree.count = sums->files;
	w->tree.total = sums->total;
	*out = &w->tree;
	return ERR_OK;
}

bool
tree_folder_id(const struct tree *t, const char *path, char out[TREE_ID_SIZE])
{
	const struct subtree *s = ((const struct tree_whole *)t)->root;
	char part[TREE_PATH_MAX + 2];
	size_t len = 0;

	/* Folders out of order may not be found, and two of one name are one:
	 * of such a tree nobody shall think that a folder is not there. */
	if (s != NULL && !s->tidy)
		return false;
	while (s != NULL && path[len] != '\0') {
		len += strcspn(path + len, "/");
		if (len > TREE_PATH_MAX)
			return false;
		memcpy(part, path, len);
		memcpy(part + len, "/", 2);
		s = subtree_below(s, part);
		len += path[len] == '/';
	}
	if (s != NULL)
		memcpy(out, s->id, TREE_ID_SIZE);
	return s != NULL;
}
