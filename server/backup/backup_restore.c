#include "server/backup/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusters/store_copy.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/backup/backup_format.h"

enum { COPY_STEP = 1 << 20 };

struct backup_reading {
	const char *file;
	int fd;
	int64_t at, all; /* bytes that were read, and that there are */
	const struct backup_watch *watch;
	struct digest *digest; /* of all that was read */
	char *step;
	bool with_keys;
	struct backup_manifest manifest;
	char manifest_sha256[DIGEST_HEX_SIZE];
	char *work; /* becomes data_dir */
	int64_t files, epoch;
};

/* ---- reading ---- */

static enum err_code
cut_short(const struct backup_reading *r, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "%s: cut short in %s, at byte %lld",
	    r->file, what, (long long)r->at);
}

static enum err_code
get(struct backup_reading *r, void *into, size_t len, const char *what,
    struct err *e)
{
	char *p = into;

	for (size_t left = len; left > 0;) {
		ssize_t n = read(r->fd, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, "%s", r->file);
		if (n == 0)
			return cut_short(r, what, e);
		p += n;
		left -= (size_t)n;
		r->at += n;
	}
	digest_add(r->digest, into, len);
	if (r->watch != NULL && r->watch->tell != NULL)
		r->watch->tell(r->watch->arg, r->at, r->all);
	return ERR_OK;
}

static enum err_code
get_padding(struct backup_reading *r, int64_t size, const char *what,
    struct err *e)
{
	static const char zeros[BACKUP_BLOCK];
	char found[BACKUP_BLOCK];
	size_t len = (size_t)(backup_padded(size) - size);

	TRY(get(r, found, len, what, e));
	if (memcmp(found, zeros, len) != 0)
		return err_set(e, ERR_CORRUPT,
		    "%s: %s: something is hidden behind its end", r->file,
		    what);
	return ERR_OK;
}

/* Only a header that says what the manifest says is one. */
static enum err_code
get_header(struct backup_reading *r, const char *path, int64_t size,
    struct err *e)
{
	char expected[BACKUP_BLOCK];
	char found[BACKUP_BLOCK];

	backup_header(expected, path, size);
	TRY(get(r, found, sizeof found, path, e));
	if (memcmp(found, expected, sizeof found) != 0)
		return err_set(e, ERR_CORRUPT,
		    "%s: the tar's header of %s is not what it has to be: it "
		    "names another file, links, or was changed",
		    r->file, path);
	return ERR_OK;
}

static enum err_code
get_manifest(struct backup_reading *r, struct err *e)
{
	char header[BACKUP_BLOCK];
	int64_t size;
	char *text;
	enum err_code code;

	TRY(get(r, header, sizeof header, BACKUP_MANIFEST, e));
	size = backup_manifest_size(header);
	if (size < 0)
		return err_set(e, ERR_INVALID,
		    "%s: not a backup that edict made: it does not begin with " BACKUP_MANIFEST,
		    r->file);
	if (size > BACKUP_MANIFEST_MAX)
		return err_set(e, ERR_LIMIT,
		    "%s: " BACKUP_MANIFEST " has more than %d bytes", r->file,
		    (int)BACKUP_MANIFEST_MAX);
	text = mem_alloc((size_t)size + 1);
	code = get(r, text, (size_t)size, BACKUP_MANIFEST, e);
	if (code == ERR_OK)
		code = get_padding(r, size, BACKUP_MANIFEST, e);
	digest_hex(r->manifest_sha256, text, (size_t)size);
	if (code == ERR_OK)
		code =
		    backup_manifest_read(&r->manifest, text, (size_t)size, e);
	mem_free(text);
	if (code != ERR_OK)
		return err_add(e, "%s", r->file);
	if (backup_total(&r->manifest, (size_t)size) != r->all)
		return err_set(e, ERR_CORRUPT,
		    "%s: has %lld bytes and not the %lld of a whole backup: it "
		    "was cut short or added to",
		    r->file, (long long)r->all,
		    (long long)backup_total(&r->manifest, (size_t)size));
	return ERR_OK;
}

/* ---- one file ---- */

/* Without private keys a start makes new ones; the public ones keep it from
 * using an old one's name. */
static bool
is_wanted(const struct backup_reading *r, const char *path)
{
	size_t len = strlen(path);

	if (!backup_is_key(path) || r->with_keys)
		return true;
	return len > 4 && strcmp(path + len - 4, ".pub") == 0;
}

/* fd -1: it is checked and not kept. */
static enum err_code
copy_bytes(struct backup_reading *r, int fd, const struct backup_entry *entry,
    struct err *e)
{
	struct digest *d = digest_new();
	char sha256[DIGEST_HEX_SIZE];
	enum err_code code = ERR_OK;

	for (int64_t left = entry->size; code == ERR_OK && left > 0;) {
		size_t n = left < COPY_STEP ? (size_t)left : COPY_STEP;

		code = get(r, r->step, n, entry->path, e);
		if (code != ERR_OK)
			break;
		digest_add(d, r->step, n);
		left -= (int64_t)n;
		if (fd >= 0)
			code = file_write_all(fd, r->step, n, e);
	}
	digest_end(d, sha256);
	if (code != ERR_OK)
		return code;
	if (strcmp(sha256, entry->sha256) != 0)
		return err_set(e, ERR_CORRUPT,
		    "%s: %s was changed: its SHA-256 is %s", r->file,
		    entry->path, sha256);
	return ERR_OK;
}

static enum err_code
create(const struct backup_reading *r, const char *inner, int *fd,
    struct err *e)
{
	AUTO_STR path = file_path(r->work, inner);
	char *slash = strrchr(path, '/');

	*slash = '\0';
	TRY(file_make_dirs(path, e));
	*slash = '/';
	*fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
	    0600);
	return *fd < 0 ? err_errno(e, "%s", path) : ERR_OK;
}

static enum err_code
get_file(struct backup_reading *r, const struct backup_entry *entry,
    struct err *e)
{
	enum err_code code;
	int fd = -1;

	TRY(get_header(r, entry->path, entry->size, e));
	if (is_wanted(r, entry->path)) {
		TRY(create(r, entry->path, &fd, e));
		r->files++;
	}
	code = copy_bytes(r, fd, entry, e);
	if (fd >= 0 && close(fd) != 0 && code == ERR_OK)
		code = err_errno(e, "%s: close", entry->path);
	if (code != ERR_OK)
		return code;
	return get_padding(r, entry->size, entry->path, e);
}

static enum err_code
get_end(struct backup_reading *r, struct err *e)
{
	static const char zeros[BACKUP_TAIL];
	char expected[DIGEST_HEX_SIZE];
	char text[BACKUP_END_SIZE];
	char tail[BACKUP_TAIL];

	digest_end(r->digest, expected);
	r->digest = digest_new();
	TRY(get_header(r, BACKUP_END, BACKUP_END_SIZE, e));
	TRY(get(r, text, sizeof text, BACKUP_END, e));
	if (memcmp(text, expected, BACKUP_END_SIZE - 1) != 0 ||
	    text[BACKUP_END_SIZE - 1] != '\n')
		return err_set(e, ERR_CORRUPT,
		    "%s: " BACKUP_END " is not the SHA-256 of what is before",
		    r->file);
	TRY(get_padding(r, BACKUP_END_SIZE, BACKUP_END, e));
	TRY(get(r, tail, sizeof tail, BACKUP_END, e));
	if (memcmp(tail, zeros, sizeof tail) != 0)
		return err_set(e, ERR_CORRUPT, "%s: changed behind its end",
		    r->file);
	return ERR_OK;
}

/* ---- the folder ---- */

static bool
is_empty(const char *dir)
{
	struct file_names names = { 0 };
	bool empty = file_list(&names, dir, 1, NULL) == ERR_OK &&
	    names.count == 0;

	file_names_clear(&names);
	return empty;
}

static enum err_code
check_target(const char *data_dir, struct err *e)
{
	struct stat st;

	if (lstat(data_dir, &st) != 0)
		return errno == ENOENT ? ERR_OK : err_errno(e, "%s", data_dir);
	if (S_ISDIR(st.st_mode) && is_empty(data_dir))
		return ERR_OK;
	return err_set(e, ERR_CONFLICT,
	    "%s: there is something already; a backup is restored into a "
	    "folder that is empty or does not exist yet",
	    data_dir);
}

/* Every file that the database names is there, or was missing before. */
static enum err_code
check_files(const struct backup_reading *r, struct err *e)
{
	struct store *opened = NULL;
	struct store_files files = { 0 };
	enum err_code code;
	size_t found = 0;

	TRY(store_open_copy(&opened, r->work, e));
	AUTO(store, s) = opened;
	TRY(store_files(s, &files, e));
	code = ERR_OK;
	for (size_t i = 0; i < files.count; i++) {
		const struct store_file *f = &files.items[i];
		AUTO_STR path = f->is_content
		    ? store_content_path(r->work, f->sha256)
		    : store_artifact_path(r->work, f->sha256);

		found += access(path, F_OK) == 0;
	}
	if (found + json_array_size(r->manifest.missing) != files.count)
		code = err_set(e, ERR_CORRUPT,
		    "%s: the database names %zu files, and %zu are there",
		    r->file, files.count, found);
	store_files_clear(&files);
	return code;
}

static enum err_code
revive(struct backup_reading *r, struct err *e)
{
	struct store_restore how = {
		.who = "edict",
		.backup_at = r->manifest.created_at,
		.manifest_sha256 = r->manifest_sha256,
	};

	if (store_restore(r->work, &how, &r->epoch, e) != ERR_OK)
		return err_add(e, "%s", r->file);
	return check_files(r, e);
}

/* From here on there is a data folder, or nothing was changed. */
static enum err_code
put_in_place(const struct backup_reading *r, const char *data_dir,
    struct err *e)
{
	AUTO_STR parent = mem_strdup(r->work);
	char *slash = strrchr(parent, '/');
	int fd = open(r->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, "%s", r->work);
	if (syncfs(fd) != 0) {
		(void)err_errno(e, "%s: sync", r->work);
		(void)close(fd);
		return ERR_IO;
	}
	(void)close(fd);
	/* Takes the place of an empty folder, and of nothing else. */
	if (rename(r->work, data_dir) != 0)
		return err_errno(e, "%s: rename", data_dir);
	if (slash == NULL)
		return file_sync_dir(".", e);
	*(slash == parent ? slash + 1 : slash) = '\0';
	return file_sync_dir(parent, e);
}

static enum err_code
extract(struct backup_reading *r, const char *data_dir, struct err *e)
{
	TRY(get_manifest(r, e));
	if (r->with_keys && !r->manifest.private_keys)
		return err_set(e, ERR_INVALID,
		    "%s: holds no private keys: it was made without "
		    "--with-keys",
		    r->file);
	if (mkdtemp(r->work) == NULL)
		return err_errno(e, "%s", r->work);
	for (size_t i = 0; i < r->manifest.count; i++)
		TRY(get_file(r, &r->manifest.entries[i], e));
	TRY(get_end(r, e));
	TRY(revive(r, e));
	return put_in_place(r, data_dir, e);
}

static enum err_code
open_backup(struct backup_reading *r, struct err *e)
{
	struct stat st;

	r->fd = open(r->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (r->fd < 0 || fstat(r->fd, &st) != 0)
		return err_errno(e, "%s", r->file);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s: not a file", r->file);
	r->all = st.st_size;
	return ERR_OK;
}

static json_t *
tell(const struct backup_reading *r, const char *data_dir)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:b, s:I, s:O}", "data_dir",
	    data_dir, "backup_at", r->manifest.created_at, "bytes",
	    (json_int_t)r->at, "files", (json_int_t)r->files, "private_keys",
	    r->with_keys, "epoch", (json_int_t)r->epoch, "missing",
	    r->manifest.missing);
}

static void
remove_work(const struct backup_reading *r)
{
	struct err e = { 0 };

	if (file_remove_tree(r->work, &e) != ERR_OK)
		log_warn("restore.left", "error=\"%s\"", e.text);
}

enum err_code
backup_restore(json_t **out, const char *file, const char *data_dir,
    bool with_keys, const struct backup_watch *watch, struct err *e)
{
	AUTO_STR target = mem_strdup(data_dir);
	struct backup_reading r = { .file = file,
		.fd = -1,
		.with_keys = with_keys,
		.watch = watch };
	char unused[DIGEST_HEX_SIZE];
	enum err_code code;

	for (size_t n = strlen(target); n > 1 && target[n - 1] == '/'; n--)
		target[n - 1] = '\0';
	TRY(check_target(target, e));
	r.work = mem_printf("%s.restore-XXXXXX", target);
	r.step = mem_alloc(COPY_STEP);
	r.digest = digest_new();
	code = open_backup(&r, e);
	if (code == ERR_OK)
		code = extract(&r, target, e);
	if (code == ERR_OK)
		*out = tell(&r, target);
	else
		remove_work(&r);
	digest_end(r.digest, unused);
	if (r.fd >= 0)
		(void)close(r.fd);
	backup_manifest_clear(&r.manifest);
	mem_free(r.step);
	mem_free(r.work);
	return code;
}
