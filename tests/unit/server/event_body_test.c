#include "server/pipeline/event_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "clusters/payload.h"
#include "core/mem.h"
#include "server/pipeline/courier.h"

static char *
text_of(const char *kind, json_t *detail)
{
	struct outbox_event v = { .seq = 7,
		.at_ms = 1700000000000,
		.subject = (char[]){ "prod/authz" },
		.detail = detail };
	AUTO_STR body = NULL;
	AUTO_JSON j = NULL;

	(void)snprintf(v.kind, sizeof v.kind, "%s", kind);
	body = event_body(&v, EVENTS_SLACK, NULL);
	json_decref(detail);
	j = json_loads(body, 0, NULL);
	assert_non_null(j);
	return mem_strdup(payload_text(j, "text"));
}

static void
test_sentences(void **state)
{
	static const char id[] = "0123456789abcdef0123456789abcdef01234567";
	AUTO_STR published = text_of("published",
	    json_pack("{s:s,s:s,s:s,s:[s,s],s:[s]}", "repository", "r",
		"commit", id, "commit_subject", "why", "bundles", "a", "b",
		"clusters", "eu"));
	AUTO_STR plain = text_of("published",
	    json_pack("{s:s,s:s,s:n,s:[],s:[]}", "repository", "r", "commit",
		id, "commit_subject", "bundles", "clusters"));
	AUTO_STR held = text_of("held",
	    json_pack("{s:s,s:s,s:s,s:s,s:s}", "cluster", "eu", "bundle", "a",
		"revision", id, "action", "pin", "by", "ada"));
	AUTO_STR healed = text_of("healed", json_object());
	AUTO_STR rejecting = text_of("rejecting",
	    json_pack("{s:s,s:s,s:s,s:i}", "cluster", "eu", "bundle", "a",
		"revision", id, "engines", 3));

	(void)state;
	assert_string_equal(published,
	    "*Published:* commit 0123456789ab of r \"why\": a, b in eu");
	assert_string_equal(plain,
	    "*Published:* commit 0123456789ab of r:  in ");
	assert_string_equal(held,
	    "*Held:* a in eu at 0123456789ab, pin by ada");
	assert_string_equal(healed,
	    "*Healed:* no engine rejects prod/authz any more");
	assert_string_equal(rejecting,
	    "*Rejected:* 3 engines of eu do not activate a at 0123456789ab");
}

/* What people write stays text, whatever it looks like. */
static void
test_nobody_is_called(void **state)
{
	static const struct {
		const char *text, *never;
	} rows[] = {
		{ "<!channel>", "<!" },
		{ "<@U123>", "<@" },
		{ "<https://evil|click>", "<h" },
		{ "@channel", "@channel" },
		{ "@all", "@all" },
		{ "[a](https://evil)", "](" },
		{ "![a](https://evil)", "](" },
		{ "https://evil", "https:/" },
		{ "`code`", "`" },
		{ "*bold*", "*bold" },
		{ ":fire:", ":fire:" },
		{ "{by} [x]", "by ada: ada" },
		{ "&lt;!channel&gt;", " &lt;" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_STR text = text_of("held",
		    json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "cluster", "eu",
			"bundle", "a", "revision", "0", "action", "pin", "by",
			"ada", "reason", rows[i].text));

		if (strstr(text, rows[i].never) != NULL)
			fail_msg("%s became %s", rows[i].text, text);
	}
}

static void
test_for_machines(void **state)
{
	struct outbox_event v = { .seq = 7,
		.at_ms = 1700000000000,
		.kind = "held",
		.subject = (char[]){ "prod/authz" },
		.detail = json_pack("{s:s}", "cluster", "prod") };
	AUTO_STR one = event_body(&v, EVENTS_EDICT, "https://e");
	AUTO_STR two = event_body(&v, EVENTS_EDICT, "https://e");
	AUTO_JSON j = json_loads(one, 0, NULL);
	char id[OUTBOX_ID_SIZE];

	(void)state;
	assert_string_equal(one, two);
	outbox_event_id(id, &v);
	assert_memory_equal(id, "7-", 2);
	assert_string_equal(payload_text(j, "id"), id);
	assert_string_equal(payload_text(j, "event"), "held");
	assert_string_equal(payload_text(j, "at"), "2023-11-14T22:13:20.000Z");
	assert_string_equal(payload_text(j, "subject"), "prod/authz");
	assert_string_equal(payload_text(j, "server"), "https://e");
	assert_string_equal(payload_text(json_object_get(j, "data"), "cluster"),
	    "prod");
	/* Another event under the same number has another id. */
	v.at_ms++;
	{
		char other[OUTBOX_ID_SIZE];

		outbox_event_id(other, &v);
		assert_string_not_equal(id, other);
	}
	json_decref(v.detail);
}

static void
test_pauses(void **state)
{
	int64_t last = 0;

	(void)state;
	for (unsigned int n = 1; n < 40; n++) {
		int64_t least = courier_pause_ms(n, 0, 0);
		int64_t most = courier_pause_ms(n, 0, 1023);

		assert_true(least >= last && most >= least);
		assert_true(most <= COURIER_PAUSE_MAX_MS);
		assert_true(least >= COURIER_PAUSE_MS * 3 / 4);
		last = least;
	}
	assert_true(last >= COURIER_PAUSE_MAX_MS * 3 / 4);
	assert_int_equal(courier_pause_ms(1, 7, 0), 7000);
	/* Not for as long as it likes. */
	assert_int_equal(courier_pause_ms(1, 86400, 0),
	    COURIER_RETRY_MAX_S * 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_nobody_is_called),
		cmocka_unit_test(test_for_machines),
		cmocka_unit_test(test_pauses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
