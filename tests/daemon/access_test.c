#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/daemon/fixture.h"

/* Everything below /v1. */
static const struct {
	const char *method, *path;
	long admin; /* what an operator gets */
} routes[] = {
	{ "GET", "/v1/repositories", 200 },
	{ "GET", "/v1/repositories/remote", 200 },
	{ "GET", "/v1/repositories/none", 404 },
	{ "POST", "/v1/repositories/remote/fetch", 202 },
	{ "POST", "/v1/repositories/none/fetch", 404 },
	{ "POST", "/v1/repositories/remote/suspend", 200 },
	{ "POST", "/v1/repositories/remote/unsuspend", 200 },
	{ "POST", "/v1/repositories/remote/accept", 409 },
	{ "GET", "/v1/commits", 200 },
	{ "GET", "/v1/commits/HEAD", 200 },
	{ "GET", "/v1/commits/ffffffff", 404 },
	{ "POST", "/v1/commits/HEAD/retest", 202 },
	{ "GET", "/v1/bundles", 200 },
	{ "GET", "/v1/bundles/main", 200 },
	{ "GET", "/v1/bundles/none", 404 },
	{ "GET", "/v1/bundles/main/revisions", 200 },
	{ "GET", "/v1/bundles/main/revisions/HEAD", 200 },
	{ "GET", "/v1/bundles/main/revisions/HEAD/bundle.tar.gz", 200 },
	{ "POST", "/v1/bundles/main/rollback", 400 }, /* without a body */
	{ "POST", "/v1/bundles/main/pin", 400 },
	{ "POST", "/v1/bundles/main/resume", 200 },
	{ "POST", "/v1/bundles/none/resume", 404 },
	{ "GET", "/v1/operations/99999", 404 },
	{ "GET", "/v1/clusters", 200 },
	{ "GET", "/v1/clusters/default", 200 },
	{ "GET", "/v1/clusters/none", 404 },
	{ "GET", "/v1/audit", 200 },
	{ "GET", "/v1/keys", 200 },
	{ "GET", "/v1/nothing", 404 },
	{ "DELETE", "/v1/keys", 405 },
	{ "GET", "/v1/bundles?limit=501", 400 },
	{ "GET", "/v1/bundles?unknown=1", 400 },
};

static void
check(size_t i, const char *who, const char *token, long wanted)
{
	bool post = strcmp(routes[i].method, "POST") == 0;
	struct answer a =
	    daemon_send(&(struct request){ .method = routes[i].method,
		.path = routes[i].path,
		.token = token,
		.body = post ? "{}" : NULL });

	if (a.status != wanted)
		fail_msg("%s %s %s: %ld, not %ld: %s", routes[i].method,
		    routes[i].path, who, a.status, wanted, a.body);
	/* Nothing of what there is in an answer to a stranger. */
	if (wanted == 401 || wanted == 403)
		assert_null(strstr(a.body, "remote"));
}

SCENARIO(every_request_needs_its_right)
{
	const char *rev = daemon_level(1);

	daemon_start(NULL);
	daemon_wait_served(rev);
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		check(i, "without a token", NULL, 401);
		check(i, "with a wrong token", "edict_wrong", 401);
		check(i, "with an engine's token", daemon_engine(), 403);
	}
	/* Nothing happened. */
	assert_string_equal(daemon_text(daemon_api("GET", "/clusters/default",
					    NULL, 200),
				"assignments.0.mode"),
	    "following");
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		check(i, "with the admin's token", daemon_admin(),
		    routes[i].admin);
}

SCENARIO(bundles_need_a_token)
{
	static const char *const paths[] = { "/bundles/main",
		"/clusters/default/bundles/main" };
	const char *rev = daemon_level(1);

	daemon_start(NULL);
	daemon_wait_served(rev);
	for (size_t i = 0; i < 2; i++) {
		struct answer none = daemon_get(paths[i], NULL, NULL);

		assert_int_equal(none.status, 401);
		assert_int_equal(daemon_get(paths[i], "wrong", NULL).status,
		    401);
		assert_int_equal(daemon_get(paths[i], NULL,
				     "Authorization: Basic YTpi")
				     .status,
		    401);
		assert_int_equal(
		    daemon_get(paths[i], daemon_engine(), NULL).status, 200);
	}
}

SCENARIO(anonymous_engines_get_their_cluster_only)
{
	const char *rev;

	rev = daemon_commit("two clusters",
	    { "edict.yaml",
		"bundles: {main: {}}\n"
		"clusters:\n  open: {}\n  closed: {}\n" },
	    { "a.rego", "package a\n\nx := 1\n" },
	    { "a_test.rego", "package a_test\n\ntest_x if data.a.x == 1\n" });
	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories: {policies: {url: \"%s\"}}\n"
				    "access: {anonymous_cluster: open}\n",
		daemon_path("remote.git")) });
	daemon_wait_revision("closed", "main", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("open", "main", rev, DAEMON_DEADLINE_MS);
	assert_int_equal(daemon_get("/bundles/main", NULL, NULL).status, 200);
	assert_int_equal(
	    daemon_get("/clusters/open/bundles/main", NULL, NULL).status, 200);
	/* What it may not read looks like what does not exist. */
	assert_int_equal(
	    daemon_get("/clusters/closed/bundles/main", NULL, NULL).status,
	    404);
	/* A wrong token is no anonymous engine. */
	assert_int_equal(daemon_get("/bundles/main", "wrong", NULL).status,
	    401);
	assert_int_equal(daemon_get("/v1/clusters", NULL, NULL).status, 401);
	/* The engine token reads every cluster, named. */
	assert_int_equal(daemon_get("/clusters/closed/bundles/main",
			     daemon_engine(), NULL)
			     .status,
	    200);
	assert_int_equal(
	    daemon_get("/bundles/main", daemon_engine(), NULL).status, 404);
}

SCENARIO(metrics_name_nobody_to_strangers)
{
	const char *rev = daemon_commit("names",
	    { "edict.yaml",
		"bundles: {secretbundle: {}}\n"
		"clusters: {secretcluster: {}}\n" },
	    { "a.rego", "package a\n\nx := 1\n" },
	    { "a_test.rego", "package a_test\n\ntest_x if data.a.x == 1\n" });
	struct answer a;

	daemon_start(&(struct daemon_options){
	    .config =
		daemon_printf("repositories: {secretrepo: {url: \"%s\"}}\n",
		    daemon_path("remote.git")) });
	daemon_wait_revision("secretcluster", "secretbundle", rev,
	    DAEMON_DEADLINE_MS);
	for (size_t i = 0; i < 3; i++) {
		static const char *const paths[] = { "/metrics", "/readyz",
			"/healthz" };

		a = daemon_get(paths[i], NULL, NULL);
		assert_int_equal(a.status, 200);
		assert_null(strstr(a.body, "secret"));
		a = daemon_get(paths[i], daemon_engine(), NULL);
		assert_null(strstr(a.body, "secret"));
	}
	a = daemon_get("/metrics", daemon_admin(), NULL);
	assert_non_null(strstr(a.body,
	    "edict_fetch_age_seconds{repository=\"secretrepo\"}"));
}

static void
check_mode(const char *name, mode_t wanted)
{
	struct stat st;

	assert_int_equal(stat(daemon_path(name), &st), 0);
	if ((st.st_mode & 0777) != wanted)
		fail_msg("%s has mode %o", name, (unsigned)st.st_mode & 0777);
}

SCENARIO(secrets_are_the_servers_only)
{
	const char *log;

	daemon_start(&(struct daemon_options){ .umask = 0001 });
	check_mode("data", 0700);
	check_mode("data/admin-token", 0600);
	check_mode("data/engine-token", 0600);
	check_mode("data/keys", 0700);
	daemon_sh("test -z \"$(find data/keys -name '*.key' ! -perm 600)\" && "
		  "test -n \"$(find data/keys -name '*.key')\"");
	log = daemon_log();
	assert_null(strstr(log, daemon_admin()));
	daemon_sh("! grep -r -q \"$(cat data/admin-token)\" data/store");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(every_request_needs_its_right),
		PLAY(bundles_need_a_token),
		PLAY(anonymous_engines_get_their_cluster_only),
		PLAY(metrics_name_nobody_to_strangers),
		PLAY(secrets_are_the_servers_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
