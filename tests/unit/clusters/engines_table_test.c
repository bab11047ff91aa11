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

#include "one_engine.h"

/* Limit and limit + 1; the one that is silent makes room. */
static void
a_full_table_goes_on(void **arg)
{
	enum { MAX = 5000 };
	char name[32];

	(void)arg;
	one_open(MAX);
	one_assign(1, 1);
	x.p.name = name;
	for (int i = 0; i < MAX; i++) {
		(void)snprintf(name, sizeof name, "host-%d", i);
		one_ask(1);
		assert_int_equal(x.a.news, 0);
	}
	assert_int_equal(engines_count(x.t), MAX);
	(void)snprintf(name, sizeof name, "one-more");
	one_ask(1);
	assert_int_equal(x.a.news, ENGINES_NEWS_UNTRACKED);
	assert_false(x.a.missed); /* it never will be known */
	assert_false(x.a.hold);
	x.p.now_ms += 10 * MINUTE;
	(void)snprintf(name, sizeof name, "host-1");
	one_ask(1);
	(void)snprintf(name, sizeof name, "one-more");
	one_ask(1);
	assert_int_equal(x.a.news, 0);
	assert_int_equal(engines_count(x.t), MAX);
	assert_int_equal(one_look().engines, MAX);
	assert_int_equal(one_look().bundles, MAX);
	/* All but the two are forgotten, and their rows used again. */
	assert_int_equal(engines_forget(x.t, x.p.now_ms), MAX - 2);
	assert_int_equal(engines_count(x.t), 2);
	for (int i = 0; i < MAX - 2; i++) {
		(void)snprintf(name, sizeof name, "new-%d", i);
		one_ask(1);
		assert_int_equal(x.a.news, 0);
	}
	assert_int_equal(one_look().bundles, MAX);
	engines_free(x.t);
}

static void
bundles_of_an_engine_have_a_limit(void **arg)
{
	char bundle[32];

	(void)arg;
	one_open(100);
	x.p.bundle = bundle;
	for (int i = 0; i <= ENGINES_BUNDLES_MAX; i++) {
		(void)snprintf(bundle, sizeof bundle, "b-%d", i);
		one_ask(1);
		assert_int_equal(x.a.news,
		    i < ENGINES_BUNDLES_MAX ? 0 : ENGINES_NEWS_UNTRACKED);
	}
	assert_int_equal(one_look().bundles, ENGINES_BUNDLES_MAX);
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
		struct engines_mark has = one_mark((int)seed % 3 + 1);
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
	one_open(1000);
	one_assign(1, 1);
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
		(void)one_ask_and_get((int)i % 5);
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
	one_open(100);
	one_assign(1, 1);
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
		one_ask(1);
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
	one_open(100);
	one_assign(1, 1);
	one_ask(1);
	x.p.name = "host-2";
	one_ask(1);
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
	assert_int_equal(one_look().engines, 1);
	assert_string_equal(one_look().engine.name, "host-1");
	assert_int_equal(one_look().bundles, 1);
	assert_int_equal(engines_count(x.t), 1);
	one_ask(1);
	assert_int_equal(x.a.news, 0);
	assert_int_equal(one_look().engines, 2);
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
	one_open(100);
	one_assign(1, 1);
	one_ask(1);
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
	/* There is room for it: it is not known now, and is to ask again soon. */
	one_ask(1);
	assert_true(x.a.missed);
	assert_int_equal(x.a.news, 0);
	assert_false(x.a.hold);
	assert_int_equal(one_look().engines, 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	one_ask(1);
	assert_false(x.a.missed);
	assert_int_equal(x.a.news, 0);
	close(ready[0]);
	close(ready[1]);
	engines_free(x.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_table_goes_on),
		cmocka_unit_test(bundles_of_an_engine_have_a_limit),
		cmocka_unit_test(threads_do_not_disturb_each_other),
		cmocka_unit_test(who_is_killed_leaves_nothing_stuck),
		cmocka_unit_test(a_half_written_row_is_not_believed),
		cmocka_unit_test(who_stops_inside_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
