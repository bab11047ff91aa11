/* A tree from a folder, for checking what is not committed yet. In a work tree
 * it holds what `git add -A` would commit, with the ids it would get; so a clean
 * work tree gives the tree of HEAD. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/gitlib.h"
#include "policies/tree.h"

struct folder {
	char *root;          /* real path */
	git_repository *git; /* NULL: not in a work tree */
	git_index *index;
	char *prefix;     /* root within the work tree: "" or "sub/" */
	bool ignore_mode; /* core.fileMode is off: the index knows modes */
};

static void
folder_free(struct folder *f)
{
	git_index_free(f->index);
	git_repository_free(f->git);
	mem_free(f->prefix);
	mem_free(f->root);
	mem_free(f);
}

/* -- content -------------------------------------------------------------- */

static enum err_code
read_raw(const struct folder *f, const char *path, struct buf *out,
    mode_t *mode, struct err *e)
{
	AUTO_STR full = file_path(f->root, path);
	enum err_code code;
	struct stat st;
	int fd = open(full, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, "%s", full);
	if (fstat(fd, &st) != 0)
		code = err_errno(e, "%s", full);
	else if (!S_ISREG(st.st_mode))
		code = err_set(e, ERR_INVALID, "%s: not a regular file", full);
	else
		code = tree_check_size(path, st.st_size, e);
	if (code == ERR_OK)
		code = file_read_fd(out, fd, full, e);
	close(fd);
	if (code == ERR_OK && mode != NULL)
		*mode = st.st_mode;
	return code;
}

/* Line ends and the like, as .gitattributes says. */
static enum err_code
apply_filters(const struct folder *f, const char *path, const struct buf *raw,
    struct buf *out, struct err *e)
{
	GITLIB_AUTO(filter_list, filters);
	AUTO_STR inside = mem_printf("%s%s", f->prefix, path);
	git_buf cooked = GIT_BUF_INIT;
	int rc = git_filter_list_load(&filters, f->git, NULL, inside,
	    GIT_FILTER_TO_ODB, GIT_FILTER_DEFAULT);

	if (rc == 0 && filters == NULL) {
		buf_add(out, raw->data, raw->len);
		return buf_check(out, path, e);
	}
	if (rc == 0)
		rc = git_filter_list_apply_to_buffer(&cooked, filters,
		    raw->data, raw->len);
	if (rc != 0)
		return gitlib_err(e, rc, "%s: applying .gitattributes", path);
	buf_add(out, cooked.ptr, cooked.size);
	git_buf_dispose(&cooked);
	return buf_check(out, path, e);
}

static enum err_code
load(const struct folder *f, const char *path, struct buf *out, mode_t *mode,
    struct err *e)
{
	AUTO_BUF raw = { 0 };

	buf_init(&raw, TREE_BLOB_MAX);
	if (f->git == NULL)
		return read_raw(f, path, out, mode, e);
	TRY(read_raw(f, path, &raw, mode, e));
	return apply_filters(f, path, &raw, out, e);
}

static enum err_code
hash(char out[TREE_ID_SIZE], const char *path, const char *data, size_t len,
    struct err *e)
{
	git_oid id;
	int rc = git_odb_hash(&id, data, len, GIT_OBJECT_BLOB);

	if (rc != 0)
		return gitlib_err(e, rc, "%s: hash", path);
	gitlib_hex(out, &id);
	return ERR_OK;
}

static enum err_code
folder_read(void *arg, const struct tree_entry *entry, struct buf *out,
    struct err *e)
{
	const struct folder *f = arg;
	size_t before = out->len;
	char id[TREE_ID_SIZE];
	AUTO_BUF b = { 0 };

	buf_init(&b, TREE_BLOB_MAX);
	TRY(load(f, entry->path, &b, NULL, e));
	TRY(hash(id, entry->path, b.data, b.len, e));
	if (strcmp(id, entry->id) != 0)
		return err_set(e, ERR_CONFLICT,
		    "%s: changed while it was being checked; run it again",
		    entry->path);
	buf_add(out, b.data, b.len);
	if (out->len - before != b.len)
		return buf_check(out, entry->path, e);
	return ERR_OK;
}

static void
folder_release(void *arg)
{
	folder_free(arg);
}

/* -- which work tree? ----------------------------------------------------- */

static bool
tracks_below(const struct folder *f, const char *folder)
{
	return git_index_find_prefix(NULL, f->index, folder) == 0;
}

static bool
is_ignored(const struct folder *f, const char *inside)
{
	int ignored = 0;

	return git_ignore_path_is_ignored(&ignored, f->git, inside) == 0 &&
	    ignored;
}

static void
forget_git(struct folder *f)
{
	git_index_free(STEAL(f->index));
	git_repository_free(STEAL(f->git));
	mem_free(STEAL(f->prefix));
}

static enum err_code
find_prefix(struct folder *f, struct err *e)
{
	char top[PATH_MAX];
	size_t len;

	if (realpath(git_repository_workdir(f->git), top) == NULL)
		return err_errno(e, "%s", git_repository_workdir(f->git));
	len = strlen(top);
	if (strcmp(f->root, top) == 0)
		f->prefix = mem_strdup("");
	else if (strncmp(f->root, top, len) == 0 && f->root[len] == '/')
		f->prefix = mem_printf("%s/", f->root + len + 1);
	else /* core.worktree points elsewhere */
		forget_git(f);
	return ERR_OK;
}

static bool
mode_is_ignored(git_repository *git)
{
	GITLIB_AUTO(config, config);
	int mode = 1;

	return git_repository_config_snapshot(&config, git) == 0 &&
	    git_config_get_bool(&mode, config, "core.filemode") == 0 && !mode;
}

static enum err_code
find_git(struct folder *f, struct err *e)
{
	int rc = git_repository_open_ext(&f->git, f->root, 0, NULL);

	if (rc == GIT_ENOTFOUND)
		return ERR_OK;
	if (rc != 0)
		return gitlib_err(e, rc, "%s: open its repository", f->root);
	if (git_repository_is_bare(f->git)) {
		forget_git(f);
		return ERR_OK;
	}
	rc = git_repository_index(&f->index, f->git);
	if (rc != 0)
		return gitlib_err(e, rc, "%s: read the index", f->root);
	TRY(find_prefix(f, e));
	if (f->git == NULL)
		return ERR_OK;
	f->ignore_mode = mode_is_ignored(f->git);
	/* A folder that its repository ignores as a whole is no part of it. */
	if (f->prefix[0] != '\0' && !tracks_below(f, f->prefix) &&
	    is_ignored(f, f->prefix))
		forget_git(f);
	return ERR_OK;
}

/* -- walking -------------------------------------------------------------- */

struct visit {
	struct folder *folder;
	struct tree_maker *maker;
	char **todo; /* folders to look into, "" is the root */
	size_t count, room, folders;
	struct buf content;
};

static enum err_code
push(struct visit *v, const char *path, struct err *e)
{
	if (++v->folders > TREE_FOLDERS_MAX)
		return err_set(e, ERR_LIMIT,
		    "more than %d folders; name a smaller folder",
		    (int)TREE_FOLDERS_MAX);
	if (v->count == v->room) {
		v->room = v->room == 0 ? 64 : v->room * 2;
		v->todo = mem_grow(v->todo, v->room, sizeof(*v->todo));
	}
	v->todo[v->count++] = mem_strdup(path);
	return ERR_OK;
}

static enum err_code
add_folder(struct visit *v, const char *path, const char *full, struct err *e)
{
	AUTO_STR inner = file_path(full, ".git");

	TRY(tree_check_path(path, e));
	if (access(inner, F_OK) == 0)
		return err_set(e, ERR_INVALID,
		    "%s: a repository of its own (a submodule), which is never "
		    "fetched; put its files into this repository",
		    path);
	return push(v, path, e);
}

static bool
is_executable(const struct folder *f, const char *path, mode_t mode)
{
	if (f->ignore_mode) {
		AUTO_STR inside = mem_printf("%s%s", f->prefix, path);
		const git_index_entry *entry =
		    git_index_get_bypath(f->index, inside, 0);

		return entry != NULL && (entry->mode & 0100) != 0;
	}
	return (mode & 0100) != 0;
}

static enum err_code
add_file(struct visit *v, const char *path, struct err *e)
{
	struct folder *f = v->folder;
	char id[TREE_ID_SIZE];
	mode_t mode;

	TRY(tree_check_path(path, e));
	buf_reset(&v->content);
	TRY(load(f, path, &v->content, &mode, e));
	TRY(hash(id, path, v->content.data, v->content.len, e));
	return tree_maker_add(v->maker, path, id, (int64_t)v->content.len,
	    is_executable(f, path, mode), e);
}

/* As git has it: what is tracked counts even where it is ignored. */
static bool
left_out(const struct folder *f, const char *path, bool is_folder)
{
	AUTO_STR inside = NULL;

	if (f->git == NULL)
		return false;
	inside = mem_printf("%s%s%s", f->prefix, path, is_folder ? "/" : "");
	if (is_folder ? tracks_below(f, inside)
		      : git_index_get_bypath(f->index, inside, 0) != NULL)
		return false;
	return is_ignored(f, inside);
}

static enum err_code
add_name(struct visit *v, const char *path, struct err *e)
{
	AUTO_STR full = file_path(v->folder->root, path);
	struct stat st;

	if (lstat(full, &st) != 0)
		return err_errno(e, "%s", full);
	if (left_out(v->folder, path, S_ISDIR(st.st_mode)))
		return ERR_OK;
	if (S_ISDIR(st.st_mode))
		return add_folder(v, path, full, e);
	if (S_ISREG(st.st_mode))
		return add_file(v, path, e);
	if (S_ISLNK(st.st_mode))
		return err_set(e, ERR_INVALID,
		    "%s: a symbolic link, which bundles cannot hold; put a "
		    "copy of the file in its place",
		    path);
	return err_set(e, ERR_INVALID,
	    "%s: neither a file nor a folder; remove it or add it to "
	    ".gitignore",
	    path);
}

static enum err_code
look_into(struct visit *v, const char *folder, struct err *e)
{
	AUTO_STR full = file_path(v->folder->root, folder);
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;

	TRY(file_list(&list, full, TREE_FILES_MAX, e));
	for (size_t i = 0; code == ERR_OK && i < list.count; i++) {
		AUTO_STR path = folder[0] == '\0'
		    ? mem_strdup(list.names[i])
		    : file_path(folder, list.names[i]);

		if (strcmp(path, ".git") != 0)
			code = add_name(v, path, e);
	}
	file_names_clear(&list);
	return code;
}

static enum err_code
visit_all(struct visit *v, struct err *e)
{
	TRY(push(v, "", e));
	while (v->count > 0) {
		AUTO_STR folder = v->todo[--v->count];

		TRY(look_into(v, folder, e));
	}
	return ERR_OK;
}

enum err_code
tree_from_folder(struct tree **out, const char *path, struct err *e)
{
	struct folder *f = mem_zalloc(sizeof(*f));
	struct tree_source source = { .read = folder_read,
		.release = folder_release,
		.arg = f };
	AUTO(tree_maker, maker) = tree_maker_new(source);
	struct visit v = { .folder = f, .maker = maker };
	struct tree_commit commit = { 0 };
	char real[PATH_MAX];
	enum err_code code;

	TRY(gitlib_init(e));
	if (realpath(path, real) == NULL)
		return err_errno(e, "%s", path);
	f->root = mem_strdup(real);
	TRY(find_git(f, e));
	buf_init(&v.content, TREE_BLOB_MAX);
	code = visit_all(&v, e);
	buf_clear(&v.content);
	while (v.count > 0)
		mem_free(v.todo[--v.count]);
	mem_free(v.todo);
	if (code == ERR_OK)
		code = tree_maker_end(maker, &commit, out, e);
	if (code != ERR_OK)
		return err_add(e, "%s", path);
	return ERR_OK;
}
