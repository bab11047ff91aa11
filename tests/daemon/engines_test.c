#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/daemon/fixture.h"

enum { RETRY_MS = 60000 + 2 * DAEMON_DEADLINE_MS }; /* after a minute */

static json_t *
engines(void)
{
	return daemon_api("GET", "/clusters/default/engines", NULL, 200);
}

/* Of the engine that comes first by name. */
static const char *
text_of(const char *path)
{
	const char *text =
	    daemon_text(engines(), daemon_printf("items.0.%s", path));

	return text != NULL ? text : "";
}

static bool
has_state(void *arg)
{
	return strcmp(text_of("state"), arg) == 0;
}

static bool
are_converged(void *arg)
{
	int64_t *wanted = arg;
	const json_t *c = daemon_api("GET", "/clusters/default", NULL, 200);

	return daemon_number(c, "engines.converged") == *wanted;
}

static void
wait_converged(int64_t count)
{
	daemon_wait("the engines are converged", are_converged, &count,
	    DAEMON_DEADLINE_MS);
}

static void
wait_state(const char *state, int64_t deadline_ms)
{
	daemon_wait(daemon_printf("the engine is %s", state), has_state,
	    (void *)(uintptr_t)state, deadline_ms);
}

static int64_t
polls(const char *code)
{
	struct answer a = daemon_get("/metrics", NULL, NULL);
	const char *at = strstr(a.body,
	    daemon_printf("edict_polls_total{code=\"%s\"} ", code));

	assert_non_null(at);
	return strtoll(strchr(at, ' '), NULL, 10);
}

/* ---- another service, with a bundle called extra ---- */

static struct {
	pthread_t thread;
	int listener;
	int port;
	char path[256];
	atomic_int version; /* its ETag */
} other;

static void
answer(int fd)
{
	static char data[65536];
	char head[4096];
	char etag[32];
	ssize_t n = recv(fd, head, sizeof head - 1, 0);
	FILE *file = fopen(other.path, "rb");
	size_t len = file != NULL ? fread(data, 1, sizeof data, file) : 0;
	bool same;

	if (file != NULL)
		(void)fclose(file);
	(void)snprintf(etag, sizeof etag, "\"v%d\"",
	    atomic_load(&other.version));
	head[n > 0 ? n : 0] = '\0';
	same = strstr(head, etag) != NULL;
	n = snprintf(head, sizeof head,
	    "HTTP/1.1 %s\r\nContent-Type: application/gzip\r\nETag: %s\r\n"
	    "Content-Length: %zu\r\nConnection: close\r\n\r\n",
	    same ? "304 Not Modified" : "200 OK", etag, same ? 0 : len);
	(void)!send(fd, head, (size_t)n, MSG_NOSIGNAL);
	if (!same)
		(void)!send(fd, data, len, MSG_NOSIGNAL);
}

static void *
serve(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept(other.listener, NULL, NULL)) >= 0) {
		answer(fd);
		close(fd);
	}
	return NULL;
}

static void
end_other(void)
{
	if (other.port == 0)
		return;
	(void)shutdown(other.listener, SHUT_RDWR);
	assert_int_equal(pthread_join(other.thread, NULL), 0);
	close(other.listener);
	other.port = 0;
}

static void
start_other(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sa;

	end_other(); /* of a scenario that failed */
	(void)snprintf(other.path, sizeof other.path, "%s",
	    daemon_path("extra.tar.gz"));
	other.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(other.listener, (struct sockaddr *)&sa,
			     sizeof sa),
	    0);
	assert_int_equal(listen(other.listener, 16), 0);
	assert_int_equal(getsockname(other.listener, (struct sockaddr *)&sa,
			     &len),
	    0);
	other.port = ntohs(sa.sin_port);
	assert_int_equal(pthread_create(&other.thread, NULL, serve, NULL), 0);
}

/* The bundle owns this package. */
static void
write_extra(const char *package)
{
	daemon_sh("rm -rf extra && mkdir extra && cd extra && "
		  "printf 'package %s\n\nx := 1\n' > x.rego && "
		  "printf '{\"roots\":[\"%s\"]}' > .manifest && "
		  "%s build -b . -o ../new.tar.gz && "
		  "mv ../new.tar.gz ../extra.tar.gz",
	    package, package, engine_opa());
	atomic_fetch_add(&other.version, 1);
}

static const char *
other_url(void)
{
	return daemon_printf("http://127.0.0.1:%d", other.port);
}

static const char *
extra_config(void)
{
	return daemon_printf("  extra:\n"
			     "    service: other\n"
			     "    resource: extra.tar.gz\n"
			     "    polling:\n"
			     "      min_delay_seconds: 1\n"
			     "      max_delay_seconds: 1\n");
}

static const char *
commit_package(const char *name, int level)
{
	return daemon_commit("more",
	    { "authz/authz.rego",
		daemon_printf("package authz\n\nlevel := %d\n", level) },
	    { LEVEL_TEST,
		daemon_printf("package authz_test\n\nimport data.authz\n\n"
			      "test_level if authz.level == %d\n",
		    level) },
	    { "more/more.rego",
		daemon_printf("package %s\n\ny := 1\n", name) });
}

/* Roots of the two bundles overlap, so the new revision cannot be activated.
 * The engine's polls say so, its downloads end, and when the overlap is gone it
 * has the revision after a minute at the latest. */
SCENARIO(who_cannot_activate_is_known_by_its_polls)
{
	const char *one = daemon_level(1);
	const char *two;
	struct engine *e;
	int64_t before, sent;
	struct shell s;

	start_other();
	write_extra("taken");
	daemon_start(NULL);
	daemon_wait_served(one);
	e = engine_start_as("host-1", "default", ENGINE_LONG, other_url(),
	    extra_config());
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(e, "taken/x", NULL, "1", DAEMON_DEADLINE_MS);
	wait_state("converged", DAEMON_DEADLINE_MS);
	assert_string_equal(text_of("bundles.0.has.revision"), one);

	two = commit_package("taken", 2);
	daemon_wait_served(two);
	wait_state("rejecting", DAEMON_DEADLINE_MS);
	assert_string_equal(text_of("bundles.0.has.revision"), one);
	assert_string_equal(text_of("bundles.0.sent.revision"), two);
	assert_string_equal(engine_ask(e, "authz/level", NULL), "1");
	/* Twice, and no more. */
	daemon_wait_log("engine.rejecting cluster=default engine=host-1", 0);
	before = polls("200");
	s = daemon_try("edict status --engines");
	assert_int_equal(s.status, 0);
	assert_non_null(strstr(s.text, "rejecting"));
	assert_non_null(strstr(s.text, "host-1"));
	sent = daemon_number(engines(), "items.0.bundles.0.sent.times");
	assert_in_range(sent, 1, 3);
	write_extra("free");
	engine_wait(e, "free/x", NULL, "1", DAEMON_DEADLINE_MS);
	wait_state("converged", RETRY_MS);
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	/* One that made it, perhaps one before it that was on its way. */
	assert_in_range(polls("200") - before, 1, 3);
	daemon_wait_log("engine.healed cluster=default engine=host-1", 0);
}

/* The overlap goes with the next commit: that is something new. */
SCENARIO(the_next_revision_heals)
{
	const char *one = daemon_level(1);
	const char *rev;
	struct engine *e;

	start_other();
	write_extra("taken");
	daemon_start(NULL);
	daemon_wait_served(one);
	e = engine_start_as("host-1", "default", ENGINE_LONG, other_url(),
	    extra_config());
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(e, "taken/x", NULL, "1", DAEMON_DEADLINE_MS);
	rev = commit_package("taken", 2);
	daemon_wait_served(rev);
	wait_state("rejecting", DAEMON_DEADLINE_MS);
	rev = commit_package("spare", 3);
	daemon_wait_served(rev);
	engine_wait(e, "authz/level", NULL, "3", DAEMON_DEADLINE_MS);
	wait_state("converged", DAEMON_DEADLINE_MS);
	assert_string_equal(text_of("bundles.0.has.revision"), rev);
}

/* Two engines over a rollback; a process that is killed and a server that is
 * started again forget neither. */
SCENARIO(who_runs_what_over_a_rollback_and_a_restart)
{
	const char *one = daemon_level(1);
	const char *two;
	struct engine *a, *b;
	const json_t *c;
	struct shell s;
	size_t from;

	daemon_start(NULL);
	daemon_wait_served(one);
	a = engine_start_as("host-1", "default", ENGINE_LONG, NULL, "");
	b = engine_start_as("host-2", "default", ENGINE_PLAIN, NULL, "");
	engine_wait(a, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(b, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	two = daemon_level(2);
	daemon_wait_served(two);
	engine_wait(a, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	engine_wait(b, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	wait_converged(2);
	daemon_sh("edict rollback main --to %s --reason 'a test'", one);
	engine_wait(a, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(b, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	wait_converged(2);
	assert_string_equal(text_of("bundles.0.has.revision"), one);
	/* Rolled back by us: nobody went back by itself. */
	assert_null(strstr(daemon_log(), "engine.went_back"));

	from = strlen(daemon_log());
	daemon_kill("http", SIGKILL);
	daemon_wait_log("http.serving", from);
	wait_converged(2);
	engine_stop(a);
	engine_stop(b);
	daemon_restart();
	c = engines();
	assert_string_equal(daemon_text(c, "items.0.engine"), "host-1");
	assert_string_equal(daemon_text(c, "items.1.engine"), "host-2");
	assert_string_equal(daemon_text(c, "items.1.state"), "converged");
	assert_string_equal(daemon_text(c, "items.1.bundles.0.has.revision"),
	    one);
	c = daemon_api("GET", "/clusters/default", NULL, 200);
	assert_int_equal(daemon_number(c, "engines.converged"), 2);
	assert_int_equal(daemon_number(c, "assignments.0.engines.converged"),
	    2);
	assert_string_equal(daemon_text(c, "assignments.0.running.0.revision"),
	    one);
	assert_int_equal(daemon_number(c, "assignments.0.running.0.engines"),
	    2);
	s = daemon_try("edict status | awk 'length > 80'");
	assert_string_equal(s.text, "");
	s = daemon_try("edict status");
	assert_non_null(strstr(s.text, "CONVERGED"));
}

static bool
tells_overlap(void *arg)
{
	(void)arg;
	return strstr(text_of("bundles.0.error.message"), "overlap") != NULL;
}

static bool
has_decisions(void *arg)
{
	const json_t *c = daemon_api("GET", "/clusters/default", NULL, 200);

	(void)arg;
	return json_array_size(daemon_at(c, "decisions")) > 0;
}

/* What engines report of themselves comes in, and names its cause. */
SCENARIO(status_reports_add_the_reason)
{
	const char *one = daemon_level(1);
	struct engine *e;

	start_other();
	write_extra("taken");
	daemon_start(NULL);
	daemon_wait_served(one);
	e = engine_start_as("host-1", "default", ENGINE_LONG, other_url(),
	    daemon_printf("%sstatus: {service: edict}\n"
			  "decision_logs:\n  service: edict\n"
			  "  reporting: {min_delay_seconds: 1, "
			  "max_delay_seconds: 1}\n",
		extra_config()));
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	engine_wait(e, "taken/x", NULL, "1", DAEMON_DEADLINE_MS);
	daemon_wait_served(commit_package("taken", 2));
	wait_state("rejecting", DAEMON_DEADLINE_MS);
	daemon_wait("the reason is told", tells_overlap, NULL,
	    DAEMON_DEADLINE_MS);
	assert_string_equal(text_of("bundles.0.error.code"), "bundle_error");
	assert_string_not_equal(text_of("version"), "");
	daemon_wait("decisions are counted", has_decisions, NULL,
	    DAEMON_DEADLINE_MS);
}

/* Who says nothing ages where everybody sees it. */
SCENARIO(the_silent_are_shown)
{
	const char *one = daemon_level(1);
	struct engine *e;

	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories: {remote: {url: \"%s\"}}\n"
				    "http: {wait_max: 2s}\n"
				    "engines: {silent_after: 10s}\n",
		daemon_path("remote.git")) });
	daemon_wait_served(one);
	e = engine_start_as("host-1", "default", ENGINE_LONG, NULL, "");
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	wait_state("converged", DAEMON_DEADLINE_MS);
	engine_stop(e);
	wait_state("silent", DAEMON_DEADLINE_MS);
	assert_non_null(strstr(daemon_try("edict status").text, "1 silent"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(who_cannot_activate_is_known_by_its_polls),
		PLAY(the_next_revision_heals),
		PLAY(who_runs_what_over_a_rollback_and_a_restart),
		PLAY(status_reports_add_the_reason),
		PLAY(the_silent_are_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
