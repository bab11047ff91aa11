#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusters/engines_table.h"
#include "core/mem.h"

#define MINUTE (INT64_C(60) * 1000)
#define START (INT64_C(1800000000) * 1000)

/* One engine and one bundle, whose assignment the test moves. */
static struct {
	struct engines *t;
	struct engines_poll p;
	struct engines_mark has;
	struct engines_answer a;
	struct engines_ticket ticket;
} x;

static struct engines_mark
mark_of(int n)
{
	char etag[80];

	(void)snprintf(etag, sizeof etag, "\"sha256:%064x\"", (unsigned)n);
	/* What differs has to be in the first half. */
	(void)snprintf(etag + 8, 33, "%032x", (unsigned)n);
	etag[40] = '0';
	return engines_mark(etag);
}

static void
open_table(size_t max)
{
	memset(&x, 0, sizeof x);
	x.t = engines_new(max);
	x.p = (struct engines_poll){ .cluster = "prod",
		.bundle = "authz",
		.name = "host-1",
		.version = "1.19.1",
		.now_ms = START };
}

static void
assign(int n, int64_t serial)
{
	x.p.assigned = mark_of(n);
	x.p.serial = serial;
}

/* A poll with what number n was given as, 0: with nothing. */
static void
ask(int n)
{
	x.has = mark_of(n);
	x.p.has = n != 0 ? &x.has : NULL;
	engines_poll(x.t, &x.p, &x.a);
}

/* The same, and it is sent what is assigned, unless it is held. */
static bool
ask_and_get(int n)
{
	ask(n);
	if (!x.a.hold)
		engines_sent(x.t, &x.p, &x.ticket);
	return !x.a.hold;
}

struct found {
	struct engines_engine engine;
	struct engines_bundle bundle;
	size_t engines, bundles, reports;
	struct engines_report report;
};

static void
take(const struct engines_view *v, void *arg)
{
	struct found *f = arg;

	f->engine = *v->engine;
	f->engines++;
	f->bundles += v->bundle_count;
	f->reports += v->report_count;
	if (v->bundle_count > 0)
		f->bundle = *v->bundles[0];
	if (v->report_count > 0)
		f->report = *v->reports[0];
}

static struct found
look(void)
{
	struct found f = { 0 };

	engines_each(x.t, take, &f);
	return f;
}

static enum engines_state
state(void)
{
	struct found f = look();

	assert_int_equal(f.engines, 1);
	return engines_state(&f.engine, &f.bundle,
	    engines_mark_same(&f.bundle.acked, &x.p.assigned), x.p.now_ms,
	    5 * MINUTE);
}

static void
marks_are_of_etags(void **arg)
{
	static const char etag[] = "\"sha256:0123456789abcdef0123456789abcdef"
				   "0123456789abcdef0123456789abcdef\"";
	struct engines_mark a = engines_mark(etag);
	struct engines_mark b;
	char text[ENGINES_MARK_TEXT];

	(void)arg;
	engines_mark_text(text, &a);
	assert_string_equal(text, "0123456789abcdef0123456789abcdef");
	assert_true(engines_mark_read(&b, text));
	assert_true(engines_mark_same(&a, &b));
	assert_false(engines_mark_read(&b, "0123"));
	assert_false(engines_mark_read(&b, "0123456789ABCDEF0123456789abcdef"));
	b = engines_mark("\"v7\"");
	assert_false(engines_mark_same(&a, &b));
	assert_true(engines_is_name("prod-eu/host-1.example.org:8181@x_y"));
	assert_false(engines_is_name(""));
	assert_false(engines_is_name("${HOSTNAME}"));
	assert_false(engines_is_name("a b"));
	assert_true(engines_is_name(
	    "012345678901234567890123456789012345678901234567890123456789012"));
	assert_false(engines_is_name("01234567890123456789012345678901234567890"
				     "12345678901234567890123"));
}

static void
polls_tell_the_state(void **arg)
{
	(void)arg;
	open_table(100);
	assign(1, 1);
	assert_true(ask_and_get(0));
	assert_int_equal(state(), ENGINES_STATE_FRESH);
	/* Whatever a fresh one was sent, however often. */
	for (int i = 0; i < 5; i++)
		assert_true(ask_and_get(0));
	assert_int_equal(state(), ENGINES_STATE_FRESH);
	ask(1);
	assert_int_equal(state(), ENGINES_STATE_CONVERGED);
	assert_int_equal(look().bundle.acked_serial, 1);
	assign(2, 2);
	assert_int_equal(state(), ENGINES_STATE_BEHIND);
	assert_true(ask_and_get(1));
	assert_int_equal(state(), ENGINES_STATE_BEHIND);
	assert_true(ask_and_get(1));
	assert_int_equal(x.a.news, ENGINES_NEWS_REJECTING);
	assert_int_equal(state(), ENGINES_STATE_REJECTING);
	x.p.now_ms += 6 * MINUTE;
	assert_int_equal(state(), ENGINES_STATE_SILENT);
	ask(2);
	assert_int_equal(x.a.news, ENGINES_NEWS_HEALED);
	assert_int_equal(state(), ENGINES_STATE_CONVERGED);
	assert_string_equal(look().engine.version, "1.19.1");
	engines_free(x.t);
}

/* Twice, then after 1, 5, 30, 30 minutes. */
static void
storms_are_held(void **arg)
{
	static const int minutes[] = { 1, 5, 30, 30, 30 };

	(void)arg;
	open_table(100);
	assign(1, 1);
	ask(1);
	assign(2, 2);
	assert_true(ask_and_get(1));
	assert_true(ask_and_get(1));
	for (size_t i = 0; i < sizeof minutes / sizeof *minutes; i++) {
		assert_false(ask_and_get(1));
		assert_true(engines_held(x.t, &x.p));
		x.p.now_ms += minutes[i] * MINUTE - 1000;
		assert_false(ask_and_get(1));
		x.p.now_ms += 1000;
		assert_false(engines_held(x.t, &x.p));
		assert_true(ask_and_get(1));
		assert_int_equal(state(), ENGINES_STATE_REJECTING);
	}
	/* A clock that went back holds nobody. */
	x.p.now_ms -= 60 * MINUTE;
	assert_true(ask_and_get(1));
	assert_false(ask_and_get(1));
	/* Something else is tried at once; the mark stays. */
	assign(3, 3);
	assert_true(ask_and_get(1));
	assert_true(ask_and_get(1));
	assert_false(ask_and_get(1));
	assert_int_equal(state(), ENGINES_STATE_REJECTING);
	/* Back to what it has. */
	assign(1, 4);
	ask(1);
	assert_int_equal(x.a.news, ENGINES_NEWS_HEALED);
	assert_int_equal(state(), ENGINES_STATE_CONVERGED);
	engines_free(x.t);
}

static void
another_bundle_lets_it_try_again(void **arg)
{
	struct engines_poll other;
	struct engines_mark old = mark_of(7);
	struct engines_answer a;

	(void)arg;
	open_table(100);
	assign(1, 1);
	ask(1);
	other = x.p;
	other.bundle = "other";
	other.assigned = mark_of(8);
	other.has = &old;
	engines_poll(x.t, &other, &a);
	assign(2, 2);
	assert_true(ask_and_get(1));
	assert_true(ask_and_get(1));
	assert_false(ask_and_get(1));
	engines_poll(x.t, &other, &a); /* as before */
	assert_false(ask_and_get(1));
	other.has = &other.assigned;
	engines_poll(x.t, &other, &a);
	assert_true(ask_and_get(1));
	assert_false(ask_and_get(1));
	assert_int_equal(look().engines, 1);
	assert_int_equal(look().bundles, 2);
	engines_free(x.t);
}

static void
what_did_not_get_through_does_not_count(void **arg)
{
	(void)arg;
	open_table(100);
	assign(1, 1);
	ask(1);
	assign(2, 2);
	for (int i = 0; i < 10; i++) {
		assert_true(ask_and_get(1));
		engines_unsent(x.t, &x.ticket);
	}
	engines_unsent(x.t, &(struct engines_ticket){ 0 });
	engines_unsent(x.t, &(struct engines_ticket){ 9, 9, { { 0 } } });
	assert_int_equal(state(), ENGINES_STATE_BEHIND);
	engines_free(x.t);
}

static void
anonymous_ones_are_never_held(void **arg)
{
	(void)arg;
	open_table(100);
	x.p.anonymous = true;
	assign(2, 2);
	for (int i = 0; i < 10; i++)
		assert_true(ask_and_get(1));
	ask(2);
	ask(0);
	assert_int_equal(look().bundle.had_other, 10);
	assert_int_equal(look().bundle.had, 1);
	assert_int_equal(look().bundle.had_none, 1);
	assign(3, 3);
	ask(2);
	assert_int_equal(look().bundle.had_other, 1);
	assert_int_equal(look().bundle.had, 0);
	engines_free(x.t);
}

static void
going_back_is_told(void **arg)
{
	(void)arg;
	open_table(100);
	assign(1, 5);
	ask(1);
	assign(2, 7);
	assert_true(ask_and_get(1));
	ask(2);
	/* A rollback is no going back. */
	assign(1, 8);
	assert_true(ask_and_get(2));
	ask(1);
	assert_int_equal(x.a.news, 0);
	assign(2, 9);
	assert_true(ask_and_get(1));
	ask(2);
	ask(1);
	assert_int_equal(x.a.news & ENGINES_NEWS_BACK, ENGINES_NEWS_BACK);
	assert_int_equal(x.a.from_serial, 9);
	assert_int_equal(x.a.to_serial, 8);
	assert_true((look().bundle.flags & ENGINES_BACK) != 0);
	engines_sent(x.t, &x.p, &x.ticket);
	ask(2);
	assert_int_equal(x.a.news, 0);
	assert_false((look().bundle.flags & ENGINES_BACK) != 0);
	/* After a restart it may have anything. */
	ask(0);
	ask(1);
	assert_int_equal(x.a.news & ENGINES_NEWS_BACK, 0);
	assert_true(ask_and_get(1));
	ask(2);
	/* A restart that only a status report told of. */
	assert_true(engines_take_version(x.t, "prod", "host-1", "1.2.3", "a"));
	assert_true(engines_take_version(x.t, "prod", "host-1", "1.2.3", "b"));
	ask(1);
	assert_int_equal(x.a.news & ENGINES_NEWS_BACK, 0);
	engines_free(x.t);
}

/* Limit and limit + 1; the one that is silent makes room. */
static void
a_full_table_goes_on(void **arg)
{
	enum { MAX = 5000 };
	char name[32];

	(void)arg;
	open_table(MAX);
	assign(1, 1);
	x.p.name = name;
	for (int i = 0; i < MAX; i++) {
		(void)snprintf(name, sizeof name, "host-%d", i);
		ask(1);
		assert_int_equal(x.a.news, 0);
	}
	assert_int_equal(engines_count(x.t), MAX);
	(void)snprintf(name, sizeof name, "one-more");
	ask(1);
	assert_int_equal(x.a.news, ENGINES_NEWS_UNTRACKED);
	assert_false(x.a.hold);
	x.p.now_ms += 10 * MINUTE;
	(void)snprintf(name, sizeof name, "host-1");
	ask(1);
	(void)snprintf(name, sizeof name, "one-more");
	ask(1);
	assert_int_equal(x.a.news, 0);
	assert_int_equal(engines_count(x.t), MAX);
	assert_int_equal(look().engines, MAX);
	assert_int_equal(look().bundles, MAX);
	/* All but the two are forgotten, and their rows used again. */
	assert_int_equal(engines_forget(x.t, x.p.now_ms), MAX - 2);
	assert_int_equal(engines_count(x.t), 2);
	for (int i = 0; i < MAX - 2; i++) {
		(void)snprintf(name, sizeof name, "new-%d", i);
		ask(1);
		assert_int_equal(x.a.news, 0);
	}
	assert_int_equal(look().bundles, MAX);
	engines_free(x.t);
}

static void
bundles_of_an_engine_have_a_limit(void **arg)
{
	char bundle[32];

	(void)arg;
	open_table(100);
	x.p.bundle = bundle;
	for (int i = 0; i <= ENGINES_BUNDLES_MAX; i++) {
		(void)snprintf(bundle, sizeof bundle, "b-%d", i);
		ask(1);
		assert_int_equal(x.a.news,
		    i < ENGINES_BUNDLES_MAX ? 0 : ENGINES_NEWS_UNTRACKED);
	}
	assert_int_equal(look().bundles, ENGINES_BUNDLES_MAX);
	engines_free(x.t);
}

static void
reports_are_kept_and_withdrawn(void **arg)
{
	struct engines_report r = { .at_ms = START, .row = 3 };
	char name[32];

	(void)arg;
	open_table(1000);
	(void)snprintf(r.code, sizeof r.code, "bundle_error");
	(void)snprintf(r.message, sizeof r.message, "it does not fit");
	assert_false(engines_take_version(x.t, "prod", "host-1", "1", "a"));
	engines_take_report(x.t, "prod", "host-1", "authz", &r);
	assert_int_equal(look().reports, 0);
	ask(1);
	engines_take_report(x.t, "prod", "host-1", "authz", &r);
	engines_take_report(x.t, "prod", "host-1", "authz", &r);
	engines_take_report(x.t, "prod", "host-1", NULL, &r);
	assert_int_equal(look().reports, 2);
	engines_take_report(x.t, "prod", "host-1", NULL, NULL);
	assert_int_equal(look().reports, 1);
	assert_string_equal(look().report.message, "it does not fit");
	assert_true(look().report.bundle == engines_hash(x.t, "authz"));
	/* The newest win. */
	x.p.name = name;
	for (int i = 0; i <= ENGINES_SHARD_REPORTS; i++) {
		(void)snprintf(name, sizeof name, "host-%d", i + 100);
		ask(1);
		r.at_ms = START + 1000 + i;
		engines_take_report(x.t, "prod", name, "authz", &r);
	}
	assert_int_equal(look().reports, ENGINES_SHARD_REPORTS);
	assert_int_equal(engines_forget(x.t, START + 1), 66);
	assert_int_equal(look().reports, 0);
	engines_free(x.t);
}

static void
what_was_saved_comes_back(void **arg)
{
	struct found f = { 0 };
	struct engines_engine e;

	(void)arg;
	open_table(100);
	assign(1, 1);
	ask(1);
	assign(2, 2);
	assert_true(ask_and_get(1));
	assert_true(ask_and_get(1));
	assert_int_equal(engines_each_unsaved(x.t, 10, START, take, &f), 1);
	assert_int_equal(engines_each_unsaved(x.t, 10, START, take, &f), 0);
	assert_int_equal(engines_each_unsaved(x.t, 10,
			     START + ENGINES_SAVE_SEEN_S * 1000 - 1000, take,
			     &f),
	    0);
	engines_unsave(x.t);
	assert_int_equal(engines_each_unsaved(x.t, 10, START, take, &f), 1);
	x.p.now_ms += ENGINES_SAVE_SEEN_S * 1000;
	ask(1);
	assert_int_equal(engines_each_unsaved(x.t, 10, x.p.now_ms, take, &f),
	    1);
	engines_free(x.t);

	x.t = engines_new(100);
	e = f.engine;
	e.cluster = engines_hash(x.t, "prod");
	f.bundle.bundle = engines_hash(x.t, "authz");
	assert_false(engines_restored(x.t));
	engines_restore(x.t, &e, &f.bundle, 1);
	engines_restore(x.t, &e, &f.bundle, 1);
	engines_set_restored(x.t);
	assert_true(engines_restored(x.t));
	assert_int_equal(look().engines, 1);
	assert_int_equal(state(), ENGINES_STATE_REJECTING);
	x.p.now_ms = START + 30 * 1000;
	assert_false(ask_and_get(1));
	engines_free(x.t);

	/* What came between the last saving and the end is not known. */
	x.t = engines_new(100);
	e.cluster = engines_hash(x.t, "prod");
	f.bundle.bundle = engines_hash(x.t, "authz");
	engines_restore(x.t, &e, &f.bundle, 1);
	ask(9);
	assert_int_equal(x.a.news & ENGINES_NEWS_BACK, 0);
	engines_free(x.t);
}

/* ---- many at once ---- */

enum { THREADS = 4, ROUNDS = 4000, NAMES = 200 };

static void *
poll_on(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	struct engines_poll p = x.p;

	for (int i = 0; i < ROUNDS; i++) {
		struct engines_mark has = mark_of((int)seed % 3 + 1);
		struct engines_ticket ticket;
		struct engines_answer a;
		char name[32];

		seed = seed * 1103515245 + 12345;
		(void)snprintf(name, sizeof name, "host-%u",
		    seed / 65536 % NAMES);
		p.name = name;
		p.has = seed % 7 == 0 ? NULL : &has;
		p.now_ms = START + i;
		engines_poll(x.t, &p, &a);
		if (!a.hold)
			engines_sent(x.t, &p, &ticket);
		if (seed % 64 == 0)
			(void)engines_forget(x.t, START + i - 100);
	}
	return NULL;
}

static void
check_one(const struct engines_view *v, void *arg)
{
	size_t *count = arg;

	++*count;
	assert_true(strncmp(v->engine->name, "host-", 5) == 0);
	assert_true(v->engine->cluster == engines_hash(x.t, "prod"));
	assert_true(v->bundle_count <= 1);
	for (size_t i = 0; i < v->bundle_count; i++)
		assert_true(v->bundles[i]->bundle ==
		    engines_hash(x.t, "authz"));
}

static void
threads_do_not_disturb_each_other(void **arg)
{
	pthread_t threads[THREADS];
	size_t count = 0;

	(void)arg;
	open_table(1000);
	assign(1, 1);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, poll_on,
				     (void *)(i + 1)),
		    0);
	for (int i = 0; i < 50; i++)
		engines_each(x.t, check_one, &count);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	count = 0;
	engines_each(x.t, check_one, &count);
	assert_int_equal(count, engines_count(x.t));
	engines_free(x.t);
}

/* ---- killed ---- */

/* Rows of number n say n in every field, or they are torn. */
static void
write_for_ever(_Atomic uint32_t *turns)
{
	for (uint32_t i = 1;; i++) {
		struct engines_shard *s = &x.t->shards[0];
		struct engines_bundle b;

		x.p.now_ms = START + i;
		(void)ask_and_get((int)i % 5);
		if (i % 16 == 0)
			(void)engines_forget(x.t, START + i + 1);
		if (!engines_lock(x.t, s))
			continue;
		if (s->new_bundle > 1 && engines_bundle_at(x.t, s, 1)->used) {
			b = *engines_bundle_at(x.t, s, 1);
			memset(&b.acked, (int)(i & 0xff), sizeof b.acked);
			memset(&b.before, (int)(i & 0xff), sizeof b.before);
			engines_put_bundle(x.t, s, 1, &b);
		}
		engines_unlock(s);
		atomic_store(turns, i);
	}
}

static void
check_whole(const struct engines_view *v, void *arg)
{
	size_t *count = arg;

	++*count;
	assert_string_equal(v->engine->name, "host-1");
	for (size_t i = 0; i < v->bundle_count; i++)
		assert_true(v->bundles[i]->used == 1);
}

/* A process is killed anywhere, again and again; the table goes on at once. */
static void
who_is_killed_leaves_nothing_stuck(void **arg)
{
	_Atomic uint32_t *turns = mmap(NULL, sizeof *turns,
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	assert_true(turns != MAP_FAILED);
	open_table(100);
	assign(1, 1);
	for (int round = 0; round < 100; round++) {
		size_t count = 0;
		pid_t pid;
		int status;

		atomic_store(turns, 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			write_for_ever(turns);
		while (atomic_load(turns) < 20 + (uint32_t)round)
			continue;
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		x.p.now_ms = START + 3600 * 1000 + round;
		ask(1);
		assert_int_equal(x.a.news & ENGINES_NEWS_UNTRACKED, 0);
		engines_each(x.t, check_whole, &count);
		assert_int_equal(count, 1);
		assert_int_equal(engines_count(x.t), 1);
	}
	engines_free(x.t);
	assert_int_equal(munmap(turns, sizeof *turns), 0);
}

/* Killed inside the lock, in the middle of a row, of the links, of a report:
 * each is set by hand, as the kill would leave it. */
static void
a_half_written_row_is_not_believed(void **arg)
{
	pid_t pid;
	int status;

	(void)arg;
	open_table(100);
	assign(1, 1);
	ask(1);
	x.p.name = "host-2";
	ask(1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct engines_shard *s = &x.t->shards[0];
		struct engines_engine *e;

		if (!engines_lock(x.t, s))
			_exit(1);
		e = engines_at(x.t, s, 2);
		atomic_store(&s->writing_engine, 2);
		(void)snprintf(e->name, sizeof e->name, "host-half");
		e->next = 77777;
		s->free_engine = 99999;
		x.t->buckets[3] = 4242;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(look().engines, 1);
	assert_string_equal(look().engine.name, "host-1");
	assert_int_equal(look().bundles, 1);
	assert_int_equal(engines_count(x.t), 1);
	ask(1);
	assert_int_equal(x.a.news, 0);
	assert_int_equal(look().engines, 2);
	engines_free(x.t);
}

/* A process that holds the lock and lives is not waited for. */
static void
who_stops_inside_holds_nobody_up(void **arg)
{
	int ready[2];
	char c;
	pid_t pid;
	int status;

	(void)arg;
	open_table(100);
	assign(1, 1);
	ask(1);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (!engines_lock(x.t, &x.t->shards[0]) ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	ask(1);
	assert_int_equal(x.a.news, ENGINES_NEWS_UNTRACKED);
	assert_false(x.a.hold);
	assert_int_equal(look().engines, 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	ask(1);
	assert_int_equal(x.a.news, 0);
	close(ready[0]);
	close(ready[1]);
	engines_free(x.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_are_of_etags),
		cmocka_unit_test(polls_tell_the_state),
		cmocka_unit_test(storms_are_held),
		cmocka_unit_test(another_bundle_lets_it_try_again),
		cmocka_unit_test(what_did_not_get_through_does_not_count),
		cmocka_unit_test(anonymous_ones_are_never_held),
		cmocka_unit_test(going_back_is_told),
		cmocka_unit_test(a_full_table_goes_on),
		cmocka_unit_test(bundles_of_an_engine_have_a_limit),
		cmocka_unit_test(reports_are_kept_and_withdrawn),
		cmocka_unit_test(what_was_saved_comes_back),
		cmocka_unit_test(threads_do_not_disturb_each_other),
		cmocka_unit_test(who_is_killed_leaves_nothing_stuck),
		cmocka_unit_test(a_half_written_row_is_not_believed),
		cmocka_unit_test(who_stops_inside_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
