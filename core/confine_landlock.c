#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/confine_parts.h"

/* Landlock, by hand: the headers of Debian 12 know ABI 2 only, and kernels
 * that are newer deserve to be used. Names as in linux/landlock.h, shortened
 * so that they never clash with a newer one. */

enum {
	LL_EXECUTE = 1 << 0,
	LL_WRITE_FILE = 1 << 1,
	LL_READ_FILE = 1 << 2,
	LL_READ_DIR = 1 << 3,
	LL_REMOVE_DIR = 1 << 4,
	LL_REMOVE_FILE = 1 << 5,
	LL_MAKE_CHAR = 1 << 6,
	LL_MAKE_DIR = 1 << 7,
	LL_MAKE_REG = 1 << 8,
	LL_MAKE_SOCK = 1 << 9,
	LL_MAKE_FIFO = 1 << 10,
	LL_MAKE_BLOCK = 1 << 11,
	LL_MAKE_SYM = 1 << 12,
	LL_REFER = 1 << 13,     /* ABI 2 */
	LL_TRUNCATE = 1 << 14,  /* ABI 3 */
	LL_IOCTL_DEV = 1 << 15, /* ABI 5 */

	LL_NET_BIND_TCP = 1 << 0, /* ABI 4 */
	LL_NET_CONNECT_TCP = 1 << 1,

	LL_SCOPE_ABSTRACT_UNIX = 1 << 0, /* ABI 6 */
	LL_SCOPE_SIGNAL = 1 << 1,

	LL_RULE_PATH_BENEATH = 1,
	LL_CREATE_VERSION = 1 << 0,

	LL_FILE_RIGHTS = LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE |
	    LL_TRUNCATE | LL_IOCTL_DEV,
	LL_READ = LL_READ_FILE | LL_READ_DIR,
	LL_WRITE = LL_WRITE_FILE | LL_TRUNCATE | LL_REMOVE_DIR |
	    LL_REMOVE_FILE | LL_MAKE_DIR | LL_MAKE_REG | LL_MAKE_SYM | LL_REFER
};

struct ll_ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

struct ll_path {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

static int abi_limit = INT_MAX;

void
confine_limit_abi(int abi)
{
	abi_limit = abi;
}

int
confine_landlock_abi(void)
{
	long abi = syscall(__NR_landlock_create_ruleset, NULL, (size_t)0,
	    LL_CREATE_VERSION);

	if (abi <= 0)
		return 0;
	return abi < abi_limit ? (int)abi : abi_limit;
}

static uint64_t
handled_files(int abi)
{
	uint64_t rights = LL_REFER - 1;

	if (abi >= 2)
		rights |= LL_REFER;
	if (abi >= 3)
		rights |= LL_TRUNCATE;
	if (abi >= 5)
		rights |= LL_IOCTL_DEV;
	return rights;
}

static uint64_t
path_rights(unsigned int access)
{
	uint64_t rights = 0;

	/* The kernel opens a program for reading as well as executing. */
	if ((access & (CONFINE_PATH_READ | CONFINE_PATH_EXEC)) != 0)
		rights |= LL_READ;
	if ((access & CONFINE_PATH_WRITE) != 0)
		rights |= LL_WRITE;
	if ((access & CONFINE_PATH_EXEC) != 0)
		rights |= LL_EXECUTE;
	return rights;
}

static enum err_code
allow_path(int ruleset, uint64_t handled, const struct confine_path *p,
    struct err *e)
{
	struct ll_path rule = { .allowed_access = path_rights(p->access) };
	struct stat st;
	enum err_code code = ERR_OK;
	int fd = open(p->path, O_PATH | O_CLOEXEC);

	if (fd < 0 && p->optional && (errno == ENOENT || errno == ENOTDIR))
		return ERR_OK;
	if (fd < 0)
		return err_errno(e, "confinement: %s", p->path);
	rule.parent_fd = fd;
	rule.allowed_access &= handled;
	if (fstat(fd, &st) != 0)
		code = err_errno(e, "confinement: %s", p->path);
	else if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= LL_FILE_RIGHTS;
	if (code == ERR_OK && rule.allowed_access != 0 &&
	    syscall(__NR_landlock_add_rule, ruleset, LL_RULE_PATH_BENEATH,
		&rule, 0) != 0)
		code = err_errno(e, "confinement: rule for %s", p->path);
	close(fd);
	return code;
}

enum err_code
confine_landlock(const struct confine_rules *r, int abi, struct err *e)
{
	struct ll_ruleset attr = { .handled_access_fs = handled_files(abi) };
	enum err_code code = ERR_OK;
	int fd;

	if (abi >= 4)
		attr.handled_access_net = LL_NET_BIND_TCP;
	if (abi >= 4 && (r->calls & CONFINE_CONNECT) == 0)
		attr.handled_access_net |= LL_NET_CONNECT_TCP;
	if (abi >= 6)
		attr.scoped = LL_SCOPE_ABSTRACT_UNIX | LL_SCOPE_SIGNAL;
	/* Fields that an older kernel does not know must be zero, and are. */
	fd = (int)syscall(__NR_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (fd < 0)
		return err_errno(e, "confinement: Landlock rules");
	for (size_t i = 0; i < r->path_count && code == ERR_OK; i++)
		code = allow_path(fd, attr.handled_access_fs, &r->paths[i], e);
	if (code == ERR_OK && syscall(__NR_landlock_restrict_self, fd, 0) != 0)
		code = err_errno(e, "confinement: Landlock");
	close(fd);
	return code;
}
