#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/pipeline/artifact.h"
#include "server/pipeline/gc.h"

enum { SHA256_LEN = 64, NAMES_MAX = 1000000 };

/* What is done with each name in a folder. */
typedef enum err_code each_fn(struct gc_files *out, const struct gc_sweep *s,
    const char *dir, const char *name, struct err *e);

static enum err_code
for_each(struct gc_files *out, const struct gc_sweep *s, const char *dir,
    each_fn *each, struct err *e)
{
	struct file_names names = { 0 };
	enum err_code code = file_list(&names, dir, NAMES_MAX, e);

	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	for (size_t i = 0; code == ERR_OK && i < names.count; i++)
		code = each(out, s, dir, names.names[i], e);
	file_names_clear(&names);
	return code;
}

/* Milliseconds since it was changed; -1: it cannot be told. */
static int64_t
age_of(const char *path, int64_t *size)
{
	struct stat st;
	int64_t age;

	if (lstat(path, &st) != 0)
		return -1;
	*size = st.st_size;
	age = clock_now_ms() - (int64_t)st.st_mtim.tv_sec * 1000;
	return age > 0 ? age : 0;
}

static bool
is_named(const struct gc_sweep *s, const char *name, bool is_content)
{
	AUTO_STR sha256 = NULL;

	if (strlen(name) != SHA256_LEN + strlen(".tar.gz") ||
	    strcmp(name + SHA256_LEN, ".tar.gz") != 0)
		return false;
	sha256 = mem_strndup(name, SHA256_LEN);
	return store_files_has(s->named, sha256, is_content);
}

/* A part of a file, left by a crash while it was written, is named by nobody. */
static enum err_code
sweep_file(struct gc_files *out, const struct gc_sweep *s, const char *dir,
    const char *name, bool is_content)
{
	AUTO_STR path = file_path(dir, name);
	int64_t size = 0;

	if (is_named(s, name, is_content) || age_of(path, &size) < GC_YOUNG_MS)
		return ERR_OK;
	if (!s->dry_run && !artifact_remove(path, GC_YOUNG_MS))
		return ERR_OK;
	out->files++;
	out->bytes += size;
	return ERR_OK;
}

static enum err_code
sweep_artifact(struct gc_files *out, const struct gc_sweep *s, const char *dir,
    const char *name, struct err *e)
{
	(void)e;
	return sweep_file(out, s, dir, name, false);
}

static enum err_code
sweep_content(struct gc_files *out, const struct gc_sweep *s, const char *dir,
    const char *name, struct err *e)
{
	(void)e;
	return sweep_file(out, s, dir, name, true);
}

/* "aa": the folders that files are spread over. */
static bool
is_spread(const char *name)
{
	return strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2;
}

static enum err_code
sweep_artifacts(struct gc_files *out, const struct gc_sweep *s, const char *dir,
    const char *name, struct err *e)
{
	AUTO_STR path = file_path(dir, name);

	return is_spread(name) ? for_each(out, s, path, sweep_artifact, e)
			       : ERR_OK;
}

static enum err_code
sweep_contents(struct gc_files *out, const struct gc_sweep *s, const char *dir,
    const char *name, struct err *e)
{
	AUTO_STR path = file_path(dir, name);

	return is_spread(name) ? for_each(out, s, path, sweep_content, e)
			       : ERR_OK;
}

/* Its age is since it was of use: bundler/compile_kept.h. */
static enum err_code
sweep_compiled(struct gc_files *out, const struct gc_sweep *s, const char *dir,
    const char *name, struct err *e)
{
	AUTO_STR path = file_path(dir, name);
	int64_t size = 0;
	int64_t age = age_of(path, &size);

	(void)e;
	if (age < GC_YOUNG_MS || age < s->compiled_ms)
		return ERR_OK;
	if (!s->dry_run && unlink(path) != 0)
		return ERR_OK;
	out->compiled++;
	out->compiled_bytes += size;
	return ERR_OK;
}

/* No gate run lasts for a day. */
static enum err_code
sweep_work(struct gc_files *out, const struct gc_sweep *s, const char *dir,
    const char *name, struct err *e)
{
	AUTO_STR path = file_path(dir, name);
	int64_t size;

	if (age_of(path, &size) < GC_LEFTOVER_MS)
		return ERR_OK;
	if (!s->dry_run)
		TRY(file_remove_tree(path, e));
	out->leftovers++;
	return ERR_OK;
}

static const struct {
	const char *folder;
	each_fn *each;
} sweeps[] = {
	{ "artifacts", sweep_artifacts },
	{ "contents", sweep_contents },
	{ "contents/compiled", sweep_compiled },
	{ "work", sweep_work },
};

static enum err_code
sweep_all(struct gc_files *out, const struct gc_sweep *s, struct err *e)
{
	for (size_t i = 0; i < sizeof sweeps / sizeof *sweeps; i++) {
		AUTO_STR dir = file_path(s->data_dir, sweeps[i].folder);

		TRY(for_each(out, s, dir, sweeps[i].each, e));
	}
	return ERR_OK;
}

enum err_code
gc_sweep(struct gc_files *out, const struct gc_sweep *sweep, struct err *e)
{
	AUTO_STR dir = file_path(sweep->data_dir, "contents");
	enum err_code code = ERR_OK;
	int fd;

	*out = (struct gc_files){ 0 };
	if (sweep->dry_run)
		return sweep_all(out, sweep, e);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "%s", dir);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		code = sweep_all(out, sweep, e);
	else if (errno == EWOULDBLOCK)
		out->postponed = true;
	else
		code = err_errno(e, "%s: lock", dir);
	(void)close(fd);
	return code;
}
