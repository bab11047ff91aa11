#include <stdlib.h>
#include <string.h>

#include "tests/daemon/fixture.h"

#define BUNDLE "/clusters/default/bundles/main"

static struct answer
get(const char *header)
{
	return daemon_get(BUNDLE, daemon_engine(), header);
}

static void
begin(const char *config)
{
	const char *rev = daemon_level(1);

	daemon_start(&(struct daemon_options){ .config = config });
	daemon_wait_served(rev);
}

/* A server.yaml for the scene's repository, with more lines after it. */
static const char *
config(const char *more)
{
	return daemon_printf("repositories:\n  policies: {url: \"%s\"}\n%s",
	    daemon_path("remote.git"), more);
}

SCENARIO(answers_have_what_engines_and_caches_need)
{
	struct answer full, head;
	const char *sha256;

	begin(NULL);
	full = get(NULL);
	assert_int_equal(full.status, 200);
	assert_string_equal(answer_header(&full, "Content-Type"),
	    "application/vnd.openpolicyagent.bundles");
	assert_string_equal(answer_header(&full, "Cache-Control"),
	    "private, no-cache");
	assert_string_equal(answer_header(&full, "Vary"),
	    "Authorization, X-Edict-Engine");
	/* The ETag is of the bytes. */
	daemon_sh("curl -sf -H 'Authorization: Bearer %s' -o got.tar.gz %s%s",
	    daemon_engine(), daemon_url(), BUNDLE);
	sha256 = daemon_sh("sha256sum got.tar.gz | cut -c1-64");
	assert_string_equal(answer_header(&full, "ETag"),
	    daemon_printf("\"sha256:%s\"", sha256));
	head = daemon_send(&(struct request){ .method = "HEAD",
	    .path = BUNDLE,
	    .token = daemon_engine() });
	assert_int_equal(head.status, 200);
	assert_int_equal(head.len, 0);
	assert_string_equal(answer_header(&head, "ETag"),
	    answer_header(&full, "ETag"));
	assert_int_equal(strtoul(answer_header(&head, "Content-Length"), NULL,
			     10),
	    full.len);
}

SCENARIO(a_known_etag_gets_304)
{
	struct answer full, same, other;

	begin(NULL);
	full = get(NULL);
	same = get(daemon_printf("If-None-Match: %s",
	    answer_header(&full, "ETag")));
	assert_int_equal(same.status, 304);
	assert_int_equal(same.len, 0);
	assert_string_equal(answer_header(&same, "ETag"),
	    answer_header(&full, "ETag"));
	assert_string_equal(answer_header(&same, "Cache-Control"),
	    "private, no-cache");
	other = get("If-None-Match: \"sha256:00\"");
	assert_int_equal(other.status, 200);
	assert_int_equal(other.len, full.len);
	/* What is other than known is sent at once, however long one waits. */
	assert_int_equal(poll_end(poll_start_as("host", BUNDLE, daemon_engine(),
				      "\"sha256:00\"", 30))
			     .status,
	    200);
}

static bool
is_waiting(void *arg)
{
	struct answer a = daemon_get("/metrics", NULL, NULL);

	return strstr(a.body,
		   daemon_printf("\nedict_engines_waiting %d\n",
		       *(int *)arg)) != NULL;
}

SCENARIO(a_long_poll_is_held_until_there_is_more)
{
	struct answer full, woken;
	struct poll *polls[8];
	int count = sizeof polls / sizeof *polls;
	const char *next;

	begin(NULL);
	full = get(NULL);
	for (int i = 0; i < count; i++)
		polls[i] = poll_start_as(daemon_printf("host-%d", i), BUNDLE,
		    daemon_engine(), answer_header(&full, "ETag"), 60);
	daemon_wait("all are waiting", is_waiting, &count, DAEMON_DEADLINE_MS);
	for (int i = 0; i < count; i++)
		assert_false(poll_is_over(polls[i]));
	next = daemon_level(2);
	for (int i = 0; i < count; i++) {
		woken = poll_end(polls[i]);
		assert_int_equal(woken.status, 200);
		assert_string_not_equal(answer_header(&woken, "ETag"),
		    answer_header(&full, "ETag"));
	}
	daemon_wait_served(next);
}

SCENARIO(a_long_poll_ends_with_304)
{
	struct answer full, over;

	/* By default it would be held for minutes. */
	begin(NULL);
	full = get(NULL);
	over = poll_end(poll_start_as("host", BUNDLE, daemon_engine(),
	    answer_header(&full, "ETag"), 1));
	assert_int_equal(over.status, 304);
	assert_in_range(over.ms, 850, DAEMON_DEADLINE_MS);
}

/* Whatever is asked for. */
SCENARIO(a_long_poll_is_held_for_wait_max_at_most)
{
	struct answer full, over;

	begin(config("http: {wait_max: 2s}\n"));
	full = get(NULL);
	over = poll_end(poll_start_as("host", BUNDLE, daemon_engine(),
	    answer_header(&full, "ETag"), 3600));
	assert_int_equal(over.status, 304);
	assert_string_equal(answer_header(&over, "ETag"),
	    answer_header(&full, "ETag"));
	assert_in_range(over.ms, 1700, DAEMON_DEADLINE_MS);
}

SCENARIO(a_stop_answers_those_who_wait)
{
	struct answer full, over;
	struct poll *p;
	int count = 1;

	begin(NULL);
	full = get(NULL);
	p = poll_start_as("host", BUNDLE, daemon_engine(),
	    answer_header(&full, "ETag"), 60);
	daemon_wait("it waits", is_waiting, &count, DAEMON_DEADLINE_MS);
	daemon_stop();
	over = poll_end(p);
	assert_true(over.status == 304 || over.status == 503);
}

SCENARIO(what_is_not_there_is_refused)
{
	static const struct {
		const char *method, *path;
		long status;
	} rows[] = {
		{ "GET", "/bundles/other", 404 },
		{ "GET", "/clusters/other/bundles/main", 404 },
		{ "GET", "/clusters/default/bundles/other", 404 },
		{ "GET", "/clusters/default/bundles/", 404 },
		{ "GET", "/bundles/..%2f..%2fadmin-token", 404 },
		{ "GET", "/bundles/%00", 400 },
		{ "GET", "/bundles/%zz", 400 },
		{ "GET", "/bundles/main?x=1", 400 },
		{ "POST", "/bundles/main", 405 },
		{ "PUT", "/clusters/default/bundles/main", 405 },
		{ "DELETE", "/bundles/main", 405 },
		{ "GET", "/", 404 },
		{ "GET", "/nothing", 404 },
		{ "POST", "/healthz", 405 },
	};

	begin(NULL);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct answer a = daemon_send(&(struct request){
		    .method = rows[i].method,
		    .path = rows[i].path,
		    .token = daemon_engine(),
		    .body = strcmp(rows[i].method, "GET") == 0 ? NULL : "{}" });

		if (a.status != rows[i].status)
			fail_msg("%s %s: %ld, not %ld: %s", rows[i].method,
			    rows[i].path, a.status, rows[i].status, a.body);
		assert_non_null(strstr(a.body, "\"error\""));
		if (a.status == 405)
			assert_string_equal(answer_header(&a, "Allow"),
			    "GET, HEAD");
	}
	assert_int_equal(get(NULL).status, 200);
}

SCENARIO(health_says_what_is_so)
{
	begin(NULL);
	assert_int_equal(daemon_get("/readyz", NULL, NULL).status, 200);
	assert_int_equal(daemon_get("/healthz", NULL, NULL).status, 200);
	assert_int_equal(get(NULL).status, 200);
	struct answer a = daemon_get("/metrics", NULL, NULL);
	static const char *const names[] = { "edict_polls_total{code=\"200\"}",
		"edict_polls_total{code=\"304\"}", "edict_builds_total",
		"edict_verdicts_total", "edict_fetches_total",
		"edict_fetch_age_seconds", "edict_engines_waiting" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strstr(a.body, names[i]) == NULL)
			fail_msg("no %s in:\n%s", names[i], a.body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(answers_have_what_engines_and_caches_need),
		PLAY(a_known_etag_gets_304),
		PLAY(a_long_poll_is_held_until_there_is_more),
		PLAY(a_long_poll_ends_with_304),
		PLAY(a_long_poll_is_held_for_wait_max_at_most),
		PLAY(a_stop_answers_those_who_wait),
		PLAY(what_is_not_there_is_refused),
		PLAY(health_says_what_is_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
