#include "server/backup/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusters/store_copy.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/backup/backup_format.h"

enum { COPY_STEP = 1 << 20, KEY_NAMES_MAX = 4096 };

struct backup_making {
	const char *data_dir;
	const char *file; /* what is made */
	char *work;       /* a folder beside it */
	bool with_keys;
	const struct backup_watch *watch;
	struct backup_manifest manifest;
	int lock; /* keeps files from being removed meanwhile */
	/* While the tar is written. */
	int out;
	int64_t at, all;
	struct digest *digest;
	char *step;
};

/* ---- what there is ---- */

/* Whatever is too large, or no file, cannot be read. */
static enum err_code
hash_file(const struct backup_making *m, const char *path, int64_t *size,
    char sha256[DIGEST_HEX_SIZE], struct err *e)
{
	struct digest *d;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return err_errno(e, "%s", path);
	d = digest_new();
	*size = 0;
	while ((n = read(fd, m->step, COPY_STEP)) > 0) {
		digest_add(d, m->step, (size_t)n);
		*size += n;
	}
	digest_end(d, sha256);
	(void)close(fd);
	return n < 0 ? err_errno(e, "%s", path) : ERR_OK;
}

static char *
path_in_backup(const struct store_file *f)
{
	return mem_printf("%s/%.2s/%s.tar.gz",
	    f->is_content ? "contents" : "artifacts", f->sha256, f->sha256);
}

/* One that is gone or damaged is no reason to have no backup of the others. */
static enum err_code
add_archive(struct backup_making *m, const struct store_file *f, struct err *e)
{
	AUTO_STR inner = path_in_backup(f);
	AUTO_STR path = file_path(m->data_dir, inner);
	char sha256[DIGEST_HEX_SIZE];
	int64_t size;

	if (hash_file(m, path, &size, sha256, NULL) == ERR_OK &&
	    strcmp(sha256, f->sha256) == 0)
		return backup_manifest_add(&m->manifest, inner, size, sha256,
		    e);
	(void)json_array_append_new(m->manifest.missing, json_string(inner));
	return ERR_OK;
}

static enum err_code
add_key_file(struct backup_making *m, const char *name, struct err *e)
{
	AUTO_STR inner = mem_printf("keys/%s", name);
	AUTO_STR path = file_path(m->data_dir, inner);
	char sha256[DIGEST_HEX_SIZE];
	int64_t size;

	if (!backup_is_key(inner) ||
	    (backup_is_private(inner) && !m->with_keys))
		return ERR_OK;
	TRY(hash_file(m, path, &size, sha256, e));
	return backup_manifest_add(&m->manifest, inner, size, sha256, e);
}

static enum err_code
add_keys(struct backup_making *m, struct err *e)
{
	AUTO_STR dir = file_path(m->data_dir, "keys");
	struct file_names names = { 0 };
	enum err_code code;

	TRY(file_list(&names, dir, KEY_NAMES_MAX, e));
	code = ERR_OK;
	for (size_t i = 0; code == ERR_OK && i < names.count; i++)
		code = add_key_file(m, names.names[i], e);
	file_names_clear(&names);
	return code;
}

static enum err_code
add_archives(struct backup_making *m, struct store *s, struct err *e)
{
	struct store_files files = { 0 };
	struct store_facts facts;
	char head[CHAIN_HEAD_SIZE];
	enum err_code code;

	TRY(store_facts(s, &facts, e));
	chain_head_text(head, &facts.head);
	m->manifest.audit_head = mem_strdup(head);
	TRY(store_files(s, &files, e));
	code = ERR_OK;
	for (size_t i = 0; code == ERR_OK && i < files.count; i++)
		code = add_archive(m, &files.items[i], e);
	store_files_clear(&files);
	return code;
}

/* The copy lies in the work folder as it does in a data folder. */
static enum err_code
add_database(struct backup_making *m, struct err *e)
{
	AUTO_STR dir = file_path(m->work, "store");
	AUTO_STR path = file_path(m->work, BACKUP_DATABASE);
	struct store *opened = NULL;
	char sha256[DIGEST_HEX_SIZE];
	int64_t size;

	TRY(file_make_dirs(dir, e));
	TRY(store_copy(m->data_dir, path, e));
	TRY(hash_file(m, path, &size, sha256, e));
	if (size > BACKUP_DATABASE_MAX)
		return err_set(e, ERR_LIMIT,
		    "the database has %lld bytes; a backup takes %lld",
		    (long long)size, (long long)BACKUP_DATABASE_MAX);
	TRY(backup_manifest_add(&m->manifest, BACKUP_DATABASE, size, sha256,
	    e));
	TRY(store_open_copy(&opened, m->work, e));
	AUTO(store, s) = opened;
	return add_archives(m, s, e);
}

static enum err_code
take_stock(struct backup_making *m, struct err *e)
{
	clock_text(m->manifest.created_at, clock_now_ms());
	m->manifest.private_keys = m->with_keys;
	m->manifest.missing = json_array();
	TRY(add_database(m, e));
	TRY(add_keys(m, e));
	backup_manifest_sort(&m->manifest);
	return ERR_OK;
}

/* ---- the tar ---- */

static enum err_code
put(struct backup_making *m, const void *data, size_t len, struct err *e)
{
	digest_add(m->digest, data, len);
	m->at += (int64_t)len;
	if (file_write_all(m->out, data, len, e) != ERR_OK)
		return err_add(e, "%s", m->file);
	if (m->watch != NULL && m->watch->tell != NULL)
		m->watch->tell(m->watch->arg, m->at, m->all);
	return ERR_OK;
}

static enum err_code
put_padding(struct backup_making *m, int64_t size, struct err *e)
{
	static const char zeros[BACKUP_BLOCK];

	return put(m, zeros, (size_t)(backup_padded(size) - size), e);
}

static enum err_code
put_text(struct backup_making *m, const char *path, const char *text,
    size_t len, struct err *e)
{
	char header[BACKUP_BLOCK];

	backup_header(header, path, (int64_t)len);
	TRY(put(m, header, sizeof header, e));
	TRY(put(m, text, len, e));
	return put_padding(m, (int64_t)len, e);
}

static enum err_code
copy_bytes(struct backup_making *m, int fd, const struct backup_entry *entry,
    struct err *e)
{
	struct digest *d = digest_new();
	char sha256[DIGEST_HEX_SIZE];
	int64_t left = entry->size;
	enum err_code code = ERR_OK;

	while (code == ERR_OK && left > 0) {
		size_t most = left < COPY_STEP ? (size_t)left : COPY_STEP;
		ssize_t n = read(fd, m->step, most);

		if (n <= 0)
			break;
		digest_add(d, m->step, (size_t)n);
		code = put(m, m->step, (size_t)n, e);
		left -= n;
	}
	digest_end(d, sha256);
	if (code != ERR_OK)
		return code;
	if (left > 0 || strcmp(sha256, entry->sha256) != 0)
		return err_set(e, ERR_CONFLICT,
		    "%s changed while it was copied; try again", entry->path);
	return put_padding(m, entry->size, e);
}

static enum err_code
put_file(struct backup_making *m, const struct backup_entry *entry,
    struct err *e)
{
	bool copied = strcmp(entry->path, BACKUP_DATABASE) == 0;
	AUTO_STR path = file_path(copied ? m->work : m->data_dir, entry->path);
	char header[BACKUP_BLOCK];
	enum err_code code;
	int fd;

	backup_header(header, entry->path, entry->size);
	TRY(put(m, header, sizeof header, e));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(e, "%s", path);
	code = copy_bytes(m, fd, entry, e);
	(void)close(fd);
	return code;
}

/* Its own hash covers what was put before its header. */
static enum err_code
put_end(struct backup_making *m, struct err *e)
{
	static const char zeros[BACKUP_TAIL];
	char text[BACKUP_END_SIZE + 1];

	digest_end(m->digest, text);
	text[BACKUP_END_SIZE - 1] = '\n';
	m->digest = digest_new();
	TRY(put_text(m, BACKUP_END, text, BACKUP_END_SIZE, e));
	return put(m, zeros, sizeof zeros, e);
}

static enum err_code
write_tar(struct backup_making *m, struct err *e)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, BACKUP_MANIFEST_MAX);
	TRY(backup_manifest_write(&text, &m->manifest, e));
	m->all = backup_total(&m->manifest, text.len);
	TRY(put_text(m, BACKUP_MANIFEST, text.data, text.len, e));
	for (size_t i = 0; i < m->manifest.count; i++)
		TRY(put_file(m, &m->manifest.entries[i], e));
	TRY(put_end(m, e));
	return ERR_OK;
}

static enum err_code
publish(struct backup_making *m, struct err *e)
{
	AUTO_STR path = file_path(m->work, "tar");
	AUTO_STR dir = mem_strdup(m->file);
	char *slash = strrchr(dir, '/');
	enum err_code code;

	m->out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (m->out < 0)
		return err_errno(e, "%s", path);
	m->digest = digest_new();
	code = write_tar(m, e);
	if (m->digest != NULL) {
		char unused[DIGEST_HEX_SIZE];

		digest_end(m->digest, unused);
	}
	if (code == ERR_OK && fsync(m->out) != 0)
		code = err_errno(e, "%s: sync", path);
	if (close(m->out) != 0 && code == ERR_OK)
		code = err_errno(e, "%s: close", path);
	if (code != ERR_OK)
		return code;
	if (rename(path, m->file) != 0)
		return err_errno(e, "%s: rename", m->file);
	*(slash == dir ? slash + 1 : slash) = '\0';
	return file_sync_dir(dir, e);
}

/* ---- all of it ---- */

/* Absolute, so that its folder can be told; a folder gets a name in it. */
static enum err_code
name_file(char **out, const char *to, struct err *e)
{
	char stamp[CLOCK_TEXT_SIZE];
	AUTO_STR here = NULL;
	struct stat st;
	char *cwd;

	if (to[0] != '/') {
		cwd = getcwd(NULL, 0);
		if (cwd == NULL)
			return err_errno(e, "%s", to);
		here = mem_printf("%s/", cwd);
		free(cwd);
	}
	if (stat(to, &st) != 0 || !S_ISDIR(st.st_mode)) {
		*out = mem_printf("%s%s", here != NULL ? here : "", to);
		return ERR_OK;
	}
	clock_text(stamp, clock_now_ms());
	*out = mem_printf("%s%s/edict-%.10s-%.2s%.2s%.2s.tar",
	    here != NULL ? here : "", to, stamp, stamp + 11, stamp + 14,
	    stamp + 17);
	return ERR_OK;
}

/* gc removes no file while this is held (server/pipeline/gc.c). */
static enum err_code
lock_files(struct backup_making *m, struct err *e)
{
	AUTO_STR dir = file_path(m->data_dir, "contents");

	m->lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->lock < 0)
		return err_errno(e, "%s", dir);
	if (flock(m->lock, LOCK_SH) != 0)
		return err_errno(e, "%s: lock", dir);
	return ERR_OK;
}

static enum err_code
make(struct backup_making *m, struct err *e)
{
	TRY(lock_files(m, e));
	if (mkdtemp(m->work) == NULL)
		return err_errno(e, "%s", m->work);
	TRY(take_stock(m, e));
	return publish(m, e);
}

enum err_code
backup_write(json_t **out, const char *data_dir, const char *to, bool with_keys,
    bool replace, const struct backup_watch *watch, struct err *e)
{
	struct backup_making m = {
		.data_dir = data_dir,
		.with_keys = with_keys,
		.watch = watch,
		.lock = -1,
	};
	AUTO_STR file = NULL;
	struct err left = { 0 };
	enum err_code code;

	TRY(name_file(&file, to, e));
	if (!replace && access(file, F_OK) == 0)
		return err_set(e, ERR_CONFLICT,
		    "%s is there already: name another file, or say --force to "
		    "write over it",
		    file);
	m.file = file;
	m.work = mem_printf("%s.part-XXXXXX", file);
	m.step = mem_alloc(COPY_STEP);
	code = make(&m, e);
	if (file_remove_tree(m.work, &left) != ERR_OK)
		log_warn("backup.left", "error=\"%s\"", left.text);
	if (m.lock >= 0)
		(void)close(m.lock);
	if (code == ERR_OK)
		*out = json_pack("{s:s, s:s, s:I, s:I, s:b, s:s, s:O}", "file",
		    m.file, "created_at", m.manifest.created_at, "bytes",
		    (json_int_t)m.at, "files", (json_int_t)m.manifest.count,
		    "private_keys", with_keys, "audit_head",
		    m.manifest.audit_head, "missing", m.manifest.missing);
	backup_manifest_clear(&m.manifest);
	mem_free(m.step);
	mem_free(m.work);
	return code;
}
