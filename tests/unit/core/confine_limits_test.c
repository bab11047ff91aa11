/* Resource limits, and what is done where the kernel offers less. */

#include "core/confine.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/child.h"

enum { TIMEOUT_MS = 60000, OUT_MAX = 65536 };

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
	/* Against the limit the kernel counts whole ticks, which on a busy
	 * machine are more than what was used. */
	assert_in_range(r.cpu_ms, 500, 2999);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_no_file_growth),
		cmocka_unit_test(test_cpu_limit),
		cmocka_unit_test(test_threads_limit),
		cmocka_unit_test(test_memory_limit),
		cmocka_unit_test(test_floor),
		cmocka_unit_test(test_best_effort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
