#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/confine_parts.h"

/* The system calls. What is not in a list below is answered with EPERM. Names
 * that a machine does not have are left out by libseccomp. */

static const int calls_base[] = {
	/* memory */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	SCMP_SYS(msync), SCMP_SYS(mincore), SCMP_SYS(membarrier),
	SCMP_SYS(mlock), SCMP_SYS(munlock),
	/* its own descriptors */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev),
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(preadv),
	SCMP_SYS(pwritev), SCMP_SYS(preadv2), SCMP_SYS(pwritev2),
	SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(dup), SCMP_SYS(dup2),
	SCMP_SYS(dup3), SCMP_SYS(fstat), SCMP_SYS(lseek), SCMP_SYS(pipe),
	SCMP_SYS(pipe2), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select),
	SCMP_SYS(pselect6), SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd2), SCMP_SYS(signalfd4),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime),
	/* time and chance */
	SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(times), SCMP_SYS(getrandom), SCMP_SYS(alarm),
	SCMP_SYS(setitimer), SCMP_SYS(getitimer),
	/* itself */
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid),
	SCMP_SYS(getpgrp), SCMP_SYS(getpgid), SCMP_SYS(getsid),
	SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(getresuid), SCMP_SYS(getresgid),
	SCMP_SYS(getgroups), SCMP_SYS(getrlimit), SCMP_SYS(getrusage),
	SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(umask), SCMP_SYS(getcpu),
	SCMP_SYS(capget), SCMP_SYS(arch_prctl), SCMP_SYS(set_tid_address),
	SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list), SCMP_SYS(rseq),
	SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(futex),
	SCMP_SYS(futex_waitv), SCMP_SYS(exit), SCMP_SYS(exit_group),
	SCMP_SYS(restart_syscall),
	/* signals to itself */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigsuspend), SCMP_SYS(sigaltstack),
	SCMP_SYS(pause)
};

static const int calls_read_files[] = { SCMP_SYS(stat), SCMP_SYS(lstat),
	SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(getdents), SCMP_SYS(getdents64),
	SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
	SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(getcwd), SCMP_SYS(chdir),
	SCMP_SYS(fchdir), SCMP_SYS(fadvise64), SCMP_SYS(readahead) };

/* Landlock knows neither chown nor extended attributes, so they stay out
 * altogether; chmod is in write_mode, truncate in confine_self. */
static const int calls_write_files[] = { SCMP_SYS(creat), SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat), SCMP_SYS(rename), SCMP_SYS(renameat),
	SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
	SCMP_SYS(rmdir), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
	SCMP_SYS(sync_file_range), SCMP_SYS(utime), SCMP_SYS(utimes),
	SCMP_SYS(utimensat), SCMP_SYS(futimesat), SCMP_SYS(copy_file_range),
	SCMP_SYS(sendfile) };

static const int calls_accept[] = { SCMP_SYS(accept), SCMP_SYS(accept4),
	SCMP_SYS(listen), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),
	SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(shutdown),
	SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(sendfile) };

static const int calls_connect[] = { SCMP_SYS(connect), SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(sendto),
	SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(shutdown),
	SCMP_SYS(getsockname), SCMP_SYS(getpeername) };

static const int calls_messages[] = { SCMP_SYS(sendmsg), SCMP_SYS(recvmsg),
	SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(memfd_create),
	SCMP_SYS(ftruncate) };

static const int calls_fork[] = { SCMP_SYS(fork), SCMP_SYS(vfork),
	SCMP_SYS(wait4), SCMP_SYS(waitid) };

/* Timers for profiling, which its runtime also cleans up when unused. */
static const int calls_go[] = { SCMP_SYS(timer_create), SCMP_SYS(timer_settime),
	SCMP_SYS(timer_delete) };

/* A program that is executed brings its own habits. */
static const int calls_exec[] = { SCMP_SYS(execve), SCMP_SYS(symlink),
	SCMP_SYS(symlinkat) };

#ifdef EDICT_SANITIZED
/* What the sanitizers' runtimes call in our own processes besides. */
static const int calls_sanitized[] = { SCMP_SYS(readlink) };
#endif

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define LIST(a) a, COUNT(a)

static const struct {
	unsigned int bit; /* 0: always */
	const int *calls;
	size_t count;
} call_lists[] = {
	{ 0, LIST(calls_base) },
	{ CONFINE_READ_FILES, LIST(calls_read_files) },
	{ CONFINE_WRITE_FILES, LIST(calls_write_files) },
	{ CONFINE_ACCEPT, LIST(calls_accept) },
	{ CONFINE_CONNECT, LIST(calls_connect) },
	{ CONFINE_EXEC, LIST(calls_exec) },
	{ CONFINE_FORK, LIST(calls_fork) },
	{ CONFINE_GO, LIST(calls_go) },
	{ CONFINE_MESSAGES, LIST(calls_messages) },
};

/* An allowed value of one argument, or of two. */
struct pair {
	unsigned int bits; /* any of these; 0: always */
	int first;
	int second;
};

static const struct pair fcntl_commands[] = {
	{ 0, F_GETFD, 0 },
	{ 0, F_SETFD, 0 },
	{ 0, F_GETFL, 0 },
	{ 0, F_SETFL, 0 },
	{ 0, F_DUPFD, 0 },
	{ 0, F_DUPFD_CLOEXEC, 0 },
	{ 0, F_GET_SEALS, 0 },
	{ CONFINE_MESSAGES, F_ADD_SEALS, 0 },
	{ CONFINE_LOCK_FILES | CONFINE_FORK, F_GETLK, 0 },
	{ CONFINE_LOCK_FILES | CONFINE_FORK, F_SETLK, 0 },
	{ CONFINE_LOCK_FILES | CONFINE_FORK, F_SETLKW, 0 },
	{ CONFINE_LOCK_FILES | CONFINE_FORK, F_OFD_GETLK, 0 },
	{ CONFINE_LOCK_FILES | CONFINE_FORK, F_OFD_SETLK, 0 },
	{ CONFINE_LOCK_FILES | CONFINE_FORK, F_OFD_SETLKW, 0 },
};

static const struct pair ioctl_requests[] = {
	{ 0, TCGETS, 0 }, /* isatty */
	{ 0, FIONREAD, 0 },
	{ 0, FIONBIO, 0 },
	{ 0, FIOCLEX, 0 },
	{ 0, FIONCLEX, 0 },
};

static const struct pair prctl_options[] = {
	{ 0, PR_SET_NAME, 0 }, { 0, PR_GET_NAME, 0 }, { 0, PR_GET_DUMPABLE, 0 },
	{ 0, PR_CAPBSET_READ, 0 }, { 0, PR_GET_NO_NEW_PRIVS, 0 },
	{ 0, PR_SET_NO_NEW_PRIVS, 0 },
	{ CONFINE_GO, 0x53564d41, 0 }, /* PR_SET_VMA: names for memory */
};

enum { TCP_LEVEL = 6, IP_LEVEL = 0, IPV6_LEVEL = 41 };

/* No SO_ATTACH_FILTER and other doors into the kernel. */
static const struct pair socket_options[] = {
	{ 0, SOL_SOCKET, SO_KEEPALIVE }, { 0, SOL_SOCKET, SO_LINGER },
	{ 0, SOL_SOCKET, SO_RCVTIMEO }, { 0, SOL_SOCKET, SO_SNDTIMEO },
	{ 0, SOL_SOCKET, SO_RCVBUF }, { 0, SOL_SOCKET, SO_SNDBUF },
	{ 0, SOL_SOCKET, SO_REUSEADDR }, { 0, TCP_LEVEL, 1 }, /* TCP_NODELAY */
	{ 0, TCP_LEVEL, 3 },                                  /* TCP_CORK */
	{ 0, TCP_LEVEL, 4 },                                  /* TCP_KEEPIDLE */
	{ 0, TCP_LEVEL, 5 },   /* TCP_KEEPINTVL */
	{ 0, TCP_LEVEL, 6 },   /* TCP_KEEPCNT */
	{ 0, TCP_LEVEL, 12 },  /* TCP_QUICKACK */
	{ 0, TCP_LEVEL, 18 },  /* TCP_USER_TIMEOUT */
	{ 0, TCP_LEVEL, 23 },  /* TCP_FASTOPEN */
	{ 0, IP_LEVEL, 1 },    /* IP_TOS */
	{ 0, IP_LEVEL, 10 },   /* IP_MTU_DISCOVER, by resolvers */
	{ 0, IP_LEVEL, 11 },   /* IP_RECVERR, by resolvers */
	{ 0, IPV6_LEVEL, 23 }, /* IPV6_MTU_DISCOVER */
	{ 0, IPV6_LEVEL, 25 }, /* IPV6_RECVERR */
	{ 0, IPV6_LEVEL, 26 }, /* IPV6_V6ONLY */
};

/* The filter while it is built; the first failure stays. */
struct filter {
	scmp_filter_ctx ctx;
	int failed; /* negative errno */
};

static void
allow_if(struct filter *f, int call, const struct scmp_arg_cmp *args,
    unsigned int count)
{
	int result =
	    seccomp_rule_add_array(f->ctx, SCMP_ACT_ALLOW, call, count, args);

	/* EEXIST: two bits bring the same rule. */
	if (result < 0 && result != -EEXIST && f->failed == 0)
		f->failed = result;
}

static void
allow_list(struct filter *f, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		allow_if(f, calls[i], NULL, 0);
}

/* The kernel reads these arguments as int, whatever the upper half holds. */
static struct scmp_arg_cmp
int_is(unsigned int arg, int value)
{
	return SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, 0xffffffffu, (uint32_t)value);
}

/* All of mask's bits as in value. */
static struct scmp_arg_cmp
bits_are(unsigned int arg, uint64_t mask, uint64_t value)
{
	return SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value);
}

static void
allow_pairs(struct filter *f, int call, unsigned int arg, unsigned int args,
    const struct pair *pairs, size_t count, unsigned int bits)
{
	for (size_t i = 0; i < count; i++) {
		struct scmp_arg_cmp cmp[2] = {
			int_is(arg, pairs[i].first),
			int_is(arg + 1, pairs[i].second),
		};

		if (pairs[i].bits == 0 || (pairs[i].bits & bits) != 0)
			allow_if(f, call, cmp, args);
	}
}

/* Opening. Landlock decides what may be written. But before ABI 3 it does not
 * see O_TRUNC on a descriptor for reading, and that truncates too. So O_TRUNC
 * passes only together with writing. A process of ours without write access
 * may not even ask for it. */
static void
open_rules(struct filter *f, int call, unsigned int flags_arg,
    unsigned int bits)
{
	struct scmp_arg_cmp reading =
	    bits_are(flags_arg, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY);
	struct scmp_arg_cmp no_truncation = bits_are(flags_arg, O_TRUNC, 0);
	struct scmp_arg_cmp writing = bits_are(flags_arg, O_ACCMODE, O_WRONLY);
	struct scmp_arg_cmp both = bits_are(flags_arg, O_ACCMODE, O_RDWR);

	if ((bits & (CONFINE_WRITE_FILES | CONFINE_EXEC | CONFINE_GO)) == 0) {
		allow_if(f, call, &reading, 1);
		return;
	}
	allow_if(f, call, &no_truncation, 1);
	allow_if(f, call, &writing, 1);
	allow_if(f, call, &both, 1);
}

/* Modes: Landlock does not see chmod, so at least no set-uid and no set-gid
 * programs are made. libgit2 sets the mode of every object it writes. */
static void
mode_rules(struct filter *f)
{
	const uint64_t special = S_ISUID | S_ISGID;
	struct scmp_arg_cmp second = bits_are(1, special, 0);
	struct scmp_arg_cmp third = bits_are(2, special, 0);

	allow_if(f, SCMP_SYS(chmod), &second, 1);
	allow_if(f, SCMP_SYS(fchmod), &second, 1);
	allow_if(f, SCMP_SYS(fchmodat), &third, 1);
}

static void
clone_rules(struct filter *f, unsigned int bits)
{
	const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP |
	    CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
	    CLONE_NEWNET;
	struct scmp_arg_cmp thread =
	    bits_are(0, namespaces | CLONE_THREAD, CLONE_THREAD);
	struct scmp_arg_cmp process = bits_are(0, namespaces, 0);

	if ((bits & CONFINE_FORK) != 0)
		allow_if(f, SCMP_SYS(clone), &process, 1);
	else if ((bits & (CONFINE_THREADS | CONFINE_GO)) != 0)
		allow_if(f, SCMP_SYS(clone), &thread, 1);
}

/* Signals go to the own process. Where a program may have processes, they are
 * unknown here; then Landlock must keep signals inside (ABI 6), else there are
 * none at all but to the first process. */
static void
signal_rules(struct filter *f, unsigned int bits, int abi)
{
	struct scmp_arg_cmp self = int_is(0, CONFINE_PID_MARK);

	if ((bits & CONFINE_FORK) != 0 && abi >= 6) {
		allow_if(f, SCMP_SYS(kill), NULL, 0);
		allow_if(f, SCMP_SYS(tgkill), NULL, 0);
		return;
	}
	allow_if(f, SCMP_SYS(kill), &self, 1);
	allow_if(f, SCMP_SYS(tgkill), &self, 1);
}

/* Only programs that come with their own code, and name look-up, which loads
 * modules, may make memory executable. */
static void
memory_rules(struct filter *f, unsigned int bits)
{
	struct scmp_arg_cmp plain = bits_are(2, PROT_EXEC, 0);

	if ((bits & (CONFINE_EXEC | CONFINE_CONNECT)) != 0) {
		allow_if(f, SCMP_SYS(mmap), NULL, 0);
		allow_if(f, SCMP_SYS(mprotect), NULL, 0);
		return;
	}
	allow_if(f, SCMP_SYS(mmap), &plain, 1);
	allow_if(f, SCMP_SYS(mprotect), &plain, 1);
}

static void
limit_rules(struct filter *f)
{
	struct scmp_arg_cmp zero = int_is(0, 0);
	struct scmp_arg_cmp self = int_is(0, CONFINE_PID_MARK);

	allow_if(f, SCMP_SYS(prlimit64), &zero, 1);
	allow_if(f, SCMP_SYS(prlimit64), &self, 1);
	allow_if(f, SCMP_SYS(setrlimit), NULL, 0);
}

static void
socket_rules(struct filter *f, unsigned int bits)
{
	/* Not AF_UNIX: Landlock does not keep it from sockets in the file
	 * system, and a container engine's is as good as being root. */
	static const int families[] = { AF_INET, AF_INET6 };
	static const int kinds[] = { SOCK_STREAM, SOCK_DGRAM };
	struct scmp_arg_cmp pair = int_is(0, AF_UNIX);

	if ((bits & (CONFINE_ACCEPT | CONFINE_CONNECT)) != 0) {
		allow_pairs(f, SCMP_SYS(setsockopt), 1, 2, socket_options,
		    COUNT(socket_options), bits);
		allow_if(f, SCMP_SYS(getsockopt), NULL, 0);
	}
	if ((bits & CONFINE_CONNECT) == 0)
		return;
	allow_if(f, SCMP_SYS(socketpair), &pair, 1);
	for (size_t i = 0; i < COUNT(families); i++) {
		for (size_t j = 0; j < COUNT(kinds); j++) {
			struct scmp_arg_cmp cmp[2] = {
				int_is(0, families[i]),
				bits_are(1,
				    0xffffffffu &
					~(uint32_t)(SOCK_CLOEXEC |
					    SOCK_NONBLOCK),
				    (uint64_t)kinds[j]),
			};

			allow_if(f, SCMP_SYS(socket), cmp, 2);
		}
	}
}

static void
file_rules(struct filter *f, unsigned int bits, int abi)
{
	/* fstat by another name: no path is looked at. */
	struct scmp_arg_cmp by_descriptor =
	    bits_are(3, AT_EMPTY_PATH, AT_EMPTY_PATH);

	if ((bits & (CONFINE_READ_FILES | CONFINE_WRITE_FILES)) != 0) {
		open_rules(f, SCMP_SYS(open), 1, bits);
		open_rules(f, SCMP_SYS(openat), 2, bits);
	}
	if ((bits & CONFINE_READ_FILES) == 0)
		allow_if(f, SCMP_SYS(newfstatat), &by_descriptor, 1);
	if ((bits & CONFINE_WRITE_FILES) != 0)
		mode_rules(f);
	if ((bits & CONFINE_WRITE_FILES) != 0 && abi >= 3)
		allow_if(f, SCMP_SYS(truncate), NULL, 0);
	if ((bits & CONFINE_LOCK_FILES) != 0)
		allow_if(f, SCMP_SYS(flock), NULL, 0);
}

static void
build_rules(struct filter *f, unsigned int bits, int abi)
{
	for (size_t i = 0; i < COUNT(call_lists); i++) {
		if (call_lists[i].bit == 0 || (call_lists[i].bit & bits) != 0)
			allow_list(f, call_lists[i].calls, call_lists[i].count);
	}
	allow_pairs(f, SCMP_SYS(fcntl), 1, 1, fcntl_commands,
	    COUNT(fcntl_commands), bits);
	allow_pairs(f, SCMP_SYS(ioctl), 1, 1, ioctl_requests,
	    COUNT(ioctl_requests), bits);
	allow_pairs(f, SCMP_SYS(prctl), 0, 1, prctl_options,
	    COUNT(prctl_options), bits);
	memory_rules(f, bits);
	limit_rules(f);
	signal_rules(f, bits, abi);
	clone_rules(f, bits);
	file_rules(f, bits, abi);
	socket_rules(f, bits);
#ifdef EDICT_SANITIZED
	if ((bits & CONFINE_EXEC) == 0)
		allow_list(f, LIST(calls_sanitized));
#endif
}

enum err_code
confine_filter_build(scmp_filter_ctx *out, unsigned int calls, int abi,
    struct err *e)
{
	struct filter f = { .ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM)) };
	int result;

	if (f.ctx == NULL)
		return err_set(e, ERR_UNSUPPORTED,
		    "confinement: libseccomp does not know this machine");
	/* Its arguments lie in memory, where a filter cannot look; callers
	 * that hear ENOSYS use clone. */
	result = seccomp_rule_add(f.ctx, SCMP_ACT_ERRNO(ENOSYS),
	    SCMP_SYS(clone3), 0);
	if (result == 0)
		result = seccomp_attr_set(f.ctx, SCMP_FLTATR_ACT_BADARCH,
		    SCMP_ACT_KILL_PROCESS);
	/* A binary tree: the filter runs at every call. */
	if (result == 0)
		result = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	build_rules(&f, calls, abi);
	if (result == 0)
		result = f.failed;
	if (result == 0) {
		*out = f.ctx;
		return ERR_OK;
	}
	seccomp_release(f.ctx);
	errno = -result;
	return err_errno(e, "confinement: seccomp");
}

bool
confine_has_seccomp(void)
{
	uint32_t action = SECCOMP_RET_ERRNO;

	return syscall(__NR_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}
