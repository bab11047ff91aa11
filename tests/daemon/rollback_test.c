#include <string.h>

#include "tests/daemon/fixture.h"

static const char *
rollback_body(const char *to, const char *more)
{
	return daemon_printf("{\"to\":\"%s\",\"reason\":\"a test\"%s}", to,
	    more);
}

static json_t *
rollback(const char *to, const char *more, long status)
{
	return daemon_api("POST", "/bundles/main/rollback",
	    rollback_body(to, more), status);
}

static json_t *
assignment(void)
{
	const json_t *c = daemon_api("GET", "/clusters/default", NULL, 200);

	return json_array_get(daemon_at(c, "assignments"), 0);
}

static const char *
push_served(int level)
{
	const char *rev = daemon_level(level);

	daemon_wait_served(rev);
	return rev;
}

SCENARIO(to_what_is_stored_it_is_at_once)
{
	const char *one = daemon_level(1);
	const char *two, *three;
	const json_t *a;
	int64_t serial;

	daemon_start(NULL);
	daemon_wait_served(one);
	two = push_served(2);
	serial = daemon_number(assignment(), "serial");
	a = daemon_at(rollback(one, "", 200), "assignments.0");
	assert_string_equal(daemon_text(a, "revision"), one);
	assert_string_equal(daemon_text(a, "mode"), "held");
	assert_string_equal(daemon_text(a, "by"), "admin");
	assert_string_equal(daemon_text(a, "reason"), "a test");
	assert_true(daemon_number(a, "serial") > serial);
	daemon_wait_served(one);

	/* It holds, and what comes is built nevertheless. */
	three = daemon_level(3);
	daemon_wait_verdict(three, "passed", DAEMON_DEADLINE_MS);
	daemon_wait_log(daemon_printf("commit.published repo=remote commit=%s",
			    three),
	    0);
	daemon_wait_served(one);
	/* By prefix and by distance; each is stored by now. */
	rollback(daemon_printf("%.8s", two), "", 200);
	daemon_wait_served(two);
	rollback("HEAD~2", "", 200);
	daemon_wait_served(one);
	rollback("main~1", "", 200);
	daemon_wait_served(two);
	rollback(daemon_printf("remote@%s", one), "", 200);
	daemon_wait_served(one);
	daemon_api("POST", "/bundles/main/resume", "{}", 200);
	daemon_wait_served(three);
	assert_string_equal(daemon_text(assignment(), "mode"), "following");
}

SCENARIO(to_what_was_never_built_it_is_tested_first)
{
	const char *old = daemon_level(1);
	const char *second = daemon_level(2);
	const char *rev;
	json_t *answer;

	daemon_level(3);
	rev = daemon_level(4);
	daemon_start(NULL);
	daemon_wait_served(rev);
	answer =
	    daemon_api("GET", daemon_printf("/commits/%s", old), NULL, 200);
	assert_null(daemon_at(answer, "verdict"));

	answer = rollback(old, "", 202);
	assert_string_equal(daemon_text(answer, "operation.kind"), "rollback");
	daemon_wait_operation(answer, "done");
	daemon_wait_served(old);
	assert_string_equal(daemon_text(assignment(), "mode"), "held");
	daemon_wait_verdict(old, "passed", 0);

	/* The command waits for it. */
	daemon_sh("edict rollback main --to %s --reason 'the second'", second);
	daemon_wait_served(second);
	daemon_api("POST", "/bundles/main/resume", "{}", 200);
	daemon_wait_served(rev);
}

SCENARIO(to_what_may_not_be_served_it_is_refused)
{
	const char *one = daemon_level(1);
	const char *bad, *good, *without;
	json_t *answer;
	int64_t serial;

	/* The branch once had another bundle only. */
	without = daemon_commit("another bundle",
	    { "edict.yaml",
		"bundles: {other: {}}\n"
		"clusters: {default: {}}\n" });
	bad = daemon_bad_level(2);
	daemon_sh("rm work/edict.yaml");
	good = daemon_level(3);
	daemon_start(NULL);
	daemon_wait_served(good);
	serial = daemon_number(assignment(), "serial");

	/* Never judged: tested first, and then refused. */
	answer = daemon_wait_operation(rollback(bad, "", 202), "failed");
	assert_string_equal(daemon_text(answer, "error.code"), "conflict");
	assert_non_null(strstr(daemon_text(answer, "error.message"),
	    "test_level"));
	/* Judged by now: refused at once. */
	answer = rollback(bad, "", 409);
	assert_non_null(strstr(daemon_text(answer, "error.message"), "failed"));

	answer = daemon_wait_operation(rollback(without, "", 202), "failed");
	assert_non_null(strstr(daemon_text(answer, "error.message"), "main"));
	answer = rollback(without, "", 409);
	assert_non_null(strstr(daemon_text(answer, "error.message"), "main"));

	answer =
	    daemon_wait_operation(rollback("no-such-tag", "", 202), "failed");
	assert_string_equal(daemon_text(answer, "error.code"), "not_found");
	rollback("", "", 400);
	daemon_api("POST", "/bundles/main/rollback",
	    daemon_printf("{\"to\":\"%s\"}", one), 400);
	daemon_api("POST", "/bundles/none/rollback", rollback_body(one, ""),
	    404);
	rollback(good, ",\"clusters\":[\"none\"]", 404);
	rollback(good, ",\"surprise\":1", 400);
	assert_int_equal(
	    daemon_try("edict rollback main --to %s --reason x", bad).status,
	    1);

	daemon_wait_served(good);
	assert_int_equal(daemon_number(assignment(), "serial"), serial);
	assert_string_equal(daemon_text(assignment(), "mode"), "following");
}

SCENARIO(who_saw_another_serial_is_refused)
{
	const char *one = daemon_level(1);
	const char *two;
	json_t *answer;
	int64_t serial;

	daemon_start(NULL);
	daemon_wait_served(one);
	two = push_served(2);
	serial = daemon_number(assignment(), "serial");
	answer = rollback(one,
	    daemon_printf(",\"expect\":{\"default\":%lld}",
		(long long)serial - 1),
	    409);
	assert_string_equal(daemon_text(answer, "error.code"), "conflict");
	daemon_wait_served(two);
	assert_int_equal(daemon_number(assignment(), "serial"), serial);
	rollback(one,
	    daemon_printf(",\"expect\":{\"default\":%lld}", (long long)serial),
	    200);
	daemon_wait_served(one);
	daemon_api("POST", "/bundles/main/resume",
	    daemon_printf("{\"expect\":{\"default\":%lld}}", (long long)serial),
	    409);
	assert_string_equal(daemon_text(assignment(), "mode"), "held");
}

/* What was rolled back from does not come back under another commit's name. */
SCENARIO(what_was_rolled_back_from_stays_away)
{
	const char *one = daemon_level(1);
	const char *again, *third;
	const json_t *a;

	daemon_start(NULL);
	daemon_wait_served(one);
	push_served(2);
	/* Held by nobody, but for what it was rolled back from. */
	rollback(one, "", 200);
	a = assignment();
	assert_int_equal(json_array_size(daemon_at(a, "quarantined")), 1);
	/* The same content with another commit: a README makes no bundle. */
	again = daemon_commit("the same again", { "README.md", "words\n" });
	daemon_wait_verdict(again, "passed", DAEMON_DEADLINE_MS);
	daemon_wait_log(daemon_printf("commit.published repo=remote commit=%s",
			    again),
	    0);
	daemon_wait_served(one);
	third = daemon_level(3);
	daemon_wait_verdict(third, "passed", DAEMON_DEADLINE_MS);
	daemon_wait_served(one);
	/* An operator forgives. */
	daemon_api("POST", "/bundles/main/resume", "{}", 200);
	daemon_wait_served(third);
	a = assignment();
	assert_int_equal(json_array_size(daemon_at(a, "quarantined")), 0);
}

SCENARIO(the_same_content_is_not_sent_twice)
{
	const char *one = daemon_level(1);
	const char *same;
	struct answer before, after;
	const json_t *a;

	daemon_start(NULL);
	daemon_wait_served(one);
	before = daemon_get("/bundles/main", daemon_engine(), NULL);
	same = daemon_commit("words only", { "README.md", "words\n" });
	daemon_wait_log(daemon_printf("commit.published repo=remote commit=%s",
			    same),
	    0);
	a = assignment();
	assert_string_equal(daemon_text(a, "revision"), one);
	assert_string_equal(daemon_text(a, "current_with"), same);
	after = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_string_equal(answer_header(&before, "ETag"),
	    answer_header(&after, "ETag"));
}

SCENARIO(a_pin_holds_what_there_is)
{
	const char *one = daemon_level(1);
	const char *two;

	daemon_start(NULL);
	daemon_wait_served(one);
	daemon_sh("edict pin main --reason 'a freeze'");
	two = daemon_level(2);
	daemon_wait_log(daemon_printf("commit.published repo=remote commit=%s",
			    two),
	    0);
	daemon_wait_served(one);
	assert_string_equal(daemon_text(assignment(), "mode"), "held");
	daemon_sh("edict resume main");
	daemon_wait_served(two);
}

/* One of two clusters goes back; the audit says who, where and why. */
SCENARIO(one_cluster_alone_goes_back)
{
	const char *one = daemon_commit("two clusters",
	    { "edict.yaml",
		"bundles: {main: {}}\n"
		"clusters:\n  blue: {}\n  green: {}\n" },
	    { "a.rego", "package a\n\nx := 1\n" },
	    { "a_test.rego", "package a_test\n\ntest_x if data.a.x > 0\n" });
	const char *two;
	struct answer audit;

	daemon_start(NULL);
	daemon_wait_revision("green", "main", one, DAEMON_DEADLINE_MS);
	two = daemon_commit("second", { "a.rego", "package a\n\nx := 2\n" });
	daemon_wait_revision("green", "main", two, DAEMON_DEADLINE_MS);
	daemon_wait_revision("blue", "main", two, DAEMON_DEADLINE_MS);
	daemon_sh("edict rollback main --to HEAD~1 --cluster green --reason "
		  "'only here'");
	daemon_wait_revision("green", "main", one, DAEMON_DEADLINE_MS);
	daemon_wait_revision("blue", "main", two, DAEMON_DEADLINE_MS);
	audit =
	    daemon_get("/v1/audit?kind=rollback&limit=1", daemon_admin(), NULL);
	assert_non_null(strstr(audit.body, "\"admin\""));
	assert_non_null(strstr(audit.body, "only here"));
}

/* Whatever tests print, cut anywhere: the operation ends, and work goes on. */
SCENARIO(a_long_reason_ends_the_operation)
{
	const char *tests = "package a_test\n";
	char umlauts[601];
	const char *bad, *good, *next;
	struct shell s;

	for (size_t i = 0; i < 600; i += 2)
		memcpy(umlauts + i, "\xc3\xa9", 2);
	umlauts[600] = '\0';
	/* Two bytes each, so that a cut is in the middle of one in the end. */
	for (int i = 0; i < 6; i++)
		tests = daemon_printf("%s\ntest_%d if {\n\tprint(\"%.*s%s\")\n"
				      "\tfalse\n}\n",
		    tests, i, i % 2, "x", umlauts);
	bad = daemon_commit("Bad", { "a.rego", "package a\n\nx := 1\n" },
	    { "a_test.rego", tests });
	good = daemon_commit("Good",
	    { "a_test.rego", "package a_test\n\ntest_x if data.a.x > 0\n" });
	daemon_start(NULL);
	daemon_wait_served(good);
	s = daemon_try("edict rollback main --to %s --reason 'a mistake'", bad);
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "may not be served"));
	assert_non_null(strstr(s.text,
	    daemon_printf("edict retest %.12s", bad)));
	next = daemon_commit("Next", { "a.rego", "package a\n\nx := 2\n" });
	daemon_wait_served(next);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(to_what_is_stored_it_is_at_once),
		PLAY(to_what_was_never_built_it_is_tested_first),
		PLAY(to_what_may_not_be_served_it_is_refused),
		PLAY(who_saw_another_serial_is_refused),
		PLAY(what_was_rolled_back_from_stays_away),
		PLAY(the_same_content_is_not_sent_twice),
		PLAY(a_pin_holds_what_there_is),
		PLAY(one_cluster_alone_goes_back),
		PLAY(a_long_reason_ends_the_operation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
