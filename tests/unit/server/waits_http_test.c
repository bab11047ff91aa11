/* Polls that wait: whom a change wakes, when, and what is left of those that
 * went away. */

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "http_fixture.h"
#include "server/http/spread.h"
#include "server/http/waiters.h"

static const char waiting[] = "edict_engines_waiting";
static const char holds[] = "edict_holds_total";

enum { ENGINES = 60, PATIENCE_MS = 30000 };

/* One that polls. */
struct client {
	char name[32];
	char etag[CATALOG_ETAG_SIZE];
	int fd;
};

static void
poll_bundle(const struct site *s, struct client *c, const char *token,
    const char *path, int wait_s)
{
	if (c->fd < 0)
		c->fd = wire_open(s);
	wire_send(c->fd,
	    "GET %s HTTP/1.1\r\nHost: localhost\r\n"
	    "Authorization: Bearer %s\r\nIf-None-Match: %s\r\n%s%s%s"
	    "Prefer: modes=snapshot,delta;wait=%d\r\n\r\n",
	    path, token, c->etag, *c->name != '\0' ? "X-Edict-Engine: " : "",
	    c->name, *c->name != '\0' ? "\r\n" : "", wait_s);
}

static void
client_init(struct client *c, const struct site *s, size_t i)
{
	*c = (struct client){ .fd = -1 };
	(void)snprintf(c->name, sizeof c->name, "engine-%zu", i);
	(void)snprintf(c->etag, sizeof c->etag, "%s", s->etag);
}

/* They have what is assigned, and wait. */
static void
start_clients(struct site *s, struct client *clients, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		client_init(&clients[i], s, i);
		poll_bundle(s, &clients[i], s->engine, "/bundles/main", 25);
	}
	site_wait_metric(s, waiting, (double)count);
}

static void
end_clients(struct site *s, struct client *clients, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(clients[i].fd);
	(void)site_stop(s);
	site_close(s);
}

static void
expect_answer(int fd, int status, const char *etag)
{
	struct wire_reply r;
	char value[256];

	if (!wire_read(fd, &r, PATIENCE_MS, false))
		fail_msg("no answer");
	if (r.status != status)
		fail_msg("%d, not %d: %s", r.status, status, r.head);
	assert_non_null(wire_header(&r, "ETag", value));
	assert_string_equal(value, etag);
	wire_reply_clear(&r);
}

static bool
is_silent(int fd)
{
	struct wire_reply r;

	return !wire_read(fd, &r, 0, false);
}

static void
open_spread(struct site *s, size_t threads, int64_t spread_s)
{
	site_open(s, threads);
	site_assign(s, "default", "main", "one", 3);
	s->conf.http.release_spread = spread_s;
	site_start(s);
}

static void
release(struct site *s, const char *text, bool by_operator)
{
	s->at_ms = clock_now_ms();
	s->held = by_operator;
	site_assign(s, "default", "main", text, strlen(text));
	site_tell_changed(s);
}

/* Until the one thread has it; to who does not wait it is sent at once. */
static void
wait_served(const struct site *s, const char *text)
{
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	bool served = false;

	while (!served) {
		struct wire_reply r;

		assert_true(clock_mono_ms() < deadline);
		site_ask(s, "GET", s->engine, "/bundles/main",
		    "If-None-Match: \"x\"\r\n", NULL, &r);
		assert_int_equal(r.status, 200);
		served = strcmp(r.body, text) == 0;
		wire_reply_clear(&r);
	}
}

/* When it is this one's turn for what was released last. */
static int64_t
turn_ms(const struct site *s, const struct client *c)
{
	struct spread spread = { .length_ms =
				     s->conf.http.release_spread * 1000 };
	struct catalog_entry entry = { .at_ms = s->at_ms };
	uint64_t who =
	    engines_hash_bytes(s->engines, c->name, strlen(c->name)) | 1;

	return s->at_ms +
	    spread_turn_ms(&spread, &entry, who, c->etag, s->at_ms);
}

/* ---- a release that is spread ---- */

static int
by_turn(const void *a, const void *b, void *arg)
{
	int64_t x = turn_ms(arg, a);
	int64_t y = turn_ms(arg, b);

	return (x > y) - (x < y);
}

static void
engines_get_it_at_their_turn(void **state)
{
	struct site s;
	struct client clients[ENGINES];

	(void)state;
	open_spread(&s, 2, 3);
	start_clients(&s, clients, ENGINES);
	release(&s, "two", false);
	qsort_r(clients, ENGINES, sizeof *clients, by_turn, &s);
	for (size_t i = 0; i < ENGINES; i++) {
		expect_answer(clients[i].fd, 200, s.etag);
		assert_true(clock_now_ms() >= turn_ms(&s, &clients[i]) - 5);
	}
	end_clients(&s, clients, ENGINES);
}

/* The one whose turn comes last has plenty of time for all that. */
static void
only_who_waits_is_spread(void **state)
{
	struct site s;
	struct client last, other;
	struct wire_reply r;
	char one[CATALOG_ETAG_SIZE];

	(void)state;
	open_spread(&s, 1, 3600);
	start_clients(&s, &last, 1);
	(void)snprintf(one, sizeof one, "%s", s.etag);
	do /* some moment that gives it a late turn */
		s.at_ms = clock_now_ms();
	while (turn_ms(&s, &last) < s.at_ms + 600000);
	site_assign(&s, "default", "main", "two", 3);
	site_tell_changed(&s);

	wait_served(&s, "two");
	assert_true(is_silent(last.fd));
	site_ask(&s, "GET", s.engine, "/bundles/main", "Prefer: wait=20\r\n",
	    NULL, &r);
	assert_string_equal(r.body, "two");
	wire_reply_clear(&r);

	/* Who comes with the old one waits too, as long as it wants to; it is
	 * told what it has. */
	other = last;
	other.fd = -1;
	poll_bundle(&s, &other, s.engine, "/bundles/main", 1);
	expect_answer(other.fd, 304, one);
	assert_true(is_silent(last.fd));
	close(other.fd);

	/* An operator that holds it there has no time. */
	s.held = true;
	site_assign(&s, "default", "main", "two", 3);
	site_tell_changed(&s);
	expect_answer(last.fd, 200, s.etag);
	end_clients(&s, &last, 1);
}

static size_t
count_rejecting(const struct site *s)
{
	return (size_t)counters_get(s->counters, COUNTER_ENGINES_REJECTED) +
	    (size_t)counters_get(s->counters, COUNTER_ENGINES_BACK);
}

/* A rollback in the middle: who had got it gets the one before, at once; who
 * had not goes on waiting, with what it has. */
static void
operators_do_not_wait(void **state)
{
	struct site s;
	struct client early, late, gone;
	char one[CATALOG_ETAG_SIZE];

	(void)state;
	open_spread(&s, 1, 3600);
	(void)snprintf(one, sizeof one, "%s", s.etag);
	client_init(&early, &s, 1);
	client_init(&late, &s, 2);
	client_init(&gone, &s, 3);
	poll_bundle(&s, &late, s.engine, "/bundles/main", 25);
	poll_bundle(&s, &gone, s.engine, "/bundles/main", 25);
	site_wait_metric(&s, waiting, 2);
	do
		s.at_ms = clock_now_ms();
	while (turn_ms(&s, &late) < s.at_ms + 600000 ||
	    turn_ms(&s, &gone) < s.at_ms + 600000);
	site_assign(&s, "default", "main", "two", 3);
	site_tell_changed(&s);
	wait_served(&s, "two");
	(void)snprintf(early.etag, sizeof early.etag, "%s", s.etag);
	poll_bundle(&s, &early, s.engine, "/bundles/main", 25);
	site_wait_metric(&s, waiting, 3);

	release(&s, "one", true);
	assert_string_equal(s.etag, one);
	expect_answer(early.fd, 200, one);
	assert_true(is_silent(late.fd) && is_silent(gone.fd));
	assert_int_equal(counters_get(s.counters, COUNTER_POLLS_304), 0);

	/* To something else: all of them, at once. */
	release(&s, "three", true);
	expect_answer(late.fd, 200, s.etag);
	expect_answer(gone.fd, 200, s.etag);
	assert_int_equal(count_rejecting(&s), 0);
	close(early.fd);
	close(gone.fd);
	end_clients(&s, &late, 1);
}

/* Those that wait for their turn get the newest then; those that had the other
 * one by then get it as well. */
static void
a_second_release_loses_nobody(void **state)
{
	struct site s, first;
	struct client clients[ENGINES];
	int64_t known_ms;

	(void)state;
	open_spread(&s, 1, 4);
	start_clients(&s, clients, ENGINES);
	release(&s, "two", false);
	first = s;
	qsort_r(clients, ENGINES, sizeof *clients, by_turn, &first);
	for (size_t i = 0; i < ENGINES / 4; i++)
		expect_answer(clients[i].fd, 200, s.etag);
	release(&s, "three", false);
	wait_served(&s, "three");
	known_ms = clock_now_ms();
	for (size_t i = 0; i < ENGINES; i++) {
		struct wire_reply r = { 0 };
		int64_t turn = turn_ms(&first, &clients[i]);

		if (i >= ENGINES / 4)
			assert_true(wire_read(clients[i].fd, &r, PATIENCE_MS,
			    false));
		if (turn > known_ms)
			assert_string_equal(r.body, "three");
		if (i < ENGINES / 4 || strcmp(r.body, "three") != 0) {
			(void)snprintf(clients[i].etag, sizeof first.etag, "%s",
			    first.etag);
			poll_bundle(&s, &clients[i], s.engine, "/bundles/main",
			    25);
			expect_answer(clients[i].fd, 200, s.etag);
		}
		wire_reply_clear(&r);
	}
	end_clients(&s, clients, ENGINES);
}

/* ---- whom a change wakes ---- */

/* Two clusters with two bundles each. */
static void
others_go_on_waiting(void **state)
{
	enum { EACH = 25, KINDS = 4 };
	static const char *const rows[KINDS][2] = {
		{ "eu", "authz" },
		{ "eu", "billing" },
		{ "us", "authz" },
		{ "us", "billing" },
	};
	struct site s;
	struct client clients[KINDS * EACH];

	(void)state;
	site_open(&s, 2);
	for (size_t i = 0; i < KINDS; i++) {
		site_assign(&s, rows[i][0], rows[i][1], rows[i], 4);
		for (size_t n = 0; n < EACH; n++)
			client_init(&clients[i * EACH + n], &s, i * EACH + n);
	}
	site_start(&s);
	for (size_t i = 0; i < KINDS * EACH; i++) {
		char path[64];

		(void)snprintf(path, sizeof path, "/clusters/%s/bundles/%s",
		    rows[i / EACH][0], rows[i / EACH][1]);
		poll_bundle(&s, &clients[i], s.admin, path, 25);
	}
	site_wait_metric(&s, waiting, KINDS * EACH);
	for (size_t i = 0; i < KINDS; i++) {
		site_assign(&s, rows[i][0], rows[i][1], "new", 3 + i % 2);
		site_tell_changed(&s);
		for (size_t n = 0; n < EACH; n++)
			expect_answer(clients[i * EACH + n].fd, 200, s.etag);
		site_wait_metric(&s, waiting, (double)((KINDS - 1 - i) * EACH));
		for (size_t n = (i + 1) * EACH; n < KINDS * EACH; n++)
			assert_true(is_silent(clients[n].fd));
	}
	/* Nobody was woken for nothing, and asked again. */
	assert_int_equal(counters_get(s.counters, COUNTER_POLLS_200),
	    KINDS * EACH);
	assert_int_equal(counters_get(s.counters, COUNTER_POLLS_304), 0);
	assert_int_equal((int)site_metric(&s, holds), KINDS * EACH);
	end_clients(&s, clients, KINDS * EACH);
}

/* Those that came together part. */
static void
ends_are_scattered(void **state)
{
	struct site s;
	struct client clients[ENGINES];
	int64_t started, first = INT64_MAX, last = 0;

	(void)state;
	site_open(&s, 1);
	site_assign(&s, "default", "main", "one", 3);
	s.conf.http.wait_max = 3;
	site_start(&s);
	for (size_t i = 0; i < ENGINES; i++) {
		client_init(&clients[i], &s, i);
		clients[i].fd = wire_open(&s);
	}
	started = clock_mono_ms();
	for (size_t i = 0; i < ENGINES; i++)
		poll_bundle(&s, &clients[i], s.engine, "/bundles/main", 25);
	for (size_t left = ENGINES; left > 0;) {
		for (size_t i = 0; i < ENGINES; i++) {
			struct wire_reply r;
			int64_t took;

			if (clients[i].fd < 0 ||
			    !wire_read(clients[i].fd, &r, 0, false))
				continue;
			took = clock_mono_ms() - started;
			assert_int_equal(r.status, 304);
			wire_reply_clear(&r);
			first = took < first ? took : first;
			last = took > last ? took : last;
			close(clients[i].fd);
			clients[i].fd = -1;
			left--;
		}
		assert_true(clock_mono_ms() - started < PATIENCE_MS);
	}
	/* A tenth of three seconds, in steps of the batches. */
	assert_true(first >= 2700);
	assert_true(last - first >= 2 * WAITERS_BATCH_MS);
	end_clients(&s, clients, 0);
}

/* ---- those that went away ---- */

static size_t
count_descriptors(const struct site *s)
{
	char path[64];
	size_t count = 0;
	DIR *d;

	(void)snprintf(path, sizeof path, "/proc/%d/fd", (int)s->http);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d) != NULL)
		count++;
	closedir(d);
	return count;
}

static void
the_dead_leave_nothing(void **state)
{
	enum { MANY = 3000 };
	static struct client clients[MANY];
	struct rlimit limit = { 0 };
	struct site s;
	size_t before;
	int64_t deadline;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(limit.rlim_max > MANY + 200);
	site_open(&s, 2);
	site_assign(&s, "default", "main", "one", 3);
	s.conf.http.engines_max = MANY + 100;
	site_start(&s);
	before = count_descriptors(&s);
	start_clients(&s, clients, MANY);
	assert_true(count_descriptors(&s) >= MANY);
	for (size_t i = 0; i < MANY; i++)
		close(clients[i].fd);
	deadline = clock_mono_ms() + PATIENCE_MS;
	while (count_descriptors(&s) > before + 10)
		assert_true(clock_mono_ms() < deadline);
	site_wait_metric(&s, waiting, 0);
	end_clients(&s, clients, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engines_get_it_at_their_turn),
		cmocka_unit_test(only_who_waits_is_spread),
		cmocka_unit_test(operators_do_not_wait),
		cmocka_unit_test(a_second_release_loses_nobody),
		cmocka_unit_test(others_go_on_waiting),
		cmocka_unit_test(ends_are_scattered),
		cmocka_unit_test(the_dead_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
