/* Clients that are slow, greedy, or send what is none of HTTP: each is told, or
 * ended, and nobody else feels it. They come from 127.0.0.2, so that the
 * fixture's own requests do not count for their address. */

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "tests/daemon/fixture.h"
#include "tests/unit/server/exposition.h"

enum {
	HEARD_MAX = 16 << 20,
	TRICKLE_MS = 50,
	CROWD = 700 /* more than there are places with engines_max: 16 */
};

/* limits is what stands in http.limits, more is put before http. One thread, so
 * that all is counted in one place. */
static void
serve(const char *more, const char *limits)
{
	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories: {remote: {url: '%s'}}\n%s"
				    "http: {threads: 1, engines_max: 16, "
				    "wait_max: 300s, limits: {%s}}\n",
		daemon_path("remote.git"), more, limits) });
}

/* ---- raw clients ---- */

static int
dial(void)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, "127.0.0.2", &from.sin_addr), 1);
	assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
	to.sin_port =
	    htons((uint16_t)strtoul(strrchr(daemon_url(), ':') + 1, NULL, 10));
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

static void
put(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* More of what is to be sent; false: there is no more, or nobody takes it. */
static bool
push(int fd, const char **data, size_t *len)
{
	ssize_t n = send(fd, *data, *len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN;
	*data += n;
	*len -= (size_t)n;
	return *len > 0;
}

/* Sends data, and reads whatever comes until the server closes; trickled: a byte
 * now and then, over and over. */
static const char *
talk(int fd, const char *data, size_t len, bool trickled)
{
	struct pollfd p = { .fd = fd };
	char part[65536];
	bool more = len > 0;
	ssize_t n = 1;
	const char *text;
	AUTO_BUF all = { 0 };

	buf_init(&all, HEARD_MAX);
	while (n > 0) {
		int ready;

		p.events = POLLIN | (more && !trickled ? POLLOUT : 0);
		ready = poll(&p, 1, trickled ? TRICKLE_MS : DAEMON_DEADLINE_MS);
		if (ready == 0 && !trickled)
			fail_msg("it is not closed after: %.*s", (int)all.len,
			    all.data != NULL ? all.data : "");
		if (trickled && ready == 0)
			(void)send(fd, data, 1, MSG_NOSIGNAL);
		else if ((p.revents & (POLLIN | POLLERR | POLLHUP)) == 0)
			more = push(fd, &data, &len);
		else if ((n = recv(fd, part, sizeof part, 0)) > 0)
			buf_add(&all, part, (size_t)n);
	}
	if (n < 0)
		fail_msg("%s after: %.*s", strerror(errno), (int)all.len,
		    all.data != NULL ? all.data : "");
	text = daemon_printf("%.*s", (int)all.len,
	    all.data != NULL ? all.data : "");
	assert_int_equal(close(fd), 0);
	return text;
}

static const char *
say(const char *text)
{
	return talk(dial(), text, strlen(text), false);
}

static const char *
hear(int fd)
{
	return talk(fd, NULL, 0, false);
}

static void
check_said(const char *text, const char *status, const char *why)
{
	if (strncmp(text, "HTTP/1.1 ", 9) != 0 ||
	    strncmp(text + 9, status, strlen(status)) != 0 ||
	    strstr(text, why) == NULL)
		fail_msg("not %s %s: %s", status, why, text);
}

static size_t
count_of(const char *text, const char *what)
{
	size_t n = 0;

	while ((text = strstr(text, what)) != NULL) {
		text += strlen(what);
		n++;
	}
	return n;
}

/* ---- what the server tells of it ---- */

struct wanted {
	const char *limit;
	double least;
};

static bool
is_counted(void *arg)
{
	const struct wanted *w = arg;
	struct answer a = daemon_get("/metrics", NULL, NULL);

	return a.status == 200 &&
	    exposition_value(a.body,
		daemon_printf("edict_limits_hit_total{limit=\"%s\"}",
		    w->limit)) >= w->least;
}

/* So many hits, and a line in the log. */
static void
wait_limit(const char *limit, double least)
{
	struct wanted w = { limit, least };

	daemon_wait(daemon_printf("%s was hit", limit), is_counted, &w,
	    DAEMON_DEADLINE_MS);
	daemon_wait_log(daemon_printf("limit.hit limit=\"%s\"", limit), 0);
}

static bool
is_ready(void *arg)
{
	(void)arg;
	return daemon_get("/readyz", NULL, NULL).status == 200;
}

static void
check_alive(void)
{
	assert_int_equal(daemon_get("/healthz", NULL, NULL).status, 200);
}

/* ---- slow ones ---- */

SCENARIO(slow_headers_are_ended)
{
	static const char half[] = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
	int idle, fd;
	const char *text;

	serve("", "headers_timeout: 4s");
	idle = dial();
	fd = dial();
	put(fd, half);
	check_said(talk(fd, "a", 1, true), "408",
	    "http.limits.headers_timeout");
	/* It sent nothing at all. */
	check_said(hear(idle), "408", "http.limits.headers_timeout");
	/* One that was answered gets no answer that it did not ask for. */
	text = say("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
	check_said(text, "200", "");
	assert_int_equal(count_of(text, "HTTP/1.1 "), 1);
	wait_limit("request_time", 2);
	check_alive();
}

SCENARIO(slow_bodies_are_ended)
{
	int fd;

	serve("", "body_timeout: 2s");
	fd = dial();
	put(fd,
	    daemon_printf("POST /status HTTP/1.1\r\nHost: a\r\nAuthorization: "
			  "Bearer %s\r\nContent-Length: 60000\r\n\r\n{",
		daemon_engine()));
	check_said(talk(fd, " ", 1, true), "408", "http.limits.body_timeout");
	wait_limit("request_time", 1);
	check_alive();
}

/* ---- what is too much, or nothing that is known ---- */

static const char *
many(char c, int count)
{
	char *text = malloc((size_t)count + 1);
	const char *out;

	assert_non_null(text);
	memset(text, c, (size_t)count);
	text[count] = '\0';
	out = daemon_printf("%s", text);
	free(text);
	return out;
}

SCENARIO(what_is_too_large_is_refused)
{
	serve("", "");
	check_said(say(daemon_printf("GET /healthz HTTP/1.1\r\nHost: a\r\nX: "
				     "%s\r\n\r\n",
		       many('a', 9000))),
	    "431", "");
	wait_limit("headers", 1);
	/* The library's, and ours. */
	check_said(say(daemon_printf("GET /%s HTTP/1.1\r\nHost: a\r\n\r\n",
		       many('a', 9000))),
	    "414", "");
	check_said(say(daemon_printf("GET /%s HTTP/1.1\r\nHost: a\r\n"
				     "Connection: close\r\n\r\n",
		       many('a', 2048))),
	    "414", "longer than 2048 bytes");
	wait_limit("path", 2);
	/* Before the body comes. */
	check_said(say(daemon_printf("POST /status HTTP/1.1\r\nHost: a\r\n"
				     "Authorization: Bearer %s\r\n"
				     "Content-Length: 1048577\r\n\r\n",
		       daemon_engine())),
	    "413", "larger than 1048576 bytes");
	/* Whoever shows nothing may send less. */
	check_said(say("POST /status HTTP/1.1\r\nHost: a\r\n"
		       "Content-Length: 65537\r\n\r\n"),
	    "413", "larger than 65536 bytes");
	/* Of a length that nobody told. */
	check_said(say(daemon_printf("POST /status HTTP/1.1\r\nHost: a\r\n"
				     "Transfer-Encoding: chunked\r\n\r\n"
				     "200000\r\n%s\r\n0\r\n\r\n",
		       many(' ', 0x200000))),
	    "413", "too large");
	wait_limit("body_size", 3);
	check_alive();
}

/* ---- gzip ---- */

struct zipped {
	const char *file, *encoding, *status, *why;
};

/* What the server says to a file's bytes. */
static const char *
send_file(const char *path, const char *token, const char *encoding,
    const char *file)
{
	FILE *f = fopen(daemon_path(file), "rb");
	char bytes[60000];
	size_t len;
	AUTO_BUF all = { 0 };

	assert_non_null(f);
	len = fread(bytes, 1, sizeof bytes, f);
	assert_true(len > 0 && len < sizeof bytes);
	assert_int_equal(fclose(f), 0);
	buf_init(&all, HEARD_MAX);
	buf_printf(&all,
	    "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
	    "Authorization: Bearer %s\r\nContent-Encoding: %s\r\n"
	    "Content-Length: %zu\r\n\r\n",
	    path, token, encoding, len);
	buf_add(&all, bytes, len);
	return talk(dial(), all.data, all.len, false);
}

static void
check_status_as(const struct zipped *z)
{
	check_said(send_file("/status", daemon_engine(), z->encoding, z->file),
	    z->status, z->why);
}

/* gzip's own bytes, as an operator's tools would send them. */
SCENARIO(bodies_that_are_gzip_are_inflated)
{
	static const struct zipped rows[] = {
		{ "plain", "identity", "204", "" },
		{ "one.gz", "gzip", "204", "" },
		{ "one.gz", "X-GZIP", "204", "" },
		{ "two.gz", "gzip", "204", "" },
		{ "one.gz", "br", "415", "Content-Encoding" },
		{ "one.gz", "gzip, gzip", "415", "Content-Encoding" },
		{ "plain", "gzip", "400", "not gzip" },
		{ "cut.gz", "gzip", "400", "not gzip" },
		{ "more.gz", "gzip", "400", "not gzip" },
		{ "bomb.gz", "gzip", "413", "more than 1048576 bytes" },
		{ "ratio.gz", "gzip", "413", "more than 200 times" },
	};
	const char *rev = daemon_level(1);

	daemon_sh("echo '{}' >plain; gzip -c plain >one.gz; "
		  "(echo '{' | gzip -c; echo '}' | gzip -c) >two.gz; "
		  "head -c 15 one.gz >cut.gz; (cat one.gz; echo x) >more.gz; "
		  "head -c 20000000 /dev/zero | gzip -9 >bomb.gz; "
		  "head -c 500000 /dev/zero | gzip -9 >ratio.gz; "
		  "echo '{\"name\":\"zipped\",\"role\":\"viewer\"}' | gzip -c "
		  ">token.gz");
	serve("", "");
	daemon_wait_served(rev);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_status_as(&rows[i]);
	check_said(send_file("/v1/tokens", daemon_admin(), "gzip", "bomb.gz"),
	    "413", "more than 65536 bytes");
	check_said(send_file("/v1/tokens", daemon_admin(), "gzip", "token.gz"),
	    "201", "zipped");
	/* Strangers have nothing inflated. */
	check_said(send_file("/v1/tokens", "edict_x", "gzip", "bomb.gz"), "401",
	    "");
	wait_limit("inflated", 3);
	check_alive();
}

SCENARIO(what_is_malformed_is_refused)
{
	static const char *const rows[] = {
		"GET /healthz HTTP/1.1\r\n\r\n",
		"GET /healthz HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
		"POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
		("POST /status HTTP/1.1\r\nHost: a\r\n"
		 "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
	};

	serve("", "");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_said(say(rows[i]), "400", "");
	check_alive();
}

/* ---- how much one may ask ---- */

/* So many requests in one piece; and one that ends the connection. */
static const char *
ask_many(const char *path, const char *token, int count)
{
	const char *one = daemon_printf("GET %s HTTP/1.1\r\nHost: a\r\n"
					"Authorization: Bearer %s\r\n\r\n",
	    path, token);
	AUTO_BUF all = { 0 };

	buf_init(&all, HEARD_MAX);
	for (int i = 0; i < count; i++)
		buf_add(&all, one, strlen(one));
	return daemon_printf("%.*s", (int)all.len, all.data);
}

static const char *
last(const char *path, const char *token)
{
	return daemon_printf("GET %s HTTP/1.1\r\nHost: a\r\nConnection: close"
			     "\r\nAuthorization: Bearer %s\r\n\r\n",
	    path, token);
}

static void
check_told_when(const char *text)
{
	const char *at = strstr(text, "Retry-After: ");

	if (at == NULL || strtol(at + strlen("Retry-After: "), NULL, 10) < 1)
		fail_msg("no Retry-After: %s", text);
}

/* Many of a fleet may come from one address: whose token is good is let in while
 * somebody there tries what is not, even if it was never seen before. */
SCENARIO(bad_credentials_are_looked_at_for_a_while)
{
	static const char path[] = "/v1/clusters";
	const char *rev = daemon_level(1);
	const char *text, *good, *fresh;

	serve("", "failures_rate: 1, failures_burst: 4");
	daemon_wait_served(rev); /* the admin's was seen */
	text = say(daemon_printf("%s%s", ask_many(path, "edict_x", 60),
	    last(path, "edict_x")));
	assert_true(count_of(text, "HTTP/1.1 401 ") >= 4);
	assert_true(count_of(text, "HTTP/1.1 429 ") >= 1);
	check_told_when(strstr(text, "HTTP/1.1 429 "));
	assert_non_null(strstr(text, "http.limits.failures_rate"));
	wait_limit("failures", 1);
	/* Between two that are refused. */
	text = say(daemon_printf("%s%s%s%s", ask_many(path, "edict_x", 60),
	    ask_many(path, daemon_admin(), 1), ask_many(path, "edict_x", 3),
	    last(path, "edict_x")));
	good = strstr(text, "HTTP/1.1 200 ");
	assert_non_null(good);
	assert_non_null(strstr(good, "HTTP/1.1 429 "));
	assert_int_equal(count_of(text, "HTTP/1.1 200 "), 1);
	fresh = daemon_token("{\"name\":\"fresh\",\"role\":\"viewer\"}");
	text = say(daemon_printf("%s%s%s%s", ask_many(path, "edict_x", 60),
	    ask_many(path, fresh, 1), ask_many(path, "edict_x", 3),
	    last(path, "edict_x")));
	good = strstr(text, "HTTP/1.1 200 ");
	assert_non_null(good);
	assert_non_null(strstr(good, "HTTP/1.1 429 "));
	assert_int_equal(count_of(text, "HTTP/1.1 200 "), 1);
	/* Others' addresses have limits of their own. */
	assert_int_equal(daemon_get(path, "edict_x", NULL).status, 401);
}

SCENARIO(each_credential_has_its_rate)
{
	static const char path[] = "/v1/clusters";
	const char *text, *busy, *calm;

	(void)daemon_level(1);
	serve("", "api_rate: 2, api_burst: 40");
	daemon_wait("the server is ready", is_ready, NULL, DAEMON_DEADLINE_MS);
	busy = daemon_token("{\"name\":\"busy\",\"role\":\"viewer\"}");
	calm = daemon_token("{\"name\":\"calm\",\"role\":\"viewer\"}");
	text = say(daemon_printf("%s%s", ask_many(path, busy, 300),
	    last(path, busy)));
	assert_true(count_of(text, "HTTP/1.1 200 ") >= 40);
	assert_true(count_of(text, "HTTP/1.1 429 ") >= 1);
	check_told_when(strstr(text, "HTTP/1.1 429 "));
	assert_non_null(strstr(text, "http.limits.api_rate"));
	assert_int_equal(count_of(text, "HTTP/1.1 200 ") +
		count_of(text, "HTTP/1.1 429 "),
	    301);
	assert_int_equal(daemon_get(path, calm, NULL).status, 200);
	wait_limit("api_rate", 1);
}

/* ---- how many there may be ---- */

SCENARIO(an_address_has_so_many_connections)
{
	enum { STRANGERS = 8, MAY = 4 };
	const char *rev = daemon_level(1);
	const char *request;
	int fds[STRANGERS];
	char part[4096];

	serve("", "address_connections: 4, headers_timeout: 10m");
	daemon_wait_served(rev);
	for (int i = 0; i < STRANGERS; i++)
		fds[i] = dial();
	/* The first had to go. */
	for (int i = 0; i < STRANGERS - MAY; i++)
		check_said(hear(fds[i]), "429",
		    "http.limits.address_connections");
	wait_limit("address_connections", STRANGERS - MAY);
	for (int i = STRANGERS - MAY; i < STRANGERS; i++) {
		put(fds[i], last("/bundles/main", daemon_engine()));
		check_said(hear(fds[i]), "200", "");
	}
	/* Those who showed a good credential do not count. */
	request = ask_many("/healthz", "x", 1);
	for (int i = 0; i < STRANGERS; i++) {
		fds[i] = dial();
		put(fds[i], ask_many("/v1/clusters", daemon_admin(), 1));
		assert_true(recv(fds[i], part, sizeof part, 0) > 0);
	}
	for (int i = 0; i < STRANGERS; i++) {
		put(fds[i], request);
		assert_true(recv(fds[i], part, sizeof part, 0) > 0);
		assert_int_equal(close(fds[i]), 0);
	}
}

static void
allow_descriptors(void)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static bool
is_waiting(void *arg)
{
	struct answer a = daemon_get("/metrics", NULL, NULL);

	(void)arg;
	return a.status == 200 &&
	    exposition_value(a.body, "edict_engines_waiting") >= 1;
}

/* Who says nothing gives way to whoever comes, and not the engines. */
SCENARIO(a_crowd_keeps_nobody_out)
{
	const char *one = daemon_level(1);
	const char *etag;
	struct answer a;
	struct poll *p;
	int fds[CROWD];

	allow_descriptors();
	serve("",
	    "address_connections: 0, headers_timeout: 10m, body_timeout: 10m");
	daemon_wait_served(one);
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	etag = answer_header(&a, "ETag");
	p = poll_start_as("e1", "/clusters/default/bundles/main",
	    daemon_engine(), etag, 300);
	daemon_wait("one waits", is_waiting, NULL, DAEMON_DEADLINE_MS);
	for (int i = 0; i < CROWD; i++) {
		fds[i] = dial();
		if (i % 2 == 1)
			put(fds[i], "GET /healthz HTT");
	}
	check_said(hear(fds[0]), "503", "http.engines_max");
	check_said(hear(fds[1]), "503", "http.engines_max");
	check_alive();
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_int_equal(a.status, 200);
	assert_false(poll_is_over(p));
	daemon_wait_served(daemon_level(2));
	a = poll_end(p);
	assert_int_equal(a.status, 200);
	wait_limit("connections", 2);
	for (int i = 2; i < CROWD; i++)
		assert_int_equal(close(fds[i]), 0);
}

/* ---- TLS ---- */

static void
serve_tls(void)
{
	daemon_sh("mkdir tls; cd tls; openssl req -x509 -newkey ec -pkeyopt "
		  "ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -subj "
		  "/CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -days 2 "
		  "-out ca.pem 2>/dev/null; chmod 600 ca.key");
	serve(daemon_printf("tls: {certificate: '%s', key: '%s'}\n",
		  daemon_path("tls/ca.pem"), daemon_path("tls/ca.key")),
	    "");
}

static const char *
shake(const char *version)
{
	return daemon_try("openssl s_client -connect %s %s -cipher "
			  "DEFAULT:@SECLEVEL=0 -CAfile tls/ca.pem </dev/null",
	    strrchr(daemon_url(), '/') + 1, version)
	    .text;
}

/* By the server: the client would have tried. */
static void
check_refused(const char *text)
{
	if (strstr(text, "New, (NONE)") == NULL ||
	    strstr(text, "CONNECTED") == NULL ||
	    strstr(text, "no protocols available") != NULL)
		fail_msg("it was not refused: %s", text);
}

SCENARIO(old_versions_of_tls_are_refused)
{
	serve_tls();
	check_refused(shake("-tls1"));
	check_refused(shake("-tls1_1"));
	assert_non_null(strstr(shake("-tls1_2"), "New, TLSv1.2"));
	assert_non_null(strstr(shake("-tls1_3"), "New, TLSv1.3"));
	check_alive();
}

/* What is written by hand, made for one, or prepared for all. */
SCENARIO(over_tls_it_is_said_to_stay_there)
{
	static const char name[] = "Strict-Transport-Security";
	static const char value[] = "max-age=31536000";
	const char *rev = daemon_level(1);
	struct answer a;

	serve_tls();
	daemon_wait_served(rev);
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, name), value);
	a = daemon_get("/bundles/main", daemon_engine(),
	    daemon_printf("If-None-Match: %s", answer_header(&a, "ETag")));
	assert_int_equal(a.status, 304);
	assert_string_equal(answer_header(&a, name), value);
	a = daemon_get("/bundles/main", "edict_x", NULL);
	assert_int_equal(a.status, 401);
	assert_string_equal(answer_header(&a, name), value);
	a = daemon_send(&(struct request){ .method = "POST",
	    .path = "/status",
	    .token = daemon_engine(),
	    .body = "{}" });
	assert_int_equal(a.status, 204);
	assert_string_equal(answer_header(&a, name), value);
	daemon_stop();
	serve("", "");
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, name), "");
	a = daemon_get("/healthz", NULL, NULL);
	assert_string_equal(answer_header(&a, name), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(slow_headers_are_ended),
		PLAY(slow_bodies_are_ended),
		PLAY(what_is_too_large_is_refused),
		PLAY(bodies_that_are_gzip_are_inflated),
		PLAY(what_is_malformed_is_refused),
		PLAY(bad_credentials_are_looked_at_for_a_while),
		PLAY(each_credential_has_its_rate),
		PLAY(an_address_has_so_many_connections),
		PLAY(a_crowd_keeps_nobody_out),
		PLAY(old_versions_of_tls_are_refused),
		PLAY(over_tls_it_is_said_to_stay_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
