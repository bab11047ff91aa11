#include "policies/objects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/text.h"

enum { PACK_STEP = 1 << 20 };

bool
objects_is_pack(const char *name, const char *end)
{
	return strncmp(name, "pack-", 5) == 0 &&
	    strspn(name + 5, "0123456789abcdef") == OBJECTS_PACK_NAME &&
	    strcmp(name + 5 + OBJECTS_PACK_NAME, end) == 0;
}

/* -- indexing ------------------------------------------------------------- */

static enum err_code
open_regular(int *out, const char *path, struct err *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, "%s", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, ERR_INVALID, "%s: not a regular file", path);
	}
	*out = fd;
	return ERR_OK;
}

static bool
is_over(const struct objects_patience *p)
{
	return p != NULL && p->over(p->arg);
}

/* Resolving deltas reports too, so that this can be ended half-way. */
static int
on_progress(const git_indexer_progress *progress, void *arg)
{
	(void)progress;
	return is_over(arg) ? GIT_EUSER : 0;
}

static enum err_code
feed(git_indexer *indexer, int fd, const char *path,
    const struct objects_patience *patience, struct err *e)
{
	AUTO_STR step = mem_alloc(PACK_STEP);
	git_indexer_progress progress = { 0 };
	int rc = 0;

	while (rc == 0) {
		ssize_t n = read(fd, step, PACK_STEP);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, "%s: read", path);
		if (n == 0)
			break;
		rc = git_indexer_append(indexer, step, (size_t)n, &progress);
	}
	if (rc == 0)
		rc = git_indexer_commit(indexer, &progress);
	if (rc == 0)
		return ERR_OK;
	if (rc == GIT_EUSER || is_over(patience))
		return err_set(e, ERR_UNAVAILABLE, "%s: given up", path);
	return gitlib_damaged(e, "%s: the pack is damaged", path);
}

enum err_code
objects_index_pack(const char *path, const char *to, git_odb *odb,
    const struct objects_patience *patience, struct err *e)
{
	struct objects_patience copy = { 0 };
	git_indexer_options options;
	git_indexer *indexer = NULL;
	enum err_code code;
	int fd;
	int rc =
	    git_indexer_options_init(&options, GIT_INDEXER_OPTIONS_VERSION);

	TRY(open_regular(&fd, path, e));
	if (patience != NULL) {
		copy = *patience;
		options.progress_cb = on_progress;
		options.progress_cb_payload = &copy;
	}
	if (rc == 0)
		rc = git_indexer_new(&indexer, to, 0600, odb, &options);
	code = rc == 0 ? feed(indexer, fd, path, patience, e)
		       : gitlib_err(e, rc, "%s: index", to);
	git_indexer_free(indexer);
	close(fd);
	return code;
}

/* -- opening -------------------------------------------------------------- */

static enum err_code
open_backend(git_odb **out, git_odb_backend *backend, int rc, const char *path,
    struct err *e)
{
	GITLIB_AUTO(odb, odb);

	if (rc == 0)
		rc = git_odb_new(&odb);
	if (rc == 0)
		rc = git_odb_add_backend(odb, backend, 1);
	if (rc != 0)
		return gitlib_err(e, rc, "%s", path);
	*out = STEAL(odb);
	return ERR_OK;
}

enum err_code
objects_open_loose(git_odb **out, const char *dir, struct err *e)
{
	git_odb_backend *loose = NULL;
	int rc = git_odb_backend_loose(&loose, dir, -1, 1, 0700, 0400);

	return open_backend(out, loose, rc, dir, e);
}

enum err_code
objects_open_pack(git_odb **out, const char *index, struct err *e)
{
	git_odb_backend *one = NULL;
	int rc = git_odb_backend_one_pack(&one, index);

	return open_backend(out, one, rc, index, e);
}

/* -- moving --------------------------------------------------------------- */

static enum err_code
move_file(const char *from_dir, const char *to_dir, const char *name,
    struct err *e)
{
	AUTO_STR from = file_path(from_dir, name);
	AUTO_STR to = file_path(to_dir, name);

	if (rename(from, to) != 0)
		return err_errno(e, "%s: move to %s", from, to_dir);
	return ERR_OK;
}

static enum err_code
move_named(const char *from, const char *to, const char *end, struct err *e)
{
	struct file_names list = { 0 };
	enum err_code code = ERR_OK;

	TRY(file_list(&list, from, OBJECTS_LOOSE_MAX, e));
	for (size_t i = 0; code == ERR_OK && i < list.count; i++)
		if (text_ends_with(list.names[i], end))
			code = move_file(from, to, list.names[i], e);
	file_names_clear(&list);
	return code;
}

enum err_code
objects_move_loose(const char *from, const char *to, struct err *e)
{
	TRY(file_make_dirs(to, e));
	TRY(move_named(from, to, "", e));
	return file_sync_dir(to, e);
}

/* An index that a power cut leaves without its pack is removed at the next
 * start; whoever counts on the pack does so after the sync. */
enum err_code
objects_move_packs(const char *from, const char *to, struct err *e)
{
	TRY(file_make_dirs(to, e));
	TRY(move_named(from, to, ".pack", e));
	TRY(move_named(from, to, ".idx", e));
	return file_sync_dir(to, e);
}
