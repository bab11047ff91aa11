#include "core/confine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/child.h"
#include "tests/unit/core/confine_attempts.h"
#include "tests/unit/core/confine_world.h"

enum { TIMEOUT_MS = 60000, OUT_MAX = 65536 };

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
	for (size_t i = 0; i < attempt_count; i++) {
		bool through;

		world_make();
		through = gets_through_free(&attempts[i]);
		world_end();
		if (!through && !attempts[i].not_free)
			fail_msg("%s fails even without confinement",
			    attempts[i].name);
	}
}

static bool
is_empty(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_size == 0;
}

static void
try_role(size_t role)
{
	for (size_t i = 0; i < attempt_count; i++) {
		const struct attempt *a = &attempts[i];
		int status;

		world_make();
		status = run_confined(make_attempt, a, roles[role].calls,
		    roles[role].access);
		if ((a->granted_by & roles[role].calls) == 0) {
			if (status != REFUSED)
				fail_msg("%s: %s got through (%d)",
				    roles[role].name, a->name, status);
			assert_false(is_empty(world.inside_file));
			assert_false(is_empty(world.outside_file));
		}
		world_end();
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
	const struct attempt *by_path = attempt_find("truncate_inside");
	const unsigned int calls = CONFINE_READ_FILES | CONFINE_WRITE_FILES;
	const unsigned int access = CONFINE_PATH_READ | CONFINE_PATH_WRITE;
	struct confine_support s;

	(void)state;
	confine_probe(&s);
	world_make();
	confine_limit_abi(2);
	assert_int_equal(run_confined(make_attempt, by_path, calls, access),
	    REFUSED);
	confine_limit_abi(1000);
	assert_int_equal(run_confined(make_attempt, by_path, calls, access),
	    s.landlock_abi >= 3 ? GOT_THROUGH : REFUSED);
	world_end();
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
	world_make();
	for (size_t role = 0; role < ROLES; role++) {
		int through = run_confined(call_forbidden, NULL,
		    roles[role].calls, roles[role].access);

		if (through != 0)
			fail_msg("%s: %d calls got through", roles[role].name,
			    through);
	}
	world_end();
}

/* Filters are made before the process is there, and once for many: in each,
 * its own number is right all the same. */
static int
call_own(void *arg)
{
	struct rlimit now;
	long self = getpid();

	(void)arg;
	if (syscall(__NR_kill, self, 0) != 0 ||
	    syscall(__NR_tgkill, self, self, 0) != 0 ||
	    syscall(__NR_prlimit64, self, RLIMIT_CORE, NULL, &now) != 0)
		return GOT_THROUGH + 1;
	if (syscall(__NR_kill, self - 1, 0) == 0 || errno != EPERM ||
	    syscall(__NR_kill, 0x7ffffffd, 0) == 0 || errno != EPERM)
		return REFUSED;
	return GOT_THROUGH;
}

static void
test_own_number(void **state)
{
	(void)state;
	world_make();
	for (size_t role = 0; role < ROLES; role++)
		for (int i = 0; i < 2; i++)
			/* Inside Landlock's scope it may signal all. */
			if ((roles[role].calls & CONFINE_FORK) == 0)
				assert_int_equal(run_confined(call_own, NULL,
						     roles[role].calls,
						     roles[role].access),
				    GOT_THROUGH);
	world_end();
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
		cmocka_unit_test(test_own_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
