/* What a fetch child brought, from its folder into the mirror. The child talked
 * to the network, so its files are input like any other: only packs and loose
 * objects with proper names are looked at, each is indexed or hashed anew here
 * (an index of the child's could say that one object is another), and all that
 * the tip needs is walked before anything is moved. */

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/text.h"
#include "policies/objects.h"
#include "policies/repo_private.h"
#include "policies/repo_whole.h"

/* Where verified objects wait: an object folder of our own. */
#define VERIFIED "verified"

struct taking {
	struct repo *repo;
	char *from;     /* the child's object folder */
	char *verified; /* ours, beside it on the same disk */
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
	TRY(repo_whole(t->repo, t->verified, tip, e));
	TRY(move_all(t, e));
	rc = git_odb_refresh(t->repo->odb);
	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "%s", t->repo->dir);
}

static void
taking_clear(struct taking *t)
{
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
