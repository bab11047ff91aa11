#include "server/supervisor/processes.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/log.h"

/* One http process, with the places HTTP and OTHER; the others are only there.
 * What is forked waits for its end. */
enum { HTTP = PROCESS_HTTP, OTHER = PROCESS_HTTP + 1 };

static struct processes *table;
static size_t failures;
static bool last_was_successor;
static bool no_fork;

pid_t __real_fork(void);
pid_t __wrap_fork(void);

pid_t
__wrap_fork(void)
{
	if (!no_fork)
		return __real_fork();
	errno = EAGAIN;
	return -1;
}

static void
on_starting(void *arg, size_t id, bool successor)
{
	(void)arg;
	if (id >= PROCESS_HTTP)
		last_was_successor = successor;
}

static void __attribute__((noreturn))
on_run(void *arg, size_t id, bool successor)
{
	(void)arg;
	(void)id;
	(void)successor;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		(void)pause();
}

static void
on_ended(void *arg, size_t id, bool lost)
{
	(void)arg;
	(void)id;
	(void)lost;
}

static void
on_failed(void *arg, size_t id)
{
	(void)arg;
	assert_true(id >= PROCESS_HTTP);
	failures++;
}

static int64_t
tick(void)
{
	return processes_tick(table, clock_mono_ms());
}

/* The next of them that ends. */
static void
reap(void)
{
	int status = 0;
	pid_t pid = waitpid(-1, &status, 0);

	assert_true(pid > 0);
	assert_true(processes_reaped(table, pid, status));
}

static pid_t
pid_of(size_t id)
{
	FILE *f = fopen("/proc/thread-self/children", "re");
	long pid, found = 0;

	/* Oldest first: three that are no http, and then this or both. */
	assert_non_null(f);
	for (size_t i = 0; fscanf(f, "%ld", &pid) == 1; i++)
		if (i >= 3 && (id == HTTP ? i == 3 : true))
			found = pid;
	(void)fclose(f);
	return (pid_t)found;
}

static void
end_it(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	reap();
}

/* All run, and http serves. */
static int
begin(void **state)
{
	const struct processes_owner owner = { NULL, on_starting, on_run,
		on_ended, on_failed };

	(void)state;
	log_init("test", LOG_ERROR + 1);
	failures = 0;
	no_fork = false;
	table = processes_new(1, &owner);
	(void)tick();
	assert_true(processes_is_awaited(table, HTTP));
	assert_false(processes_is_settled(table));
	processes_serves(table, HTTP);
	assert_true(processes_is_settled(table));
	return 0;
}

static int
end(void **state)
{
	(void)state;
	processes_stop(table);
	while (!processes_are_gone(table)) {
		clock_shift_ms(PROCESSES_STOP_MS);
		(void)tick();
		reap();
	}
	processes_free(table);
	return 0;
}

static void
a_fork_that_fails_is_not_forgotten(void **state)
{
	(void)state;
	processes_replace_http(table);
	no_fork = true;
	assert_true(tick() <= PROCESSES_BACKOFF_MAX_MS);
	assert_false(processes_runs(table, OTHER));
	assert_false(processes_is_settled(table));
	no_fork = false;
	clock_shift_ms(PROCESSES_BACKOFF_MAX_MS);
	(void)tick();
	assert_true(processes_is_awaited(table, OTHER));
	assert_true(last_was_successor);
}

static void
a_successor_that_fails_is_tried_again(void **state)
{
	(void)state;
	processes_replace_http(table);
	(void)tick();
	assert_false(processes_is_settled(table));
	end_it(pid_of(OTHER));
	assert_int_equal(failures, 1);
	/* There is nothing more to wait for, and nothing is well. */
	assert_true(processes_is_settled(table));
	assert_true(processes_is_failing(table));
	assert_true(tick() <= PROCESSES_AGAIN_MS);
	assert_false(processes_runs(table, OTHER));
	clock_shift_ms(PROCESSES_AGAIN_MS);
	(void)tick();
	assert_true(processes_is_awaited(table, OTHER));
	assert_true(processes_is_settled(table));
	end_it(pid_of(OTHER));
	processes_retry_http(table);
	(void)tick();
	assert_true(processes_is_awaited(table, OTHER));
	assert_false(processes_is_settled(table));
	processes_serves(table, OTHER);
	assert_false(processes_is_failing(table));
	assert_true(processes_is_settled(table));
	assert_true(processes_is_kept(table, OTHER));
	assert_int_equal(failures, 2);
}

/* Who was to succeed it has its place when the old one dies; when that dies,
 * too, what was before is started again, and then replaced. */
static void
old_and_successor_die(void **state)
{
	(void)state;
	processes_replace_http(table);
	(void)tick();
	end_it(pid_of(HTTP));
	assert_false(processes_all_serve(table));
	(void)tick();
	assert_false(processes_runs(table, HTTP));
	end_it(pid_of(HTTP)); /* the only one by now */
	assert_int_equal(failures, 1);
	clock_shift_ms(PROCESSES_BACKOFF_MAX_MS);
	(void)tick();
	assert_true(processes_is_awaited(table, OTHER));
	assert_false(last_was_successor);
	processes_serves(table, OTHER);
	clock_shift_ms(PROCESSES_AGAIN_MS);
	(void)tick();
	assert_true(processes_is_awaited(table, HTTP));
	assert_true(last_was_successor);
}

/* Whoever it is; and as long as it gets on, it may take its time. */
static void
who_never_serves_is_ended(void **state)
{
	pid_t pid;

	(void)state;
	end_it(pid_of(HTTP));
	clock_shift_ms(PROCESSES_BACKOFF_MAX_MS);
	(void)tick();
	pid = pid_of(HTTP);
	for (int i = 0; i < 3; i++) {
		clock_shift_ms(PROCESSES_READY_MS - 10000);
		processes_gets_on(table, HTTP);
		assert_true(tick() <= PROCESSES_READY_MS);
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	}
	clock_shift_ms(PROCESSES_READY_MS);
	(void)tick();
	reap();
	assert_false(processes_runs(table, HTTP));
	(void)tick();
	assert_true(processes_is_awaited(table, HTTP));
	processes_serves(table, HTTP);
	/* And then no time ends it. */
	clock_shift_ms(10 * PROCESSES_READY_MS);
	assert_int_equal(tick(), -1);
	processes_gets_on(table, HTTP);
	assert_int_equal(tick(), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    a_fork_that_fails_is_not_forgotten, begin, end),
		cmocka_unit_test_setup_teardown(
		    a_successor_that_fails_is_tried_again, begin, end),
		cmocka_unit_test_setup_teardown(old_and_successor_die, begin,
		    end),
		cmocka_unit_test_setup_teardown(who_never_serves_is_ended,
		    begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
