/* A commit's tree, straight from Git objects. */

#include <string.h>

#include "core/mem.h"
#include "policies/packs.h"
#include "policies/repo_private.h"
#include "policies/tree_private.h"

struct git_source {
	git_odb *odb;  /* counted: a tree may outlive its repository's handle */
	char *objects; /* folder, for further threads */
	struct packs *packs; /* opened when the first blob is asked for */
};

static struct packs *
packs_of(struct git_source *s)
{
	if (s->packs == NULL)
		s->packs = packs_open(s->objects);
	return s->packs;
}

static enum err_code
git_source_read(void *arg, const struct tree_entry *entry, struct buf *out,
    struct err *e)
{
	struct git_source *s = arg;
	GITLIB_AUTO(odb_object, object);
	git_oid id;
	int rc;

	TRY(gitlib_oid(&id, entry->id, e));
	if (packs_read(packs_of(s), &id, (size_t)entry->size, out))
		return ERR_OK;
	rc = git_odb_read(&object, s->odb, &id);
	if (rc != 0) {
		return gitlib_damaged(e, "%s", entry->path);
	}
	/* Neither a delta's header nor a size that was known says what it is
	 * of. */
	if (git_odb_object_type(object) != GIT_OBJECT_BLOB)
		return err_set(e, ERR_CORRUPT, "%s: object %s is no file",
		    entry->path, entry->id);
	/* The size was promised by the object's header. */
	if (git_odb_object_size(object) != (size_t)entry->size)
		return err_set(e, ERR_CORRUPT,
		    "%s: blob %s has another size "
		    "than its header says",
		    entry->path, entry->id);
	buf_add(out, git_odb_object_data(object), (size_t)entry->size);
	return buf_check(out, entry->path, e);
}

static void
git_source_release(void *arg)
{
	struct git_source *s = arg;

	git_odb_free(s->odb);
	packs_free(s->packs);
	mem_free(s->objects);
	mem_free(s);
}

/* libgit2's handles are for one thread each. */
static enum err_code
git_source_another(void *arg, struct tree_source *out, struct err *e)
{
	const struct git_source *first = arg;
	struct git_source *s;
	git_odb *odb;
	int rc = git_odb_open(&odb, first->objects);

	if (rc != 0)
		return gitlib_err(e, rc, "%s", first->objects);
	s = mem_zalloc(sizeof(*s));
	s->odb = odb;
	s->objects = mem_strdup(first->objects);
	*out = (struct tree_source){ .read = git_source_read,
		.release = git_source_release,
		.arg = s,
		.another = git_source_another };
	return ERR_OK;
}

/* -- sizes that are known already ----------------------------------------- */

void
repo_tree_forget(struct repo *r)
{
	mem_free(r->sizes.slots);
	r->sizes = (struct repo_sizes){ 0 };
	subtree_unref(r->last);
	r->last = NULL;
}

/* Where this id is, or would be. Ids are evenly spread by themselves. */
static struct repo_size *
size_slot(const struct repo_sizes *s, const git_oid *id)
{
	size_t i;

	memcpy(&i, id->id, sizeof(i));
	for (i &= s->room - 1; s->slots[i].size_plus_one != 0;
	     i = (i + 1) & (s->room - 1)) {
		if (memcmp(id->id, s->slots[i].id.id, sizeof(id->id)) == 0)
			break;
	}
	return &s->slots[i];
}

static void
sizes_grow(struct repo_sizes *s)
{
	struct repo_sizes old = *s;

	s->count = 0;
	if (old.room < REPO_SIZES_MAX) {
		s->room = old.room == 0 ? 1024 : old.room * 2;
		s->slots = mem_array(s->room, sizeof(*s->slots));
	} else {
		memset(s->slots, 0, s->room * sizeof(*s->slots));
		return;
	}
	for (size_t i = 0; i < old.room; i++) {
		if (old.slots[i].size_plus_one == 0)
			continue;
		*size_slot(s, &old.slots[i].id) = old.slots[i];
		s->count++;
	}
	mem_free(old.slots);
}

static void
sizes_add(struct repo_sizes *s, const git_oid *id, size_t size)
{
	struct repo_size *slot;

	if (s->count >= s->room / 2)
		sizes_grow(s);
	slot = size_slot(s, id);
	s->count += slot->size_plus_one == 0;
	slot->id = *id;
	slot->size_plus_one = (uint32_t)size + 1;
}

static bool
sizes_find(const struct repo_sizes *s, const git_oid *id, size_t *size)
{
	const struct repo_size *slot = s->room > 0 ? size_slot(s, id) : NULL;

	if (slot == NULL || slot->size_plus_one == 0)
		return false;
	*size = slot->size_plus_one - 1;
	return true;
}

void
repo_know_size(struct repo *r, const char *id, int64_t size)
{
	git_oid oid;

	if (size >= 0 && size <= TREE_BLOB_MAX &&
	    gitlib_oid(&oid, id, NULL) == ERR_OK)
		sizes_add(&r->sizes, &oid, (size_t)size);
}

/* -- walking -------------------------------------------------------------- */

struct level {
	git_tree *tree;
	size_t next;
	size_t prefix;             /* bytes of path before this level's names */
	struct subtree *made;      /* this folder as far as it is read */
	const struct subtree *old; /* the same path in the tree read before */
};

struct walk {
	struct repo *repo;
	struct git_source *source;
	struct level levels[TREE_DEPTH_MAX + 1];
	size_t depth;
	struct subtree_sums sums; /* of all that was met */
	struct subtree *root;     /* once all is read */
	char path[TREE_PATH_MAX + 2];
};

/* The path is the folder's, slash at its end. */
static enum err_code
push_level(struct walk *w, const git_oid *id, const struct subtree *old,
    struct err *e)
{
	struct level *l = &w->levels[w->depth];
	size_t prefix = strlen(w->path);
	char hex[TREE_ID_SIZE];
	enum err_code code;

	/* A folder of folders without files has no other bound. */
	if (++w->sums.folders > TREE_FOLDERS_MAX)
		return err_set(e, ERR_LIMIT,
		    "more than %d folders; split the policy repository",
		    (int)TREE_FOLDERS_MAX);
	code = repo_tree_object(&l->tree, w->repo->git, id, e);
	if (code != ERR_OK && prefix > 0)
		return err_add(e, "%.*s", (int)prefix - 1, w->path);
	if (code != ERR_OK)
		return code;
	gitlib_hex(hex, id);
	l->made = subtree_new(hex, w->path);
	l->old = old;
	l->next = 0;
	l->prefix = prefix;
	w->depth++;
	return ERR_OK;
}

/* The folder is whole: it goes into the one above, or is the root. */
static void
take_folder(struct walk *w, struct subtree *s)
{
	if (w->depth == 0)
		w->root = s;
	else
		subtree_add_folder(w->levels[w->depth - 1].made, s);
}

static void
pop_level(struct walk *w)
{
	struct level *l = &w->levels[--w->depth];

	git_tree_free(l->tree);
	subtree_end(l->made);
	take_folder(w, l->made);
}

/* As it was in the tree read before, when it is the same and all of it fits; a
 * limit that it would pass is met where it is passed. */
static bool
take_known(struct walk *w, const git_oid *id, struct subtree *old)
{
	const struct subtree_sums *more;
	char hex[TREE_ID_SIZE];

	if (old == NULL)
		return false;
	gitlib_hex(hex, id);
	more = subtree_sums(old);
	if (strcmp(subtree_id(old), hex) != 0 ||
	    w->sums.files + more->files > TREE_FILES_MAX ||
	    w->sums.folders + more->folders > TREE_FOLDERS_MAX ||
	    w->sums.total + more->total > TREE_TOTAL_MAX)
		return false;
	w->sums.files += more->files;
	w->sums.folders += more->folders;
	w->sums.total += more->total;
	take_folder(w, subtree_ref(old));
	return true;
}

static enum err_code
enter_folder(struct walk *w, const git_oid *id, struct subtree *old,
    struct err *e)
{
	return take_known(w, id, old) ? ERR_OK : push_level(w, id, old, e);
}

static enum err_code
set_path(struct walk *w, size_t prefix, const char *name, struct err *e)
{
	size_t len = strlen(name);

	if (strchr(name, '/') != NULL) {
		w->path[prefix] = '\0';
		return err_set(e, ERR_INVALID,
		    "folder \"%s\" has a name with a slash in it; write the "
		    "tree anew with git",
		    w->path);
	}
	if (prefix + len > TREE_PATH_MAX) {
		AUTO_STR whole =
		    mem_printf("%.*s%s", (int)prefix, w->path, name);

		return tree_check_path(whole, e);
	}
	memcpy(w->path + prefix, name, len + 1);
	return tree_check_path(w->path, e);
}

/* The size from the object's header, before anything is read. */
static enum err_code
blob_size(struct walk *w, const git_oid *id, const char *hex, size_t *size,
    struct err *e)
{
	git_object_t type;

	if (sizes_find(&w->repo->sizes, id, size))
		return ERR_OK;
	if (!packs_size(packs_of(w->source), id, size)) {
		if (git_odb_read_header(size, &type, w->repo->odb, id) != 0)
			return gitlib_damaged(e, "%s: blob %s", w->path, hex);
		if (type != GIT_OBJECT_BLOB)
			return err_set(e, ERR_CORRUPT,
			    "%s: object %s is no file", w->path, hex);
	}
	if (*size <= TREE_BLOB_MAX)
		sizes_add(&w->repo->sizes, id, *size);
	else if (*size > INT64_MAX)
		*size = INT64_MAX;
	return ERR_OK;
}

static enum err_code
add_blob(struct walk *w, const git_tree_entry *entry, struct err *e)
{
	const git_oid *id = git_tree_entry_id(entry);
	char hex[TREE_ID_SIZE];
	size_t size;

	gitlib_hex(hex, id);
	TRY(blob_size(w, id, hex, &size, e));
	TRY(tree_check_size(w->path, (int64_t)size, e));
	w->sums.files++;
	w->sums.total += (int64_t)size;
	TRY(tree_check_room(w->path, w->sums.files, w->sums.total, e));
	subtree_add_file(w->levels[w->depth - 1].made, w->path, hex,
	    (int64_t)size);
	return ERR_OK;
}

static enum err_code
add_folder(struct walk *w, const git_tree_entry *entry, struct err *e)
{
	size_t len = strlen(w->path);

	if (w->depth > TREE_DEPTH_MAX - 1)
		return err_set(e, ERR_INVALID,
		    "\"%s\": the path is nested deeper than %d folders; move "
		    "it up",
		    w->path, (int)TREE_DEPTH_MAX);
	if (len == TREE_PATH_MAX)
		return err_set(e, ERR_INVALID,
		    "\"%.100s...\": the path is longer than %d bytes", w->path,
		    (int)TREE_PATH_MAX);
	memcpy(w->path + len, "/", 2);
	return enter_folder(w, git_tree_entry_id(entry),
	    subtree_below(w->levels[w->depth - 1].old, w->path), e);
}

static enum err_code
add_entry(struct walk *w, const git_tree_entry *entry, struct err *e)
{
	switch ((int)git_tree_entry_filemode_raw(entry) & 0170000) {
	case 0040000:
		return add_folder(w, entry, e);
	case 0100000:
		return add_blob(w, entry, e);
	case 0120000:
		return err_set(e, ERR_INVALID,
		    "%s: a symbolic link, which bundles cannot hold; put a "
		    "copy of the file in its place",
		    w->path);
	case 0160000:
		return err_set(e, ERR_INVALID,
		    "%s: a submodule, which is never fetched; put its files "
		    "into this repository",
		    w->path);
	default:
		return err_set(e, ERR_INVALID,
		    "%s: mode %o is neither a file nor a folder; write the "
		    "tree anew with git",
		    w->path, (unsigned int)git_tree_entry_filemode_raw(entry));
	}
}

static enum err_code
walk_all(struct walk *w, const git_oid *root, struct err *e)
{
	TRY(enter_folder(w, root, w->repo->last, e));
	while (w->depth > 0) {
		struct level *l = &w->levels[w->depth - 1];
		const git_tree_entry *entry =
		    git_tree_entry_byindex(l->tree, l->next++);

		if (entry == NULL) {
			pop_level(w);
			continue;
		}
		TRY(set_path(w, l->prefix, git_tree_entry_name(entry), e));
		TRY(add_entry(w, entry, e));
	}
	return ERR_OK;
}

static enum err_code
gather(struct repo *r, struct git_source *source, const git_oid *root,
    struct subtree **out, struct err *e)
{
	struct walk *w = mem_zalloc(sizeof(*w));
	enum err_code code;

	w->repo = r;
	w->source = source;
	code = walk_all(w, root, e);
	while (w->depth > 0) {
		struct level *l = &w->levels[--w->depth];

		git_tree_free(l->tree);
		subtree_unref(l->made);
	}
	*out = w->root;
	mem_free(w);
	return code;
}

/* For the next commit, which mostly is this one again. */
static void
remember(struct repo *r, struct subtree *root)
{
	subtree_unref(r->last);
	r->last = NULL;
	if (subtree_sums(root)->memory <= REPO_LAST_MAX)
		r->last = subtree_ref(root);
}

static enum err_code
read_tree(struct repo *r, const git_commit *c, const struct tree_source *source,
    struct tree **out, struct err *e)
{
	struct subtree *root = NULL;
	struct tree_commit facts;
	enum err_code code =
	    gather(r, source->arg, git_commit_tree_id(c), &root, e);

	if (code != ERR_OK)
		return code;
	repo_commit_facts(&facts, c);
	code = subtree_tree(out, root, source, &facts, e);
	if (code == ERR_OK)
		remember(r, root);
	subtree_unref(root);
	tree_commit_clear(&facts);
	return code;
}

enum err_code
repo_tree(struct repo *r, const char *commit, struct tree **out, struct err *e)
{
	struct tree_source source = { .read = git_source_read,
		.release = git_source_release,
		.another = git_source_another };
	struct git_source *s;
	GITLIB_AUTO(commit, c);
	enum err_code code;
	git_odb *odb;
	git_oid id;
	int rc;

	TRY(gitlib_oid(&id, commit, e));
	TRY(repo_commit(&c, r->git, &id, e));
	rc = git_repository_odb(&odb, r->git);
	if (rc != 0)
		return gitlib_err(e, rc, "%s", r->dir);
	s = mem_zalloc(sizeof(*s));
	s->odb = odb;
	s->objects = mem_printf("%s/objects", git_repository_commondir(r->git));
	source.arg = s;
	code = read_tree(r, c, &source, out, e);
	if (code == ERR_OK)
		return ERR_OK;
	git_source_release(s);
	return err_add(e, "commit %.12s", commit);
}
