/* The test plays systemd: it hands sockets over, and is told how the server is.
 * And what the server says when a configuration that is good cannot be served
 * with. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/daemon/fixture.h"

#define MAIN "/clusters/default/bundles/main"
#define OPEN_TO_ALL "access: { anonymous_cluster: default }\n"

enum { HEARD_MAX = 256 * 1024, WATCHDOG_US = 4000000 };

/* ---- what systemd hears ---- */

static int ear = -1;
static char heard[HEARD_MAX + 1];
static size_t heard_len;

static const char *
open_ear(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = daemon_path("notify");

	assert_true(strlen(path) < sizeof sa.sun_path);
	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	ear = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(ear >= 0);
	assert_int_equal(bind(ear, (struct sockaddr *)&sa, sizeof sa), 0);
	return path;
}

/* Each message, and a line "--" after it. */
static void
listen_in(void)
{
	ssize_t n;

	while ((n = recv(ear, heard + heard_len, HEARD_MAX - heard_len,
		    MSG_DONTWAIT)) > 0) {
		heard_len += (size_t)n;
		assert_true(heard_len < HEARD_MAX - 4);
		memcpy(heard + heard_len, "\n--\n", 4);
		heard_len += 4;
	}
	heard[heard_len] = '\0';
}

struct saying {
	const char *text;
	size_t from;
};

static bool
is_heard(void *arg)
{
	const struct saying *s = arg;

	listen_in();
	return strstr(heard + s->from, s->text) != NULL;
}

/* Where it begins. */
static size_t
wait_heard(const char *text, size_t from)
{
	struct saying s = { text, from };

	daemon_wait(text, is_heard, &s, DAEMON_DEADLINE_MS);
	return (size_t)(strstr(heard + from, text) - heard);
}

static size_t
heard_so_far(void)
{
	listen_in();
	return heard_len;
}

/* Twice in the time that systemd allows, whatever else happens. */
static bool
is_fed(void *arg)
{
	size_t n = 0;

	(void)arg;
	listen_in();
	for (const char *p = heard; (p = strstr(p, "WATCHDOG=1")) != NULL; p++)
		n++;
	return n >= 3;
}

/* ---- what it hands over ---- */

static int
listening(int *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int high;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	high = fcntl(fd, F_DUPFD_CLOEXEC, 100); /* not where it is to go */
	assert_true(high >= 100);
	close(fd);
	return high;
}

/* Asked while nobody serves. */
static int
ask_early(int port)
{
	static const char text[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n"
				   "Connection: close\r\n\r\n";
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(send(fd, text, sizeof text - 1, MSG_NOSIGNAL),
	    sizeof text - 1);
	return fd;
}

static void
expect_answer(int fd)
{
	char text[64];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, DAEMON_DEADLINE_MS), 1);
	assert_true(recv(fd, text, sizeof text, 0) > 12);
	assert_memory_equal(text, "HTTP/1.1 200", 12);
	close(fd);
}

/* ---- server.yaml ---- */

static const char *
file_text(const char *more)
{
	return daemon_printf("repositories:\n"
			     "  policies: { url: %s, clusters: true }\n%s",
	    daemon_path("remote.git"), more);
}

/* What was said before it is not listened to. */
static size_t
reload(const char *text)
{
	size_t from = heard_so_far();

	daemon_write("server.yaml", text);
	assert_int_equal(kill(daemon_pid(), SIGHUP), 0);
	return wait_heard("RELOADING=1\nMONOTONIC_USEC=", from);
}

static bool
is_open_to_all(void *arg)
{
	(void)arg;
	return daemon_get(MAIN, NULL, NULL).status == 200;
}

static void
wait_open_to_all(void)
{
	daemon_wait("anybody may read it", is_open_to_all, NULL,
	    DAEMON_DEADLINE_MS);
}

static const char *
alarm_kind(void)
{
	const json_t *j = daemon_api("GET", "/alarms", NULL, 200);
	const char *kind = daemon_text(j, "items.0.kind");

	return kind != NULL ? kind : "";
}

static bool
is_alarm(void *arg)
{
	return strcmp(alarm_kind(), arg) == 0;
}

/* In all places where people look. fault is "" when all is well. */
static void
expect_state(const char *state, const char *fault, const char *warning)
{
	const json_t *j = daemon_api("GET", "/configuration", NULL, 200);
	const char *kind =
	    *fault == '\0' ? "" : daemon_printf("configuration.%s", state);
	const char *status = daemon_sh("edict status");

	assert_string_equal(daemon_text(j, "state"), state);
	assert_true((*fault == '\0') == (daemon_text(j, "fault") == NULL));
	if (*fault != '\0') {
		assert_non_null(strstr(daemon_text(j, "fault"), fault));
		assert_non_null(strstr(status, kind));
		assert_non_null(strstr(status, fault));
	} else {
		assert_null(strstr(status, "configuration."));
	}
	assert_non_null(strstr(daemon_get("/readyz", NULL, NULL).body,
	    warning));
	daemon_wait(daemon_printf("the alarm \"%s\"", kind), is_alarm,
	    (void *)(uintptr_t)kind, DAEMON_DEADLINE_MS);
}

/* ---- */

static void
a_good_file(void)
{
	int64_t before = daemon_now_ms();
	size_t at = reload(file_text(OPEN_TO_ALL));
	int64_t said = strtoll(strchr(heard + at, '\n') + 16, NULL, 10) / 1000;

	assert_true(said >= before && said <= daemon_now_ms());
	(void)wait_heard("READY=1\nSTATUS=serving on 127.0.0.1:", at);
	wait_open_to_all();
	expect_state("loaded", "", "\"warnings\":[]");
}

static void
a_bad_file(void)
{
	size_t at = reload(file_text(OPEN_TO_ALL "http: {wait_max: soon}\n"));

	(void)wait_heard("READY=1\nSTATUS=the configuration is refused: ", at);
	expect_state("refused", "server.yaml:4:", "is refused");
}

/* It is good, and http cannot begin with it. The one before goes on, and if it
 * dies, it comes back as it was. */
static void
a_file_that_http_cannot_serve_with(void)
{
	pid_t http = daemon_process("http");
	size_t at;

	daemon_expect_deaths("status=1");
	daemon_sh("openssl req -x509 -newkey ec -pkeyopt "
		  "ec_paramgen_curve:prime256v1 -nodes -keyout tls.key -out "
		  "tls.pem -days 2 -subj /CN=a 2>/dev/null && chmod 600 "
		  "tls.key && mkdir away && mv data/artifacts/* away/");
	at = reload(file_text(daemon_printf("tls: {certificate: %s, key: %s}\n",
	    daemon_path("tls.pem"), daemon_path("tls.key"))));
	(void)
	    wait_heard("READY=1\nSTATUS=the configuration does not hold: http "
		       "cannot serve with it",
		at);
	expect_state("failed", "http cannot serve with it",
	    "cannot be served with");
	daemon_sh("mv tls.pem away.pem && cp -rln away/. data/artifacts/");
	assert_int_equal(kill(http, SIGKILL), 0);
	wait_open_to_all();
	at = reload(file_text(OPEN_TO_ALL "http: {wait_max: 9}\n"));
	(void)wait_heard("READY=1\nSTATUS=serving on 127.0.0.1:", at);
	wait_open_to_all();
	expect_state("loaded", "", "\"warnings\":[]");
}

SCENARIO(systemd_hands_over_and_is_told)
{
	const char *rev = daemon_level(1);
	int port, fd;
	size_t at;
	const char *const env[] = { daemon_printf("NOTIFY_SOCKET=%s",
					open_ear()),
		daemon_printf("WATCHDOG_USEC=%d", WATCHDOG_US), NULL };

	daemon_start(&(struct daemon_options){ .config = file_text(""),
	    .env = env,
	    .sockets = { listening(&port) } });
	(void)wait_heard(
	    daemon_printf("READY=1\nSTATUS=serving on 127.0.0.1:%d", port), 0);
	assert_string_equal(daemon_url(),
	    daemon_printf("http://127.0.0.1:%d", port));
	daemon_wait_served(rev);
	daemon_wait_settled("default");
	a_good_file();
	a_bad_file();
	a_file_that_http_cannot_serve_with();
	daemon_wait("the watchdog is fed", is_fed, NULL, DAEMON_DEADLINE_MS);
	at = heard_so_far();
	daemon_stop();
	(void)wait_heard("STOPPING=1", at);
	fd = ask_early(port);
	daemon_restart();
	expect_answer(fd);
	daemon_stop();
	close(ear);
}

/* As they are, but for the place of the program. */
SCENARIO(the_units_to_copy_are_good)
{
	static const char *const units[] = { "edict.service", "edict.socket" };
	char *here = getcwd(NULL, 0);

	assert_non_null(here);
	for (size_t i = 0; i < 2; i++)
		daemon_sh("sed 's|=/usr/bin/edict |=%s |' "
			  "'%s/examples/systemd/%s' > %s",
		    EDICT_PROGRAM, here, units[i], units[i]);
	free(here);
	assert_string_equal(
	    daemon_sh("systemd-analyze verify --man=no ./edict.service "
		      "./edict.socket"),
	    "");
	/* A mistake would be seen. */
	daemon_sh("sed -i s/^WatchdogSec=.*/WatchdogSec=often/ edict.service");
	assert_string_not_equal(
	    daemon_try("systemd-analyze verify --man=no ./edict.service").text,
	    "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(systemd_hands_over_and_is_told),
		PLAY(the_units_to_copy_are_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
