/* Makes a tree of entries that come in any order, and works out its id. */

#include <assert.h>
#include <string.h>

#include "core/mem.h"
#include "core/order.h"
#include "policies/gitlib.h"
#include "policies/tree_private.h"

enum { TREE_OBJECT_MAX = 256 << 20 };

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

void
tree_entries_free(struct tree_entry *entries, size_t count)
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
	tree_entries_free(m->entries, m->count);
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
	TRY(tree_check_room(path, m->count + 1, m->total + size, e));
	m->total += size;
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

	order_sort(m->entries, m->count, sizeof(*m->entries),
	    tree_entry_compare);
	TRY(tree_check_distinct(m->entries, m->count, e));
	if (commit->tree[0] == '\0')
		TRY(work_out_id(commit->tree, m->entries, m->count, e));
	w = tree_whole_new(&m->source, commit);
	w->entries = STEAL(m->entries);
	w->tree.entries = w->entries;
	w->tree.count = m->count;
	w->tree.total = m->total;
	memset(m, 0, sizeof(*m));
	*out = &w->tree;
	return ERR_OK;
}
