#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/mem.h"
#include "policies/watch.h"
#include "tests/unit/policies/git_fixture.h"

static int
setup(void **state)
{
	(void)state;
	fixture_start();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fixture_end();
	return 0;
}

static void
test_interval_with_jitter(void **state)
{
	AUTO(watch, w) = watch_new("https://h/r", "main", 30000, 7);
	int64_t least = INT64_MAX, most = 0, now = 1000000;

	(void)state;
	assert_int_equal(watch_due_ms(w, now), 0);
	for (int i = 0; i < 1000; i++) {
		int64_t due;

		watch_done(w, i % 2 ? FETCH_OK : FETCH_UNCHANGED, now);
		due = watch_due_ms(w, now);
		assert_in_range(due, 27000, 33000);
		least = due < least ? due : least;
		most = due > most ? due : most;
		assert_int_equal(watch_due_ms(w, now + due), 0);
		assert_int_equal(watch_due_ms(w, now + due - 1), 1);
		now += due;
	}
	assert_true(least < 28000 && most > 32000);
}

static void
test_back_off(void **state)
{
	static const enum fetch_outcome failures[] = { FETCH_UNREACHABLE,
		FETCH_DENIED, FETCH_TIMED_OUT, FETCH_TOO_LARGE, FETCH_FAILED };
	AUTO(watch, w) = watch_new("https://h/r", "", 30000, 0);
	int64_t due, expected = WATCH_BACKOFF_MIN_MS;

	(void)state;
	for (size_t i = 0; i < 40; i++) {
		watch_done(w, failures[i % 5], 5);
		due = watch_due_ms(w, 5);
		assert_in_range(due, expected - expected / 10,
		    expected + expected / 10);
		assert_true(due <= WATCH_BACKOFF_MAX_MS);
		expected = expected * 2 < WATCH_BACKOFF_MAX_MS
		    ? expected * 2
		    : WATCH_BACKOFF_MAX_MS;
	}
	/* A host that answers is not spared, whatever it says. */
	watch_done(w, FETCH_BRANCH_MISSING, 5);
	assert_in_range(watch_due_ms(w, 5), 27000, 33000);
	watch_done(w, FETCH_UNREACHABLE, 5);
	assert_in_range(watch_due_ms(w, 5), 900, 1100);
}

static void
test_asked(void **state)
{
	AUTO(watch, w) = watch_new("https://h/r", "main", 30000, 1);

	(void)state;
	watch_done(w, FETCH_OK, 100);
	assert_true(watch_due_ms(w, 100) > 0);
	watch_ask(w);
	assert_int_equal(watch_due_ms(w, 100), 0);
	watch_done(w, FETCH_OK, 100);
	assert_true(watch_due_ms(w, 100) > 0);
	assert_false(watch_local_changed(w));
}

static void
assert_seen_once(struct watch *w, bool yes)
{
	assert_int_equal(watch_local_changed(w), yes);
	assert_false(watch_local_changed(w));
}

static void
watch_one(const char *url, const char *branch)
{
	AUTO(watch, w) = watch_new(url, branch, 30000, 1);

	assert_seen_once(w, false);
	sh("cd r; git commit -q --allow-empty -m two");
	assert_seen_once(w, true);
	sh("cd r; git commit -q --amend --allow-empty -m three");
	assert_seen_once(w, true);
	sh("cd r; git pack-refs --all");
	assert_seen_once(w, true);
	sh("cd r; git commit -q --allow-empty -m four");
	assert_seen_once(w, true);
	sh("cd r; echo x > file; git add file");
	assert_seen_once(w, false);
}

static void
test_local_refs(void **state)
{
	AUTO_STR url = mem_printf("file://%s", fixture_path("r"));
	AUTO(watch, gone) = NULL;

	(void)state;
	sh("git init -q -b main r; cd r; git commit -q --allow-empty -m one\n"
	   "git worktree add -q ../linked -b other");
	watch_one(fixture_path("r"), "main");
	watch_one(fixture_path("r"), NULL);
	watch_one(fixture_path("linked"), "main");
	watch_one(fixture_path("r/.git"), "main");
	watch_one(url, "main");
	gone = watch_new(fixture_path("r"), "main", 30000, 1);
	assert_seen_once(gone, false);
	sh("mv r away");
	assert_seen_once(gone, true);
	sh("mv away r");
	assert_seen_once(gone, true);
	sh("cd r; git checkout -q -b new; git branch -q -D main");
	assert_seen_once(gone, true);
}

static void
test_classify(void **state)
{
	AUTO(repo, r) = NULL;
	const char *one, *two, *side, *lone;
	enum watch_step step;
	struct err e;

	(void)state;
	sh("git init -q -b main r; cd r; git commit -q --allow-empty -m one\n"
	   "git tag one; git commit -q --allow-empty -m two\n"
	   "git checkout -q -b side one; git commit -q --allow-empty -m side\n"
	   "git checkout -q --orphan lone; git commit -q --allow-empty -m lone");
	assert_int_equal(repo_discover(&r, fixture_path("r"), &e), ERR_OK);
	one = sh_line("cd r; git rev-parse one");
	two = sh_line("cd r; git rev-parse main");
	side = sh_line("cd r; git rev-parse side");
	lone = sh_line("cd r; git rev-parse lone");
	{
		const struct {
			const char *followed, *tip;
			enum watch_step step;
		} cases[] = {
			{ one, one, WATCH_SAME },
			{ "", two, WATCH_FOLLOW },
			{ one, two, WATCH_FOLLOW },
			{ two, one, WATCH_REWRITTEN },
			{ two, side, WATCH_REWRITTEN },
			{ two, lone, WATCH_UNRELATED },
		};

		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			assert_int_equal(watch_classify(r, cases[i].followed,
					     cases[i].tip, &step, &e),
			    ERR_OK);
			assert_int_equal(step, cases[i].step);
		}
	}
	assert_int_equal(watch_classify(r,
			     "1234567890123456789012345678901234567890", two,
			     &step, &e),
	    ERR_NOT_FOUND);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_interval_with_jitter),
		CASE(test_back_off),
		CASE(test_asked),
		CASE(test_local_refs),
		CASE(test_classify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
