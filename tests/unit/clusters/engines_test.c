#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "one_engine.h"

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
	one_open(100);
	one_assign(1, 1);
	assert_true(one_ask_and_get(0));
	assert_int_equal(one_state(), ENGINES_STATE_FRESH);
	/* Whatever a fresh one was sent, however often. */
	for (int i = 0; i < 5; i++)
		assert_true(one_ask_and_get(0));
	assert_int_equal(one_state(), ENGINES_STATE_FRESH);
	one_ask(1);
	assert_int_equal(one_state(), ENGINES_STATE_CONVERGED);
	assert_int_equal(one_look().bundle.acked_serial, 1);
	one_assign(2, 2);
	assert_int_equal(one_state(), ENGINES_STATE_BEHIND);
	assert_true(one_ask_and_get(1));
	assert_int_equal(one_state(), ENGINES_STATE_BEHIND);
	assert_true(one_ask_and_get(1));
	assert_int_equal(x.a.news, ENGINES_NEWS_REJECTING);
	assert_int_equal(one_state(), ENGINES_STATE_REJECTING);
	x.p.now_ms += 6 * MINUTE;
	assert_int_equal(one_state(), ENGINES_STATE_SILENT);
	one_ask(2);
	assert_int_equal(x.a.news, ENGINES_NEWS_HEALED);
	assert_int_equal(one_state(), ENGINES_STATE_CONVERGED);
	assert_string_equal(one_look().engine.version, "1.19.1");
	engines_free(x.t);
}

/* Twice, then after 1, 5, 30, 30 minutes. */
static void
storms_are_held(void **arg)
{
	static const int minutes[] = { 1, 5, 30, 30, 30 };

	(void)arg;
	one_open(100);
	one_assign(1, 1);
	one_ask(1);
	one_assign(2, 2);
	assert_true(one_ask_and_get(1));
	assert_true(one_ask_and_get(1));
	for (size_t i = 0; i < sizeof minutes / sizeof *minutes; i++) {
		assert_false(one_ask_and_get(1));
		assert_true(engines_held(x.t, &x.p));
		x.p.now_ms += minutes[i] * MINUTE - 1000;
		assert_false(one_ask_and_get(1));
		x.p.now_ms += 1000;
		assert_false(engines_held(x.t, &x.p));
		assert_true(one_ask_and_get(1));
		assert_int_equal(one_state(), ENGINES_STATE_REJECTING);
	}
	/* A clock that went back holds nobody. */
	x.p.now_ms -= 60 * MINUTE;
	assert_true(one_ask_and_get(1));
	assert_false(one_ask_and_get(1));
	/* Something else is tried at once; the mark stays. */
	one_assign(3, 3);
	assert_true(one_ask_and_get(1));
	assert_true(one_ask_and_get(1));
	assert_false(one_ask_and_get(1));
	assert_int_equal(one_state(), ENGINES_STATE_REJECTING);
	/* Back to what it has. */
	one_assign(1, 4);
	one_ask(1);
	assert_int_equal(x.a.news, ENGINES_NEWS_HEALED);
	assert_int_equal(one_state(), ENGINES_STATE_CONVERGED);
	engines_free(x.t);
}

static void
another_bundle_lets_it_try_again(void **arg)
{
	struct engines_poll other;
	struct engines_mark old = one_mark(7);
	struct engines_answer a;

	(void)arg;
	one_open(100);
	one_assign(1, 1);
	one_ask(1);
	other = x.p;
	other.bundle = "other";
	other.assigned = one_mark(8);
	other.has = &old;
	engines_poll(x.t, &other, &a);
	one_assign(2, 2);
	assert_true(one_ask_and_get(1));
	assert_true(one_ask_and_get(1));
	assert_false(one_ask_and_get(1));
	engines_poll(x.t, &other, &a); /* as before */
	assert_false(one_ask_and_get(1));
	other.has = &other.assigned;
	engines_poll(x.t, &other, &a);
	assert_true(one_ask_and_get(1));
	assert_false(one_ask_and_get(1));
	assert_int_equal(one_look().engines, 1);
	assert_int_equal(one_look().bundles, 2);
	engines_free(x.t);
}

/* Several engines that share a name by mistake; or one that claims another's. */
static void
who_is_elsewhere_is_not_held(void **arg)
{
	(void)arg;
	one_open(100);
	one_assign(1, 1);
	one_ask(1);
	one_assign(2, 2);
	x.p.from = 7;
	assert_true(one_ask_and_get(1));
	assert_true(one_ask_and_get(1));
	assert_false(one_ask_and_get(1));
	x.p.from = 8;
	assert_true(one_ask_and_get(1));
	assert_true(one_ask_and_get(1));
	assert_false(one_ask_and_get(1));
	x.p.from = 7;
	assert_true(one_ask_and_get(1));
	assert_int_equal(one_state(), ENGINES_STATE_REJECTING);
	engines_free(x.t);
}

static void
what_did_not_get_through_does_not_count(void **arg)
{
	(void)arg;
	one_open(100);
	one_assign(1, 1);
	one_ask(1);
	one_assign(2, 2);
	for (int i = 0; i < 10; i++) {
		assert_true(one_ask_and_get(1));
		engines_unsent(x.t, &x.ticket);
	}
	engines_unsent(x.t, &(struct engines_ticket){ 0 });
	engines_unsent(x.t, &(struct engines_ticket){ 9, 9, { { 0 } } });
	assert_int_equal(one_state(), ENGINES_STATE_BEHIND);
	engines_free(x.t);
}

static void
anonymous_ones_are_never_held(void **arg)
{
	(void)arg;
	one_open(100);
	x.p.anonymous = true;
	one_assign(2, 2);
	for (int i = 0; i < 10; i++)
		assert_true(one_ask_and_get(1));
	one_ask(2);
	one_ask(0);
	assert_int_equal(one_look().bundle.had_other, 10);
	assert_int_equal(one_look().bundle.had, 1);
	assert_int_equal(one_look().bundle.had_none, 1);
	one_assign(3, 3);
	one_ask(2);
	assert_int_equal(one_look().bundle.had_other, 1);
	assert_int_equal(one_look().bundle.had, 0);
	engines_free(x.t);
}

static void
going_back_is_told(void **arg)
{
	(void)arg;
	one_open(100);
	one_assign(1, 5);
	one_ask(1);
	one_assign(2, 7);
	assert_true(one_ask_and_get(1));
	one_ask(2);
	/* A rollback is no going back. */
	one_assign(1, 8);
	assert_true(one_ask_and_get(2));
	one_ask(1);
	assert_int_equal(x.a.news, 0);
	one_assign(2, 9);
	assert_true(one_ask_and_get(1));
	one_ask(2);
	one_ask(1);
	assert_int_equal(x.a.news & ENGINES_NEWS_BACK, ENGINES_NEWS_BACK);
	assert_int_equal(x.a.from_serial, 9);
	assert_int_equal(x.a.to_serial, 8);
	assert_true((one_look().bundle.flags & ENGINES_BACK) != 0);
	engines_sent(x.t, &x.p, &x.ticket);
	one_ask(2);
	assert_int_equal(x.a.news, 0);
	assert_false((one_look().bundle.flags & ENGINES_BACK) != 0);
	/* After a restart it may have anything. */
	one_ask(0);
	one_ask(1);
	assert_int_equal(x.a.news & ENGINES_NEWS_BACK, 0);
	assert_true(one_ask_and_get(1));
	one_ask(2);
	/* A restart that only a status report told of. */
	assert_true(engines_take_version(x.t, "prod", "host-1", "1.2.3", "a"));
	assert_true(engines_take_version(x.t, "prod", "host-1", "1.2.3", "b"));
	one_ask(1);
	assert_int_equal(x.a.news & ENGINES_NEWS_BACK, 0);
	engines_free(x.t);
}

static void
reports_are_kept_and_withdrawn(void **arg)
{
	struct engines_report r = { .at_ms = START, .row = 3 };
	char name[32];

	(void)arg;
	one_open(1000);
	(void)snprintf(r.code, sizeof r.code, "bundle_error");
	(void)snprintf(r.message, sizeof r.message, "it does not fit");
	assert_false(engines_take_version(x.t, "prod", "host-1", "1", "a"));
	engines_take_report(x.t, "prod", "host-1", "authz", &r);
	assert_int_equal(one_look().reports, 0);
	one_ask(1);
	engines_take_report(x.t, "prod", "host-1", "authz", &r);
	engines_take_report(x.t, "prod", "host-1", "authz", &r);
	engines_take_report(x.t, "prod", "host-1", NULL, &r);
	assert_int_equal(one_look().reports, 2);
	engines_take_report(x.t, "prod", "host-1", NULL, NULL);
	assert_int_equal(one_look().reports, 1);
	assert_string_equal(one_look().report.message, "it does not fit");
	assert_true(one_look().report.bundle == engines_hash(x.t, "authz"));
	/* The newest win. */
	x.p.name = name;
	for (int i = 0; i <= ENGINES_SHARD_REPORTS; i++) {
		(void)snprintf(name, sizeof name, "host-%d", i + 100);
		one_ask(1);
		r.at_ms = START + 1000 + i;
		engines_take_report(x.t, "prod", name, "authz", &r);
	}
	assert_int_equal(one_look().reports, ENGINES_SHARD_REPORTS);
	assert_int_equal(engines_forget(x.t, START + 1), 66);
	assert_int_equal(one_look().reports, 0);
	engines_free(x.t);
}

static void
what_was_saved_comes_back(void **arg)
{
	struct one_found f = { 0 };
	struct engines_engine e;

	(void)arg;
	one_open(100);
	one_assign(1, 1);
	one_ask(1);
	one_assign(2, 2);
	assert_true(one_ask_and_get(1));
	assert_true(one_ask_and_get(1));
	assert_int_equal(engines_each_unsaved(x.t, 10, START, one_take, &f), 1);
	assert_int_equal(engines_each_unsaved(x.t, 10, START, one_take, &f), 0);
	assert_int_equal(engines_each_unsaved(x.t, 10,
			     START + ENGINES_SAVE_SEEN_S * 1000 - 1000,
			     one_take, &f),
	    0);
	engines_unsave(x.t);
	assert_int_equal(engines_each_unsaved(x.t, 10, START, one_take, &f), 1);
	x.p.now_ms += ENGINES_SAVE_SEEN_S * 1000;
	one_ask(1);
	assert_int_equal(engines_each_unsaved(x.t, 10, x.p.now_ms, one_take,
			     &f),
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
	assert_int_equal(one_look().engines, 1);
	assert_int_equal(one_state(), ENGINES_STATE_REJECTING);
	x.p.now_ms = START + 30 * 1000;
	assert_false(one_ask_and_get(1));
	engines_free(x.t);

	/* What came between the last saving and the end is not known. */
	x.t = engines_new(100);
	e.cluster = engines_hash(x.t, "prod");
	f.bundle.bundle = engines_hash(x.t, "authz");
	engines_restore(x.t, &e, &f.bundle, 1);
	one_ask(9);
	assert_int_equal(x.a.news & ENGINES_NEWS_BACK, 0);
	engines_free(x.t);
}

/* Whoever was told another configuration is not ready until it hears of its
 * bundles; and must not be made to ask without end. */
static void
who_was_told_is_answered(void **arg)
{
	int answers = 0;

	(void)arg;
	one_open(100);
	engines_told(x.t, "prod", "host-1", x.p.now_ms); /* not known yet */
	one_assign(1, 1);
	one_ask(1);
	assert_false(x.a.settling);
	engines_told(x.t, "prod", "host-2", x.p.now_ms);
	engines_told(x.t, "test", "host-1", x.p.now_ms);
	one_ask(1);
	assert_false(x.a.settling);
	engines_told(x.t, "prod", "host-1", x.p.now_ms);
	x.p.now_ms += 1000;
	for (int i = 0; i < 10; i++) {
		one_ask(1);
		answers += x.a.settling;
	}
	assert_int_equal(answers, ENGINES_SETTLE_ANSWERS);
	/* Its window ends by itself, and a clock that went back opens none. */
	engines_told(x.t, "prod", "host-1", x.p.now_ms);
	x.p.now_ms -= 1000;
	one_ask(1);
	assert_false(x.a.settling);
	x.p.now_ms += 1000 * ENGINES_SETTLE_S;
	one_ask(1);
	assert_true(x.a.settling);
	engines_told(x.t, "prod", "host-1", x.p.now_ms);
	x.p.now_ms += 1000 * ENGINES_SETTLE_S;
	one_ask(1);
	assert_false(x.a.settling);
	/* What is behind is sent something, and needs no window. */
	engines_told(x.t, "prod", "host-1", x.p.now_ms);
	one_assign(2, 2);
	assert_true(one_ask_and_get(1));
	assert_false(x.a.settling);
	/* It knows another key now, perhaps. */
	assert_true(one_ask_and_get(1));
	assert_false(one_ask_and_get(1));
	engines_told(x.t, "prod", "host-1", x.p.now_ms);
	assert_true(one_ask_and_get(1));
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
		cmocka_unit_test(who_is_elsewhere_is_not_held),
		cmocka_unit_test(what_did_not_get_through_does_not_count),
		cmocka_unit_test(anonymous_ones_are_never_held),
		cmocka_unit_test(going_back_is_told),
		cmocka_unit_test(who_was_told_is_answered),
		cmocka_unit_test(reports_are_kept_and_withdrawn),
		cmocka_unit_test(what_was_saved_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
