/* Long polls of the real engine where they meet something: nginx in between, as
 * a proxy with all its defaults (HTTP/1.0 to the server, a connection each), and
 * releases that are spread. */

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/daemon/fixture.h"

#define BUNDLE "/clusters/default/bundles/main"

enum {
	HOLDS = 4,
	ENGINES = 3, /* all of them early in an hour: less than once in 10^6 */
	RELEASES = 5,
	SETTLE_MS = 61000 /* ENGINES_SETTLE_S, and more */
};

static const char *
configure(const char *more)
{
	return daemon_printf("repositories: {remote: {url: \"%s\"}}\n%s",
	    daemon_path("remote.git"), more);
}

/* The server with a commit; engines are told of their configuration as well. */
static void
start(const char *rev, const char *more)
{
	daemon_start(&(struct daemon_options){ .config = configure(more) });
	daemon_wait_served(rev);
	daemon_wait_settled("default");
}

/* ---- what the server knows of them ---- */

static const json_t *
engine_items(void)
{
	return daemon_at(daemon_api("GET", "/clusters/default/engines", NULL,
			     200),
	    "items");
}

static size_t
engines_that_are(const char *state)
{
	const json_t *items = engine_items();
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(items); i++) {
		const char *is = daemon_text(json_array_get(items, i), "state");

		count += is != NULL && strcmp(is, state) == 0;
	}
	return count;
}

struct states {
	const char *state;
	size_t count;
};

static bool
are_in_state(void *arg)
{
	const struct states *s = arg;

	return engines_that_are(s->state) == s->count;
}

static void
wait_states(const char *state, size_t count)
{
	struct states s = { state, count };

	daemon_wait(daemon_printf("%zu are %s", count, state), are_in_state, &s,
	    DAEMON_DEADLINE_MS);
}

static bool
is_held(void *arg)
{
	(void)arg;
	return strstr(daemon_get("/metrics", NULL, NULL).body,
		   "\nedict_engines_waiting 1\n") != NULL;
}

/* ---- nginx ---- */

static bool
is_file(void *arg)
{
	return access(arg, R_OK) == 0;
}

static bool
is_no_file(void *arg)
{
	return access(arg, F_OK) != 0;
}

/* What engines reach; it writes down what it passed on and when it was over. */
struct proxy {
	int port;
	const char *pid_file, *url;
};

static struct proxy
proxy_new(void)
{
	int port = daemon_free_port();

	return (struct proxy){ .port = port,
		.pid_file = daemon_path("nginx.pid"),
		.url = daemon_printf("http://127.0.0.1:%d", port) };
}

static void
proxy_start(const struct proxy *p)
{
	daemon_write("nginx.conf",
	    /* Nobody else reads the scene's folder. */
	    daemon_printf(
		"%s pid nginx.pid; daemon on; worker_processes 1;\n"
		"events {}\n"
		"http { log_format seen escape=none '$status $request_time "
		"engine=$http_x_edict_engine "
		"had=$http_if_none_match got=$sent_http_etag "
		"of=$uri';\n"
		"access_log seen.log seen; "
		"client_body_temp_path tmp; proxy_temp_path tmp; "
		"fastcgi_temp_path tmp; uwsgi_temp_path tmp; "
		"scgi_temp_path tmp;\n"
		"server { listen 127.0.0.1:%d;\n"
		"location / { proxy_pass %s; } } }\n",
		geteuid() == 0 ? "user root;" : "", p->port, daemon_url()));
	daemon_sh("nginx -p '%s' -e error.log -c nginx.conf", daemon_path("."));
	daemon_wait("nginx runs", is_file, (void *)(uintptr_t)p->pid_file,
	    DAEMON_DEADLINE_MS);
}

static void
proxy_stop(const struct proxy *p)
{
	daemon_sh("kill $(cat '%s')", p->pid_file);
	daemon_wait("nginx ends", is_no_file, (void *)(uintptr_t)p->pid_file,
	    DAEMON_DEADLINE_MS);
}

/* It knows the proxy's address alone. */
static struct engine *
engine_behind(const struct proxy *p)
{
	daemon_sh("edict engine-config default --persist $PWD/kept | "
		  "sed 's|%s|%s|' >behind.yaml && ! grep -q %s behind.yaml",
	    daemon_url(), p->url, daemon_url());
	return engine_start_with("behind-nginx", daemon_path("behind.yaml"));
}

/* Polls for the bundle that match, as grep -E has it, from the n-th line on. */
static long
seen(const char *pattern, long from)
{
	return strtol(daemon_sh("grep of=%s seen.log | tail -n +%ld | "
				"grep -cE '%s' || true",
			  BUNDLE, from + 1, pattern),
	    NULL, 10);
}

struct sight {
	const char *pattern;
	long from, count;
};

static bool
is_seen(void *arg)
{
	const struct sight *s = arg;

	return seen(s->pattern, s->from) >= s->count;
}

static void
wait_seen(const char *pattern, long from, long count)
{
	struct sight s = { pattern, from, count };

	daemon_wait(daemon_printf("nginx has %ld of '%s'", count, pattern),
	    is_seen, &s, DAEMON_DEADLINE_MS);
}

/* ---- */

/* In the way: what is asked and answered gets through as it is. */
static void
expect_faithful(const struct proxy *p)
{
	const char *etag;

	daemon_sh("curl -sf -D head -o got.tar.gz -H 'Authorization: Bearer %s'"
		  " %s" BUNDLE,
	    daemon_engine(), p->url);
	etag = daemon_sh("sed -n 's/^ETag: //Ip' head | tr -d '\\r'");
	assert_string_equal(etag,
	    daemon_printf("\"sha256:%s\"",
		daemon_sh("sha256sum got.tar.gz | cut -c1-64")));
	assert_string_equal(
	    daemon_sh("curl -s -o /dev/null -w '%%{http_code}' -H "
		      "'Authorization: Bearer %s' -H 'If-None-Match: %s' "
		      "%s" BUNDLE,
		daemon_engine(), etag, p->url),
	    "304");
	assert_string_equal(
	    daemon_sh("curl -s -o /dev/null -w '%%{http_code}' -H "
		      "'Authorization: Bearer x%s' %s" BUNDLE,
		daemon_engine(), p->url),
	    "401");
}

/* Every poll was held for as long as it may be, and ended well. */
SCENARIO(holds_survive_a_proxy)
{
	static const char held[] = "^304 (1\\.[5-9]|[2-9]|[1-9][0-9]+)\\.?";
	const char *rev = daemon_level(1);
	struct proxy p = proxy_new();
	struct engine *e;
	const json_t *one;
	long all;

	start(rev, "http: {wait_max: 2s}\n");
	proxy_start(&p);
	e = engine_behind(&p);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	wait_seen(held, 0, HOLDS);
	all = seen("", 0);
	/* Once for the bundle; no answer came early, no connection was lost. */
	assert_int_equal(seen("^200 ", 0), 1);
	assert_true(seen(held, 0) >= all - 1);
	assert_int_equal(seen("engine=behind-nginx had=\"sha256:", 0),
	    seen("^304 ", 0));
	assert_true(engine_is_ready(e));

	wait_states("converged", 1);
	one = json_array_get(engine_items(), 0);
	assert_string_equal(daemon_text(one, "engine"), "behind-nginx");
	assert_non_null(strstr(daemon_sh("edict status --engines"),
	    "behind-nginx"));
	expect_faithful(&p);
	proxy_stop(&p);
}

/* True: it came as the answer to the poll that was held before; else that hold
 * had ended on a machine that was too slow. */
static bool
release_into_a_hold(struct engine *e, int level)
{
	const char *had, *rev;
	struct answer a;
	long before;

	daemon_wait("it is held", is_held, NULL, DAEMON_DEADLINE_MS);
	before = seen("", 0);
	a = daemon_get(BUNDLE, daemon_engine(), NULL);
	had = answer_header(&a, "ETag");
	rev = daemon_level(level);
	engine_wait(e, "authz/level", NULL, daemon_printf("%d", level),
	    DAEMON_DEADLINE_MS);
	wait_seen(daemon_printf("^200 .* had=%s got=\"sha256:", had), before,
	    1);
	daemon_wait_served(rev);
	return strncmp(daemon_sh("grep of=%s seen.log | tail -n +%ld", BUNDLE,
			   before + 1),
		   "200 ", 4) == 0;
}

SCENARIO(a_release_comes_through_a_proxy_to_a_held_poll)
{
	const char *rev = daemon_level(1);
	struct proxy p = proxy_new();
	struct engine *e;
	int level = 2;

	start(rev, "");
	proxy_start(&p);
	e = engine_behind(&p);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	while (!release_into_a_hold(e, level))
		assert_true(++level < 2 + RELEASES);
	wait_states("converged", 1);
	proxy_stop(&p);
}

/* Without it for a while: nothing that is in between has to stay up. */
SCENARIO(an_engine_outlives_its_proxy)
{
	const char *rev = daemon_level(1);
	struct proxy p = proxy_new();
	struct engine *e;

	start(rev, "http: {wait_max: 2s}\n");
	proxy_start(&p);
	e = engine_behind(&p);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	proxy_stop(&p);
	rev = daemon_level(2);
	daemon_wait_served(rev);
	wait_states("behind", 1);
	assert_string_equal(engine_ask(e, "authz/level", NULL), "1");
	proxy_start(&p);
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	wait_states("converged", 1);
	proxy_stop(&p);
}

/* ---- releases that are spread ---- */

static void
start_engines(struct engine **e, const char *decision)
{
	for (int i = 0; i < ENGINES; i++)
		e[i] = engine_start_as(daemon_printf("host-%d", i), "default",
		    ENGINE_LONG, NULL, "");
	for (int i = 0; i < ENGINES; i++)
		engine_wait(e[i], "authz/level", NULL, decision,
		    DAEMON_DEADLINE_MS);
	wait_states("converged", ENGINES);
}

SCENARIO(a_spread_release_reaches_all)
{
	const char *rev = daemon_level(1);
	struct engine *e[ENGINES];

	start(rev, "http: {wait_max: 2s, release_spread: 5s}\n");
	start_engines(e, "1");
	for (int level = 2; level < 4; level++) {
		rev = daemon_level(level);
		for (int i = 0; i < ENGINES; i++)
			engine_wait(e[i], "authz/level", NULL,
			    daemon_printf("%d", level), DAEMON_DEADLINE_MS);
		daemon_wait_served(rev);
		wait_states("converged", ENGINES);
	}
}

struct count {
	const char *code;
	int64_t value;
};

static int64_t
polls(const char *code)
{
	struct answer a = daemon_get("/metrics", NULL, NULL);
	const char *at = strstr(a.body,
	    daemon_printf("edict_polls_total{code=\"%s\"} ", code));

	assert_non_null(at);
	return strtoll(strchr(at, ' '), NULL, 10);
}

static bool
has_polled(void *arg)
{
	const struct count *c = arg;

	return polls(c->code) >= c->value;
}

/* Their turns are within an hour: they are behind, poll by poll, and that is
 * all that is said of them. */
static void
expect_behind(void)
{
	struct count more = { "304", polls("304") + HOLDS * ENGINES };
	json_t *c;

	daemon_wait("they poll", has_polled, &more, DAEMON_DEADLINE_MS);
	assert_true(engines_that_are("behind") > 0);
	c = daemon_api("GET", "/clusters/default", NULL, 200);
	assert_int_equal(daemon_number(c, "engines.rejecting"), 0);
	assert_int_equal(daemon_number(c, "engines.behind") +
		daemon_number(c, "engines.converged"),
	    ENGINES);
	assert_non_null(strstr(daemon_sh("edict status --engines"), "behind"));
	assert_null(strstr(daemon_try("edict status").text, "rejecting"));
}

static bool
is_past(void *arg)
{
	return daemon_now_ms() > *(const int64_t *)arg;
}

/* While the configuration of engines is news, nothing is spread: they may not
 * be ready before they have heard of their bundles again. */
static void
wait_settled(int64_t began)
{
	int64_t end = began + SETTLE_MS;

	daemon_wait("discovery is no news", is_past, &end, DAEMON_DEADLINE_MS);
}

SCENARIO(an_operators_decision_is_not_spread)
{
	const char *one = daemon_level(1);
	const char *two, *rev;
	struct engine *e[ENGINES];
	int64_t began;

	start(one, "http: {wait_max: 2s, release_spread: 1h}\n");
	began = daemon_now_ms();
	two = daemon_level(2);
	daemon_wait_served(two);
	wait_settled(began);
	/* Who has no bundle yet waits for none. */
	start_engines(e, "2");
	rev = daemon_level(3);
	daemon_wait_served(rev);
	expect_behind();
	/* Much sooner than in an hour, with who was behind and who was not. */
	daemon_sh("edict rollback main --to %s --reason 'a test' --wait "
		  "--timeout 10m",
	    one);
	for (int i = 0; i < ENGINES; i++)
		assert_string_equal(engine_ask(e[i], "authz/level", NULL), "1");
	wait_states("converged", ENGINES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(holds_survive_a_proxy),
		PLAY(a_release_comes_through_a_proxy_to_a_held_poll),
		PLAY(an_engine_outlives_its_proxy),
		PLAY(a_spread_release_reaches_all),
		PLAY(an_operators_decision_is_not_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
