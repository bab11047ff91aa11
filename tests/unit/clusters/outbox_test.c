#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_outbox.h"
#include "clusters/store_view.h"
#include "core/mem.h"
#include "world.h"

static struct world w;

static int
begin(void **state)
{
	(void)state;
	world_open(&w);
	world_repository(&w, "policies", 1, 1);
	world_line(&w, "policies", 1, 1, 9);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

/* The next event's kind and subject, and where it is. */
static char *
next(int64_t *after, json_t **detail)
{
	struct outbox_event v;
	char *text;
	struct err e;

	if (outbox_next(w.context.store, *after, &v, &e) != ERR_OK)
		return mem_strdup("none");
	*after = v.seq;
	text = mem_printf("%s %s", v.kind, v.subject);
	if (detail != NULL)
		*detail = json_incref(v.detail);
	outbox_event_clear(&v);
	return text;
}

static void
expect(int64_t *after, const char *text)
{
	AUTO_STR got = next(after, NULL);

	assert_string_equal(got, text);
}

static const char *
at_commit(int n)
{
	static char text[80];
	char id[STORE_ID_SIZE];

	world_id(id, n);
	(void)snprintf(text, sizeof text, "policies@%s", id);
	return text;
}

static void
expect_commit(int64_t *after, const char *kind, int n)
{
	AUTO_STR text = mem_printf("%s %s", kind, at_commit(n));

	expect(after, text);
}

static int64_t
last(void)
{
	int64_t first, newest;
	struct err e;

	assert_int_equal(outbox_range(w.context.store, &first, &newest, &e),
	    ERR_OK);
	return newest;
}

static void
test_what_becomes_an_event(void **state)
{
	AUTO_JSON detail = NULL;
	char id[STORE_ID_SIZE];
	int64_t at = 0;

	(void)state;
	world_pass(&w, 2, 'a');
	expect_commit(&at, "published", 2);
	/* Equal content moves nothing: no news. Nor is a pass alone. */
	world_verdict(&w, "policies", 3, "passed");
	expect(&at, "none");
	world_verdict(&w, "policies", 4, "failed");
	expect_commit(&at, "verdict.failed", 4);
	world_verdict(&w, "policies", 5, "timed_out");
	expect_commit(&at, "verdict.failed", 5);
	world_verdict(&w, "policies", 6, "could_not_run");
	expect(&at, "none");
	world_pass(&w, 7, 'b');
	expect_commit(&at, "published", 7);
	world_id(id, 2);
	assert_int_equal(world_action(&w,
			     json_pack("{s:s,s:s,s:s,s:s}", "action",
				 "rollback", "bundle", "authz", "to", id,
				 "reason", "it broke <everything>"),
			     NULL),
	    ERR_OK);
	{
		AUTO_STR text = next(&at, &detail);

		assert_string_equal(text, "held prod/authz");
	}
	assert_string_equal(payload_text(detail, "by"), "admin");
	assert_string_equal(payload_text(detail, "reason"),
	    "it broke <everything>");
	assert_string_equal(payload_text(detail, "revision"), id);
	assert_int_equal(world_action(&w,
			     json_pack("{s:s,s:s}", "action", "resume",
				 "bundle", "authz"),
			     NULL),
	    ERR_OK);
	expect(&at, "resumed prod/authz");
	assert_int_equal(world_action(&w,
			     json_pack("{s:s,s:s,s:s}", "action", "pin",
				 "bundle", "authz", "reason", "r"),
			     NULL),
	    ERR_OK);
	expect(&at, "held prod/authz");
	expect(&at, "none");
}

/* What is refused leaves nothing behind. */
static void
test_events_stand_with_their_cause(void **state)
{
	int64_t before;

	(void)state;
	world_pass(&w, 2, 'a');
	before = last();
	assert_int_not_equal(world_action(&w,
				 json_pack("{s:s,s:s,s:s,s:s}", "action", "pin",
				     "bundle", "authz", "nonsense", "x",
				     "reason", "r"),
				 NULL),
	    ERR_OK);
	assert_int_equal(last(), before);
}

static enum err_code
tell(ledger_fn *fn, json_t *payload)
{
	return world_run(&w, fn, payload, NULL);
}

static struct outbox_target
target(const char *name)
{
	struct outbox_target t = { 0 };
	struct err e;

	if (outbox_target(w.context.store, name, &t, &e) != ERR_OK)
		t.position = -1;
	return t;
}

static json_t *
progress(const char *name, int64_t position, int64_t dropped, const char *why)
{
	return json_pack("{s:s,s:I,s:I,s:I,s:s?}", "target", name, "position",
	    (json_int_t)position, "failing_ms",
	    (json_int_t)(why != NULL ? 5 : 0), "dropped", (json_int_t)dropped,
	    "error", why);
}

static void
test_targets(void **state)
{
	int64_t end_at;

	(void)state;
	world_pass(&w, 2, 'a');
	end_at = last();
	assert_int_equal(tell(ledger_targets,
			     json_pack("{s:[s,s]}", "names", "one", "two")),
	    ERR_OK);
	/* History is not told. */
	assert_int_equal(target("one").position, end_at);
	world_verdict(&w, "policies", 4, "failed");
	world_verdict(&w, "policies", 5, "failed");
	assert_int_equal(tell(ledger_delivery,
			     progress("one", end_at + 1, 0, NULL)),
	    ERR_OK);
	assert_int_equal(tell(ledger_delivery,
			     progress("two", end_at, 0, "refused")),
	    ERR_OK);
	assert_string_equal(target("two").error, "refused");
	assert_int_equal(target("two").failing_ms, 5);
	/* Never back, and not beyond what there is. */
	assert_int_equal(tell(ledger_delivery,
			     progress("one", end_at, 0, NULL)),
	    ERR_INVALID);
	assert_int_equal(tell(ledger_delivery,
			     progress("one", end_at + 3, 0, NULL)),
	    ERR_INVALID);
	assert_int_equal(tell(ledger_delivery,
			     progress("three", end_at, 0, NULL)),
	    ERR_NOT_FOUND);
	/* A start keeps places and forgets who is gone. */
	assert_int_equal(tell(ledger_targets,
			     json_pack("{s:[s]}", "names", "two")),
	    ERR_OK);
	assert_int_equal(target("one").position, -1);
	assert_int_equal(target("two").position, end_at);
	/* What is given up is counted once, and audited. */
	assert_int_equal(tell(ledger_delivery,
			     progress("two", end_at + 2, 2, "refused")),
	    ERR_OK);
	assert_int_equal(tell(ledger_delivery,
			     progress("two", end_at + 2, 2, "refused")),
	    ERR_OK);
	assert_int_equal(target("two").dropped, 2);
	assert_int_equal(tell(ledger_targets,
			     json_pack("{s:[s]}", "names", "No Name")),
	    ERR_INVALID);
}

static void
test_alarms(void **state)
{
	int64_t at = 0;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(tell(ledger_http_alarms,
				     json_pack("{s:s,s:{s:{s:i},s:{}}}", "kind",
					 "rejecting", "alarms", "prod/authz",
					 "engines", 3, "prod/other")),
		    ERR_OK);
	/* Told once, though seen twice. */
	expect(&at, "rejecting prod/authz");
	expect(&at, "rejecting prod/other");
	expect(&at, "none");
	assert_int_equal(tell(ledger_http_alarms,
			     json_pack("{s:s,s:{s:{}}}", "kind", "rejecting",
				 "alarms", "prod/other")),
	    ERR_OK);
	expect(&at, "healed prod/authz");
	expect(&at, "none");
	/* Each tells its own only. */
	assert_int_equal(tell(ledger_alarms,
			     json_pack("{s:s,s:{}}", "kind", "rejecting",
				 "alarms")),
	    ERR_DENIED);
	assert_int_equal(tell(ledger_http_alarms,
			     json_pack("{s:s,s:{}}", "kind", "published",
				 "alarms")),
	    ERR_DENIED);
	assert_int_equal(tell(ledger_alarms,
			     json_pack("{s:s,s:{s:{}}}", "kind", "fetch.stale",
				 "alarms", "policies")),
	    ERR_OK);
	assert_int_equal(tell(ledger_alarms,
			     json_pack("{s:s,s:{}}", "kind", "fetch.stale",
				 "alarms")),
	    ERR_OK);
	expect(&at, "fetch.stale policies");
	expect(&at, "fetch.fresh policies");
	expect(&at, "none");
}

/* Old ones go when there are too many, and numbers are not used again. */
static void
test_only_so_many_are_kept(void **state)
{
	struct store *s = w.context.store;
	AUTO_JSON one = json_pack("{s:{}}", "policies");
	AUTO_JSON none = json_object();
	int64_t first, newest;
	struct err e;

	(void)state;
	assert_int_equal(store_begin(s, &e), ERR_OK);
	for (int i = 0; i < OUTBOX_KEPT / 2 + 5; i++) {
		assert_int_equal(outbox_set_alarms(s, "fetch.stale",
				     "fetch.fresh", one, &e),
		    ERR_OK);
		assert_int_equal(outbox_set_alarms(s, "fetch.stale",
				     "fetch.fresh", none, &e),
		    ERR_OK);
	}
	assert_int_equal(store_commit(s, &e), ERR_OK);
	assert_int_equal(outbox_range(s, &first, &newest, &e), ERR_OK);
	assert_int_equal(newest, OUTBOX_KEPT + 10);
	assert_int_equal(first, 11);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_becomes_an_event,
		    begin, end),
		cmocka_unit_test_setup_teardown(
		    test_events_stand_with_their_cause, begin, end),
		cmocka_unit_test_setup_teardown(test_targets, begin, end),
		cmocka_unit_test_setup_teardown(test_alarms, begin, end),
		cmocka_unit_test_setup_teardown(test_only_so_many_are_kept,
		    begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
