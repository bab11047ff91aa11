#ifndef CORE_CONFINE_H
#define CORE_CONFINE_H

/* Takes rights away from the calling process for good: Landlock for files,
 * seccomp for system calls, resource limits, no new privileges, no
 * capabilities, no core files, no looking into its memory. Works without
 * namespaces and without being root, so inside containers too. Older Landlock
 * (Debian 12's kernel: ABI 2) leaves truncate, chmod, chown and utime to
 * seccomp. Call before threads; applies to the calling process and all it
 * starts. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "core/buf.h"
#include "core/err.h"

/* What a process may do beyond the base (memory, its own descriptors, time,
 * futexes, epoll, getrandom, exit). Bits. */
enum confine_calls {
	CONFINE_READ_FILES = 1 << 0, /* open, stat, readlink, getdents */
	CONFINE_WRITE_FILES = 1
	    << 1, /* create, rename, unlink, sync, truncate */
	CONFINE_LOCK_FILES = 1 << 2, /* fcntl locks, as SQLite takes them */
	CONFINE_THREADS = 1 << 3,    /* clone with CLONE_THREAD only */
	CONFINE_ACCEPT = 1 << 4,   /* accept4, recv, send, shutdown, sockopts */
	CONFINE_CONNECT = 1 << 5,  /* socket (inet and inet6 only), connect,
	                            * and what name look-up needs */
	CONFINE_EXEC = 1 << 6,     /* execve (Landlock says of what) */
	CONFINE_FORK = 1 << 7,     /* processes, for granted gate commands */
	CONFINE_GO = 1 << 8,       /* what a Go runtime calls besides */
	CONFINE_MESSAGES = 1 << 9, /* sendmsg, recvmsg, memfd_create on
	                               * inherited pairs */
};

enum confine_access {
	CONFINE_PATH_READ = 1,
	CONFINE_PATH_WRITE = 2, /* create, remove, write below it */
	CONFINE_PATH_EXEC = 4,
};

struct confine_path {
	const char *path;
	unsigned int access; /* enum confine_access bits */
	bool optional;       /* missing is fine */
};

struct confine_rules {
	unsigned int calls;               /* enum confine_calls bits */
	const struct confine_path *paths; /* all other paths are out of reach */
	size_t path_count;
	/* Limits; 0 leaves one as it is. */
	uint64_t data_max; /* RLIMIT_DATA, bytes */
	uint64_t cpu_seconds;
	uint64_t files_max; /* RLIMIT_NOFILE */
	uint64_t
	    threads_extra;   /* RLIMIT_NPROC: the uid's present count + this */
	bool no_file_growth; /* RLIMIT_FSIZE 0: only pipes can be written */
	uint64_t file_size_max; /* RLIMIT_FSIZE otherwise */
	bool best_effort;       /* go on with what the kernel has */
};

/* What this kernel offers. */
struct confine_support {
	int landlock_abi; /* 0: none */
	bool seccomp;
};
void confine_probe(struct confine_support *out);

/* Is the floor there? ERR_UNSUPPORTED says what is missing. */
enum err_code confine_floor(struct err *e) MUST_CHECK;

/* "landlock-7,seccomp,rlimits" for verdicts and status; out is 64 bytes. */
void confine_describe(char out[64], const struct confine_rules *r);

/* Applies the rules. ERR_UNSUPPORTED when the floor is missing and best_effort
 * is not set. After any error the process should exit. */
enum err_code confine_self(const struct confine_rules *r, struct err *e)
    MUST_CHECK;

/* Takes the slow part of confine_self(r) on itself, so that processes which are
 * forked from here on need not: what is made is kept, in this process and in
 * theirs. Optional. From one thread. */
void confine_prepare(const struct confine_rules *r);

/* What executing one program takes: itself, for a script its interpreter, and
 * for what is dynamically linked the loader and the system's folders of
 * libraries. Keeps pointers to path and into itself: do not move it. */
enum { CONFINE_PROGRAM_PATHS = 10, CONFINE_LOADER_MAX = 256 };

struct confine_program {
	const char *path;
	struct confine_path paths[CONFINE_PROGRAM_PATHS];
	size_t count;
	char interpreter[CONFINE_LOADER_MAX];
	char loader[CONFINE_LOADER_MAX];
};

/* Fills out for the program at path, which is borrowed. NOT_FOUND, or INVALID
 * when it is not something that can be executed. Needs no clearing. */
enum err_code confine_program_paths(struct confine_program *out,
    const char *path, struct err *e) MUST_CHECK;

/* What looking up names and checking certificates reads, and the modules that
 * the C library loads for it. For processes with CONFINE_CONNECT. */
enum { CONFINE_NETWORK_PATHS = 16 };
extern const struct confine_path confine_network_paths[CONFINE_NETWORK_PATHS];

/* Tests: from now on act as on a kernel with this Landlock ABI. Before
 * threads. */
void confine_limit_abi(int abi);

#endif
