#include "server/supervisor/call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/supervisor/call_private.h"
#include "tests/unit/policies/git_fixture.h"
#include "tests/unit/server/receiver.h"

enum { ANSWER_MAX = 64 * 1024, SHORT_MS = 3000, LONG_MS = 60000 };

static struct receiver host;

static int
setup(void **state)
{
	(void)state;
	log_init("test", LOG_ERROR);
	fixture_start();
	sh("mkdir got; printf 's3cret\\n' > secret; printf 'older\\n' > old\n"
	   "chmod 600 secret old");
	receiver_start(&host, fixture_path("got"), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	receiver_stop(&host);
	fixture_end();
	return 0;
}

static const char *const some_headers[] = { "X-Edict-Event", "If-None-Match",
	NULL };

static char url_text[128];

static struct call_target
target_at(const char *path)
{
	(void)snprintf(url_text, sizeof url_text, "http://127.0.0.1:%d%s",
	    host.port, path);
	return (struct call_target){ .url = url_text,
		.headers = some_headers,
		.answer_max = ANSWER_MAX,
		.timeout_ms = LONG_MS };
}

static struct call_result
call_with(const struct call_target *t, const json_t *headers, const char *body)
{
	AUTO(call_child, c) = NULL;
	struct child_result ended;
	struct call_result result;
	struct err e = { 0 };
	int fd = -1;

	if (body != NULL)
		assert_int_equal(file_memory(&fd, "body", body, strlen(body),
				     &e),
		    ERR_OK);
	if (call_child_new(&c, t, headers, fd, &e) != ERR_OK ||
	    child_run(&ended, call_child_spec(c), t->timeout_ms + LONG_MS,
		call_output_max(t), &e) != ERR_OK)
		fail_msg("%s", e.text);
	if (fd >= 0)
		close(fd);
	call_result_read(&result, &ended);
	if (ended.err.len > 0)
		print_message("%s\n", ended.err.data);
	child_result_clear(&ended);
	return result;
}

static void
check(struct call_result r, enum call_outcome outcome, int status,
    const char *says)
{
	if (r.outcome != outcome || r.status != status ||
	    strstr(r.message, says) == NULL)
		fail_msg("%s %d: %s (not %s %d: %s)",
		    call_outcome_name(r.outcome), r.status, r.message,
		    call_outcome_name(outcome), status, says);
	call_result_clear(&r);
}

static void
test_get(void **state)
{
	struct call_target t = target_at("/ok");
	json_t *headers = json_pack("{s:s}", "If-None-Match", "\"v0\"");
	struct call_result r = call_with(&t, headers, NULL);

	(void)state;
	json_decref(headers);
	assert_string_equal(r.etag, "\"v1\"");
	assert_int_equal(r.body.len, 4);
	assert_memory_equal(r.body.data, "fine", 4);
	check(r, CALL_ANSWERED, 200, "");
	sh("grep -q '^GET /ok HTTP/1.1' got/1.head\n"
	   "grep -q '^If-None-Match: \"v0\"' got/1.head\n"
	   "grep -q '^User-Agent: edict/' got/1.head\n"
	   "! grep -qi '^X-Edict-Signature' got/1.head");
}

static void
test_signed(void **state)
{
	struct call_target t = target_at("/ok");
	json_t *headers = json_pack("{s:s}", "X-Edict-Event", "published");

	(void)state;
	t.post = true;
	t.content_type = "application/json";
	t.proof = CALL_SIGNED;
	t.secret_files[0] = fixture_path("secret");
	t.secret_files[1] = fixture_path("old");
	check(call_with(&t, headers, "{\"text\":\"hello\"}"), CALL_ANSWERED,
	    200, "");
	json_decref(headers);
	/* As a receiver would, with another program. */
	sh("S=$(sed -n 's/^X-Edict-Signature: //p' got/1.head | tr -d '\\r')\n"
	   "T=${S%%%%,*}; T=${T#t=}\n"
	   "for secret in s3cret older; do\n"
	   "M=$({ printf '%%s.' \"$T\"; cat got/1.body; } |\n"
	   "openssl dgst -sha256 -hmac $secret | sed 's/.*= //')\n"
	   "case \"$S,\" in *,v1=$M,*) ;; *) exit 1;; esac; done\n"
	   "now=$(date +%%s); [ $T -le $now ] && [ $T -gt $((now - 60)) ]\n"
	   "grep -q '^X-Edict-Event: published' got/1.head\n"
	   "grep -q '^Content-Type: application/json' got/1.head\n"
	   "! grep -q 's3cret\\|older' got/1.head");
}

static void
test_bearer_and_secret_url(void **state)
{
	struct call_target t = target_at("/ok");

	(void)state;
	sh("echo http://127.0.0.1:%d/ok > url; chmod 600 url", host.port);
	t.url = NULL;
	t.url_file = fixture_path("url");
	t.proof = CALL_BEARER;
	t.secret_files[0] = fixture_path("secret");
	check(call_with(&t, NULL, NULL), CALL_ANSWERED, 200, "");
	sh("grep -q '^Authorization: Bearer s3cret' got/1.head");
	/* A URL that is bad is not repeated. */
	sh("echo ftp://127.0.0.1/hidden > url");
	check(call_with(&t, NULL, NULL), CALL_FAILED, 0, "url: the url begins");
	sh("chmod 644 url");
	check(call_with(&t, NULL, NULL), CALL_FAILED, 0, "chmod 600");
}

static void
test_statuses(void **state)
{
	static const struct {
		const char *path;
		int status;
		int64_t after;
	} cases[] = { { "/status/204", 204, 0 }, { "/status/404", 404, 0 },
		{ "/status/503", 503, 7 }, { "/status/429", 429, 7 },
		{ "/redirect", 302, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct call_target t = target_at(cases[i].path);
		struct call_result r = call_with(&t, NULL, NULL);

		assert_int_equal(r.retry_after_s, cases[i].after);
		check(r, CALL_ANSWERED, cases[i].status, "");
	}
	/* The redirect was not followed. */
	sh("! grep -q 'GET /ok' got/*.head; [ $(ls got/*.head | wc -l) = 5 ]");
}

static void
test_hosts_that_misbehave(void **state)
{
	static const struct {
		const char *path;
		enum call_outcome outcome;
		int status;
		const char *says;
	} cases[] = {
		{ "/flood", CALL_TOO_LARGE, 200, "larger than 65536 bytes" },
		{ "/headers", CALL_TOO_LARGE, 200, "headers are larger" },
		{ "/close", CALL_UNREACHABLE, 0, "Empty reply" },
		{ "/half", CALL_UNREACHABLE, 200, "96 bytes remaining" },
		{ "/garbage", CALL_UNREACHABLE, 0, "HTTP/0.9" },
		{ "/stall", CALL_TIMED_OUT, 0, "timed out" },
		{ "/trickle", CALL_TIMED_OUT, 200, "timed out" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct call_target t = target_at(cases[i].path);

		if (cases[i].outcome == CALL_TIMED_OUT)
			t.timeout_ms = SHORT_MS;
		check(call_with(&t, NULL, NULL), cases[i].outcome,
		    cases[i].status, cases[i].says);
	}
}

static void
test_nobody_there(void **state)
{
	struct call_target t = target_at("/ok");

	(void)state;
	receiver_stop(&host);
	check(call_with(&t, NULL, NULL), CALL_UNREACHABLE, 0,
	    "Failed to connect");
	t.url = "http://no-such-host.invalid/";
	t.timeout_ms = 5000;
	{
		struct call_result r = call_with(&t, NULL, NULL);

		assert_true(r.outcome == CALL_UNREACHABLE ||
		    r.outcome == CALL_TIMED_OUT);
		call_result_clear(&r);
	}
}

/* ---- TLS, by openssl's server ---- */

static pid_t
tls_start(int port)
{
	AUTO_STR accept_at = mem_printf("127.0.0.1:%d", port);
	const char *argv[] = { "/usr/bin/openssl", "s_server", "-quiet", "-www",
		"-accept", accept_at, "-cert", fixture_path("site.pem"), "-key",
		fixture_path("site.key"), NULL };
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	return pid;
}

static struct call_result
call_when_up(const struct call_target *t)
{
	int64_t end = clock_mono_ms() + LONG_MS;

	for (;;) {
		struct call_result r = call_with(t, NULL, NULL);

		if (r.outcome != CALL_UNREACHABLE || clock_mono_ms() > end)
			return r;
		call_result_clear(&r);
		(void)poll(NULL, 0, 20);
	}
}

static void
test_tls(void **state)
{
	struct call_target t = target_at("/ok");
	AUTO_STR url = NULL;
	int port = host.port;
	pid_t server;

	(void)state;
	receiver_stop(&host);
	sh("for n in ca other; do openssl req -x509 -newkey rsa:2048 -nodes "
	   "-keyout $n.key -out $n.pem -days 2 -subj /CN=$n 2>/dev/null; done\n"
	   "openssl req -newkey rsa:2048 -nodes -keyout site.key -out site.csr "
	   "-subj /CN=site 2>/dev/null\n"
	   "echo subjectAltName=DNS:localhost > ext\n"
	   "openssl x509 -req -in site.csr -CA ca.pem -CAkey ca.key -days 2 "
	   "-extfile ext -out site.pem 2>/dev/null\n"
	   "echo nothing > empty.pem");
	server = tls_start(port);
	url = mem_printf("https://localhost:%d/", port);
	t.url = url;
	t.ca_file = fixture_path("ca.pem");
	check(call_when_up(&t), CALL_ANSWERED, 200, "");
	t.ca_file = fixture_path("other.pem");
	check(call_with(&t, NULL, NULL), CALL_UNTRUSTED, 0, "certificate");
	t.ca_file = NULL; /* the system's do not know it */
	check(call_with(&t, NULL, NULL), CALL_UNTRUSTED, 0, "certificate");
	t.ca_file = fixture_path("empty.pem");
	check(call_with(&t, NULL, NULL), CALL_UNTRUSTED, 0, "certificate");
	t.ca_file = fixture_path("missing.pem");
	check(call_with(&t, NULL, NULL), CALL_FAILED, 0, "missing.pem");
	mem_free(STEAL(url));
	url = mem_printf("https://127.0.0.1:%d/", port);
	t.url = url;
	t.ca_file = fixture_path("ca.pem");
	check(call_with(&t, NULL, NULL), CALL_UNTRUSTED, 0, "127.0.0.1");
	(void)kill(server, SIGKILL);
	(void)waitpid(server, NULL, 0);
}

/* ---- what is refused before anything starts ---- */

static void
refuse(const struct call_target *t, json_t *headers, int fd)
{
	struct call_child *c = NULL;
	struct err e;

	assert_int_equal(call_child_new(&c, t, headers, fd, &e), ERR_INVALID);
	assert_null(c);
	json_decref(headers);
}

static void
test_requests_that_are_refused(void **state)
{
	struct call_target t = target_at("/ok");
	AUTO_STR long_value = mem_printf("%*d", CALL_HEADER_MAX + 1, 1);

	(void)state;
	refuse(&t, json_pack("{s:s}", "Authorization", "mine"), -1);
	refuse(&t, json_pack("{s:s}", "Host", "elsewhere"), -1);
	refuse(&t, json_pack("{s:s}", "X-Edict-Event", "a\r\nHost: b"), -1);
	refuse(&t, json_pack("{s:s}", "X-Edict-Event", ""), -1);
	refuse(&t, json_pack("{s:i}", "X-Edict-Event", 1), -1);
	refuse(&t, json_pack("{s:s}", "X-Edict-Event", long_value), -1);
	refuse(&t, NULL, STDIN_FILENO);
	t.post = true;
	refuse(&t, NULL, -1);
	/* It could block, or change while it is read. */
	refuse(&t, NULL, STDIN_FILENO);
}

static void
test_references(void **state)
{
	struct conf_event_target target = { .name = (char[]){ "ops" },
		.url = (char[]){ "https://ops.example.org/hook" },
		.kind = EVENTS_EDICT,
		.timeout = 3 };
	struct conf c = { .events = { &target, 1 } };
	struct call_target t;
	struct err e;

	(void)state;
	assert_int_equal(call_target_find(&t, &c, "events/ops", &e), ERR_OK);
	assert_string_equal(t.url, target.url);
	assert_int_equal(t.proof, CALL_SIGNED);
	assert_int_equal(t.timeout_ms, 3000);
	assert_int_equal(call_target_find(&t, &c, "events/other", &e),
	    ERR_NOT_FOUND);
	assert_int_equal(call_target_find(&t, &c, "https://evil.example/", &e),
	    ERR_NOT_FOUND);
	assert_int_equal(call_target_find(&t, &c, "", &e), ERR_NOT_FOUND);
}

static void
test_urls(void **state)
{
	static const struct {
		const char *url;
		bool plain, secret;
	} cases[] = {
		{ "https://example.org/x?y=z", true, true },
		{ "http://example.org/", true, false },
		{ "http://127.0.0.1:80/", true, true },
		{ "http://[::1]:80/", true, true },
		{ "ftp://example.org/", false, false },
		{ "file:///etc/passwd", false, false },
		{ "gopher://example.org/", false, false },
		{ "example.org", false, false },
		{ "https://user@example.org/", false, false },
		{ "https://u:p@example.org/", false, false },
		{ "https://example.org/#here", false, false },
		{ "https://example.org/a b", false, false },
		{ "https://example.org/\x01", false, false },
		{ "https://", false, false },
		{ "", false, false },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bool plain = call_url_check(cases[i].url, true, &e) == ERR_OK;
		bool secret = call_url_check(cases[i].url, false, &e) == ERR_OK;

		if (plain != cases[i].plain || secret != cases[i].secret)
			fail_msg("%s: %d %d", cases[i].url, plain, secret);
	}
}

/* What a child that was taken over could write. */
static void
test_results_that_lie(void **state)
{
	static const char *const lines[] = { "", "{}\n", "{", "null\n",
		"{\"outcome\":\"answered\",\"status\":200,\"retry_after\":0,"
		"\"etag\":\"\",\"message\":\"\"}", /* no end */
		"{\"outcome\":\"answered\",\"status\":7,\"retry_after\":0,"
		"\"etag\":\"\",\"message\":\"\"}\n",
		"{\"outcome\":\"answered\",\"status\":200,\"retry_after\":-1,"
		"\"etag\":\"\",\"message\":\"\"}\n",
		"{\"outcome\":\"answered\",\"status\":200,\"retry_after\":0,"
		"\"etag\":\"a\\nb\",\"message\":\"\"}\n",
		"{\"outcome\":\"splendid\",\"status\":200,\"retry_after\":0,"
		"\"etag\":\"\",\"message\":\"\"}\n" };

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct child_result r = { .end = CHILD_EXITED };
		struct call_result out;

		buf_init(&r.out, 4096);
		buf_add_str(&r.out, lines[i]);
		call_result_read(&out, &r);
		if (out.outcome != CALL_FAILED || out.status != 0)
			fail_msg("%s", lines[i]);
		call_result_clear(&out);
		buf_clear(&r.out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_get, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bearer_and_secret_url,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_statuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hosts_that_misbehave,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_there, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_tls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests_that_are_refused,
		    setup, teardown),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_results_that_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
