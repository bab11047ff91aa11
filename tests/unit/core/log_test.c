#include "core/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	LINES = 2000, /* more than a pipe holds */
	THREADS = 4,
	LONG_LINES = 20, /* of each: together the same */
	ROUNDS = 200,
	STUCK_S = 60
};

/* The log goes into a pipe that only we read. */
static int pipe_fds[2];
static int own_stderr;

static int
log_to_pipe(void **state)
{
	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK), 0);
	own_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	assert_true(own_stderr >= 0);
	assert_int_equal(dup2(pipe_fds[1], STDERR_FILENO), STDERR_FILENO);
	close(pipe_fds[1]);
	log_init("test", LOG_INFO);
	(void)alarm(STUCK_S);
	return 0;
}

static int
log_as_before(void **state)
{
	(void)state;
	(void)alarm(0);
	assert_int_equal(dup2(own_stderr, STDERR_FILENO), STDERR_FILENO);
	close(own_stderr);
	close(pipe_fds[0]);
	return 0;
}

/* All that is there now; how many lines. */
static size_t
read_lines(char *out, size_t size)
{
	size_t lines = 0;
	size_t len = 0;
	ssize_t n;

	while ((n = read(pipe_fds[0], out + len, size - len - 1)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	for (const char *p = out; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	return lines;
}

static void
writes_one_line_per_event(void **state)
{
	char text[8192];

	(void)state;
	log_debug("not.this", "level=%s", "debug");
	log_info("this.one", "a=%d b=\"%s\"", 1, "x\ny\x1b");
	assert_int_equal(read_lines(text, sizeof text), 1);
	assert_non_null(strstr(text,
	    " info test this.one a=1 b=\"x\\x0ay\\x1b\"\n"));
	assert_null(strstr(text, "not.this"));
}

/* Nobody waits for a reader that stalls; what is lost is counted. */
static void
drops_what_has_no_room(void **state)
{
	static char text[1 << 20];
	char said[64];
	size_t kept;

	(void)state;
	for (int i = 0; i < LINES; i++)
		log_info("much.to.say", "i=%d text=%0100d", i, 0);
	kept = read_lines(text, sizeof text);
	assert_in_range(kept, 1, LINES - 1);
	log_info("there.is.room", "again=1");
	log_info("and.more", "again=2");
	assert_int_equal(read_lines(text, sizeof text), 3);
	(void)snprintf(said, sizeof said, " warn test log.dropped lines=%zu\n",
	    LINES - kept);
	assert_non_null(strstr(text, said));
	assert_true(strstr(text, said) < strstr(text, "there.is.room"));
}

static void *
says_much(void *arg)
{
	for (int i = 0; i < LONG_LINES; i++)
		log_info("much.to.say", "i=%d text=%03000d", i, 0);
	return arg;
}

/* Several threads come to the end of the room at once, again and again: none of
 * them waits (or the alarm ends this). */
static void
no_thread_waits_for_the_reader(void **state)
{
	static char text[1 << 20];
	pthread_t threads[THREADS];

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL,
					     says_much, NULL),
			    0);
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_in_range(read_lines(text, sizeof text), 1,
		    THREADS * LONG_LINES);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_one_line_per_event,
		    log_to_pipe, log_as_before),
		cmocka_unit_test_setup_teardown(drops_what_has_no_room,
		    log_to_pipe, log_as_before),
		cmocka_unit_test_setup_teardown(no_thread_waits_for_the_reader,
		    log_to_pipe, log_as_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
