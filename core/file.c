#include "core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

enum { FILE_SECRET_MAX = 64 * 1024, FILE_READ_STEP = 64 * 1024 };

enum err_code
file_read_fd(struct buf *out, int fd, const char *name, struct err *e)
{
	for (;;) {
		size_t room = out->max - out->len;
		size_t step = room < FILE_READ_STEP ? room : FILE_READ_STEP;
		char extra;
		char *to = step > 0 ? buf_reserve(out, step) : &extra;
		ssize_t n = read(fd, to, step > 0 ? step : 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, "%s: read", name);
		if (n == 0)
			return ERR_OK;
		if (step == 0)
			return err_set(e, ERR_LIMIT,
			    "%s: larger than %zu bytes", name, out->max);
		buf_commit(out, (size_t)n);
	}
}

enum err_code
file_read(struct buf *out, const char *path, struct err *e)
{
	struct stat st;
	enum err_code code;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_errno(e, "%s", path);
	if (fstat(fd, &st) != 0)
		code = err_errno(e, "%s", path);
	else if (!S_ISREG(st.st_mode))
		code = err_set(e, ERR_INVALID, "%s: not a regular file", path);
	else
		code = file_read_fd(out, fd, path, e);
	close(fd);
	return code;
}

enum err_code
file_check_secret(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return err_errno(e, "%s", path);
	if ((st.st_mode & 077) != 0)
		return err_set(e, ERR_DENIED,
		    "%s: others than its owner may read this secret (mode "
		    "%04o); run: chmod 600 %s",
		    path, st.st_mode & 07777, path);
	return ERR_OK;
}

enum err_code
file_read_secret(char **out, const char *path, struct err *e)
{
	AUTO_BUF b = { 0 };
	char *end;

	buf_init(&b, FILE_SECRET_MAX);
	TRY(file_check_secret(path, e));
	TRY(file_read(&b, path, e));
	end = memchr(b.data, '\n', b.len);
	if (end == NULL)
		end = b.data + b.len;
	if (end > b.data && end[-1] == '\r')
		end--;
	*out = mem_strndup(b.data, (size_t)(end - b.data));
	explicit_bzero(b.data, b.len);
	if (**out == '\0') {
		mem_free(STEAL(*out));
		return err_set(e, ERR_INVALID, "%s: the secret is empty", path);
	}
	return ERR_OK;
}

enum err_code
file_write_all(int fd, const void *data, size_t len, struct err *e)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, "write");
		p += n;
		len -= (size_t)n;
	}
	return ERR_OK;
}

static enum err_code
write_synced(const char *path, const void *data, size_t len, mode_t mode,
    struct err *e)
{
	enum err_code code;
	int fd = open(path,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_errno(e, "%s", path);
	code = file_write_all(fd, data, len, e);
	if (code != ERR_OK)
		(void)err_add(e, "%s", path);
	if (code == ERR_OK && mode != 0600 && fchmod(fd, mode) != 0)
		code = err_errno(e, "%s: chmod", path);
	if (code == ERR_OK && fsync(fd) != 0)
		code = err_errno(e, "%s: sync", path);
	if (close(fd) != 0 && code == ERR_OK)
		code = err_errno(e, "%s: close", path);
	if (code != ERR_OK)
		(void)unlink(path);
	return code;
}

enum err_code
file_replace(const char *path, const void *data, size_t len, mode_t mode,
    struct err *e)
{
	AUTO_STR temporary = mem_printf("%s.tmp.%d.%lx", path, (int)getpid(),
	    (unsigned long)(uintptr_t)&path);
	AUTO_STR dir = mem_strdup(path);
	char *slash = strrchr(dir, '/');

	/* A name left over by a process that was killed and had this id. */
	(void)unlink(temporary);
	TRY(write_synced(temporary, data, len, mode, e));
	if (rename(temporary, path) != 0) {
		enum err_code code = err_errno(e, "%s: rename", path);

		(void)unlink(temporary);
		return code;
	}
	if (slash == NULL)
		return file_sync_dir(".", e);
	slash[slash == dir ? 1 : 0] = '\0';
	return file_sync_dir(dir, e);
}

enum err_code
file_sync_dir(const char *path, struct err *e)
{
	enum err_code code = ERR_OK;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, "%s", path);
	if (fsync(fd) != 0)
		code = err_errno(e, "%s: sync", path);
	close(fd);
	return code;
}

/* Keeps errno for when it is not. */
static bool
is_dir(const char *path)
{
	struct stat st;
	int saved = errno;
	bool dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

	errno = saved;
	return dir;
}

enum err_code
file_make_dirs(const char *path, struct err *e)
{
	AUTO_STR copy = mem_strdup(path);

	for (char *p = copy + 1; *copy != '\0'; p++) {
		char end = *p;

		if (end != '/' && end != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) != 0 && !is_dir(copy))
			return err_errno(e, "%s: mkdir", copy);
		*p = end;
		if (end == '\0')
			break;
	}
	return ERR_OK;
}

/* Takes over dirfd. */
static enum err_code
remove_below(int dirfd, const char *path, unsigned int depth, struct err *e)
{
	enum { DEPTH_MAX = 512 };
	enum err_code code = ERR_OK;
	DIR *dir = fdopendir(dirfd);
	struct dirent *entry;

	if (dir == NULL) {
		close(dirfd);
		return err_errno(e, "%s", path);
	}
	if (depth > DEPTH_MAX)
		code = err_set(e, ERR_LIMIT, "%s: deeper than %d folders", path,
		    (int)DEPTH_MAX);
	while (code == ERR_OK && (entry = readdir(dir)) != NULL) {
		int below;

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd, entry->d_name, 0) == 0 || errno == ENOENT)
			continue;
		below = openat(dirfd, entry->d_name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0) {
			code = err_errno(e, "%s/%s", path, entry->d_name);
			break;
		}
		code = remove_below(below, entry->d_name, depth + 1, e);
		if (code == ERR_OK &&
		    unlinkat(dirfd, entry->d_name, AT_REMOVEDIR) != 0)
			code = err_errno(e, "%s/%s", path, entry->d_name);
	}
	closedir(dir);
	return code;
}

enum err_code
file_remove_tree(const char *path, struct err *e)
{
	int fd;

	if (unlink(path) == 0 || errno == ENOENT)
		return ERR_OK;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "%s", path);
	TRY(remove_below(fd, path, 0, e));
	if (rmdir(path) != 0)
		return err_errno(e, "%s", path);
	return ERR_OK;
}

static int
by_name(const void *a, const void *b)
{
	const char *const *x = a;
	const char *const *y = b;

	return strcmp(*x, *y);
}

enum err_code
file_list(struct file_names *out, const char *path, size_t max, struct err *e)
{
	struct file_names list = { 0 };
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (dir == NULL)
		return err_errno(e, "%s", path);
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (list.count == max) {
			closedir(dir);
			file_names_clear(&list);
			return err_set(e, ERR_LIMIT, "%s: more than %zu names",
			    path, max);
		}
		list.names =
		    mem_grow(list.names, list.count + 1, sizeof *list.names);
		list.names[list.count++] = mem_strdup(entry->d_name);
	}
	closedir(dir);
	if (list.count > 1)
		qsort(list.names, list.count, sizeof *list.names, by_name);
	*out = list;
	return ERR_OK;
}

void
file_names_clear(struct file_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		mem_free(names->names[i]);
	mem_free(names->names);
	*names = (struct file_names){ 0 };
}

enum err_code
file_memory(int *out, const char *name, const void *data, size_t len,
    struct err *e)
{
	enum err_code code;
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_errno(e, "memory file %s", name);
	code = file_write_all(fd, data, len, e);
	if (code == ERR_OK &&
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
		code = err_errno(e, "memory file %s: seal", name);
	if (code == ERR_OK && lseek(fd, 0, SEEK_SET) != 0)
		code = err_errno(e, "memory file %s: seek", name);
	if (code != ERR_OK) {
		close(fd);
		return code;
	}
	*out = fd;
	return ERR_OK;
}

char *
file_path(const char *dir, const char *name)
{
	return mem_printf("%s/%s", dir, name);
}
