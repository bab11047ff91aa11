#include "core/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"

enum { PLENTY_MS = 30000, OUT_MAX = 4096 };

/* /bin/sh with a script; it may start nothing but itself. */
struct shell {
	struct confine_program program;
	const char *argv[4];
	struct child_spec spec;
};

static void
shell_init(struct shell *s, const char *script)
{
	struct err e;

	assert_int_equal(confine_program_paths(&s->program, "/bin/sh", &e),
	    ERR_OK);
	s->argv[0] = "sh";
	s->argv[1] = "-c";
	s->argv[2] = script;
	s->argv[3] = NULL;
	s->spec = (struct child_spec){
		.name = "shell",
		.path = "/bin/sh",
		.argv = s->argv,
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.rules = {
			.calls = CONFINE_READ_FILES | CONFINE_EXEC,
			.paths = s->program.paths,
			.path_count = s->program.count,
		},
	};
}

static struct child_spec
function(int (*body)(void *), void *arg)
{
	return (struct child_spec){
		.name = "function",
		.main = body,
		.arg = arg,
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
	};
}

static void
run(struct child_result *r, const struct child_spec *spec, int64_t timeout_ms)
{
	struct err e = { 0 };

	if (child_run(r, spec, timeout_ms, OUT_MAX, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static void
run_script(struct child_result *r, const char *script, int64_t timeout_ms)
{
	struct shell s;

	shell_init(&s, script);
	run(r, &s.spec, timeout_ms);
}

static void
test_output_and_status(void **state)
{
	struct child_result r;

	(void)state;
	run_script(&r, "echo out; echo err >&2; exit 3", PLENTY_MS);
	assert_int_equal(r.end, CHILD_EXITED);
	assert_int_equal(r.status, 3);
	assert_string_equal(r.out.data, "out\n");
	assert_string_equal(r.err.data, "err\n");
	assert_true(r.rss_max > 4096);
	assert_true(r.wall_ms >= 0);
	child_result_clear(&r);
}

static void
test_cpu_time(void **state)
{
	struct child_result r;

	(void)state;
	run_script(&r, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done",
	    PLENTY_MS);
	assert_int_equal(r.status, 0);
	assert_true(r.cpu_ms > 0);
	child_result_clear(&r);
}

static void
test_crash(void **state)
{
	struct child_result r;

	(void)state;
	run_script(&r, "echo before; kill -SEGV $$", PLENTY_MS);
	assert_int_equal(r.end, CHILD_SIGNALLED);
	assert_int_equal(r.status, SIGSEGV);
	assert_string_equal(r.out.data, "before\n");
	child_result_clear(&r);
}

/* Runs a script that says "ready" and does not end. On a busy machine its time
 * may be over before it says so: then it gets more. */
static int64_t
run_into_deadline(struct child_result *r, const char *script)
{
	for (int64_t ms = 100;; ms *= 2) {
		run_script(r, script, ms);
		assert_int_equal(r->end, CHILD_TIMED_OUT);
		assert_true(r->wall_ms >= ms);
		if (strncmp(r->out.data, "ready\n", 6) == 0)
			return ms;
		assert_true(ms < PLENTY_MS);
		child_result_clear(r);
	}
}

static void
test_deadline(void **state)
{
	struct child_result r;

	(void)state;
	run_into_deadline(&r, "echo ready; while :; do :; done");
	assert_int_equal(r.status, SIGTERM);
	assert_string_equal(r.out.data, "ready\n");
	child_result_clear(&r);
}

static void
test_deadline_with_clean_up(void **state)
{
	struct child_result r;

	(void)state;
	run_into_deadline(&r,
	    "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do :; "
	    "done");
	assert_string_equal(r.out.data, "ready\ncleaned\n");
	child_result_clear(&r);
}

static void
test_deadline_ignored(void **state)
{
	struct child_result r;
	int64_t ms;

	(void)state;
	ms = run_into_deadline(&r,
	    "trap '' TERM; echo ready; while :; do :; done");
	assert_int_equal(r.status, SIGKILL);
	assert_true(r.wall_ms >= ms + CHILD_GRACE_MS);
	child_result_clear(&r);
}

static void
test_flood(void **state)
{
	static const char *const scripts[] = {
		"while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done",
		"while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa >&2; done",
		/* Has ended before anybody reads. */
		"i=0; while [ $i -lt 500 ]; do echo 123456789; i=$((i+1)); done"
	};

	(void)state;
	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
		struct child_result r;

		run_script(&r, scripts[i], PLENTY_MS);
		assert_int_equal(r.end, CHILD_FLOODED);
		assert_int_equal(r.out.len + r.err.len, OUT_MAX);
		child_result_clear(&r);
	}
}

static int
write_bytes(void *arg)
{
	size_t count = *(const size_t *)arg;

	while (count-- > 0) {
		if (write(STDOUT_FILENO, "x", 1) != 1)
			return 1;
	}
	return 0;
}

static void
test_output_limit(void **state)
{
	size_t most = OUT_MAX;
	struct child_spec spec = function(write_bytes, &most);
	struct child_result r;

	(void)state;
	run(&r, &spec, PLENTY_MS);
	assert_int_equal(r.end, CHILD_EXITED);
	assert_int_equal(r.status, 0);
	assert_int_equal(r.out.len, OUT_MAX);
	child_result_clear(&r);
	most++;
	run(&r, &spec, PLENTY_MS);
	assert_int_equal(r.end, CHILD_FLOODED);
	assert_int_equal(r.out.len, OUT_MAX);
	child_result_clear(&r);
}

static void
test_environment(void **state)
{
	const char *const envp[] = { "A=1", "B=x=y", NULL };
	struct child_result r;
	struct shell s;

	(void)state;
	assert_int_equal(setenv("EDICT_LEAK", "secret", 1), 0);
	/* The shell itself sets PWD. */
	shell_init(&s, "unset PWD; export -p; echo $EDICT_LEAK");
	run(&r, &s.spec, PLENTY_MS);
	assert_null(strstr(r.out.data, "secret"));
	assert_null(strstr(r.out.data, "PATH"));
	child_result_clear(&r);
	shell_init(&s, "echo $A $B; pwd");
	s.spec.envp = envp;
	s.spec.cwd = "/usr";
	run(&r, &s.spec, PLENTY_MS);
	assert_string_equal(r.out.data, "1 x=y\n/usr\n");
	child_result_clear(&r);
}

static int
show_environment(void *arg)
{
	(void)arg;
	for (char **p = environ; p != NULL && *p != NULL; p++)
		dprintf(STDOUT_FILENO, "%s\n", *p);
	return 0;
}

static void
test_environment_of_function(void **state)
{
	const char *const envp[] = { "A=1", "B=x=y", NULL };
	struct child_spec spec = function(show_environment, NULL);
	struct child_result r;

	(void)state;
	assert_int_equal(setenv("EDICT_LEAK", "secret", 1), 0);
	run(&r, &spec, PLENTY_MS);
	assert_string_equal(r.out.data, "");
	child_result_clear(&r);
	spec.envp = envp;
	run(&r, &spec, PLENTY_MS);
	assert_string_equal(r.out.data, "A=1\nB=x=y\n");
	child_result_clear(&r);
}

/* Its open descriptors, its group, its signals, its limits. */
static int
show_self(void *arg)
{
	struct rlimit core;
	sigset_t mask;
	struct sigaction action;

	(void)arg;
	for (int fd = 0; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			dprintf(STDOUT_FILENO, "%d ", fd);
	}
	if (getpgid(0) == getpid())
		dprintf(STDOUT_FILENO, "leader ");
	if (sigprocmask(SIG_SETMASK, NULL, &mask) == 0 &&
	    !sigismember(&mask, SIGUSR1))
		dprintf(STDOUT_FILENO, "unblocked ");
	if (sigaction(SIGUSR2, NULL, &action) == 0 &&
	    action.sa_handler == SIG_DFL)
		dprintf(STDOUT_FILENO, "default ");
	if (getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0)
		dprintf(STDOUT_FILENO, "no-core ");
	if (prctl(PR_GET_DUMPABLE) == 0)
		dprintf(STDOUT_FILENO, "undumpable");
	return 0;
}

static void
test_clean_state(void **state)
{
	struct child_spec spec = function(show_self, NULL);
	int extra = open("/dev/null", O_RDONLY);
	int kept = fcntl(extra, F_DUPFD_CLOEXEC, 50);
	struct child_result r;
	AUTO_STR expected = NULL;
	sigset_t block;

	(void)state;
	assert_true(kept >= 50);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	assert_int_equal(sigprocmask(SIG_BLOCK, &block, NULL), 0);
	assert_true(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
	run(&r, &spec, PLENTY_MS);
	assert_string_equal(r.out.data,
	    "0 1 2 leader unblocked default no-core undumpable");
	child_result_clear(&r);
	spec.keep = &kept;
	spec.keep_count = 1;
	run(&r, &spec, PLENTY_MS);
	expected = mem_printf("0 1 2 %d leader", kept);
	assert_memory_equal(r.out.data, expected, strlen(expected));
	child_result_clear(&r);
	/* The parent's are as they were. */
	assert_int_equal(sigprocmask(SIG_UNBLOCK, NULL, &block), 0);
	assert_true(sigismember(&block, SIGUSR1));
	assert_int_equal(fcntl(kept, F_GETFD), FD_CLOEXEC);
	close(extra);
	close(kept);
}

static void
test_kept_by_program(void **state)
{
	int ends[2];
	struct child_result r;
	struct shell s;
	AUTO_STR script = NULL;
	char text[8] = "";

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_true(ends[1] < 10); /* the shell knows one digit */
	script = mem_printf("echo hello >&%d", ends[1]);
	shell_init(&s, script);
	s.spec.keep = &ends[1];
	s.spec.keep_count = 1;
	run(&r, &s.spec, PLENTY_MS);
	assert_int_equal(r.status, 0);
	child_result_clear(&r);
	assert_int_equal(read(ends[0], text, sizeof text), 6);
	assert_string_equal(text, "hello\n");
	close(ends[0]);
	close(ends[1]);
}

/* Standard descriptors given in the worst order. */
static int
copy_input(void *arg)
{
	char text[64];
	ssize_t n = read(STDIN_FILENO, text, sizeof text);

	(void)arg;
	return n > 0 && write(STDOUT_FILENO, text, (size_t)n) == n &&
		write(STDERR_FILENO, "!", 1) == 1
	    ? 0
	    : 1;
}

static void
test_standard_descriptors(void **state)
{
	struct child_spec spec = function(copy_input, NULL);
	int in[2];
	int out[2];
	char text[8] = "";
	int status;
	pid_t pid;
	struct err e;

	(void)state;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(write(in[1], "abc", 3), 3);
	spec.stdin_fd = in[0];
	spec.stdout_fd = out[1];
	spec.stderr_fd = out[1];
	assert_int_equal(child_start(&pid, &spec, &e), ERR_OK);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(read(out[0], text, sizeof text), 4);
	assert_string_equal(text, "abc!");
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
	}
}

static void
expect_no_start(const struct child_spec *spec, enum err_code code,
    const char *text)
{
	struct child_result r;
	struct err e = { 0 };

	assert_int_equal(child_run(&r, spec, PLENTY_MS, OUT_MAX, &e), code);
	if (strstr(e.text, text) == NULL)
		fail_msg("%s, not: %s", e.text, text);
	/* Nothing is left to reap. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static int
refuse_to_prepare(void *arg)
{
	(void)arg;
	return 9;
}

static void
test_no_start(void **state)
{
	const struct confine_path missing = { "/no/such/folder",
		CONFINE_PATH_READ, false };
	const char *const bad_env[] = { "NONSENSE", NULL };
	struct child_spec spec;
	struct shell s;

	(void)state;
	shell_init(&s, "exit 0");
	s.spec.path = "/bin/edict-no-such-program";
	expect_no_start(&s.spec, ERR_NOT_FOUND,
	    "shell: cannot start: /bin/edict-no-such-program: No such file");
	s.spec.path = "bin/sh";
	expect_no_start(&s.spec, ERR_INVALID, "whole path");
	shell_init(&s, "exit 0");
	s.spec.cwd = "/no/such/folder";
	expect_no_start(&s.spec, ERR_NOT_FOUND, "/no/such/folder");
	/* Landlock: not among the paths. */
	shell_init(&s, "exit 0");
	s.spec.rules.path_count = 0;
	expect_no_start(&s.spec, ERR_IO, "/bin/sh: Permission denied");
	shell_init(&s, "exit 0");
	s.spec.rules.paths = &missing;
	s.spec.rules.path_count = 1;
	expect_no_start(&s.spec, ERR_NOT_FOUND, "confinement: /no/such/folder");
	spec = function(show_self, NULL);
	spec.prepare = refuse_to_prepare;
	expect_no_start(&spec, ERR_UNAVAILABLE, "could not prepare (9)");
	spec = function(show_self, NULL);
	spec.envp = bad_env;
	expect_no_start(&spec, ERR_INVALID, "NONSENSE");
	spec = function(show_self, NULL);
	spec.keep_count = CHILD_FDS_MAX + 1;
	expect_no_start(&spec, ERR_LIMIT, "more than 8");
}

/* prepare may read what main can no longer reach. */
struct secret {
	const char *path;
	char text[16];
};

static int
read_secret(void *arg)
{
	struct secret *s = arg;
	int fd = open(s->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 1;
	ssize_t n = read(fd, s->text, sizeof s->text - 1);
	close(fd);
	return n > 0 ? 0 : 2;
}

static int
use_secret(void *arg)
{
	const struct secret *s = arg;

	if (open(s->path, O_RDONLY | O_CLOEXEC) >= 0)
		return 1;
	return write(STDOUT_FILENO, s->text, strlen(s->text)) > 0 ? 0 : 2;
}

static void
test_prepare(void **state)
{
	char path[] = "/tmp/edict-child-XXXXXX";
	int fd = mkstemp(path);
	struct secret secret = { .path = path };
	struct child_spec spec = function(use_secret, &secret);
	struct child_result r;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "hunter2", 7), 7);
	close(fd);
	spec.prepare = read_secret;
	spec.rules.calls = CONFINE_READ_FILES;
	run(&r, &spec, PLENTY_MS);
	assert_int_equal(r.status, 0);
	assert_string_equal(r.out.data, "hunter2");
	/* In the child only. */
	assert_string_equal(secret.text, "");
	child_result_clear(&r);
	assert_int_equal(unlink(path), 0);
}

static void
test_cancel(void **state)
{
	AUTO(child, c) = NULL;
	struct child_result r;
	struct err e;
	struct shell s;

	(void)state;
	shell_init(&s, "while :; do :; done");
	assert_int_equal(child_open(&c, &s.spec, PLENTY_MS, OUT_MAX, &e),
	    ERR_OK);
	assert_true(child_pid(c) > 1);
	assert_false(child_step(c));
	child_cancel(c);
	while (!child_step(c)) {
		struct pollfd p = { .fd = child_fd(c), .events = POLLIN };

		assert_true(poll(&p, 1, PLENTY_MS) > 0);
	}
	child_cancel(c); /* too late, and harmless */
	child_take(&r, c);
	assert_int_equal(r.end, CHILD_CANCELLED);
	assert_int_equal(r.status, SIGTERM);
	assert_string_equal(child_end_name(r.end), "cancelled");
	child_result_clear(&r);
}

/* Freed while it runs: killed and reaped. */
static void
test_free_running(void **state)
{
	struct child *c = NULL;
	struct err e;
	struct shell s;
	pid_t pid;

	(void)state;
	shell_init(&s, "while :; do :; done");
	assert_int_equal(child_open(&c, &s.spec, PLENTY_MS, OUT_MAX, &e),
	    ERR_OK);
	pid = child_pid(c);
	child_free(c);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	assert_int_equal(kill(pid, 0), -1);
}

/* A process that the child leaves behind dies with the group, and its hold on
 * the pipe does not hold us up. */
static int
leave_one_behind(void *arg)
{
	(void)arg;
	switch (fork()) {
	case -1:
		return 1;
	case 0:
		(void)signal(SIGTERM, SIG_IGN);
		for (;;)
			pause();
	default:
		return 0;
	}
}

static void
test_group(void **state)
{
	struct child_spec spec = function(leave_one_behind, NULL);
	struct child_result r;

	(void)state;
	spec.rules.calls = CONFINE_FORK;
	run(&r, &spec, PLENTY_MS);
	assert_int_equal(r.end, CHILD_EXITED);
	assert_int_equal(r.status, 0);
	assert_true(r.wall_ms < PLENTY_MS / 2);
	child_result_clear(&r);
}

/* When the process that started it is killed, the child goes too. The pipe
 * that both hold tells: it ends when the last has gone. */
static int
wait_for_ever(void *arg)
{
	(void)arg;
	if (write(STDOUT_FILENO, "r", 1) != 1)
		return 1;
	for (;;)
		pause();
}

static void
test_parent_death(void **state)
{
	int ends[2];
	char c = 0;
	pid_t middle;
	struct pollfd p;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	middle = fork();
	assert_true(middle >= 0);
	if (middle == 0) {
		struct child_spec spec = function(wait_for_ever, NULL);
		struct err e;
		pid_t pid;

		spec.stdout_fd = ends[1];
		if (child_start(&pid, &spec, &e) != ERR_OK)
			_exit(1);
		close(ends[1]);
		for (;;)
			pause();
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &c, 1), 1);
	assert_int_equal(kill(middle, SIGKILL), 0);
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	p = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	assert_int_equal(poll(&p, 1, PLENTY_MS), 1);
	assert_int_equal(read(ends[0], &c, 1), 0);
	close(ends[0]);
}

static void
test_names(void **state)
{
	(void)state;
	assert_string_equal(child_end_name(CHILD_EXITED), "exited");
	assert_string_equal(child_end_name(CHILD_SIGNALLED), "signalled");
	assert_string_equal(child_end_name(CHILD_TIMED_OUT), "timed_out");
	assert_string_equal(child_end_name(CHILD_FLOODED), "flooded");
}

static size_t open_before;

static size_t
count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static int
note_open(void **state)
{
	(void)state;
	open_before = count_open();
	return 0;
}

static int
check_open(void **state)
{
	(void)state;
	assert_int_equal(count_open(), open_before);
	return 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, note_open, check_open)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_output_and_status),
		CASE(test_cpu_time),
		CASE(test_crash),
		CASE(test_deadline),
		CASE(test_deadline_with_clean_up),
		CASE(test_deadline_ignored),
		CASE(test_flood),
		CASE(test_output_limit),
		CASE(test_environment),
		CASE(test_environment_of_function),
		CASE(test_clean_state),
		CASE(test_kept_by_program),
		CASE(test_standard_descriptors),
		CASE(test_no_start),
		CASE(test_prepare),
		CASE(test_cancel),
		CASE(test_free_running),
		CASE(test_group),
		CASE(test_parent_death),
		CASE(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
