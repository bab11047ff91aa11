#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/http/waiters.h"

enum { MANY = 1000 };

/* Deadlines in no order, the same in every run. */
static int64_t
scatter(size_t i)
{
	return (int64_t)(i * 7919 % 1009) + 1000;
}

static void
come_in_order(void **state)
{
	static struct waiter nodes[MANY];
	struct waiters w = { 0 };
	struct waiter *due;
	int64_t last = 0;
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		waiters_add(&w, &nodes[i], scatter(i));
	/* Some leave before their time. */
	for (size_t i = 0; i < MANY; i += 3)
		waiters_remove(&w, &nodes[i]);
	assert_false(waiter_waits(&nodes[0]));
	assert_true(waiter_waits(&nodes[1]));
	while ((due = waiters_due(&w, 5000)) != NULL) {
		assert_true(due->deadline_ms >= last);
		assert_int_not_equal((due - nodes) % 3, 0);
		last = due->deadline_ms;
		count++;
	}
	assert_int_equal(count, MANY - (MANY + 2) / 3);
	assert_int_equal(w.count, 0);
	waiters_clear(&w);
}

static void
come_in_batches(void **state)
{
	struct waiter a = { 0 };
	struct waiter b = { 0 };
	struct waiter c = { 0 };
	struct waiters w = { 0 };

	(void)state;
	assert_int_equal(waiters_next(&w, 0), -1);
	waiters_add(&w, &a, 1000);
	waiters_add(&w, &b, 1001);
	waiters_add(&w, &c, 1020);
	assert_int_equal(waiters_next(&w, 900), 100);
	assert_null(waiters_due(&w, 999));
	assert_ptr_equal(waiters_due(&w, 1000), &a);
	assert_null(waiters_due(&w, 1000));
	/* The next batch is a while later, with all that is due by then. */
	assert_int_equal(waiters_next(&w, 1001), WAITERS_BATCH_MS - 1);
	assert_null(waiters_due(&w, 1001));
	assert_null(waiters_due(&w, 1000 + WAITERS_BATCH_MS - 1));
	assert_ptr_equal(waiters_due(&w, 1000 + WAITERS_BATCH_MS), &b);
	assert_ptr_equal(waiters_due(&w, 1000 + WAITERS_BATCH_MS), &c);
	assert_null(waiters_due(&w, 1000 + WAITERS_BATCH_MS));
	assert_int_equal(waiters_next(&w, 2000), -1);
	waiters_clear(&w);
}

static void
can_all_be_seen(void **state)
{
	struct waiter nodes[5] = { 0 };
	struct waiters w = { 0 };
	unsigned int seen = 0;

	(void)state;
	for (size_t i = 0; i < 5; i++)
		waiters_add(&w, &nodes[i], scatter(i));
	for (size_t i = 0; i < w.count; i++)
		seen |= 1u << (waiters_at(&w, i) - nodes);
	assert_int_equal(seen, 31);
	while (w.count > 0)
		waiters_remove(&w, waiters_at(&w, w.count - 1));
	waiters_clear(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(come_in_order),
		cmocka_unit_test(come_in_batches),
		cmocka_unit_test(can_all_be_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
