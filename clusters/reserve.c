#include "clusters/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"

enum { FULL_BELOW = 1 << 20 };

static const struct {
	uint64_t share, most;
	const char *what;
} uses[] = {
	[RESERVE_HISTORY] = { 16, 64 << 20,
	    "what engines do is not written down" },
	[RESERVE_COMMITS] = { 64, 16 << 20,
	    "new commits have to wait; what was assigned is served, and what "
	    "is stored can be rolled back to" },
};

struct room {
	uint64_t total, left;
	uint64_t reserve; /* what it has to be */
	bool there;
};

static char *
path_of(const char *data_dir)
{
	return mem_printf("%s/store/reserve", data_dir);
}

/* A part of it, as a crash while it was made leaves it, is none. */
static bool
has_size(const char *path, uint64_t size)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size >= size;
}

static bool
look(struct room *out, const char *data_dir)
{
	AUTO_STR path = path_of(data_dir);
	struct statvfs fs;

	if (statvfs(data_dir, &fs) != 0)
		return false;
	out->total = (uint64_t)fs.f_blocks * fs.f_frsize;
	out->left = (uint64_t)fs.f_bavail * fs.f_frsize;
	out->reserve = out->total / 2 < RESERVE_SIZE ? out->total / 2
						     : RESERVE_SIZE;
	out->there = has_size(path, out->reserve);
	return true;
}

static uint64_t
wanted_for(const struct room *r, enum reserve_use use)
{
	uint64_t wanted = r->total / uses[use].share;

	if (wanted > uses[use].most)
		wanted = uses[use].most;
	return r->there ? wanted : wanted + r->reserve;
}

enum err_code
reserve_check(const char *data_dir, enum reserve_use use, struct err *e)
{
	struct room r;

	if (!look(&r, data_dir) || r.left >= wanted_for(&r, use))
		return ERR_OK;
	return err_set(e, ERR_UNAVAILABLE,
	    "the disk is full: less than %llu KiB are left for data_dir: %s",
	    (unsigned long long)wanted_for(&r, use) >> 10, uses[use].what);
}

bool
reserve_is_full(const char *data_dir)
{
	struct room r;

	return look(&r, data_dir) && r.left < FULL_BELOW;
}

bool
reserve_is_there(const char *data_dir)
{
	struct room r;

	return look(&r, data_dir) && r.there;
}

static bool
allocate(const char *path, uint64_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int failed = fd < 0 ? errno : posix_fallocate(fd, 0, (off_t)size);

	if (fd >= 0 && close(fd) != 0 && failed == 0)
		failed = errno;
	if (failed == 0)
		return true;
	(void)unlink(path);
	log_warn("reserve.failed", "path=%s error=\"%s\"", path,
	    strerror(failed));
	return false;
}

bool
reserve_make(const char *data_dir)
{
	AUTO_STR path = path_of(data_dir);
	struct room r;

	if (!look(&r, data_dir) || r.there ||
	    r.left < wanted_for(&r, RESERVE_COMMITS))
		return false;
	return allocate(path, r.reserve);
}

bool
reserve_give_up(const char *data_dir)
{
	AUTO_STR path = path_of(data_dir);

	return unlink(path) == 0;
}
