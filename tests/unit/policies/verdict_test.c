#include "policies/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct verdict *
sample(void)
{
	struct err why = { ERR_INVALID, "two tests failed" };
	struct verdict *v = gate_refuse(GATE_FAILED, "test", &why);

	v->started_ms = INT64_C(1769854502123); /* 2026-01-31T10:15:02.123Z */
	v->duration_ms = 512;
	v->coverage = 87.5;
	memset(v->identity, 'a', 64);
	v->tests = mem_array(2, sizeof *v->tests);
	v->tests[0] = (struct gate_test){ mem_strdup("data.a"),
		mem_strdup("test_x"), mem_strdup("a_test.rego"), 3, 1000,
		TEST_PASSED, NULL };
	v->tests[1] = (struct gate_test){ mem_strdup("data.b"),
		mem_strdup("test_y"), mem_strdup("b_test.rego"), 4, 2000,
		TEST_ERROR, mem_strdup("two\nlines") };
	v->test_count = 2;
	v->passed = 1;
	v->errors = 1;
	return v;
}

static void
a_verdict_comes_back(void **state)
{
	AUTO(verdict, v) = sample();
	AUTO(verdict, back) = NULL;
	json_t *j = verdict_json(v);
	json_t *again;
	struct err e;

	(void)state;
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "started_at")),
	    "2026-01-31T10:15:02.123Z");
	if (verdict_parse(&back, j, &e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_int_equal(back->state, GATE_FAILED);
	assert_true(back->started_ms == v->started_ms);
	assert_int_equal(back->test_count, 2);
	assert_string_equal(back->tests[1].text, "two\nlines");
	again = verdict_json(back);
	assert_true(json_equal(j, again));
	json_decref(again);
	json_decref(j);
}

static void
what_is_missing_stays_null(void **state)
{
	struct err why = { ERR_INVALID, "x" };
	AUTO(verdict, v) = gate_refuse(GATE_COULD_NOT_RUN, "hygiene", &why);
	AUTO(verdict, back) = NULL;
	json_t *j;
	struct err e;

	(void)state;
	v->state = GATE_PASSED;
	mem_free(STEAL(v->stage));
	mem_free(STEAL(v->reason));
	j = verdict_json(v);
	assert_true(json_is_null(json_object_get(j, "coverage")));
	assert_true(json_is_null(json_object_get(j, "stage")));
	if (verdict_parse(&back, j, &e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_true(back->coverage < 0);
	assert_null(back->stage);
	assert_null(back->reason);
	json_decref(j);
}

static void
every_state_has_a_name(void **state)
{
	(void)state;
	for (int s = 0; s < GATE_STATES; s++)
		assert_string_not_equal(gate_state_name((enum gate_state)s),
		    "unknown");
	assert_string_equal(gate_state_name(GATE_STATES), "unknown");
	assert_string_equal(gate_outcome_name(TEST_OUTCOMES), "unknown");
}

static void
odd_verdicts_are_refused(void **state)
{
	static const struct {
		const char *key, *value;
	} changes[] = {
		{ "state", "\"fine\"" },
		{ "state", "null" },
		{ "started_at", "\"2026-01-31\"" },
		{ "started_at", "\"2026-13-31T10:15:02.123Z\"" },
		{ "started_at", "\"2026-01-31T10:15:02.123+\"" },
		{ "started_at", "\"2026-01-31T10:15:02x123Z\"" },
		{ "duration_ms", "-1" },
		{ "duration_ms", "1.5" },
		{ "attempts", "0" },
		{ "coverage", "\"x\"" },
		{ "identity",
		    "\"00000000000000000000000000000000000000000000000000000"
		    "000000000000\"" },
		{ "results", "{}" },
		{ "results", "[1]" },
		{ "results", "[]" },
		{ "tests",
		    "{\"passed\":2,\"failed\":0,\"errors\":0,\"skipped\":0,"
		    "\"total\":2}" },
		{ "tests", "{}" },
		{ "more", "1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(changes); i++) {
		AUTO(verdict, v) = sample();
		struct verdict *back = NULL;
		json_t *j = verdict_json(v);
		struct err e = { 0 };

		json_object_set_new(j, changes[i].key,
		    json_loads(changes[i].value, JSON_DECODE_ANY, NULL));
		if (verdict_parse(&back, j, &e) != ERR_INVALID)
			fail_msg("%s %s", changes[i].key, changes[i].value);
		assert_null(back);
		json_decref(j);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_verdict_comes_back),
		cmocka_unit_test(what_is_missing_stays_null),
		cmocka_unit_test(every_state_has_a_name),
		cmocka_unit_test(odd_verdicts_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
