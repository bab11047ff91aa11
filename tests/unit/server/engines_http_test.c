#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <libdeflate.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "http_fixture.h"

#define MINUTE (INT64_C(60) * 1000)

static struct site s;

static void
open_site(void)
{
	site_open(&s, 2);
	site_assign(&s, "default", "main", "one", 3);
	site_start(&s);
}

static void
close_site(void)
{
	(void)site_stop(&s);
	site_close(&s);
}

static int64_t
as_seen(void)
{
	struct wire_reply r;
	json_t *j;
	const char *text;
	int64_t count;

	site_get(&s, s.admin, "/v1/clusters/default/engines", &r);
	assert_int_equal(r.status, 200);
	j = json_loadb(r.body, r.len, 0, NULL);
	text = r.body;
	assert_non_null(text);
	count = (int64_t)json_array_size(json_object_get(j, "items"));
	json_decref(j);
	wire_reply_clear(&r);
	return count;
}

/* "state" of the only engine's only bundle, and what else is asked for. */
static json_t *
engine(size_t i)
{
	struct wire_reply r;
	json_t *j, *item;

	site_get(&s, s.admin, "/v1/clusters/default/engines", &r);
	assert_int_equal(r.status, 200);
	j = json_loadb(r.body, r.len, 0, NULL);
	item = json_incref(json_array_get(json_object_get(j, "items"), i));
	json_decref(j);
	wire_reply_clear(&r);
	assert_non_null(item);
	return item;
}

static void
expect_state(const char *state)
{
	json_t *j = engine(0);

	assert_string_equal(json_string_value(json_object_get(j, "state")),
	    state);
	json_decref(j);
}

/* A plain poll that says it has etag ("": nothing); the status. A 304 has to
 * carry the engine's own ETag. */
static int
poll_as(const char *name, const char *etag)
{
	AUTO_STR headers = mem_printf("%s%s%s%s%s%s",
	    name != NULL ? "X-Edict-Engine: " : "", name != NULL ? name : "",
	    name != NULL ? "\r\n" : "", *etag != '\0' ? "If-None-Match: " : "",
	    etag, *etag != '\0' ? "\r\n" : "");
	struct wire_reply r;
	char value[256];
	int status;

	site_ask(&s, "GET", s.engine, "/bundles/main", headers, NULL, &r);
	status = r.status;
	if (status == 304) {
		assert_non_null(wire_header(&r, "ETag", value));
		assert_string_equal(value, etag);
	}
	wire_reply_clear(&r);
	return status;
}

static void
storms_end(void **state)
{
	static const int minutes[] = { 1, 5, 30, 30 };
	char first[CATALOG_ETAG_SIZE];

	(void)state;
	open_site();
	memcpy(first, s.etag, sizeof first);
	assert_int_equal(poll_as("host-1", ""), 200);
	expect_state("fresh");
	assert_int_equal(poll_as("host-1", first), 304);
	expect_state("converged");
	site_assign(&s, "default", "main", "two", 3);
	site_tell_changed(&s);
	site_wait_metric(&s, "edict_catalog_assignments", 1);
	while (poll_as("other", first) != 200)
		continue;
	expect_state("behind");
	assert_int_equal(poll_as("host-1", first), 200);
	assert_int_equal(poll_as("host-1", first), 200);
	expect_state("rejecting");
	for (size_t i = 0; i < sizeof minutes / sizeof *minutes; i++) {
		for (int k = 0; k < 20; k++)
			assert_int_equal(poll_as("host-1", first), 304);
		clock_shift_ms(minutes[i] * MINUTE - 10000);
		assert_int_equal(poll_as("host-1", first), 304);
		clock_shift_ms(10000);
		assert_int_equal(poll_as("host-1", first), 200);
		expect_state("rejecting");
	}
	assert_true(site_metric(&s, "edict_downloads_spared_total") >= 84);
	/* Nobody else is; nor is it, when it says nothing. */
	for (int i = 0; i < 10; i++) {
		assert_int_equal(poll_as(NULL, first), 200);
		assert_int_equal(poll_as("${HOSTNAME}", first), 200);
		assert_int_equal(poll_as("host-1", ""), 200);
	}
	assert_int_equal(poll_as("host-1", first), 304);
	/* It was mended. */
	assert_int_equal(poll_as("host-1", s.etag), 304);
	expect_state("converged");
	assert_int_equal(poll_as("host-1", first), 200);
	close_site();
}

/* Not 304 at once, which would make it come again at once. */
static void
who_waits_is_held(void **state)
{
	char first[CATALOG_ETAG_SIZE];
	struct wire_reply r;
	char value[256];
	int64_t asked_ms;
	int fd;

	(void)state;
	open_site();
	memcpy(first, s.etag, sizeof first);
	assert_int_equal(poll_as("host-1", first), 304);
	site_assign(&s, "default", "main", "two", 3);
	site_tell_changed(&s);
	while (poll_as("other", first) != 200)
		continue;
	assert_int_equal(poll_as("host-1", first), 200);
	assert_int_equal(poll_as("host-1", first), 200);
	fd = wire_open(&s);
	asked_ms = clock_steady_ms();
	wire_send(fd,
	    "GET /bundles/main HTTP/1.1\r\nHost: localhost\r\n"
	    "Authorization: Bearer %s\r\nIf-None-Match: %s\r\n"
	    "X-Edict-Engine: host-1\r\n"
	    "Prefer: modes=snapshot,delta;wait=2\r\n\r\n",
	    s.engine, first);
	assert_true(wire_read(fd, &r, SITE_PATIENCE_MS, false));
	assert_true(clock_steady_ms() - asked_ms > 1700);
	assert_int_equal(r.status, 304);
	assert_string_equal(wire_header(&r, "ETag", value), first);
	wire_reply_clear(&r);
	/* Something else is assigned while it waits. */
	wire_send(fd,
	    "GET /bundles/main HTTP/1.1\r\nHost: localhost\r\n"
	    "Authorization: Bearer %s\r\nIf-None-Match: %s\r\n"
	    "X-Edict-Engine: host-1\r\n"
	    "Prefer: modes=snapshot,delta;wait=600\r\n\r\n",
	    s.engine, first);
	site_wait_metric(&s, "edict_engines_waiting", 1);
	site_assign(&s, "default", "main", "three", 5);
	site_tell_changed(&s);
	assert_true(wire_read(fd, &r, SITE_PATIENCE_MS, false));
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "three");
	wire_reply_clear(&r);
	close(fd);
	close_site();
}

static void
only_engines_count(void **state)
{
	struct wire_reply r;

	(void)state;
	open_site();
	site_ask(&s, "HEAD", s.engine, "/bundles/main",
	    "X-Edict-Engine: host-1\r\n", NULL, &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
	site_ask(&s, "GET", s.admin, "/bundles/main",
	    "X-Edict-Engine: host-1\r\n", NULL, &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
	assert_int_equal(as_seen(), 0);
	assert_int_equal(poll_as(NULL, ""), 200);
	assert_int_equal(poll_as("a b", ""), 200);
	assert_int_equal(as_seen(), 0);
	assert_true(site_metric(&s, "edict_engines_unnamed_total") > 0);
	for (int i = 0; i < 7; i++) {
		char name[16];

		(void)snprintf(name, sizeof name, "host-%d", 6 - i);
		assert_int_equal(poll_as(name, ""), 200);
	}
	assert_int_equal(as_seen(), 7);
	site_get(&s, s.admin,
	    "/v1/clusters/default/engines?limit=3&next=host-1", &r);
	assert_non_null(strstr(r.body, "\"host-2\""));
	assert_non_null(strstr(r.body, "\"next\":\"host-4\""));
	assert_null(strstr(r.body, "\"host-1\""));
	assert_null(strstr(r.body, "\"host-5\""));
	wire_reply_clear(&r);
	site_get(&s, s.admin, "/v1/clusters/default/engines?state=silent", &r);
	assert_non_null(strstr(r.body, "\"items\":[]"));
	assert_non_null(strstr(r.body, "\"credential\":\"engine\""));
	wire_reply_clear(&r);
	site_get(&s, s.admin, "/v1/clusters/default/engines?state=x", &r);
	assert_int_equal(r.status, 400);
	wire_reply_clear(&r);
	site_get(&s, s.admin, "/v1/clusters/none/engines", &r);
	assert_int_equal(r.status, 404);
	wire_reply_clear(&r);
	site_get(&s, s.engine, "/v1/clusters/default/engines", &r);
	assert_int_equal(r.status, 403);
	wire_reply_clear(&r);
	site_get(&s, s.admin, "/v1/clusters", &r);
	assert_non_null(strstr(r.body, "\"fresh\":7"));
	wire_reply_clear(&r);
	/* Names are for those who have a credential. */
	site_wait_metric(&s, "edict_engines{state=\"fresh\"}", 7);
	site_get(&s, NULL, "/metrics", &r);
	assert_null(strstr(r.body, "default"));
	wire_reply_clear(&r);
	site_get(&s, s.admin, "/metrics", &r);
	assert_non_null(strstr(r.body,
	    "edict_engines{cluster=\"default\",state=\"fresh\"} 7\n"));
	assert_null(strstr(r.body, "host-"));
	wire_reply_clear(&r);
	close_site();
}

/* A download that breaks is no reason to withhold the next. */
static void
broken_downloads_do_not_count(void **state)
{
	enum { SIZE = 32 << 20 };
	char *data = mem_zalloc(SIZE);
	char first[CATALOG_ETAG_SIZE];

	(void)state;
	open_site();
	memcpy(first, s.etag, sizeof first);
	assert_int_equal(poll_as("host-1", first), 304);
	site_assign(&s, "default", "main", data, SIZE);
	mem_free(data);
	site_tell_changed(&s);
	while (poll_as("other", first) != 200)
		continue;
	for (int i = 0; i < 6; i++) {
		int fd = wire_open(&s);
		char c;

		wire_send(fd,
		    "GET /bundles/main HTTP/1.1\r\nHost: localhost\r\n"
		    "Authorization: Bearer %s\r\nIf-None-Match: %s\r\n"
		    "X-Edict-Engine: host-1\r\n\r\n",
		    s.engine, first);
		assert_int_equal(read(fd, &c, 1), 1);
		close(fd);
	}
	/* The server notices each in its own time. */
	for (int64_t end = clock_steady_ms() + SITE_PATIENCE_MS;;) {
		json_t *j = engine(0);
		json_t *bundle =
		    json_array_get(json_object_get(j, "bundles"), 0);
		json_int_t times = json_integer_value(
		    json_object_get(json_object_get(bundle, "sent"), "times"));

		json_decref(j);
		if (times == 0)
			break;
		assert_true(clock_steady_ms() < end);
	}
	assert_int_equal(poll_as("host-1", first), 200);
	assert_int_equal(poll_as("host-1", first), 200);
	assert_int_equal(poll_as("host-1", first), 304);
	close_site();
}

/* The table is not the process's. */
static void
a_killed_process_forgets_nothing(void **state)
{
	char first[CATALOG_ETAG_SIZE];
	int status;

	(void)state;
	open_site();
	memcpy(first, s.etag, sizeof first);
	assert_int_equal(poll_as("host-1", first), 304);
	site_assign(&s, "default", "main", "two", 3);
	site_tell_changed(&s);
	while (poll_as("other", first) != 200)
		continue;
	assert_int_equal(poll_as("host-1", first), 200);
	assert_int_equal(poll_as("host-1", first), 200);
	assert_int_equal(kill(s.http, SIGKILL), 0);
	assert_int_equal(waitpid(s.http, &status, 0), s.http);
	site_start(&s);
	assert_int_equal(poll_as("host-1", first), 304);
	expect_state("rejecting");
	close_site();
}

static void
the_silent_age(void **state)
{
	(void)state;
	open_site();
	assert_int_equal(poll_as("host-1", s.etag), 304);
	expect_state("converged");
	clock_shift_ms(6 * MINUTE);
	expect_state("silent");
	clock_shift_ms(24 * 60 * MINUTE);
	for (int64_t end = clock_steady_ms() + SITE_PATIENCE_MS; as_seen() > 0;)
		assert_true(clock_steady_ms() < end);
	close_site();
}

/* ---- what engines send ---- */

static int
post(const char *token, const char *path, const char *headers, const char *body)
{
	struct wire_reply r;
	int status;

	site_ask(&s, "POST", token, path, headers, body, &r);
	status = r.status;
	wire_reply_clear(&r);
	return status;
}

static const char named[] = "X-Edict-Engine: host-1\r\n";

/* The engine as JSON text, to be looked for something in. */
static bool
shows(const char *text)
{
	json_t *j = engine(0);
	char *all = json_dumps(j, JSON_COMPACT);
	bool found = strstr(all, text) != NULL;

	free(all);
	json_decref(j);
	return found;
}

static void
status_says_why(void **state)
{
	static const char bad[] =
	    "{\"labels\":{\"id\":\"1\",\"version\":\"1.12.0\",\"x\":[1]},"
	    "\"bundles\":{\"main\":{\"name\":\"main\",\"code\":\"bundle_error\","
	    "\"message\":\"did not load\",\"surprise\":{},\"errors\":[{\"code\":"
	    "\"rego_parse_error\",\"message\":\"unexpected }\",\"location\":"
	    "{\"file\":\"a/b.rego\",\"row\":7,\"col\":2}}]},\"none\":{}},"
	    "\"plugins\":{\"bundle\":{\"state\":\"NOT_READY\"},\"x\":"
	    "{\"state\":\"OK\"}},\"metrics\":{\"a\":9223372036854776000}}";
	static const char good[] =
	    "{\"labels\":{\"id\":\"1\",\"version\":\"1.19.1\"},\"bundles\":"
	    "{\"main\":{\"name\":\"main\"}},\"plugins\":{\"bundle\":"
	    "{\"state\":\"OK\"}}}";
	static const char *const wrong[] = { "", "x", "[]", "{", "1" };

	(void)state;
	open_site();
	/* Not of those that do not poll. */
	assert_int_equal(post(s.engine, "/status", named, bad), 204);
	assert_int_equal(as_seen(), 0);
	assert_int_equal(poll_as("host-1", s.etag), 304);
	assert_int_equal(post(s.engine, "/status", named, bad), 204);
	assert_true(shows("\"bundle_error\""));
	assert_true(shows("unexpected }"));
	assert_true(shows("\"file\":\"a/b.rego\",\"row\":7"));
	assert_true(shows("bundle: NOT_READY"));
	assert_true(shows("\"version\":\"1.12.0\""));
	assert_true(shows("polls discovery without a pause"));
	assert_int_equal(post(s.engine, "/status/part", named, good), 204);
	assert_false(shows("bundle_error"));
	assert_false(shows("NOT_READY"));
	assert_false(shows("without a pause"));
	assert_int_equal(post(s.engine, "/clusters/default/status", named, bad),
	    204);
	assert_true(shows("bundle_error"));
	assert_int_equal(post(s.engine, "/clusters/default/status/x%20y", "",
			     good),
	    204);
	assert_true(shows("bundle_error"));
	assert_int_equal(post(s.engine, "/clusters/none/status", named, bad),
	    404);
	assert_int_equal(post(NULL, "/status", named, bad), 401);
	assert_int_equal(post("x", "/logs", named, "[]"), 401);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(post(s.engine, "/status", named, wrong[i]),
		    400);
	/* A second cluster: the name tells which one is meant. */
	site_assign(&s, "second", "main", "four", 4);
	site_tell_changed(&s);
	site_wait_metric(&s, "edict_catalog_assignments", 2);
	assert_int_equal(post(s.engine, "/status", named, good), 204);
	assert_false(shows("bundle_error"));
	assert_int_equal(post(s.engine, "/status", "", good), 404);
	close_site();
}

/* Limit and limit + 1; for those who may send, and those who may not. */
static void
reports_have_a_size(void **state)
{
	enum { MAX = 1 << 20 };
	char *body = mem_alloc(MAX + 2);

	(void)state;
	open_site();
	memset(body, ' ', MAX + 1);
	body[0] = '{';
	body[1] = '}';
	body[MAX] = '\0';
	assert_int_equal(post(s.engine, "/status", named, body), 204);
	assert_int_equal(post("guess", "/status", named, body), 413);
	assert_int_equal(post(s.admin, "/v1/bundles/main/pin", "", body), 413);
	body[MAX] = ' ';
	body[MAX + 1] = '\0';
	assert_int_equal(post(s.engine, "/status", named, body), 413);
	mem_free(body);
	close_site();
}

static size_t
zip(char *out, size_t size, const char *data, size_t len)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(9);
	size_t used = libdeflate_gzip_compress(c, data, len, out, size);

	libdeflate_free_compressor(c);
	assert_true(used > 0);
	return used;
}

static int
upload(const char *data, size_t len)
{
	char *zipped = mem_alloc(len + 1024);
	size_t used = zip(zipped, len + 1024, data, len);
	struct wire_reply r;
	int fd = wire_open(&s);
	int status;

	wire_send(fd,
	    "POST /logs HTTP/1.1\r\nHost: localhost\r\n"
	    "Authorization: Bearer %s\r\nContent-Encoding: gzip\r\n"
	    "Content-Length: %zu\r\n\r\n",
	    s.engine, used);
	for (size_t sent = 0; sent < used;) {
		ssize_t n = send(fd, zipped + sent, used - sent, MSG_NOSIGNAL);

		assert_true(n > 0);
		sent += (size_t)n;
	}
	assert_true(wire_read(fd, &r, 10000, false));
	status = r.status;
	wire_reply_clear(&r);
	close(fd);
	mem_free(zipped);
	return status;
}

static bool
counted(const char *text)
{
	struct wire_reply r;
	bool found;

	site_get(&s, s.admin, "/v1/clusters/default", &r);
	assert_int_equal(r.status, 200);
	found = strstr(r.body, text) != NULL;
	wire_reply_clear(&r);
	return found;
}

static void
decisions_are_counted_and_dropped(void **state)
{
	static const char logs[] =
	    "[{\"decision_id\":\"1\",\"bundles\":{\"main\":{\"revision\":\"abc\"}"
	    "},\"input\":{\"secret\":\"s3cret\"},\"result\":true},"
	    "{\"bundles\":{\"main\":{\"revision\":\"abc\"},\"other\":{"
	    "\"revision\":\"abc\"}},\"error\":{\"code\":\"x\"}},"
	    "{\"bundles\":{\"main\":{\"revision\":\"abc\"},\"other\":{"
	    "\"revision\":\"def\"}}},{},7]";
	char *bomb = mem_zalloc(5 << 20);

	(void)state;
	open_site();
	assert_int_equal(upload(logs, sizeof logs - 1), 204);
	assert_int_equal(post(s.engine, "/logs", "", logs), 204);
	assert_true(counted("{\"revision\":\"abc\",\"ok\":2,\"errors\":2}"));
	assert_true(
	    counted("{\"revision\":\"several\",\"ok\":2,\"errors\":0}"));
	assert_true(counted("{\"revision\":\"none\",\"ok\":4,\"errors\":0}"));
	assert_false(counted("s3cret"));
	assert_int_equal(post(s.engine, "/logs", "", "{}"), 400);
	assert_int_equal(post(s.engine, "/logs", "Content-Encoding: gzip\r\n",
			     "[]"),
	    400);
	assert_int_equal(post(s.engine, "/logs", "", "[{\"input\":1e999}]"),
	    204);
	assert_int_equal(post(s.engine, "/logs", "",
			     "[{\"input\":\"\\u0000\",\"error\":{}}]"),
	    204);
	assert_true(counted("{\"revision\":\"none\",\"ok\":4,\"errors\":1}"));
	/* Far more than was sent. */
	memset(bomb, ' ', 5 << 20);
	memcpy(bomb, "[]", 2);
	assert_int_equal(upload(bomb, 5 << 20), 413);
	assert_int_equal(upload(bomb, 64 << 10), 204);
	mem_free(bomb);
	/* Made-up revisions do not take all the room. */
	for (int i = 0; i < 100; i++) {
		char one[128];

		(void)snprintf(one, sizeof one,
		    "[{\"bundles\":{\"main\":{\"revision\":\"r%d\"}}}]", i);
		assert_int_equal(post(s.engine, "/logs", "", one), 204);
	}
	assert_true(counted("\"r1\""));
	assert_false(counted("\"r99\""));
	assert_true(counted("\"other\""));
	close_site();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(storms_end),
		cmocka_unit_test(who_waits_is_held),
		cmocka_unit_test(only_engines_count),
		cmocka_unit_test(broken_downloads_do_not_count),
		cmocka_unit_test(a_killed_process_forgets_nothing),
		cmocka_unit_test(the_silent_age),
		cmocka_unit_test(status_says_why),
		cmocka_unit_test(reports_have_a_size),
		cmocka_unit_test(decisions_are_counted_and_dropped),
	};

	clock_share();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
