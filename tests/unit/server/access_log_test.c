/* The access log, written to a pipe in place of stderr. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/http/access_log.h"

enum { TEXT_MAX = 8 << 20, THREADS = 3, EACH = 2000 };

static int before, pipes[2];
static struct counters *counters;

static int
setup(void **state)
{
	(void)state;
	assert_int_equal(pipe(pipes), 0);
	before = dup(STDERR_FILENO);
	assert_true(dup2(pipes[1], STDERR_FILENO) >= 0);
	counters = counters_new(NULL, 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	assert_true(dup2(before, STDERR_FILENO) >= 0);
	close(before);
	close(pipes[0]);
	close(pipes[1]);
	counters_free(counters);
	return 0;
}

static struct access_line
a_line(void)
{
	return (struct access_line){ .method = "GET",
		.route = "/bundles/{bundle}",
		.cluster = "prod",
		.bundle = "authz",
		.engine = "web-1",
		.status = 200,
		.bytes = 20480,
		.ms = 31402,
		.waited = true,
		.end = "ok" };
}

/* Until this many lines are there. */
static char *
read_lines(size_t count)
{
	AUTO_BUF text = { 0 };
	size_t lines = 0;

	buf_init(&text, TEXT_MAX);
	while (lines < count) {
		char piece[4096];
		ssize_t n = read(pipes[0], piece, sizeof piece);

		assert_true(n > 0);
		buf_add(&text, piece, (size_t)n);
		for (ssize_t i = 0; i < n; i++)
			lines += piece[i] == '\n' ? 1 : 0;
	}
	assert_int_equal(lines, count);
	return buf_steal(&text, NULL);
}

static void
one_line(void **state)
{
	struct access_line l = a_line();
	struct access_log *a;
	struct err e = { 0 };
	AUTO_STR text = NULL;

	(void)state;
	assert_int_equal(access_log_new(&a, 1, counters, &e), ERR_OK);
	access_log_add(a, &l);
	text = read_lines(1);
	assert_non_null(strstr(text,
	    " http.access method=GET route=/bundles/{bundle} status=200 "
	    "bytes=20480 ms=31402 waited=true cluster=prod bundle=authz "
	    "engine=web-1 end=ok\n"));
	mem_free(text);
	/* What a client may choose cannot begin another line. */
	(void)snprintf(l.method, sizeof l.method, "G\n\033[1m");
	l.route = NULL;
	l.engine[0] = '\0';
	access_log_add(a, &l);
	text = read_lines(1);
	assert_non_null(strstr(text,
	    "method=G\\x0a\\x1b[1m route=- status=200 "));
	assert_non_null(strstr(text, " engine=- end=ok\n"));
	access_log_free(a);
	assert_int_equal(counters_get(counters, COUNTER_ACCESS_LINES), 2);
}

static void
none_is_wanted(void **state)
{
	struct access_log *a;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(access_log_new(&a, 0, counters, &e), ERR_OK);
	assert_null(a);
	access_log_begin(a, NULL);
	access_log_free(a);
}

static void *
add_many(void *arg)
{
	struct access_line l = a_line();

	for (int i = 0; i < EACH; i++)
		access_log_add(arg, &l);
	return NULL;
}

static void
add_from_threads(struct access_log *a)
{
	pthread_t ids[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, add_many, a), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(ids[i], NULL), 0);
}

static void
assert_whole(const char *text, size_t wanted)
{
	size_t count = 0;

	for (const char *p = text; *p != '\0'; p = strchr(p, '\n') + 1) {
		const char *end = strchr(p, '\n');

		assert_non_null(end);
		assert_memory_equal(end - 6, "end=ok", 6);
		count++;
	}
	assert_int_equal(count, wanted);
}

/* How many lines say so, or how many they say were dropped, in all. */
static uint64_t
told_in(const char *text, const char *what, bool with_number)
{
	uint64_t sum = 0;

	for (const char *p = text; (p = strstr(p, what)) != NULL;) {
		p += strlen(what);
		sum += with_number ? strtoull(p, NULL, 10) : 1;
	}
	return sum;
}

/* Until all is told: what was written, and what was dropped, once or more often
 * as the log's thread came to it. */
static void
read_all_told(uint64_t written, uint64_t dropped)
{
	AUTO_BUF text = { 0 };
	uint64_t lines = 0;
	uint64_t lost = 0;

	buf_init(&text, TEXT_MAX);
	while (lines < written || lost < dropped) {
		char piece[4096];
		ssize_t n = read(pipes[0], piece, sizeof piece);

		assert_true(n > 0);
		buf_add(&text, piece, (size_t)n);
		if (piece[n - 1] != '\n')
			continue; /* the rest of a line is still to come */
		buf_add(&text, "", 1);
		text.len--; /* the end is no part of it */
		lines = told_in(text.data, " end=ok\n", false);
		lost = told_in(text.data, " http.access_dropped lines=", true);
	}
	assert_int_equal(lines, written);
	assert_int_equal(lost, dropped);
}

/* Nobody reads: whoever logs goes on, the rest is counted, and told when there
 * is room again. Were there any waiting, the test would not end. */
static void
nobody_reads(void **state)
{
	struct access_line l = a_line();
	struct access_log *a;
	struct err e = { 0 };
	AUTO_STR text = NULL;
	uint64_t written;
	uint64_t dropped;

	(void)state;
	assert_int_equal(access_log_new(&a, 1, counters, &e), ERR_OK);
	do
		add_from_threads(a);
	while (counters_get(counters, COUNTER_ACCESS_DROPPED) == 0);
	written = counters_get(counters, COUNTER_ACCESS_LINES);
	dropped = counters_get(counters, COUNTER_ACCESS_DROPPED);
	assert_true(written + dropped >= THREADS * EACH);
	/* Two buffers and what is in the pipe. */
	assert_true(written < (2 * ACCESS_LOG_BUFFER + (1 << 20)) / 100);
	read_all_told(written, dropped);
	access_log_add(a, &l);
	text = read_lines(1);
	assert_whole(text, 1);
	access_log_free(a);
}

/* The end comes though nobody reads. */
static void
ends(void **state)
{
	struct access_log *a;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(access_log_new(&a, 1, counters, &e), ERR_OK);
	do
		add_from_threads(a);
	while (counters_get(counters, COUNTER_ACCESS_DROPPED) == 0);
	access_log_free(a);
}

/* And what is there at the end is written. */
static void
writes_to_the_end(void **state)
{
	struct access_line l = a_line();
	struct access_log *a;
	struct err e = { 0 };
	AUTO_STR text = NULL;

	(void)state;
	assert_int_equal(access_log_new(&a, 1, counters, &e), ERR_OK);
	for (int i = 0; i < 100; i++)
		access_log_add(a, &l);
	access_log_free(a);
	text = read_lines(100);
	assert_whole(text, 100);
}

int
main(void)
{
#define WITH_A_PIPE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_A_PIPE(one_line),
		WITH_A_PIPE(none_is_wanted),
		WITH_A_PIPE(nobody_reads),
		WITH_A_PIPE(ends),
		WITH_A_PIPE(writes_to_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
