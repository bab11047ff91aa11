#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "clusters/store_write.h"
#include "core/channel.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "http_fixture.h"
#include "server/supervisor/supervisor.h"

static const char waiting[] = "edict_engines_waiting";

enum { WAIT_S = 10 * SITE_PATIENCE_MS / 1000 }; /* who asks for this, waits */

/* A site with one bundle for one cluster. */
static void
open_default(struct site *s, size_t threads)
{
	site_open(s, threads);
	site_assign(s, "default", "main", "one", 3);
}

static void
send_poll(int fd, const struct site *s, const char *etag, int wait_s)
{
	wire_send(fd,
	    "GET /bundles/main HTTP/1.1\r\nHost: localhost\r\n"
	    "Authorization: Bearer %s\r\nIf-None-Match: %s\r\n"
	    "Prefer: modes=snapshot,delta;wait=%d\r\n\r\n",
	    s->engine, etag, wait_s);
}

static void
expect_header(const struct wire_reply *r, const char *name, const char *wanted)
{
	char value[256];

	if (wire_header(r, name, value) == NULL)
		fail_msg("no header %s in: %s", name, r->head);
	assert_string_equal(value, wanted);
}

static void
expect_code(const struct wire_reply *r, int status, const char *code)
{
	json_t *body = json_loadb(r->body, r->len, 0, NULL);
	const char *found = NULL;

	assert_int_equal(r->status, status);
	assert_int_equal(json_unpack(body, "{s:{s:s}}", "error", "code",
			     &found),
	    0);
	assert_string_equal(found, code);
	json_decref(body);
}

/* ---- polls ---- */

static void
engines_get_their_bundle(void **state)
{
	struct site s;
	struct wire_reply r;
	char headers[256];

	(void)state;
	open_default(&s, 2);
	site_start(&s);
	(void)snprintf(headers, sizeof headers, "If-None-Match: %s\r\n",
	    s.etag);

	site_get(&s, s.engine, "/bundles/main", &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "one");
	expect_header(&r, "Content-Type",
	    "application/vnd.openpolicyagent.bundles");
	expect_header(&r, "ETag", s.etag);
	expect_header(&r, "Cache-Control", "private, no-cache");
	expect_header(&r, "Vary", "Authorization, X-Edict-Engine");
	wire_reply_clear(&r);

	site_get(&s, s.engine, "/clusters/default/bundles/main", &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
	site_get(&s, s.admin, "/bundles/main", &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);

	site_ask(&s, "HEAD", s.engine, "/bundles/main", "", NULL, &r);
	assert_int_equal(r.status, 200);
	expect_header(&r, "Content-Length", "3");
	expect_header(&r, "ETag", s.etag);
	wire_reply_clear(&r);

	site_ask(&s, "GET", s.engine, "/bundles/main", headers, NULL, &r);
	assert_int_equal(r.status, 304);
	expect_header(&r, "ETag", s.etag);
	expect_header(&r, "Content-Length", "3");
	wire_reply_clear(&r);
	site_ask(&s, "GET", s.engine, "/bundles/main",
	    "If-None-Match: \"other\"\r\nPrefer: wait=20\r\n", NULL, &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);

	/* The real engine opens a new connection for each poll. */
	site_ask(&s, "GET", s.engine, "/bundles/main",
	    "User-Agent: Open Policy Agent/1.0 (linux, amd64)\r\n", NULL, &r);
	expect_header(&r, "Connection", "close");
	wire_reply_clear(&r);
	site_ask(&s, "GET", s.engine, "/bundles/main",
	    "User-Agent: Open-Policy-Agent/1.19.1 (linux, amd64)\r\n", NULL,
	    &r);
	expect_header(&r, "Connection", "close");
	wire_reply_clear(&r);
	assert_true(counters_get(s.counters, COUNTER_POLLS_200) >= 5);
	assert_int_equal(counters_get(s.counters, COUNTER_POLLS_304), 1);
	(void)site_stop(&s);
	site_close(&s);
}

static void
refuses_what_is_not_allowed(void **state)
{
	static const struct {
		const char *method;
		const char *path;
		int who; /* 0 nobody, 1 an engine, 2 an admin, 3 a stranger */
		int status;
		const char *code;
	} rows[] = {
		{ "GET", "/bundles/main", 0, 401, "denied" },
		{ "GET", "/bundles/main", 3, 401, "denied" },
		{ "GET", "/bundles/other", 1, 404, "not_found" },
		{ "GET", "/clusters/x/bundles/main", 1, 404, "not_found" },
		{ "GET", "/bundles/..%2f..%2fadmin-token", 1, 404,
		    "not_found" },
		{ "GET", "/bundles/main/", 1, 404, "not_found" },
		{ "GET", "/bundles/%zz", 1, 400, "invalid" },
		{ "GET", "/bundles/main?x=1", 1, 400, "invalid" },
		{ "GET", "/nothing", 0, 404, "not_found" },
		{ "POST", "/bundles/main", 1, 405, "invalid" },
		{ "DELETE", "/healthz", 0, 405, "invalid" },
		{ "GET", "/v1/bundles", 0, 401, "denied" },
		{ "GET", "/v1/bundles", 1, 403, "denied" },
		{ "GET", "/v1/bundles", 3, 401, "denied" },
		{ "GET", "/v1/nothing", 0, 401, "denied" },
		{ "GET", "/v1/nothing", 1, 403, "denied" },
		{ "GET", "/v1/nothing", 2, 404, "not_found" },
		{ "PUT", "/v1/bundles", 2, 405, "invalid" },
		{ "GET", "/v1/bundles?limit=0", 2, 400, "invalid" },
		{ "GET", "/v1/bundles?limit=501", 2, 400, "invalid" },
		{ "GET", "/v1/bundles?limit=", 2, 400, "invalid" },
		{ "GET", "/v1/bundles?limit", 2, 400, "invalid" },
		{ "GET", "/v1/bundles?sort=name", 2, 400, "invalid" },
		{ "GET", "/v1/bundles?limit=%zz", 2, 400, "invalid" },
		{ "GET", "/v1/bundles/other", 2, 404, "not_found" },
		{ "GET", "/v1/operations/77", 2, 404, "not_found" },
		{ "GET", "/v1/operations/x", 2, 404, "not_found" },
		{ "GET", "/v1/commits/%0a", 2, 400, "invalid" },
	};
	struct site s;
	struct wire_reply r;

	(void)state;
	open_default(&s, 1);
	site_start(&s);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *tokens[] = { NULL, s.engine, s.admin, "guessed" };

		site_ask(&s, rows[i].method, tokens[rows[i].who], rows[i].path,
		    "", NULL, &r);
		if (r.status != rows[i].status)
			fail_msg("%s %s: %d, not %d: %s", rows[i].method,
			    rows[i].path, r.status, rows[i].status, r.body);
		expect_code(&r, rows[i].status, rows[i].code);
		expect_header(&r, "Cache-Control", "no-store");
		if (r.status == 401)
			expect_header(&r, "WWW-Authenticate",
			    "Bearer realm=\"edict\"");
		if (r.status == 405)
			assert_non_null(strstr(r.head, "Allow: "));
		wire_reply_clear(&r);
	}
	(void)site_stop(&s);
	site_close(&s);
}

static void
serves_strangers_where_allowed(void **state)
{
	static char cluster[] = "lab";
	struct site s;
	struct wire_reply r;

	(void)state;
	open_default(&s, 1);
	site_assign(&s, "lab", "main", "lab's", 5);
	s.conf.access.anonymous_cluster = cluster;
	site_start(&s);
	site_get(&s, NULL, "/bundles/main", &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "lab's");
	wire_reply_clear(&r);
	site_get(&s, NULL, "/clusters/default/bundles/main", &r);
	assert_int_equal(r.status, 404);
	wire_reply_clear(&r);
	site_get(&s, "guessed", "/bundles/main", &r);
	assert_int_equal(r.status, 401);
	wire_reply_clear(&r);
	site_get(&s, NULL, "/v1/bundles", &r);
	assert_int_equal(r.status, 401);
	wire_reply_clear(&r);
	/* Two clusters have it, so which is meant has to be said. */
	site_get(&s, s.engine, "/bundles/main", &r);
	assert_int_equal(r.status, 404);
	wire_reply_clear(&r);
	(void)site_stop(&s);
	site_close(&s);
}

/* ---- long polls ---- */

static void
holds_until_something_is_new(void **state)
{
	struct site s;
	struct wire_reply r;
	char old[CATALOG_ETAG_SIZE];
	int other;
	int fd;

	(void)state;
	open_default(&s, 2);
	site_assign(&s, "default", "spare", "spare", 5);
	site_start(&s);
	site_assign(&s, "default", "main", "one", 3);
	(void)snprintf(old, sizeof old, "%s", s.etag);
	fd = wire_open(&s);
	other = wire_open(&s);
	send_poll(fd, &s, old, WAIT_S);
	send_poll(other, &s, old, WAIT_S);
	site_wait_metric(&s, waiting, 2);

	/* A change elsewhere wakes nobody. */
	site_assign(&s, "default", "spare", "spare two", 9);
	site_tell_changed(&s);
	assert_false(wire_read(fd, &r, 300, false));

	site_assign(&s, "default", "main", "two", 3);
	site_tell_changed(&s);
	assert_true(wire_read(fd, &r, SITE_PATIENCE_MS, false));
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "two");
	expect_header(&r, "ETag", s.etag);
	wire_reply_clear(&r);
	assert_true(wire_read(other, &r, SITE_PATIENCE_MS, false));
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
	site_wait_metric(&s, waiting, 0);

	/* On the same connection; nobody tells, so it is found by looking. */
	send_poll(fd, &s, s.etag, WAIT_S);
	site_wait_metric(&s, waiting, 1);
	site_assign(&s, "default", "main", "three", 5);
	assert_true(wire_read(fd, &r, SITE_PATIENCE_MS, false));
	assert_string_equal(r.body, "three");
	wire_reply_clear(&r);
	close(fd);
	close(other);
	(void)site_stop(&s);
	site_close(&s);
}

static void
holds_no_longer_than_asked(void **state)
{
	static const struct {
		int wait_s;
		int64_t wait_max;
	} rows[] = { { 1, WAIT_S }, { WAIT_S, 1 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct site s;
		struct wire_reply r;
		int64_t started;
		int64_t took;
		int fd;

		open_default(&s, 1);
		s.conf.http.wait_max = rows[i].wait_max;
		site_start(&s);
		fd = wire_open(&s);
		started = clock_mono_ms();
		send_poll(fd, &s, s.etag, rows[i].wait_s);
		assert_true(wire_read(fd, &r, SITE_PATIENCE_MS, false));
		took = clock_mono_ms() - started;
		assert_int_equal(r.status, 304);
		expect_header(&r, "ETag", s.etag);
		assert_in_range(took, 895, SITE_PATIENCE_MS);
		wire_reply_clear(&r);
		close(fd);
		(void)site_stop(&s);
		site_close(&s);
	}
}

static void
notices_that_engines_left(void **state)
{
	enum { ENGINES = 50 };
	struct site s;
	int fds[ENGINES];

	(void)state;
	open_default(&s, 2);
	site_start(&s);
	for (int i = 0; i < ENGINES; i++) {
		fds[i] = wire_open(&s);
		send_poll(fds[i], &s, s.etag, WAIT_S);
	}
	site_wait_metric(&s, waiting, ENGINES);
	for (int i = 0; i < ENGINES; i++)
		close(fds[i]);
	site_wait_metric(&s, waiting, 0);
	(void)site_stop(&s);
	site_close(&s);
}

/* What a token may no longer have, it may not wait for either. */
static void
ends_the_wait_of_the_revoked(void **state)
{
	struct site s;
	struct wire_reply r;
	AUTO_STR file = NULL;
	struct err e = { 0 };
	int fd;

	(void)state;
	open_default(&s, 1);
	site_start(&s);
	fd = wire_open(&s);
	send_poll(fd, &s, s.etag, WAIT_S);
	site_wait_metric(&s, waiting, 1);
	file = file_path(s.dir, "engine-token");
	assert_int_equal(file_replace(file, "", 0, 0600, &e), ERR_OK);
	assert_int_equal(store_make_tokens(s.store, s.dir, &e), ERR_OK);
	site_tell_changed(&s);
	assert_true(wire_read(fd, &r, SITE_PATIENCE_MS, false));
	expect_code(&r, 401, "denied");
	wire_reply_clear(&r);
	close(fd);
	(void)site_stop(&s);
	site_close(&s);
}

static void
says_when_it_is_full(void **state)
{
	struct site s;
	struct wire_reply r;
	int held[2];
	int fd;

	(void)state;
	open_default(&s, 1);
	s.conf.http.engines_max = 2;
	site_start(&s);
	for (int i = 0; i < 2; i++) {
		held[i] = wire_open(&s);
		send_poll(held[i], &s, s.etag, WAIT_S);
	}
	site_wait_metric(&s, waiting, 2);
	fd = wire_open(&s);
	send_poll(fd, &s, s.etag, WAIT_S);
	assert_true(wire_read(fd, &r, SITE_PATIENCE_MS, false));
	expect_code(&r, 503, "unavailable");
	expect_header(&r, "Retry-After", "5");
	wire_reply_clear(&r);
	close(fd);
	/* Without waiting there is always an answer. */
	site_get(&s, s.engine, "/bundles/main", &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
	for (int i = 0; i < 2; i++)
		close(held[i]);
	(void)site_stop(&s);
	site_close(&s);
}

/* ---- many at once ---- */

static void
expect_status(int fd, int status, bool keep)
{
	struct wire_reply r;

	if (!wire_read(fd, &r, SITE_PATIENCE_MS, false))
		fail_msg("no answer");
	assert_int_equal(r.status, status);
	wire_reply_clear(&r);
	if (!keep)
		close(fd);
}

/* All become ready in the same instant, because the process sleeps meanwhile:
 * with a library's own threads, exactly 128 were left lying. */
static void
answers_all_that_come_together(void **state)
{
	static const int counts[] = { 127, 128, 129, 256 };
	struct site s;
	int fds[256];

	(void)state;
	open_default(&s, 1);
	site_start(&s);
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		for (int j = 0; j < counts[i]; j++) {
			fds[j] = wire_open(&s);
			send_poll(fds[j], &s, "\"none\"", WAIT_S);
			expect_status(fds[j], 200, true);
		}
		assert_int_equal(kill(s.http, SIGSTOP), 0);
		for (int j = 0; j < counts[i]; j++)
			send_poll(fds[j], &s, "\"none\"", WAIT_S);
		assert_int_equal(kill(s.http, SIGCONT), 0);
		for (int j = 0; j < counts[i]; j++)
			expect_status(fds[j], 200, true);
		/* New connections, and all of them to be held. */
		for (int j = 0; j < counts[i]; j++)
			close(fds[j]);
		assert_int_equal(kill(s.http, SIGSTOP), 0);
		for (int j = 0; j < counts[i]; j++) {
			fds[j] = wire_open(&s);
			send_poll(fds[j], &s, s.etag, WAIT_S);
		}
		assert_int_equal(kill(s.http, SIGCONT), 0);
		site_wait_metric(&s, waiting, counts[i]);
		site_assign(&s, "default", "main", &counts[i],
		    sizeof counts[i]);
		site_tell_changed(&s);
		for (int j = 0; j < counts[i]; j++)
			expect_status(fds[j], 200, false);
		site_wait_metric(&s, waiting, 0);
	}
	(void)site_stop(&s);
	site_close(&s);
}

/* ---- hostile clients ---- */

static void
send_and_expect(const struct site *s, const char *text, int status)
{
	struct wire_reply r;
	int fd = wire_open(s);

	wire_send(fd, "%s", text);
	if (!wire_read(fd, &r, SITE_PATIENCE_MS, false))
		fail_msg("no answer to %.60s", text);
	if (r.status != status)
		fail_msg("%d to %.60s", r.status, text);
	wire_reply_clear(&r);
	close(fd);
}

static char *
with_many(const char *before, size_t count, const char *after)
{
	char *many = mem_zalloc(count + 1);
	char *text;

	memset(many, 'a', count);
	text = mem_printf("%s%s%s", before, many, after);
	mem_free(many);
	return text;
}

static void
answers_hostile_requests(void **state)
{
	static const char end[] = " HTTP/1.1\r\nHost: x\r\n\r\n";
	struct site s;
	struct wire_reply r;
	AUTO_STR big_header =
	    with_many("GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", 20000,
		"\r\n\r\n");
	AUTO_STR big_path = with_many("GET /bundles/", 3000, end);
	AUTO_STR huge_path = with_many("GET /", 20000, end);
	AUTO_STR big_body = with_many("", 65537, "");

	(void)state;
	open_default(&s, 1);
	site_start(&s);
	send_and_expect(&s, big_header, 431);
	send_and_expect(&s, big_path, 414);
	send_and_expect(&s, huge_path, 414);
	send_and_expect(&s, "GET /healthz HTTP/1.1\r\n\r\n", 400);
	send_and_expect(&s, "GET /bundles/a%00b HTTP/1.1\r\nHost: x\r\n\r\n",
	    400);
	send_and_expect(&s, "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
	    404);
	send_and_expect(&s,
	    "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404);
	send_and_expect(&s,
	    "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: "
	    "99999999999999999999\r\n\r\n",
	    413);
	site_ask(&s, "POST", s.admin, "/v1/bundles/main/pin", "", big_body, &r);
	expect_code(&r, 413, "limit");
	wire_reply_clear(&r);
	/* Not even by chunks. */
	{
		AUTO_STR chunked = mem_printf(
		    "POST /v1/bundles/main/pin HTTP/1.1\r\nHost: x\r\n"
		    "Authorization: Bearer %s\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n10001\r\n%s\r\n0\r\n\r\n",
		    s.admin, big_body);

		send_and_expect(&s, chunked, 413);
	}
	site_get(&s, NULL, "/healthz", &r);
	assert_string_equal(r.body, "ok\n");
	wire_reply_clear(&r);
	(void)site_stop(&s);
	site_close(&s);
}

static void
is_not_held_up_by_the_slow(void **state)
{
	enum { SLOW = 100 };
	struct site s;
	struct wire_reply r;
	int fds[SLOW];
	char *big = mem_alloc(8 << 20);
	int64_t started;

	(void)state;
	site_open(&s, 1);
	memset(big, 'b', 8 << 20);
	site_assign(&s, "default", "main", big, 8 << 20);
	site_start(&s);
	/* Headers that do not end; replies that nobody reads; nothing. */
	for (int i = 0; i < SLOW; i++) {
		fds[i] = wire_open(&s);
		if (i % 3 == 0)
			wire_send(fds[i], "GET /bundles/main HTTP/1.1\r\nHo");
		else if (i % 3 == 1)
			send_poll(fds[i], &s, "\"none\"", 1);
	}
	started = clock_mono_ms();
	for (int i = 0; i < 20; i++) {
		site_get(&s, NULL, "/healthz", &r);
		assert_int_equal(r.status, 200);
		wire_reply_clear(&r);
	}
	assert_in_range(clock_mono_ms() - started, 0, SITE_PATIENCE_MS);
	/* The whole of it, to one who reads. */
	site_get(&s, s.engine, "/bundles/main", &r);
	assert_int_equal(r.len, 8 << 20);
	assert_memory_equal(r.body, big, 8 << 20);
	wire_reply_clear(&r);
	for (int i = 0; i < SLOW; i++)
		close(fds[i]);
	mem_free(big);
	(void)site_stop(&s);
	site_close(&s);
}

/* ---- operators ---- */

static void
shows_the_store(void **state)
{
	static const char *const paths[] = {
		"/v1/repositories",
		"/v1/repositories/policies",
		"/v1/commits",
		"/v1/commits?repository=policies&limit=1",
		"/v1/commits/0000000000000000000000000000000000000001",
		"/v1/bundles",
		"/v1/bundles/main",
		"/v1/bundles/main/revisions",
		"/v1/clusters",
		"/v1/clusters/default",
		"/v1/audit?limit=500",
		"/v1/keys",
	};
	struct site s;
	struct wire_reply r;

	(void)state;
	open_default(&s, 1);
	site_start(&s);
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		json_t *body;

		site_get(&s, s.admin, paths[i], &r);
		if (r.status != 200)
			fail_msg("%s: %d %s", paths[i], r.status, r.body);
		expect_header(&r, "Content-Type", "application/json");
		expect_header(&r, "Cache-Control", "no-store");
		body = json_loadb(r.body, r.len, 0, NULL);
		assert_non_null(body);
		json_decref(body);
		wire_reply_clear(&r);
	}
	site_get(&s, s.admin,
	    "/v1/bundles/main/revisions/"
	    "0000000000000000000000000000000000000001/bundle.tar.gz",
	    &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "one");
	expect_header(&r, "ETag", s.etag);
	wire_reply_clear(&r);
	(void)site_stop(&s);
	site_close(&s);
}

static void
hands_actions_to_the_ledger(void **state)
{
	struct site s;
	struct wire_reply r;
	json_t *body;
	const char *action, *bundle, *peer, *reason;

	(void)state;
	open_default(&s, 2);
	site_start_clerk(&s);
	site_start(&s);
	site_ask(&s, "POST", s.admin, "/v1/bundles/main/pin", "",
	    "{\"reason\":\"why\"}", &r);
	assert_int_equal(r.status, 200);
	body = json_loadb(r.body, r.len, 0, NULL);
	assert_int_equal(json_unpack(body, "{s:s, s:s, s:s, s:s !}", "action",
			     &action, "bundle", &bundle, "peer", &peer,
			     "reason", &reason),
	    0);
	assert_string_equal(action, "pin");
	assert_string_equal(bundle, "main");
	assert_string_equal(peer, "127.0.0.1");
	assert_string_equal(reason, "why");
	json_decref(body);
	wire_reply_clear(&r);

	site_ask(&s, "POST", s.admin, "/v1/repositories/policies/fetch", "",
	    NULL, &r);
	assert_int_equal(r.status, 202);
	wire_reply_clear(&r);
	site_ask(&s, "POST", s.admin, "/v1/bundles/main/rollback", "", "{}",
	    &r);
	expect_code(&r, 409, "conflict");
	wire_reply_clear(&r);
	site_ask(&s, "POST", s.engine, "/v1/bundles/main/pin", "", "{}", &r);
	expect_code(&r, 403, "denied");
	wire_reply_clear(&r);
	(void)site_stop(&s);
	site_close(&s);
}

static void
refuses_bodies_that_are_none(void **state)
{
	static const char *const bodies[] = { "[]", "{", "\"x\"", "{}x",
		"{\"a\":1,\"a\":2}", "{\"token\":\"x\"}", "{\"peer\":\"x\"}",
		"{\"action\":\"x\"}", "{\"bundle\":\"x\"}",
		"{\"reason\":\"a\\u0000b\"}", "{\"reason\":\"\xff\"}" };
	struct site s;
	struct wire_reply r;

	(void)state;
	open_default(&s, 1);
	site_start(&s);
	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
		site_ask(&s, "POST", s.admin, "/v1/bundles/main/pin", "",
		    bodies[i], &r);
		if (r.status != 400)
			fail_msg("%s: %d", bodies[i], r.status);
		wire_reply_clear(&r);
	}
	(void)site_stop(&s);
	site_close(&s);
}

static void
goes_on_without_the_ledger(void **state)
{
	struct site s;
	struct wire_reply r;
	int64_t end = clock_mono_ms() + SITE_PATIENCE_MS;
	int fd;

	(void)state;
	open_default(&s, 2);
	site_start_clerk(&s);
	site_start(&s);
	site_get(&s, NULL, "/readyz", &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
	fd = wire_open(&s);
	wire_send(fd,
	    "POST /v1/commits/main/retest HTTP/1.1\r\nHost: x\r\n"
	    "Authorization: Bearer %s\r\nContent-Length: 2\r\n\r\n{}",
	    s.admin);
	site_wait_retest(&s);
	assert_false(wire_read(fd, &r, 300, false)); /* it waits */
	site_tell_restarted(&s, "ledger");
	assert_true(wire_read(fd, &r, SITE_PATIENCE_MS, false));
	expect_code(&r, 503, "unavailable");
	assert_non_null(strstr(r.body, "unknown"));
	wire_reply_clear(&r);
	close(fd);
	/* Unless it is heard of at this very moment. */
	do {
		wire_reply_clear(&r);
		site_tell_restarted(&s, "ledger");
		site_get(&s, NULL, "/readyz", &r);
	} while (r.status != 503 && clock_mono_ms() < end);
	assert_int_equal(r.status, 503);
	wire_reply_clear(&r);
	site_get(&s, s.engine, "/bundles/main", &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
	/* It is heard of again. */
	site_tell_changed(&s);
	do {
		wire_reply_clear(&r);
		site_get(&s, NULL, "/readyz", &r);
	} while (r.status != 200);
	wire_reply_clear(&r);
	(void)site_stop(&s);
	site_close(&s);
}

/* ---- health ---- */

static void
says_how_it_is(void **state)
{
	struct site s;
	struct wire_reply r;

	(void)state;
	site_open(&s, 1);
	counters_set_success(s.counters, "policies", clock_now_ms());
	site_start(&s);
	site_get(&s, NULL, "/readyz", &r);
	assert_int_equal(r.status, 503);
	expect_header(&r, "Retry-After", "1");
	assert_non_null(strstr(r.body, "no bundle is assigned yet"));
	wire_reply_clear(&r);
	site_assign(&s, "default", "main", "one", 3);
	site_tell_changed(&s);
	do {
		wire_reply_clear(&r);
		site_get(&s, NULL, "/readyz", &r);
	} while (r.status != 200);
	assert_string_equal(r.body,
	    "{\"ready\":true,\"reasons\":[],\"warnings\":[]}");
	wire_reply_clear(&r);

	site_get(&s, NULL, "/metrics", &r);
	assert_non_null(strstr(r.body, "# TYPE edict_polls_total counter\n"));
	assert_non_null(strstr(r.body, "edict_catalog_assignments 1\n"));
	assert_non_null(strstr(r.body, "\nedict_fetch_age_seconds "));
	assert_null(strstr(r.body, "policies"));
	wire_reply_clear(&r);
	site_get(&s, s.admin, "/metrics", &r);
	assert_non_null(strstr(r.body,
	    "\nedict_fetch_age_seconds{repository=\"policies\"} "));
	wire_reply_clear(&r);
	(void)site_stop(&s);
	site_close(&s);
}

/* What is served stays, though nothing can be read any more; and it is there
 * again at once after a restart. */
static void
keeps_what_it_has(void **state)
{
	struct site s;
	struct wire_reply r;
	AUTO_STR artifacts = NULL;
	AUTO_STR away = NULL;

	(void)state;
	open_default(&s, 1);
	artifacts = file_path(s.dir, "artifacts");
	away = file_path(s.dir, "away");
	site_start(&s);
	assert_int_equal(rename(artifacts, away), 0);
	site_assign(&s, "default", "spare", "two", 3);
	site_tell_changed(&s);
	site_get(&s, s.engine, "/bundles/main", &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
	(void)site_stop(&s);
	{
		AUTO_STR made = file_path(s.dir, "artifacts");
		struct err e = { 0 };

		assert_int_equal(file_remove_tree(made, &e), ERR_OK);
	}
	assert_int_equal(rename(away, artifacts), 0);
	site_start(&s);
	site_get(&s, s.engine, "/bundles/main", &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
	/* One of two artifacts is gone: the other is served all the same, and
	 * who wants this one may ask again. */
	site_get(&s, s.engine, "/clusters/default/bundles/spare", &r);
	expect_code(&r, 503, "unavailable");
	expect_header(&r, "Retry-After", "5");
	wire_reply_clear(&r);
	site_get(&s, s.engine, "/bundles/spare", &r);
	expect_code(&r, 503, "unavailable");
	wire_reply_clear(&r);
	site_get(&s, s.engine, "/clusters/default/bundles/none", &r);
	expect_code(&r, 404, "not_found");
	wire_reply_clear(&r);
	site_get(&s, NULL, "/readyz", &r);
	assert_int_equal(r.status, 503);
	wire_reply_clear(&r);
	(void)site_stop(&s);
	site_close(&s);
}

/* Nobody has to tell it that an artifact can be read again. */
static void
looks_again_for_artifacts(void **state)
{
	struct site s;
	struct wire_reply r;
	AUTO_STR artifacts = NULL;
	AUTO_STR away = NULL;
	char before[CATALOG_ETAG_SIZE];
	char etag[256];
	int fd;

	(void)state;
	open_default(&s, 1);
	site_start(&s);
	memcpy(before, s.etag, sizeof before);
	artifacts = file_path(s.dir, "artifacts");
	away = file_path(s.dir, "away");
	site_assign(&s, "default", "main", "two", 3);
	assert_int_equal(rename(artifacts, away), 0);
	site_tell_changed(&s);
	site_wait_metric(&s, "edict_catalog_missing", 1);
	/* What was served is served, and who waits is told of the rest. */
	site_get(&s, s.engine, "/bundles/main", &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(wire_header(&r, "ETag", etag), before);
	wire_reply_clear(&r);
	fd = wire_open(&s);
	send_poll(fd, &s, before, WAIT_S);
	site_wait_metric(&s, waiting, 1);
	assert_int_equal(rename(away, artifacts), 0);
	assert_true(wire_read(fd, &r, SITE_PATIENCE_MS, false));
	assert_int_equal(r.status, 200);
	assert_string_equal(wire_header(&r, "ETag", etag), s.etag);
	wire_reply_clear(&r);
	close(fd);
	site_wait_metric(&s, "edict_catalog_missing", 0);
	(void)site_stop(&s);
	site_close(&s);
}

/* On a connection that stays. */
static int
status_of(int fd, const struct site *s, const char *path)
{
	struct wire_reply r;
	int status;

	wire_send(fd,
	    "GET %s HTTP/1.1\r\nHost: localhost\r\n"
	    "Authorization: Bearer %s\r\n\r\n",
	    path, s->engine);
	if (!wire_read(fd, &r, SITE_PATIENCE_MS, false))
		fail_msg("no answer to %s", path);
	status = r.status;
	wire_reply_clear(&r);
	return status;
}

/* Whoever can connect can take all places, but not the descriptors with which
 * artifacts are read. */
static void
keeps_descriptors_for_artifacts(void **state)
{
	enum { FILES = 1024, CROWD = 1200, THREADS = 4 };
	struct rlimit limit;
	struct site s;
	int *crowd = mem_array(CROWD, sizeof *crowd);
	int64_t end;
	int own, status;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	open_default(&s, THREADS);
	s.files_max = FILES;
	site_start(&s);
	own = wire_open(&s);
	assert_int_equal(status_of(own, &s, "/bundles/main"), 200);
	for (int i = 0; i < CROWD; i++)
		crowd[i] = wire_open(&s);
	site_assign(&s, "default", "spare", "two", 3);
	site_tell_changed(&s);
	end = clock_mono_ms() + SITE_PATIENCE_MS;
	do {
		status = status_of(own, &s, "/bundles/spare");
	} while (status != 200 && clock_mono_ms() < end);
	assert_int_equal(status, 200);
	for (int i = 0; i < CROWD; i++)
		close(crowd[i]);
	mem_free(crowd);
	close(own);
	(void)site_stop(&s);
	site_close(&s);
}

static void
ends_in_order(void **state)
{
	struct site s;
	struct wire_reply r;
	int held;
	int idle;
	int asking;

	(void)state;
	open_default(&s, 2);
	site_start_clerk(&s);
	site_start(&s);
	held = wire_open(&s);
	send_poll(held, &s, s.etag, WAIT_S);
	idle = wire_open(&s);
	send_poll(idle, &s, "\"none\"", WAIT_S);
	expect_status(idle, 200, true);
	asking = wire_open(&s);
	wire_send(asking,
	    "POST /v1/commits/main/retest HTTP/1.1\r\nHost: x\r\n"
	    "Authorization: Bearer %s\r\n\r\n",
	    s.admin);
	site_wait_metric(&s, waiting, 1);
	site_wait_retest(&s);
	assert_in_range(site_stop(&s), 0, SITE_PATIENCE_MS);
	assert_true(wire_read(held, &r, 100, false));
	assert_int_equal(r.status, 304);
	expect_header(&r, "Connection", "close");
	wire_reply_clear(&r);
	assert_true(wire_read(asking, &r, 100, false));
	expect_code(&r, 503, "unavailable");
	wire_reply_clear(&r);
	assert_true(wire_closed(idle, 100));
	close(held);
	close(idle);
	close(asking);

	/* The sockets are as they were: who comes next serves on them. */
	site_start(&s);
	site_get(&s, s.engine, "/bundles/main", &r);
	assert_int_equal(r.status, 200);
	wire_reply_clear(&r);
	(void)site_stop(&s);
	site_close(&s);
}

/* The next that it tells the supervisor. */
static uint32_t
next_told(const struct site *s)
{
	struct pollfd p = { .fd = s->supervisor[1], .events = POLLIN };
	uint32_t kind;

	assert_int_equal(poll(&p, 1, SITE_PATIENCE_MS), 1);
	assert_true(channel_take_kind(s->supervisor[1], &kind));
	return kind;
}

/* Reading what is served may take long; that it goes on is told at once. */
static void
tells_how_far_it_is(void **state)
{
	struct site s;

	(void)state;
	open_default(&s, 1);
	site_start(&s);
	assert_int_equal(next_told(&s), SUPERVISOR_GETS_ON);
	assert_int_equal(next_told(&s), SUPERVISOR_SERVING);
	(void)site_stop(&s);
	site_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engines_get_their_bundle),
		cmocka_unit_test(refuses_what_is_not_allowed),
		cmocka_unit_test(serves_strangers_where_allowed),
		cmocka_unit_test(holds_until_something_is_new),
		cmocka_unit_test(holds_no_longer_than_asked),
		cmocka_unit_test(notices_that_engines_left),
		cmocka_unit_test(ends_the_wait_of_the_revoked),
		cmocka_unit_test(says_when_it_is_full),
		cmocka_unit_test(answers_all_that_come_together),
		cmocka_unit_test(answers_hostile_requests),
		cmocka_unit_test(is_not_held_up_by_the_slow),
		cmocka_unit_test(shows_the_store),
		cmocka_unit_test(hands_actions_to_the_ledger),
		cmocka_unit_test(refuses_bodies_that_are_none),
		cmocka_unit_test(goes_on_without_the_ledger),
		cmocka_unit_test(says_how_it_is),
		cmocka_unit_test(keeps_what_it_has),
		cmocka_unit_test(looks_again_for_artifacts),
		cmocka_unit_test(keeps_descriptors_for_artifacts),
		cmocka_unit_test(tells_how_far_it_is),
		cmocka_unit_test(ends_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
