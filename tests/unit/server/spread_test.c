#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/http/spread.h"

enum { LENGTH_MS = 10000, ENGINES = 1000 };

/* Some moment, and names as they are hashed. */
static const int64_t start = INT64_C(1790000000000);

static uint64_t
hash_of(size_t i)
{
	return (i + 1) * UINT64_C(0xd1342543de82ef95) | 1;
}

/* ---- one release ---- */

static void
turns_fill_the_time(void **state)
{
	struct spread s = { .length_ms = LENGTH_MS };
	struct catalog_entry entry = { .at_ms = start };
	size_t tenths[10] = { 0 };

	(void)state;
	for (size_t i = 0; i < ENGINES; i++) {
		int64_t ms =
		    spread_turn_ms(&s, &entry, hash_of(i), "\"x\"", start);
		int64_t half = start + LENGTH_MS / 2;

		assert_in_range(ms, 0, LENGTH_MS - 1);
		tenths[ms * 10 / LENGTH_MS]++;
		/* It is the same turn, whenever it is asked for. */
		assert_int_equal(spread_turn_ms(&s, &entry, hash_of(i), "\"x\"",
				     half),
		    ms > LENGTH_MS / 2 ? ms - LENGTH_MS / 2 : 0);
	}
	for (size_t i = 0; i < 10; i++)
		assert_in_range(tenths[i], ENGINES / 20, ENGINES / 5);
}

/* No engine is the first one every time. */
static void
turns_change(void **state)
{
	struct spread s = { .length_ms = LENGTH_MS };
	size_t early = 0;

	(void)state;
	for (int64_t i = 0; i < ENGINES; i++) {
		struct catalog_entry entry = { .at_ms = start + i * 60000 };

		early += spread_turn_ms(&s, &entry, hash_of(7), "\"x\"",
			     entry.at_ms) < LENGTH_MS / 2;
	}
	assert_in_range(early, ENGINES * 2 / 5, ENGINES * 3 / 5);
}

static void
strangers_have_one_too(void **state)
{
	struct spread s = { .length_ms = LENGTH_MS };
	struct catalog_entry entry = { .at_ms = start };
	int64_t first, last;

	(void)state;
	first = last = spread_turn_ms(&s, &entry, 0, "\"x\"", start);
	for (size_t i = 0; i < ENGINES; i++) {
		int64_t ms = spread_turn_ms(&s, &entry, 0, "\"x\"", start);

		assert_in_range(ms, 1, LENGTH_MS);
		first = ms < first ? ms : first;
		last = ms > last ? ms : last;
		/* Who asks again has what is left. */
		assert_in_range(spread_turn_ms(&s, &entry, 0, "\"x\"",
				    start + LENGTH_MS - 10),
		    1, 10);
	}
	assert_true(first < LENGTH_MS / 10 && last > LENGTH_MS * 9 / 10);
}

static void
nobody_waits_without_need(void **state)
{
	static const struct {
		const char *why;
		int64_t length_ms, at_ms, now_ms;
	} rows[] = {
		{ "it is not asked for", 0, start, start },
		{ "an operator decided", LENGTH_MS, 0, start },
		{ "it is over", LENGTH_MS, start, start + LENGTH_MS },
		{ "the clock was set back", LENGTH_MS, start, start - 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct spread s = { .length_ms = rows[i].length_ms };
		struct catalog_entry entry = { .at_ms = rows[i].at_ms };

		for (size_t n = 0; n < ENGINES; n++)
			if (spread_turn_ms(&s, &entry, n == 0 ? 0 : hash_of(n),
				"\"x\"", rows[i].now_ms) != 0)
				fail_msg("it waits, though %s", rows[i].why);
	}
}

/* ---- several ---- */

/* What a cluster is assigned, one after the other. */
struct line {
	struct spread spread;
	struct catalog_entry entries[64];
	char etags[64][CATALOG_ETAG_SIZE];
	size_t count;
};

static void
line_release(struct line *l, int64_t at_ms)
{
	struct catalog_entry *is = &l->entries[l->count];

	assert_true(l->count < 64);
	(void)snprintf(l->etags[l->count], CATALOG_ETAG_SIZE, "\"%zu\"",
	    l->count);
	*is = (struct catalog_entry){ .etag = l->etags[l->count],
		.at_ms = at_ms };
	spread_begin(&l->spread);
	if (l->count > 0)
		spread_add(&l->spread, is - 1, is, at_ms);
	spread_end(&l->spread);
	l->count++;
}

static const char *
line_etag(const struct line *l)
{
	return l->etags[l->count - 1];
}

/* When its turn is, after the start; 0: at once. */
static int64_t
line_turn(const struct line *l, uint64_t who, const char *etag, int64_t now_ms)
{
	int64_t ms = spread_turn_ms(&l->spread, &l->entries[l->count - 1], who,
	    etag, now_ms);

	return ms > 0 ? now_ms + ms - start : 0;
}

static void
a_second_one_restarts_nothing(void **state)
{
	struct line l = { .spread.length_ms = LENGTH_MS };
	const char *first, *second;
	int64_t turns[ENGINES], again[ENGINES];
	size_t later = 0;

	(void)state;
	line_release(&l, 0);
	first = line_etag(&l);
	line_release(&l, start);
	second = line_etag(&l);
	for (size_t i = 0; i < ENGINES; i++)
		turns[i] = line_turn(&l, hash_of(i), first, start);

	line_release(&l, start + 4000);
	for (size_t i = 0; i < ENGINES; i++) {
		int64_t turn = line_turn(&l, hash_of(i), first, start + 4000);

		assert_int_equal(turn, turns[i] > 4000 ? turns[i] : 0);
		again[i] = line_turn(&l, hash_of(i), second, start + 4000);
		assert_in_range(again[i], 0, 14000);
		later += again[i] > LENGTH_MS;
	}
	/* Those that had it have to wait for theirs. */
	assert_in_range(later, ENGINES / 5, ENGINES * 3 / 5);

	/* The first is over, the second is not. */
	line_release(&l, start + 11000);
	for (size_t i = 0; i < ENGINES; i++) {
		assert_int_equal(line_turn(&l, hash_of(i), second,
				     start + 11000),
		    again[i] > 11000 ? again[i] : 0);
	}
	spread_clear(&l.spread);
}

/* Releases every few seconds, all day long. */
static void
nobody_waits_for_ever(void **state)
{
	enum { STEP_MS = 3000, STEPS = 40, FEW = 50 };
	struct line l = { .spread.length_ms = LENGTH_MS };
	const char *has[FEW];
	int64_t lacks[FEW]; /* since when it has not the newest */
	size_t got = 0;

	(void)state;
	line_release(&l, 0);
	for (size_t i = 0; i < FEW; i++) {
		has[i] = line_etag(&l);
		lacks[i] = start;
	}
	for (int64_t at = start; at < start + STEPS * STEP_MS; at += STEP_MS) {
		line_release(&l, at);
		for (int64_t now = at; now < at + STEP_MS; now += 100)
			for (size_t i = 0; i < FEW; i++) {
				if (strcmp(has[i], line_etag(&l)) == 0)
					continue;
				assert_true(now - lacks[i] <= LENGTH_MS);
				if (line_turn(&l, hash_of(i), has[i], now) != 0)
					continue;
				has[i] = line_etag(&l);
				lacks[i] = at + STEP_MS;
				got++;
			}
	}
	assert_true(got >= (size_t)FEW * STEPS * STEP_MS / (2 * LENGTH_MS));
	spread_clear(&l.spread);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(turns_fill_the_time),
		cmocka_unit_test(turns_change),
		cmocka_unit_test(strangers_have_one_too),
		cmocka_unit_test(nobody_waits_without_need),
		cmocka_unit_test(a_second_one_restarts_nothing),
		cmocka_unit_test(nobody_waits_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
