#include "tests/unit/core/confine_attempts.h"

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

#include "core/confine.h"
#include "core/file.h"
#include "core/mem.h"
#include "tests/unit/core/confine_world.h"

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

#define TRY_TO(f, ...)             \
	{                          \
#f, f, __VA_ARGS__ \
	}

const struct attempt attempts[] = {
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

const size_t attempt_count = sizeof attempts / sizeof *attempts;

const struct attempt *
attempt_find(const char *name)
{
	const struct attempt *a = attempts;

	while (strcmp(a->name, name) != 0)
		assert_true(++a < attempts + attempt_count);
	return a;
}
