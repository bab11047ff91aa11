/* What a fetch child brought, from its folder into the mirror. The child talked
 * to the network, so its files are input like any other: only packs and loose
 * objects with proper names are looked at, each is indexed or hashed anew here
 * (an index of the child's could say that one object is another), and all that
 * the tip needs is walked before anything is moved. */

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include <git2/sys/repository.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/text.h"
#include "policies/objects.h"
#include "policies/repo_private.h"

enum { NEW_OBJECTS_MAX = 10000000, TREE_NEST_MAX = 1024 };

/* Where verified objects wait: an object folder of our own. */
#define VERIFIED "verified"

struct taking {
	struct repo *repo;
	char *from;          /* the child's object folder */
	char *verified;      /* ours, beside it on the same disk */
	git_repository *git; /* sees the mirror and verified, nothing else */
	struct seen_tree *seen;
	size_t objects;
};

struct seen_tree {
	git_oid id;
	UT_hash_handle hh;
};

/* -- bringing over -------------------------------------------------------- */

static enum err_code
index_packs(struct taking *t, struct err *e)
{
	AUTO_STR dir = file_path(t->from, "pack");
	AUTO_STR to = file_path(t->verified, "pack");
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;

	if (access(dir, F_OK) != 0)
		return ERR_OK;
	TRY(file_list(&list, dir, OBJECTS_PACKS_MAX, e));
	for (size_t i = 0; code == ERR_OK && i < list.count; i++) {
		AUTO_STR path = file_path(dir, list.names[i]);

		if (objects_is_pack(list.names[i], ".pack"))
			code =
			    objects_index_pack(path, to, t->repo->odb, NULL, e);
	}
	file_names_clear(&list);
	return code;
}

/* Reading checks the hash (strict hash verification); writing names the file
 * by what was read. */
static enum err_code
copy_loose(git_odb *from, git_odb *to, const char *hex, struct err *e)
{
	GITLIB_AUTO(odb_object, object);
	git_object_t type;
	size_t size;
	git_oid id;
	int rc;

	TRY(gitlib_oid(&id, hex, e));
	rc = git_odb_read_header(&size, &type, from, &id);
	if (rc == 0 && size > GITLIB_OBJECT_MAX)
		return err_set(e, ERR_LIMIT,
		    "object %s: %zu bytes; at most %d are taken in", hex, size,
		    (int)GITLIB_OBJECT_MAX);
	if (rc == 0)
		rc = git_odb_read(&object, from, &id);
	if (rc != 0) {
		return gitlib_damaged(e, "object %s is damaged", hex);
	}
	rc = git_odb_write(&id, to, git_odb_object_data(object),
	    git_odb_object_size(object), git_odb_object_type(object));
	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "object %s", hex);
}

static enum err_code
copy_loose_folder(const char *dir, const char *two, git_odb *from, git_odb *to,
    struct err *e)
{
	AUTO_STR path = file_path(dir, two);
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;

	TRY(file_list(&list, path, OBJECTS_LOOSE_MAX, e));
	for (size_t i = 0; code == ERR_OK && i < list.count; i++) {
		AUTO_STR file = file_path(path, list.names[i]);
		AUTO_STR hex = mem_printf("%s%s", two, list.names[i]);
		struct stat st;

		if (strlen(hex) == 40 && lstat(file, &st) == 0 &&
		    S_ISREG(st.st_mode))
			code = copy_loose(from, to, hex, e);
	}
	file_names_clear(&list);
	return code;
}

static enum err_code
copy_all_loose(struct taking *t, struct err *e)
{
	GITLIB_AUTO(odb, from);
	GITLIB_AUTO(odb, to);
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;

	TRY(objects_open_loose(&from, t->from, e));
	TRY(objects_open_loose(&to, t->verified, e));
	TRY(file_list(&list, t->from, OBJECTS_PACKS_MAX, e));
	for (size_t i = 0; code == ERR_OK && i < list.count; i++)
		if (text_is_hex(list.names[i], 2))
			code = copy_loose_folder(t->from, list.names[i], from,
			    to, e);
	file_names_clear(&list);
	return code;
}

/* -- is all there that the tip needs? ------------------------------------- */

static enum err_code
open_both(struct taking *t, struct err *e)
{
	AUTO_STR mirror = mem_printf("%s/objects", t->repo->dir);
	GITLIB_AUTO(odb, odb);
	int rc = git_odb_open(&odb, t->verified);

	if (rc == 0)
		rc = git_odb_add_disk_alternate(odb, mirror);
	if (rc == 0)
		rc = git_repository_wrap_odb(&t->git, odb);
	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "%s", t->verified);
}

/* True once per id. */
static bool
first_time(struct taking *t, const git_oid *id)
{
	struct seen_tree *s;

	HASH_FIND(hh, t->seen, id, sizeof(*id), s);
	if (s != NULL)
		return false;
	s = mem_zalloc(sizeof(*s));
	git_oid_cpy(&s->id, id);
	HASH_ADD(hh, t->seen, id, sizeof(s->id), s);
	return true;
}

static enum err_code
check_blob(struct taking *t, const git_tree_entry *entry, struct err *e)
{
	GITLIB_AUTO(odb, odb);
	char hex[TREE_ID_SIZE];
	git_object_t type;
	size_t size;
	int rc = git_repository_odb(&odb, t->git);

	if (rc == 0)
		rc = git_odb_read_header(&size, &type, odb,
		    git_tree_entry_id(entry));
	if (rc == 0 && type == GIT_OBJECT_BLOB)
		return ERR_OK;
	gitlib_hex(hex, git_tree_entry_id(entry));
	return err_set(e, ERR_CORRUPT,
	    "blob %s is missing from what was fetched", hex);
}

struct pair {
	git_tree *tree;
	git_tree *base; /* whole already, or NULL */
	size_t next;
};

struct pairs {
	struct pair at[TREE_NEST_MAX];
	size_t depth;
};

static enum err_code
push_pair(struct taking *t, struct pairs *p, const git_oid *id,
    const git_oid *base, struct err *e)
{
	struct pair *pair = &p->at[p->depth];

	if (p->depth == TREE_NEST_MAX)
		return err_set(e, ERR_LIMIT,
		    "folders are nested deeper than %d", (int)TREE_NEST_MAX);
	memset(pair, 0, sizeof(*pair));
	TRY(repo_tree_object(&pair->tree, t->git, id, e));
	if (base != NULL) {
		enum err_code code =
		    repo_tree_object(&pair->base, t->git, base, e);

		if (code != ERR_OK) {
			git_tree_free(pair->tree);
			return code;
		}
	}
	p->depth++;
	return ERR_OK;
}

static const git_tree_entry *
base_entry(const struct pair *pair, const git_tree_entry *entry)
{
	if (pair->base == NULL)
		return NULL;
	return git_tree_entry_byname(pair->base, git_tree_entry_name(entry));
}

/* What equals the base's entry of that name is there since the base is. */
static enum err_code
check_entry(struct taking *t, struct pairs *p, const git_tree_entry *entry,
    struct err *e)
{
	const struct pair *pair = &p->at[p->depth - 1];
	const git_tree_entry *old = base_entry(pair, entry);
	const git_oid *id = git_tree_entry_id(entry);
	git_object_t type = git_tree_entry_type(entry);
	bool typed = old != NULL && git_tree_entry_type(old) == type;

	if (typed && git_oid_equal(id, git_tree_entry_id(old)))
		return ERR_OK;
	/* A submodule's commit lives elsewhere; the gate refuses it. */
	if (type == GIT_OBJECT_COMMIT)
		return ERR_OK;
	if (++t->objects > NEW_OBJECTS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d new objects",
		    (int)NEW_OBJECTS_MAX);
	if (type == GIT_OBJECT_BLOB)
		return check_blob(t, entry, e);
	if (!first_time(t, id))
		return ERR_OK;
	return push_pair(t, p, id, typed ? git_tree_entry_id(old) : NULL, e);
}

static enum err_code
check_pairs(struct taking *t, struct pairs *p, struct err *e)
{
	while (p->depth > 0) {
		struct pair *pair = &p->at[p->depth - 1];
		const git_tree_entry *entry =
		    git_tree_entry_byindex(pair->tree, pair->next++);

		if (entry != NULL) {
			TRY(check_entry(t, p, entry, e));
			continue;
		}
		git_tree_free(pair->tree);
		git_tree_free(pair->base);
		p->depth--;
	}
	return ERR_OK;
}

static enum err_code
check_tree(struct taking *t, const git_oid *id, const git_oid *base,
    struct err *e)
{
	struct pairs *p;
	enum err_code code;

	if (!first_time(t, id))
		return ERR_OK;
	p = mem_zalloc(sizeof(*p));
	code = push_pair(t, p, id, base, e);
	if (code == ERR_OK)
		code = check_pairs(t, p, e);
	while (p->depth > 0) {
		p->depth--;
		git_tree_free(p->at[p->depth].tree);
		git_tree_free(p->at[p->depth].base);
	}
	mem_free(p);
	return code;
}

/* Parents come first, so that a commit's first parent is whole by now. */
static enum err_code
check_commit(struct taking *t, const git_oid *id, struct err *e)
{
	GITLIB_AUTO(commit, c);
	GITLIB_AUTO(commit, parent);
	const git_oid *base = NULL;
	enum err_code code;

	TRY(repo_commit(&c, t->git, id, e));
	if (git_commit_parentcount(c) > 0) {
		TRY(repo_commit(&parent, t->git, git_commit_parent_id(c, 0),
		    e));
		base = git_commit_tree_id(parent);
	}
	code = check_tree(t, git_commit_tree_id(c), base, e);
	if (code != ERR_OK) {
		char hex[TREE_ID_SIZE];

		gitlib_hex(hex, id);
		return err_add(e, "commit %.12s", hex);
	}
	return ERR_OK;
}

/* Only what our refs reach is known to be whole: a pack may hold commits
 * without what they need. */
static int
hide_known(git_revwalk *walk, struct taking *t)
{
	git_reference_iterator *iterator = NULL;
	git_reference *ref = NULL;
	int rc = git_reference_iterator_glob_new(&iterator, t->repo->git,
	    "refs/edict/*");

	while (rc == 0 && (rc = git_reference_next(&ref, iterator)) == 0) {
		const git_oid *id = git_reference_target(ref);

		if (id != NULL)
			rc = git_revwalk_hide(walk, id);
		git_reference_free(ref);
	}
	git_reference_iterator_free(iterator);
	return rc == GIT_ITEROVER ? 0 : rc;
}

static enum err_code
walk_failed(struct err *e)
{
	return gitlib_damaged(e, "the history is not whole");
}

static enum err_code
check_whole(struct taking *t, const git_oid *tip, struct err *e)
{
	GITLIB_AUTO(revwalk, walk);
	GITLIB_AUTO(commit, c);
	git_oid id;
	int rc;

	TRY(repo_commit(&c, t->git, tip, e));
	rc = git_revwalk_new(&walk, t->git);
	if (rc == 0)
		rc = git_revwalk_sorting(walk,
		    GIT_SORT_TOPOLOGICAL | GIT_SORT_REVERSE);
	if (rc == 0)
		rc = hide_known(walk, t);
	if (rc == 0)
		rc = git_revwalk_push(walk, tip);
	if (rc != 0)
		return walk_failed(e);
	while ((rc = git_revwalk_next(&id, walk)) == 0)
		TRY(check_commit(t, &id, e));
	return rc == GIT_ITEROVER ? ERR_OK : walk_failed(e);
}

/* -- moving --------------------------------------------------------------- */

static enum err_code
move_all(struct taking *t, struct err *e)
{
	AUTO_STR packs = file_path(t->verified, "pack");
	AUTO_STR objects = mem_printf("%s/objects", t->repo->dir);
	AUTO_STR to = file_path(objects, "pack");
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;
	bool loose = false;

	TRY(file_list(&list, t->verified, OBJECTS_PACKS_MAX, e));
	for (size_t i = 0; code == ERR_OK && i < list.count; i++) {
		AUTO_STR a = file_path(t->verified, list.names[i]);
		AUTO_STR b = file_path(objects, list.names[i]);

		if (strlen(list.names[i]) == 2) {
			code = objects_move_loose(a, b, e);
			loose = true;
		}
	}
	file_names_clear(&list);
	TRY(code);
	if (loose)
		TRY(file_sync_dir(objects, e));
	return objects_move_packs(packs, to, e);
}

static enum err_code
take_in(struct taking *t, const git_oid *tip, struct err *e)
{
	AUTO_STR packs = file_path(t->verified, "pack");
	int rc;

	TRY(file_remove_tree(t->verified, e));
	TRY(file_make_dirs(packs, e));
	TRY(index_packs(t, e));
	TRY(copy_all_loose(t, e));
	TRY(open_both(t, e));
	TRY(check_whole(t, tip, e));
	TRY(move_all(t, e));
	rc = git_odb_refresh(t->repo->odb);
	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "%s", t->repo->dir);
}

static void
taking_clear(struct taking *t)
{
	struct seen_tree *s, *next;

	HASH_ITER(hh, t->seen, s, next) {
		HASH_DEL(t->seen, s);
		mem_free(s);
	}
	git_repository_free(t->git);
	mem_free(t->from);
	mem_free(t->verified);
}

enum err_code
repo_take_in(struct repo *r, const char *incoming, const char *tip,
    struct err *e)
{
	struct taking t = { .repo = r };
	enum err_code code;
	struct stat st;
	git_oid id;

	TRY(gitlib_oid(&id, tip, e));
	t.from = file_path(incoming, "objects");
	if (lstat(t.from, &st) != 0 || !S_ISDIR(st.st_mode)) {
		mem_free(t.from);
		t.from = mem_strdup(incoming);
	}
	t.verified = file_path(incoming, VERIFIED);
	code = take_in(&t, &id, e);
	taking_clear(&t);
	if (code != ERR_OK)
		return err_add(e, "what was fetched is not taken over");
	return ERR_OK;
}
