/* Artifacts beyond the budget for memory, and what the server tells of its
 * load: metrics and the access log. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/fixture.h"
#include "tests/unit/server/exposition.h"

enum { BUNDLES = 5 };

static void
serve(const char *http)
{
	struct daemon_options o = {
		.config = daemon_printf("repositories:\n"
					"  remote: {url: '%s'}\n"
					"http: %s\n",
		    daemon_path("remote.git"), http),
	};

	daemon_start(&o);
}

/* Of /metrics, which has to be well-formed each time; -1: it is not there. */
static double
metric(const char *series)
{
	struct answer a = daemon_get("/metrics", NULL, NULL);
	char fault[256];

	assert_int_equal(a.status, 200);
	exposition_check(fault, sizeof fault, a.body);
	if (fault[0] != '\0')
		fail_msg("%s in:\n%s", fault, a.body);
	return exposition_value(a.body, series);
}

struct wanted {
	const char *series;
	double least;
};

static bool
is_counted(void *arg)
{
	const struct wanted *w = arg;

	return metric(w->series) >= w->least;
}

static void
wait_metric(const char *series, double least)
{
	struct wanted w = { series, least };

	daemon_wait(series, is_counted, &w, DAEMON_DEADLINE_MS);
}

/* ---- more than there is room for ---- */

/* Some 40 KiB each that cannot be compressed to less than 28. */
static const char *
commit_bundles(void)
{
	struct daemon_file files[2 * BUNDLES + 3] = { { NULL, NULL } };
	const char *list = "bundles:\n";
	const char *names = "";
	size_t n = 0;

	for (int i = 0; i < BUNDLES; i++) {
		list = daemon_printf("%s  b%d: {paths: [b%d]}\n", list, i, i);
		names = daemon_printf("%s%sb%d", names, i > 0 ? ", " : "", i);
		files[n++] = (struct daemon_file){ daemon_printf("b%d/b%d.rego",
						       i, i),
			daemon_printf("package b%d\n\nlevel := %d\n", i, i) };
		files[n++] = (struct daemon_file){
			daemon_printf("b%d/b%d/data.json", i, i),
			daemon_printf("{\"noise\": \"%s\"}",
			    daemon_sh(
				"head -c 30000 /dev/urandom | base64 -w 0"))
		};
	}
	files[n++] = (struct daemon_file){ "b0/b0_test.rego",
		"package b0_test\n\ntest_level if data.b0.level == 0\n" };
	files[n] = (struct daemon_file){ "edict.yaml",
		daemon_printf("%sclusters:\n  default: {bundles: [%s]}\n", list,
		    names) };
	return daemon_commit_files("many", files);
}

static void
check_engine(void)
{
	struct engine *e = engine_start("default", ENGINE_PLAIN);

	for (int i = 0; i < BUNDLES; i++)
		(void)engine_wait(e, daemon_printf("b%d/level", i), NULL,
		    daemon_printf("%d", i), DAEMON_DEADLINE_MS);
	engine_stop(e);
}

/* Each is what its ETag says. */
static void
check_bytes(void)
{
	for (int i = 0; i < BUNDLES; i++) {
		struct answer a = daemon_get(daemon_printf("/bundles/b%d", i),
		    daemon_engine(), NULL);
		const char *etag = answer_header(&a, "ETag");
		const char *name = daemon_printf("served-%d", i);

		assert_int_equal(a.status, 200);
		daemon_save(name, a.body, a.len);
		assert_string_equal(etag,
		    daemon_printf("\"sha256:%.64s\"",
			daemon_sh("sha256sum < %s", name)));
	}
}

SCENARIO(more_artifacts_than_memory)
{
	const char *rev = commit_bundles();
	double in_memory, mapped;

	serve("{memory_max: 80KiB}");
	for (int i = 0; i < BUNDLES; i++)
		daemon_wait_revision("default", daemon_printf("b%d", i), rev,
		    DAEMON_DEADLINE_MS);
	wait_metric("edict_artifacts_mapped_bytes", 1);
	in_memory = metric("edict_artifacts_memory_bytes");
	mapped = metric("edict_artifacts_mapped_bytes");
	assert_true(in_memory > 0 && in_memory <= 80 * 1024);
	assert_true(mapped > in_memory);
	check_engine();
	check_bytes();
	/* In memory or not: what is served needs its file no more. */
	daemon_sh("rm -rf data/artifacts/*");
	check_engine();
	check_bytes();
	assert_true(metric("edict_artifacts_memory_bytes") <= 80 * 1024);
	assert_true(metric("edict_process_restarts_total") < 1);
}

/* ---- what is told of it ---- */

SCENARIO(releases_are_timed)
{
	static const char sent[] =
	    "edict_poll_answers_total{kind=\"held_sent\"}";
	const char *one = daemon_level(1);
	struct engine *e;
	double count;

	serve("{wait_max: 30s}");
	daemon_wait_served(one);
	e = engine_start("default", ENGINE_LONG);
	(void)engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	wait_metric("edict_engines_waiting", 1);
	assert_true(metric("edict_wake_seconds_count") < 1);
	daemon_wait_served(daemon_level(2));
	(void)engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
	wait_metric(sent, 1);
	wait_metric("edict_wake_seconds_count", 1);
	count = metric("edict_wake_seconds_count");
	assert_true(metric("edict_wake_seconds_bucket{le=\"60\"}") >= count);
	assert_true(metric("edict_wake_seconds_sum") < 60 * count);
	engine_stop(e);
}

SCENARIO(requests_are_logged)
{
	const char *one = daemon_level(1);
	const char *etag, *lines;
	struct answer a;
	struct poll *p;

	serve("{access_log: {sample: 1}}");
	daemon_wait_served(one);
	a = daemon_get("/bundles/main", daemon_engine(), NULL);
	etag = answer_header(&a, "ETag");
	daemon_wait_log(
	    daemon_printf("http.access method=GET route=/bundles/{bundle} "
			  "status=200 bytes=%zu ms=",
		a.len),
	    0);
	daemon_wait_log("cluster=- bundle=main engine=- end=ok", 0);
	p = poll_start_as("web-1", "/clusters/default/bundles/main",
	    daemon_engine(), etag, 30);
	wait_metric("edict_engines_waiting", 1);
	daemon_wait_served(daemon_level(2));
	assert_int_equal(poll_end(p).status, 200);
	daemon_wait_log("waited=true cluster=default bundle=main engine=web-1 "
			"end=ok",
	    0);
	/* What a client writes is not in it: paths, queries, names that are
	 * none, credentials. */
	a = daemon_send(&(struct request){
	    .path = "/v1/commits?limit=7",
	    .token = daemon_admin(),
	    .header = "X-Edict-Engine: no name",
	});
	assert_int_equal(a.status, 200);
	daemon_wait_log("route=/v1/commits status=200", 0);
	a = daemon_get("/nowhere-to-be-seen", "tell-nobody", NULL);
	assert_int_equal(a.status, 404);
	daemon_wait_log("route=- status=404", 0);
	lines = daemon_sh("grep http.access server.log");
	assert_null(strstr(lines, "limit=7"));
	assert_null(strstr(lines, "no name"));
	assert_null(strstr(lines, "nowhere-to-be-seen"));
	assert_null(strstr(lines, "tell-nobody"));
	assert_null(strstr(lines, daemon_admin()));
	assert_null(strstr(lines, daemon_engine()));
	assert_true(metric("edict_access_log_lines_total") >= 4);
	assert_true(metric("edict_access_log_dropped_total") < 1);
}

SCENARIO(nothing_is_logged_unless_wanted)
{
	daemon_start(NULL);
	assert_int_equal(daemon_get("/healthz", NULL, NULL).status, 200);
	assert_true(metric("edict_access_log_lines_total") < 1);
	daemon_stop();
	assert_null(strstr(daemon_log(), "http.access"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(more_artifacts_than_memory),
		PLAY(releases_are_timed),
		PLAY(requests_are_logged),
		PLAY(nothing_is_logged_unless_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
