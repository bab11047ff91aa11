#include "core/confine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/child.h"
#include "core/file.h"
#include "core/mem.h"

/* Escape attempts, each by a process that has just been confined. An attempt
 * returns true if it got through. To show that it is a real one, it is first
 * made without confinement, and there it must get through. */

enum { TIMEOUT_MS = 60000, OUT_MAX = 65536 };

/* What the attempts are made on. `inside` may be read (and, for roles that
 * write, written), `outside` not. */
static struct {
	char *root;
	char *inside;
	char *inside_file;
	char *outside;
	char *outside_file;
	struct sockaddr_in listener;
	char *unix_path;
	int listen_fds[2];
	int inherited; /* outside_file, opened for reading before */
	pid_t parent;
} world;

/* Not file_replace: nobody needs these on disk. */
static void
put_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

/* Attempts change things, so every one finds a new world. */
static void
make_world(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len = sizeof world.listener;
	char root[] = "/tmp/edict-confine-XXXXXX";
	struct err e;

	assert_non_null(mkdtemp(root));
	world.root = mem_strdup(root);
	world.inside = file_path(root, "inside");
	world.outside = file_path(root, "outside");
	world.inside_file = file_path(world.inside, "file");
	world.outside_file = file_path(world.outside, "file");
	world.unix_path = file_path(world.outside, "socket");
	assert_int_equal(file_make_dirs(world.inside, &e), ERR_OK);
	assert_int_equal(file_make_dirs(world.outside, &e), ERR_OK);
	put_file(world.inside_file, "inside", 0600);
	put_file(world.outside_file, "outside", 0600);
	world.inherited = open(world.outside_file, O_RDONLY | O_CLOEXEC);
	assert_true(world.inherited > 2);

	world.listen_fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	world.listener = (struct sockaddr_in){ .sin_family = AF_INET };
	world.listener.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(world.listen_fds[0],
			     (struct sockaddr *)&world.listener, len),
	    0);
	assert_int_equal(listen(world.listen_fds[0], 8), 0);
	assert_int_equal(getsockname(world.listen_fds[0],
			     (struct sockaddr *)&world.listener, &len),
	    0);
	world.listen_fds[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(un.sun_path, sizeof un.sun_path, "%s", world.unix_path);
	assert_int_equal(bind(world.listen_fds[1], (struct sockaddr *)&un,
			     sizeof un),
	    0);
	assert_int_equal(listen(world.listen_fds[1], 8), 0);
	world.parent = getpid();
}

static void
end_world(void)
{
	struct err e;

	close(world.listen_fds[0]);
	close(world.listen_fds[1]);
	close(world.inherited);
	assert_int_equal(file_remove_tree(world.root, &e), ERR_OK);
	mem_free(world.root);
	mem_free(world.inside);
	mem_free(world.outside);
	mem_free(world.inside_file);
	mem_free(world.outside_file);
	mem_free(world.unix_path);
}

static bool
opens(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Files. */

static bool
read_outside(void)
{
	return opens(world.outside_file, O_RDONLY);
}

static bool
read_around(void)
{
	AUTO_STR path = mem_printf("%s/../outside/file", world.inside);

	return opens(path, O_RDONLY);
}

static bool
read_by_link(void)
{
	AUTO_STR path = mem_printf("/proc/self/fd/%d", world.inherited);

	return opens(path, O_RDONLY);
}

static bool
list_outside(void)
{
	return opens(world.outside, O_RDONLY | O_DIRECTORY);
}

static bool
read_passwords(void)
{
	return opens("/etc/passwd", O_RDONLY);
}

static bool
write_inside(void)
{
	return opens(world.inside_file, O_WRONLY);
}

static bool
write_outside(void)
{
	return opens(world.outside_file, O_WRONLY);
}

static bool
append_inside(void)
{
	return opens(world.inside_file, O_RDWR | O_APPEND);
}

static bool
is_empty(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_size == 0;
}

/* POSIX leaves it open what this does; Linux truncates. */
static bool
truncate_by_reading(void)
{
	return opens(world.inside_file, O_RDONLY | O_TRUNC);
}

static bool
truncate_inside(void)
{
	return truncate(world.inside_file, 0) == 0;
}

static bool
truncate_outside(void)
{
	return truncate(world.outside_file, 0) == 0;
}

static bool
create_inside(void)
{
	AUTO_STR path = file_path(world.inside, "new");

	return opens(path, O_WRONLY | O_CREAT | O_EXCL);
}

static bool
create_outside(void)
{
	AUTO_STR path = file_path(world.outside, "new");

	return opens(path, O_WRONLY | O_CREAT | O_EXCL);
}

static bool
create_unnamed(void)
{
	return opens(world.inside, O_WRONLY | O_TMPFILE);
}

static bool
make_folder(void)
{
	AUTO_STR path = file_path(world.inside, "folder");

	return mkdir(path, 0700) == 0;
}

static bool
make_folder_outside(void)
{
	AUTO_STR path = file_path(world.outside, "folder");

	return mkdir(path, 0700) == 0;
}

static bool
make_fifo(void)
{
	AUTO_STR path = file_path(world.inside, "fifo");

	return mkfifo(path, 0600) == 0;
}

static bool
make_symlink(void)
{
	AUTO_STR path = file_path(world.inside, "link");

	return symlink("/etc/passwd", path) == 0;
}

static bool
make_link(void)
{
	AUTO_STR path = file_path(world.inside, "link");

	return link(world.outside_file, path) == 0;
}

static bool
rename_inside(void)
{
	AUTO_STR path = file_path(world.inside, "renamed");

	return rename(world.inside_file, path) == 0;
}

static bool
rename_out(void)
{
	AUTO_STR path = file_path(world.outside, "renamed");

	return rename(world.inside_file, path) == 0;
}

static bool
rename_in(void)
{
	AUTO_STR path = file_path(world.inside, "renamed");

	return rename(world.outside_file, path) == 0;
}

static bool
unlink_inside(void)
{
	return unlink(world.inside_file) == 0;
}

static bool
unlink_outside(void)
{
	return unlink(world.outside_file) == 0;
}

static bool
chmod_inside(void)
{
	return chmod(world.inside_file, 0644) == 0;
}

static bool
chmod_outside(void)
{
	return chmod(world.outside_file, 0644) == 0;
}

static bool
fchmod_inherited(void)
{
	return fchmod(world.inherited, 0644) == 0;
}

static bool
make_set_uid(void)
{
	return chmod(world.inside_file, 04755) == 0;
}

static bool
chown_inside(void)
{
	return chown(world.inside_file, getuid(), getgid()) == 0;
}

static bool
fchown_inherited(void)
{
	return fchown(world.inherited, getuid(), getgid()) == 0;
}

static bool
set_times(void)
{
	return utimensat(AT_FDCWD, world.inside_file, NULL, 0) == 0;
}

static bool
set_times_inherited(void)
{
	return futimens(world.inherited, NULL) == 0;
}

static bool
set_attribute(void)
{
	return setxattr(world.inside_file, "user.edict", "1", 1, 0) == 0;
}

static bool
lock_file(void)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	return fcntl(world.inherited, F_SETLK, &l) == 0;
}

/* /proc. */

static bool
own_environment(void)
{
	return opens("/proc/self/environ", O_RDONLY);
}

static bool
own_memory(void)
{
	return opens("/proc/self/mem", O_RDWR);
}

static bool
parents_environment(void)
{
	AUTO_STR path = mem_printf("/proc/%d/environ", (int)world.parent);

	return opens(path, O_RDONLY);
}

static bool
list_processes(void)
{
	return opens("/proc", O_RDONLY | O_DIRECTORY);
}

/* Sockets. */

static bool
makes_socket(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool
socket_tcp(void)
{
	return makes_socket(AF_INET, SOCK_STREAM, 0);
}

static bool
socket_udp(void)
{
	return makes_socket(AF_INET, SOCK_DGRAM, 0);
}

static bool
socket_tcp6(void)
{
	return makes_socket(AF_INET6, SOCK_STREAM, 0);
}

static bool
socket_raw(void)
{
	return makes_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static bool
socket_netlink(void)
{
	return makes_socket(AF_NETLINK, SOCK_RAW, 0);
}

static bool
socket_packet(void)
{
	return makes_socket(AF_PACKET, SOCK_RAW, 0);
}

static bool
socket_unix(void)
{
	return makes_socket(AF_UNIX, SOCK_STREAM, 0);
}

static bool
socket_unix_datagram(void)
{
	return makes_socket(AF_UNIX, SOCK_DGRAM, 0);
}

static bool
socket_pair(void)
{
	int fds[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0;
}

static bool
connect_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 &&
	    connect(fd, (struct sockaddr *)&world.listener,
		sizeof world.listener) == 0;
}

static bool
connect_unix(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(un.sun_path, sizeof un.sun_path, "%s", world.unix_path);
	return fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof un) == 0;
}

static bool
bind_tcp(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0;
}

static bool
attach_filter(void)
{
	int option = 0;

	return setsockopt(world.listen_fds[0], SOL_SOCKET, SO_DETACH_FILTER,
		   &option, sizeof option) == 0 ||
	    errno == ENOENT;
}

/* Programs and processes. */

static bool
exec_other(void)
{
	char *const argv[] = { NULL };
	char name[] = "/bin/true";
	char *const with_name[] = { name, NULL };

	execve(name, with_name, argv);
	return false;
}

static bool
exec_memory(void)
{
	char name[] = "x";
	char *const argv[] = { name, NULL };
	char *const envp[] = { NULL };
	int from = open("/bin/true", O_RDONLY | O_CLOEXEC);
	int fd = memfd_create("x", MFD_CLOEXEC);
	AUTO_STR path = mem_printf("/proc/self/fd/%d", fd);

	if (from < 0 || fd < 0 || sendfile(fd, from, NULL, 1 << 24) <= 0)
		return false;
	execve(path, argv, envp);
	return false;
}

static bool
exec_descriptor(void)
{
	char name[] = "x";
	char *const argv[] = { name, NULL };
	char *const envp[] = { NULL };
	int fd = open("/bin/true", O_PATH | O_CLOEXEC);

	if (fd >= 0)
		syscall(__NR_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
	return false;
}

static bool
reaped(pid_t pid)
{
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return pid > 0;
}

static bool
fork_process(void)
{
	return reaped(fork());
}

static bool
clone_process(void)
{
	return reaped((pid_t)syscall(__NR_clone, (unsigned long)SIGCHLD, 0, 0,
	    0, 0));
}

static bool
clone3_process(void)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	return reaped((pid_t)syscall(__NR_clone3, &args, sizeof args));
}

static void *
do_nothing(void *arg)
{
	return arg;
}

static bool
start_thread(void)
{
	pthread_t t;

	return pthread_create(&t, NULL, do_nothing, NULL) == 0 &&
	    pthread_join(t, NULL) == 0;
}

static bool
trace_parent(void)
{
	return ptrace(PTRACE_SEIZE, world.parent, NULL, NULL) == 0;
}

static bool
be_traced(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}

static bool
read_parents_memory(void)
{
	char c;
	struct iovec here = { &c, 1 };
	struct iovec there = { &world, 1 };

	return process_vm_readv(world.parent, &here, 1, &there, 1, 0) == 1;
}

static bool
kill_parent(void)
{
	return kill(world.parent, 0) == 0;
}

static bool
kill_everybody(void)
{
	return kill(-1, 0) == 0;
}

static bool
kill_parents_group(void)
{
	return kill(-getpgid(world.parent), 0) == 0;
}

static bool
kill_parents_thread(void)
{
	return syscall(__NR_tgkill, world.parent, world.parent, 0) == 0;
}

static bool
kill_by_descriptor(void)
{
	int fd = (int)syscall(__NR_pidfd_open, world.parent, 0);

	return fd >= 0 && syscall(__NR_pidfd_send_signal, fd, 0, NULL, 0) == 0;
}

static bool
own_signals(void)
{
	union {
		int fd;
	} to = { world.inherited };

	return fcntl(to.fd, F_SETOWN, (int)world.parent) == 0;
}

static bool
limit_parent(void)
{
	struct rlimit r;

	return prlimit(world.parent, RLIMIT_NOFILE, NULL, &r) == 0;
}

static bool
leave_group(void)
{
	return setsid() > 0 || setpgid(0, getpgid(world.parent)) == 0;
}

static bool
outlive_parent(void)
{
	return prctl(PR_SET_PDEATHSIG, 0) == 0;
}

static bool
become_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1) == 0;
}

static bool
get_privileges(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0;
}

static bool
make_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool
watch_files(void)
{
	return syscall(__NR_inotify_init1, 0) >= 0;
}

/* Not free: what cannot get through even unconfined in some places (another
 * file system, a container); then only the refusal is shown. */
struct attempt {
	const char *name;
	bool (*make)(void);
	unsigned int granted_by; /* bits of which one makes it legitimate */
	bool not_free;
};

#define TRY_TO(f, ...)             \
	{                          \
#f, f, __VA_ARGS__ \
	}

static const struct attempt attempts[] = {
	TRY_TO(read_outside, 0, false),
	TRY_TO(read_around, 0, false),
	TRY_TO(read_by_link, 0, false),
	TRY_TO(list_outside, 0, false),
	TRY_TO(read_passwords, 0, false),
	TRY_TO(write_inside, CONFINE_WRITE_FILES, false),
	TRY_TO(append_inside, CONFINE_WRITE_FILES, false),
	TRY_TO(write_outside, 0, false),
	TRY_TO(truncate_by_reading, 0, false),
	TRY_TO(truncate_inside, CONFINE_WRITE_FILES, false),
	TRY_TO(truncate_outside, 0, false),
	TRY_TO(create_inside, CONFINE_WRITE_FILES, false),
	TRY_TO(create_outside, 0, false),
	TRY_TO(create_unnamed, CONFINE_WRITE_FILES, true),
	TRY_TO(make_folder, CONFINE_WRITE_FILES, false),
	TRY_TO(make_folder_outside, 0, false),
	TRY_TO(make_fifo, 0, false),
	TRY_TO(make_symlink, 0, false),
	TRY_TO(make_link, 0, false),
	TRY_TO(rename_inside, CONFINE_WRITE_FILES, false),
	TRY_TO(rename_out, 0, false),
	TRY_TO(rename_in, 0, false),
	TRY_TO(unlink_inside, CONFINE_WRITE_FILES, false),
	TRY_TO(unlink_outside, 0, false),
	TRY_TO(chmod_inside, CONFINE_WRITE_FILES, false),
	TRY_TO(chmod_outside, CONFINE_WRITE_FILES, false),
	TRY_TO(fchmod_inherited, CONFINE_WRITE_FILES, false),
	TRY_TO(make_set_uid, 0, false),
	TRY_TO(chown_inside, 0, false),
	TRY_TO(fchown_inherited, 0, false),
	TRY_TO(set_times, CONFINE_WRITE_FILES, false),
	TRY_TO(set_times_inherited, CONFINE_WRITE_FILES, false),
	TRY_TO(set_attribute, 0, true),
	TRY_TO(lock_file, CONFINE_LOCK_FILES | CONFINE_FORK, false),
	TRY_TO(own_environment, 0, false),
	TRY_TO(own_memory, 0, false),
	TRY_TO(parents_environment, 0, false),
	TRY_TO(list_processes, 0, false),
	TRY_TO(socket_tcp, CONFINE_CONNECT, false),
	TRY_TO(socket_udp, CONFINE_CONNECT, false),
	TRY_TO(socket_tcp6, CONFINE_CONNECT, true),
	TRY_TO(socket_raw, 0, true),
	TRY_TO(socket_netlink, 0, false),
	TRY_TO(socket_packet, 0, true),
	TRY_TO(socket_unix, 0, false),
	TRY_TO(socket_unix_datagram, 0, false),
	TRY_TO(socket_pair, CONFINE_CONNECT, false),
	TRY_TO(connect_tcp, CONFINE_CONNECT, false),
	TRY_TO(connect_unix, 0, false),
	TRY_TO(bind_tcp, 0, false),
	TRY_TO(attach_filter, 0, false),
	TRY_TO(exec_other, 0, true), /* ends the process: see below */
	TRY_TO(exec_memory, 0, true),
	TRY_TO(exec_descriptor, 0, true),
	TRY_TO(fork_process, CONFINE_FORK, false),
	TRY_TO(clone_process, CONFINE_FORK, false),
	TRY_TO(clone3_process, 0, false),
	TRY_TO(start_thread, CONFINE_THREADS | CONFINE_GO | CONFINE_FORK,
	    false),
	TRY_TO(trace_parent, 0, true),
	TRY_TO(be_traced, 0, false),
	TRY_TO(read_parents_memory, 0, true),
	TRY_TO(kill_parent, 0, false),
	/* Answers 0 even if Landlock let no signal out. */
	TRY_TO(kill_everybody, CONFINE_FORK, true),
	TRY_TO(kill_parents_group, 0, false),
	TRY_TO(kill_parents_thread, 0, false),
	TRY_TO(kill_by_descriptor, 0, false),
	TRY_TO(own_signals, 0, false),
	TRY_TO(limit_parent, 0, false),
	TRY_TO(leave_group, 0, true),
	TRY_TO(outlive_parent, 0, false),
	TRY_TO(become_dumpable, 0, false),
	TRY_TO(get_privileges, 0, false),
	TRY_TO(make_code, CONFINE_EXEC | CONFINE_CONNECT, false),
	TRY_TO(watch_files, 0, false),
};

enum { ATTEMPTS = sizeof attempts / sizeof *attempts };

/* A program that was executed in place of the attempt ends with 0 too, and
 * says nothing. */
enum { GOT_THROUGH = 0, REFUSED = 41 };

/* The list of attempts ends the process at the first program it executes, so
 * each is made by its own process. */
static int
make_attempt(void *arg)
{
	const struct attempt *a = arg;

	return a->make() ? GOT_THROUGH : REFUSED;
}

/* By hand, and not by child_run: this one is not confined at all. */
static bool
gets_through_free(const struct attempt *a)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(a->make() ? GOT_THROUGH : REFUSED);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == GOT_THROUGH;
}

static int
run_confined(int (*body)(void *), const void *arg, unsigned int calls,
    unsigned int access)
{
	struct confine_path path = { world.inside, access, false };
	int keep[] = { world.inherited, world.listen_fds[0] };
	struct child_spec spec = {
		.name = "attempt",
		.main = body,
		.arg = (void *)(uintptr_t)arg,
		.stdin_fd = -1,
		.keep = keep,
		.keep_count = 2,
		.rules = { .calls = calls, .paths = &path, .path_count = 1 },
	};
	struct child_result r;
	struct err e = { 0 };
	int status;

	if (child_run(&r, &spec, TIMEOUT_MS, OUT_MAX, &e) != ERR_OK)
		fail_msg("%s", e.text);
	if (r.end != CHILD_EXITED)
		fail_msg("%s %d: %s", child_end_name(r.end), r.status,
		    r.err.data);
	status = r.status;
	child_result_clear(&r);
	return status;
}

/* The rights of each kind of process. */
static const struct {
	const char *name;
	unsigned int calls;
	unsigned int access;
} roles[] = {
	{ "nothing", 0, CONFINE_PATH_READ },
	{ "reader", CONFINE_READ_FILES, CONFINE_PATH_READ },
	{ "ledger",
	    CONFINE_READ_FILES | CONFINE_WRITE_FILES | CONFINE_LOCK_FILES |
		CONFINE_MESSAGES,
	    CONFINE_PATH_READ | CONFINE_PATH_WRITE },
	{ "keeper", CONFINE_MESSAGES, 0 },
	{ "pipeline",
	    CONFINE_READ_FILES | CONFINE_WRITE_FILES | CONFINE_LOCK_FILES |
		CONFINE_MESSAGES | CONFINE_THREADS,
	    CONFINE_PATH_READ | CONFINE_PATH_WRITE },
	{ "http",
	    CONFINE_READ_FILES | CONFINE_LOCK_FILES | CONFINE_MESSAGES |
		CONFINE_THREADS | CONFINE_ACCEPT,
	    CONFINE_PATH_READ },
	{ "fetch",
	    CONFINE_READ_FILES | CONFINE_WRITE_FILES | CONFINE_CONNECT |
		CONFINE_THREADS,
	    CONFINE_PATH_READ | CONFINE_PATH_WRITE },
	{ "gate", CONFINE_READ_FILES | CONFINE_EXEC | CONFINE_GO,
	    CONFINE_PATH_READ },
	{ "command",
	    CONFINE_READ_FILES | CONFINE_EXEC | CONFINE_GO | CONFINE_FORK |
		CONFINE_THREADS,
	    CONFINE_PATH_READ },
};

enum { ROLES = sizeof roles / sizeof *roles };

static void
test_attempts_are_real(void **state)
{
	(void)state;
	for (size_t i = 0; i < ATTEMPTS; i++) {
		bool through;

		make_world();
		through = gets_through_free(&attempts[i]);
		end_world();
		if (!through && !attempts[i].not_free)
			fail_msg("%s fails even without confinement",
			    attempts[i].name);
	}
}

static void
try_role(size_t role)
{
	for (size_t i = 0; i < ATTEMPTS; i++) {
		const struct attempt *a = &attempts[i];
		int status;

		make_world();
		status = run_confined(make_attempt, a, roles[role].calls,
		    roles[role].access);
		if ((a->granted_by & roles[role].calls) == 0) {
			if (status != REFUSED)
				fail_msg("%s: %s got through (%d)",
				    roles[role].name, a->name, status);
			assert_false(is_empty(world.inside_file));
			assert_false(is_empty(world.outside_file));
		}
		end_world();
	}
}

static void
test_escapes(void **state)
{
	(void)state;
	for (size_t role = 0; role < ROLES; role++)
		try_role(role);
}

/* A kernel with an older Landlock: seccomp makes up for it. */
static void
test_escapes_on_debian_12(void **state)
{
	(void)state;
	confine_limit_abi(2);
	for (size_t role = 0; role < ROLES; role++) {
		if ((roles[role].calls & CONFINE_WRITE_FILES) == 0 &&
		    (roles[role].calls & CONFINE_FORK) == 0)
			try_role(role);
	}
	confine_limit_abi(1000);
}

/* With write access on an old kernel truncate(2) is refused, because nothing
 * would keep it inside; ftruncate needs an open descriptor and is fine. */
static void
test_truncate_on_debian_12(void **state)
{
	static const struct attempt by_path = TRY_TO(truncate_inside, 0, false);
	const unsigned int calls = CONFINE_READ_FILES | CONFINE_WRITE_FILES;
	const unsigned int access = CONFINE_PATH_READ | CONFINE_PATH_WRITE;
	struct confine_support s;

	(void)state;
	confine_probe(&s);
	make_world();
	confine_limit_abi(2);
	assert_int_equal(run_confined(make_attempt, &by_path, calls, access),
	    REFUSED);
	confine_limit_abi(1000);
	assert_int_equal(run_confined(make_attempt, &by_path, calls, access),
	    s.landlock_abi >= 3 ? GOT_THROUGH : REFUSED);
	end_world();
}

/* System calls nobody gets, whatever their arguments. */
static const struct {
	const char *name;
	long number;
} forbidden[] = {
	{ "ptrace", __NR_ptrace },
	{ "process_vm_readv", __NR_process_vm_readv },
	{ "process_vm_writev", __NR_process_vm_writev },
	{ "bpf", __NR_bpf },
	{ "perf_event_open", __NR_perf_event_open },
	{ "io_uring_setup", __NR_io_uring_setup },
	{ "io_uring_enter", __NR_io_uring_enter },
	{ "io_uring_register", __NR_io_uring_register },
	{ "keyctl", __NR_keyctl },
	{ "add_key", __NR_add_key },
	{ "request_key", __NR_request_key },
	{ "mount", __NR_mount },
	{ "umount2", __NR_umount2 },
	{ "move_mount", __NR_move_mount },
	{ "open_tree", __NR_open_tree },
	{ "fsopen", __NR_fsopen },
	{ "pivot_root", __NR_pivot_root },
	{ "chroot", __NR_chroot },
	{ "unshare", __NR_unshare },
	{ "setns", __NR_setns },
	{ "userfaultfd", __NR_userfaultfd },
	{ "name_to_handle_at", __NR_name_to_handle_at },
	{ "open_by_handle_at", __NR_open_by_handle_at },
	{ "fanotify_init", __NR_fanotify_init },
	{ "inotify_init1", __NR_inotify_init1 },
	{ "init_module", __NR_init_module },
	{ "finit_module", __NR_finit_module },
	{ "kexec_load", __NR_kexec_load },
	{ "reboot", __NR_reboot },
	{ "swapon", __NR_swapon },
	{ "sethostname", __NR_sethostname },
	{ "settimeofday", __NR_settimeofday },
	{ "clock_settime", __NR_clock_settime },
	{ "adjtimex", __NR_adjtimex },
	{ "setuid", __NR_setuid },
	{ "setresuid", __NR_setresuid },
	{ "setgroups", __NR_setgroups },
	{ "capset", __NR_capset },
	{ "personality", __NR_personality },
	{ "quotactl", __NR_quotactl },
	{ "acct", __NR_acct },
	{ "syslog", __NR_syslog },
	{ "vhangup", __NR_vhangup },
	{ "mknod", __NR_mknod },
	{ "mknodat", __NR_mknodat },
	{ "setxattr", __NR_setxattr },
	{ "fsetxattr", __NR_fsetxattr },
	{ "removexattr", __NR_removexattr },
	{ "chown", __NR_chown },
	{ "fchownat", __NR_fchownat },
	{ "shmget", __NR_shmget },
	{ "msgget", __NR_msgget },
	{ "semget", __NR_semget },
	{ "mq_open", __NR_mq_open },
	{ "rt_sigqueueinfo", __NR_rt_sigqueueinfo },
	{ "rt_tgsigqueueinfo", __NR_rt_tgsigqueueinfo },
	{ "tkill", __NR_tkill },
	{ "pidfd_open", __NR_pidfd_open },
	{ "pidfd_getfd", __NR_pidfd_getfd },
	{ "pidfd_send_signal", __NR_pidfd_send_signal },
	{ "process_madvise", __NR_process_madvise },
	{ "kcmp", __NR_kcmp },
	{ "sched_setaffinity", __NR_sched_setaffinity },
	{ "sched_setscheduler", __NR_sched_setscheduler },
	{ "setpriority", __NR_setpriority },
	{ "ioprio_set", __NR_ioprio_set },
	{ "setsid", __NR_setsid },
	{ "setpgid", __NR_setpgid },
	{ "execveat", __NR_execveat },
	{ "clone3", __NR_clone3 },
	{ "openat2", __NR_openat2 },
	{ "seccomp", __NR_seccomp },
	{ "landlock_create_ruleset", __NR_landlock_create_ruleset },
	{ "memfd_secret", __NR_memfd_secret },
	{ "splice", __NR_splice },
	{ "vmsplice", __NR_vmsplice },
	{ "tee", __NR_tee },
	{ "modify_ldt", __NR_modify_ldt },
	{ "iopl", __NR_iopl },
	{ "ioperm", __NR_ioperm },
	{ "remap_file_pages", __NR_remap_file_pages },
	{ "mbind", __NR_mbind },
	{ "lookup_dcookie", __NR_lookup_dcookie },
	{ "unknown", 999 },
};

static int
call_forbidden(void *arg)
{
	int through = 0;

	(void)arg;
	for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
		long r =
		    syscall(forbidden[i].number, -1L, -1L, -1L, -1L, -1L, -1L);
		int want = forbidden[i].number == __NR_clone3 ? ENOSYS : EPERM;

		if (r == -1 && errno == want)
			continue;
		dprintf(STDERR_FILENO, "%s: %ld, errno %d\n", forbidden[i].name,
		    r, errno);
		through++;
	}
	return through;
}

static void
test_forbidden_calls(void **state)
{
	(void)state;
	make_world();
	for (size_t role = 0; role < ROLES; role++) {
		int through = run_confined(call_forbidden, NULL,
		    roles[role].calls, roles[role].access);

		if (through != 0)
			fail_msg("%s: %d calls got through", roles[role].name,
			    through);
	}
	end_world();
}

/* Limits. */

static int
show_limits(void *arg)
{
	static const int resources[] = { RLIMIT_CORE, RLIMIT_CPU, RLIMIT_NOFILE,
		RLIMIT_FSIZE };

	(void)arg;
	for (size_t i = 0; i < sizeof resources / sizeof *resources; i++) {
		struct rlimit r;

		if (getrlimit((__rlimit_resource_t)resources[i], &r) != 0)
			return 1;
		dprintf(STDOUT_FILENO, "%lu/%lu ", (unsigned long)r.rlim_cur,
		    (unsigned long)r.rlim_max);
		r.rlim_max += 1;
		r.rlim_cur = r.rlim_max;
		if (setrlimit((__rlimit_resource_t)resources[i], &r) == 0)
			return 2;
	}
	return 0;
}

static void
test_limits(void **state)
{
	struct child_spec spec = {
		.name = "limits",
		.main = show_limits,
		.stdin_fd = -1,
		.rules = { .cpu_seconds = 10,
		    .files_max = 64,
		    .file_size_max = 4096 },
	};
	struct child_result r;
	struct err e;

	(void)state;
	assert_int_equal(child_run(&r, &spec, TIMEOUT_MS, OUT_MAX, &e), ERR_OK);
	assert_int_equal(r.status, 0); /* 2: a limit could be raised again */
	assert_string_equal(r.out.data, "0/0 10/11 64/64 4096/4096 ");
	child_result_clear(&r);
}

static int
grow_file(void *arg)
{
	const int *fd = arg;
	char bytes[64] = { 0 };

	if (pwrite(*fd, bytes, sizeof bytes, 0) >= 0 || errno != EFBIG)
		return 1;
	/* Pipes are no files. */
	return write(STDOUT_FILENO, "ok", 2) == 2 ? 0 : 2;
}

static void
test_no_file_growth(void **state)
{
	char path[] = "/tmp/edict-confine-XXXXXX";
	int fd = mkstemp(path);
	struct child_spec spec = {
		.name = "growth",
		.main = grow_file,
		.arg = &fd,
		.stdin_fd = -1,
		.keep = &fd,
		.keep_count = 1,
		.rules = { .no_file_growth = true },
	};
	struct child_result r;
	struct err e;

	(void)state;
	assert_true(fd > 2);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(child_run(&r, &spec, TIMEOUT_MS, OUT_MAX, &e), ERR_OK);
	assert_int_equal(r.end, CHILD_EXITED);
	assert_int_equal(r.status, 0);
	assert_string_equal(r.out.data, "ok");
	child_result_clear(&r);
	close(fd);
}

static int
use_cpu(void *arg)
{
	volatile bool busy = true;

	(void)arg;
	while (busy)
		continue;
	return 0;
}

static void
test_cpu_limit(void **state)
{
	struct child_spec spec = {
		.name = "cpu",
		.main = use_cpu,
		.stdin_fd = -1,
		.rules = { .cpu_seconds = 1 },
	};
	struct child_result r;
	struct err e;

	(void)state;
	assert_int_equal(child_run(&r, &spec, TIMEOUT_MS, OUT_MAX, &e), ERR_OK);
	assert_int_equal(r.end, CHILD_SIGNALLED);
	assert_int_equal(r.status, SIGXCPU);
	assert_true(r.cpu_ms >= 900 && r.cpu_ms < 3000);
	child_result_clear(&r);
}

/* RLIMIT_NPROC does not bind root, so this becomes somebody else first. */
static int
become_somebody(void *arg)
{
	(void)arg;
	if (getuid() != 0)
		return 0;
	return setgid(65534) == 0 && setuid(65534) == 0 ? 0 : 1;
}

static void *
wait_on_pipe(void *arg)
{
	char c;
	const int *fd = arg;

	(void)!read(*fd, &c, 1);
	return NULL;
}

static int
start_many(void *arg)
{
	enum { MANY = 64 };
	pthread_t threads[MANY];
	int ends[2];
	int count = 0;

	(void)arg;
	if (pipe(ends) != 0)
		return 100;
	while (count < MANY &&
	    pthread_create(&threads[count], NULL, wait_on_pipe, &ends[0]) == 0)
		count++;
	close(ends[1]);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return count;
}

static void
test_threads_limit(void **state)
{
	struct child_spec spec = {
		.name = "threads",
		.prepare = become_somebody,
		.main = start_many,
		.stdin_fd = -1,
		.rules = { .calls = CONFINE_THREADS, .threads_extra = 8 },
	};
	struct child_result r;
	struct err e;

	(void)state;
	assert_int_equal(child_run(&r, &spec, TIMEOUT_MS, OUT_MAX, &e), ERR_OK);
	assert_int_equal(r.end, CHILD_EXITED);
	/* Others of the same uid may come and go meanwhile. */
	assert_in_range(r.status, 1, 16);
	child_result_clear(&r);
}

/* RLIMIT_DATA on a program: the shell grows a string for ever. */
static void
test_memory_limit(void **state)
{
	struct confine_program sh;
	const char *const argv[] = { "sh", "-c",
		"x=aaaaaaaa; while :; do x=$x$x$x$x; done", NULL };
	struct child_spec spec = {
		.name = "memory",
		.path = "/bin/sh",
		.argv = argv,
		.stdin_fd = -1,
		.rules = { .calls = CONFINE_READ_FILES | CONFINE_EXEC,
		    .data_max = 64 << 20 },
	};
	struct child_result r;
	struct err e;

	(void)state;
	assert_int_equal(confine_program_paths(&sh, "/bin/sh", &e), ERR_OK);
	spec.rules.paths = sh.paths;
	spec.rules.path_count = sh.count;
	assert_int_equal(child_run(&r, &spec, TIMEOUT_MS, OUT_MAX, &e), ERR_OK);
	/* It says so, or dies of it. */
	assert_int_not_equal(r.end, CHILD_TIMED_OUT);
	assert_int_not_equal(r.status, 0);
	/* The parent's own size at the fork counts too. */
	assert_in_range(r.rss_max, 0, 256 << 20);
	child_result_clear(&r);
}

/* What the kernel offers. */

static void
test_floor(void **state)
{
	const struct confine_rules rules = { 0 };
	struct confine_support s;
	char text[64];
	char expected[64];
	struct err e;

	(void)state;
	confine_probe(&s);
	assert_true(s.seccomp);
	assert_true(s.landlock_abi >= 1);
	assert_int_equal(confine_floor(&e), ERR_OK);
	confine_describe(text, &rules);
	(void)snprintf(expected, sizeof expected, "landlock-%d,seccomp,rlimits",
	    s.landlock_abi);
	assert_string_equal(text, expected);

	confine_limit_abi(0);
	assert_int_equal(confine_floor(&e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "Landlock"));
	confine_describe(text, &rules);
	assert_string_equal(text, "seccomp,rlimits");
	confine_limit_abi(1000);
}

static int
say_hello(void *arg)
{
	(void)arg;
	return 7;
}

static void
test_best_effort(void **state)
{
	struct child_spec spec = {
		.name = "hello",
		.main = say_hello,
		.stdin_fd = -1,
	};
	struct child_result r;
	struct err e;

	(void)state;
	confine_limit_abi(0);
	assert_int_equal(child_run(&r, &spec, TIMEOUT_MS, OUT_MAX, &e),
	    ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "hello: cannot start: this kernel"));
	spec.rules.best_effort = true;
	assert_int_equal(child_run(&r, &spec, TIMEOUT_MS, OUT_MAX, &e), ERR_OK);
	assert_int_equal(r.status, 7);
	child_result_clear(&r);
	confine_limit_abi(1000);
}

/* What a program needs. */

static bool
has_path(const struct confine_program *p, const char *path)
{
	for (size_t i = 0; i < p->count; i++) {
		if (strcmp(p->paths[i].path, path) == 0)
			return true;
	}
	return false;
}

static void
test_program_paths(void **state)
{
	static const struct {
		const char *text;
		const char *fault;
	} bad[] = {
		{ "", "neither" },
		{ "just text", "neither" },
		{ "#!", "whole path" },
		{ "#!sh\n", "whole path" },
		{ "#!/no/such/shell\n", "/no/such/shell" },
		{ "\x7f"
		  "ELF",
		    "neither" },
	};
	struct confine_program p;
	AUTO_STR script = NULL;
	struct err e;

	(void)state;
	make_world();
	script = file_path(world.inside, "script");
	assert_int_equal(confine_program_paths(&p, "/bin/sh", &e), ERR_OK);
	assert_true(has_path(&p, "/bin/sh"));
	assert_true(has_path(&p, "/usr/lib"));
	assert_string_equal(p.interpreter, "");
	assert_memory_equal(p.loader, "/lib", 4);

	put_file(script, "#! /bin/sh -e\nexit 0\n", 0755);
	assert_int_equal(confine_program_paths(&p, script, &e), ERR_OK);
	assert_true(has_path(&p, script));
	assert_true(has_path(&p, "/bin/sh"));
	assert_true(has_path(&p, "/usr/lib"));

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		put_file(script, bad[i].text, 0755);
		assert_int_not_equal(confine_program_paths(&p, script, &e),
		    ERR_OK);
		if (strstr(e.text, bad[i].fault) == NULL)
			fail_msg("%s, not: %s", e.text, bad[i].fault);
	}
	assert_int_equal(confine_program_paths(&p, world.inside_file, &e),
	    ERR_INVALID); /* not executable */
	assert_int_equal(confine_program_paths(&p, world.inside, &e),
	    ERR_INVALID);
	assert_int_equal(confine_program_paths(&p, "/no/such/program", &e),
	    ERR_NOT_FOUND);
	end_world();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts_are_real),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_escapes_on_debian_12),
		cmocka_unit_test(test_truncate_on_debian_12),
		cmocka_unit_test(test_forbidden_calls),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_no_file_growth),
		cmocka_unit_test(test_cpu_limit),
		cmocka_unit_test(test_threads_limit),
		cmocka_unit_test(test_memory_limit),
		cmocka_unit_test(test_floor),
		cmocka_unit_test(test_best_effort),
		cmocka_unit_test(test_program_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
