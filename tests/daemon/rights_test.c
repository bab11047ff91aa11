/* Who may do what: every role, at every route, within and outside of its
 * clusters. */

#include <stdio.h>
#include <string.h>

#include "server/http/routes.h"
#include "tests/daemon/fixture.h"

/* Who asks. All paths below are about bundle authz or cluster prod-eu. */
enum who {
	NOBODY,    /* no credential */
	UNKNOWN,   /* a token that never was */
	EXPIRED,   /* an admin's that was */
	REVOKED,   /* an admin's that is no more */
	ANONYMOUS, /* no credential, where prod-eu takes such engines */
	ENGINE,    /* of prod-eu */
	OTHER,     /* an engine of test */
	VIEWER,
	VIEWER_IN,  /* limited to authz in prod-eu */
	VIEWER_OUT, /* limited to test */
	RELEASER,
	RELEASER_IN,
	RELEASER_OUT,
	ADMIN,
	WHO_COUNT
};

static const char *const who_names[WHO_COUNT] = { "nobody", "unknown",
	"expired", "revoked", "anonymous", "engine", "other engine", "viewer",
	"viewer within", "viewer outside", "releaser", "releaser within",
	"releaser outside", "admin" };

struct cells {
	const char *path;
	long status[WHO_COUNT];
};

/* One row for each route of server/http/routes.h, under its id: the columns are as in
 * enum who. A route without a row does not compile. */
/* clang-format off */
#define EVERYBODY 200, 200, 200, 200, 200, 200, 200, \
	200, 200, 200, 200, 200, 200, 200
#define STRANGERS 401, 401, 401, 401
#define NO_ENGINE 401, 403, 403
#define NO_OPERATOR 403, 403, 403, 403, 403, 403

#define CELLS_healthz { "/healthz", { EVERYBODY } }
#define CELLS_readyz { "/readyz", { EVERYBODY } }
#define CELLS_metrics { "/metrics", { EVERYBODY } }

/* An admin has no cluster of their own, and authz is in two. */
#define CELLS_bundle { "/bundles/authz", \
	{ STRANGERS, 200, 200, 404, NO_OPERATOR, 404 } }
#define CELLS_cluster_bundle { "/clusters/prod-eu/bundles/authz", \
	{ STRANGERS, 200, 200, 404, NO_OPERATOR, 200 } }
#define CELLS_discovery { "/clusters/prod-eu/discovery", \
	{ STRANGERS, 200, 200, 404, NO_OPERATOR, 200 } }
#define CELLS_status { "/status", \
	{ STRANGERS, 204, 204, 204, NO_OPERATOR, 404 } }
#define CELLS_status_part { "/status/a", \
	{ STRANGERS, 204, 204, 204, NO_OPERATOR, 404 } }
#define CELLS_cluster_status { "/clusters/prod-eu/status", \
	{ STRANGERS, 204, 204, 404, NO_OPERATOR, 204 } }
#define CELLS_cluster_status_part { "/clusters/prod-eu/status/a", \
	{ STRANGERS, 204, 204, 404, NO_OPERATOR, 204 } }
#define CELLS_logs { "/logs", \
	{ STRANGERS, 204, 204, 204, NO_OPERATOR, 404 } }
#define CELLS_logs_part { "/logs/a", \
	{ STRANGERS, 204, 204, 204, NO_OPERATOR, 404 } }
#define CELLS_cluster_logs { "/clusters/prod-eu/logs", \
	{ STRANGERS, 204, 204, 404, NO_OPERATOR, 204 } }
#define CELLS_cluster_logs_part { "/clusters/prod-eu/logs/a", \
	{ STRANGERS, 204, 204, 404, NO_OPERATOR, 204 } }

#define CELLS_repositories { "/v1/repositories", \
	{ STRANGERS, NO_ENGINE, 200, 200, 200, 200, 200, 200, 200 } }
#define CELLS_repository { "/v1/repositories/remote", \
	{ STRANGERS, NO_ENGINE, 200, 200, 200, 200, 200, 200, 200 } }
#define CELLS_fetch { "/v1/repositories/remote/fetch", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 202, 403, 403, 202 } }
#define CELLS_suspend { "/v1/repositories/remote/suspend", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 200, 403, 403, 200 } }
#define CELLS_unsuspend { "/v1/repositories/remote/unsuspend", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 200, 403, 403, 200 } }
#define CELLS_accept { "/v1/repositories/remote/accept", \
	{ STRANGERS, NO_ENGINE, NO_OPERATOR, 409 } }

#define CELLS_commits { "/v1/commits", \
	{ STRANGERS, NO_ENGINE, 200, 200, 200, 200, 200, 200, 200 } }
#define CELLS_commit { "/v1/commits/HEAD", \
	{ STRANGERS, NO_ENGINE, 200, 200, 200, 200, 200, 200, 200 } }
#define CELLS_retest { "/v1/commits/HEAD/retest", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 202, 403, 403, 202 } }

#define CELLS_bundles { "/v1/bundles", \
	{ STRANGERS, NO_ENGINE, 200, 200, 200, 200, 200, 200, 200 } }
#define CELLS_bundle_about { "/v1/bundles/authz", \
	{ STRANGERS, NO_ENGINE, 200, 200, 404, 200, 200, 404, 200 } }
#define CELLS_diff { "/v1/bundles/authz/diff?from=HEAD&to=HEAD", \
	{ STRANGERS, NO_ENGINE, 200, 200, 404, 200, 200, 404, 200 } }
#define CELLS_revisions { "/v1/bundles/authz/revisions", \
	{ STRANGERS, NO_ENGINE, 200, 200, 404, 200, 200, 404, 200 } }
#define CELLS_revision { "/v1/bundles/authz/revisions/HEAD", \
	{ STRANGERS, NO_ENGINE, 200, 200, 404, 200, 200, 404, 200 } }
#define CELLS_artifact { "/v1/bundles/authz/revisions/HEAD/bundle.tar.gz", \
	{ STRANGERS, NO_ENGINE, 200, 200, 404, 200, 200, 404, 200 } }
/* 400: the body says nothing. */
#define CELLS_rollback { "/v1/bundles/authz/rollback", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 400, 400, 404, 400 } }
#define CELLS_pin { "/v1/bundles/authz/pin", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 400, 400, 404, 400 } }
#define CELLS_resume { "/v1/bundles/authz/resume", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 200, 200, 404, 200 } }

#define CELLS_rollback_all { "/v1/rollback", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 400, 400, 400, 400 } }
#define CELLS_pin_all { "/v1/pin", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 400, 400, 400, 400 } }
/* Everything they may see follows. */
#define CELLS_resume_all { "/v1/resume", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 200, 200, 200, 200 } }

/* An admin's fetch: limited operators see their own only. */
#define CELLS_operation { "/v1/operations/1", \
	{ STRANGERS, NO_ENGINE, 200, 404, 404, 200, 404, 404, 200 } }
#define CELLS_clusters { "/v1/clusters", \
	{ STRANGERS, NO_ENGINE, 200, 200, 200, 200, 200, 200, 200 } }
#define CELLS_cluster { "/v1/clusters/prod-eu", \
	{ STRANGERS, NO_ENGINE, 200, 200, 404, 200, 200, 404, 200 } }
/* 409: edict.yaml has it. One that has more than the limits let see: 403. */
#define CELLS_cluster_remove { "/v1/clusters/prod-eu", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 409, 403, 404, 409 } }
#define CELLS_cluster_bundle_remove { "/v1/clusters/prod-eu/bundles/authz", \
	{ STRANGERS, NO_ENGINE, 403, 403, 403, 409, 409, 404, 409 } }
#define CELLS_engines { "/v1/clusters/prod-eu/engines", \
	{ STRANGERS, NO_ENGINE, 200, 200, 404, 200, 200, 404, 200 } }
#define CELLS_gc { "/v1/gc", \
	{ STRANGERS, NO_ENGINE, NO_OPERATOR, 202 } }
#define CELLS_audit { "/v1/audit", \
	{ STRANGERS, NO_ENGINE, 200, 403, 403, 200, 403, 403, 200 } }
#define CELLS_heads { "/v1/audit/heads", \
	{ STRANGERS, NO_ENGINE, 200, 403, 403, 200, 403, 403, 200 } }
#define CELLS_head_sign { "/v1/audit/heads", \
	{ STRANGERS, NO_ENGINE, NO_OPERATOR, 202 } }
#define CELLS_alarms { "/v1/alarms", \
	{ STRANGERS, NO_ENGINE, 200, 403, 403, 200, 403, 403, 200 } }
#define CELLS_configuration { "/v1/configuration", \
	{ STRANGERS, NO_ENGINE, 200, 403, 403, 200, 403, 403, 200 } }
#define CELLS_events { "/v1/events", \
	{ STRANGERS, NO_ENGINE, 200, 403, 403, 200, 403, 403, 200 } }
#define CELLS_targets { "/v1/events/targets", \
	{ STRANGERS, NO_ENGINE, 200, 403, 403, 200, 403, 403, 200 } }
#define CELLS_keys { "/v1/keys", \
	{ STRANGERS, NO_ENGINE, 200, 200, 200, 200, 200, 200, 200 } }
/* 400: the body says nothing; 404: no such key. */
#define CELLS_key_use { "/v1/keys/none/use", \
	{ STRANGERS, NO_ENGINE, NO_OPERATOR, 400 } }
#define CELLS_key_retire { "/v1/keys/none/retire", \
	{ STRANGERS, NO_ENGINE, NO_OPERATOR, 404 } }
#define CELLS_tokens { "/v1/tokens", \
	{ STRANGERS, NO_ENGINE, NO_OPERATOR, 200 } }
#define CELLS_token_create { "/v1/tokens", \
	{ STRANGERS, NO_ENGINE, NO_OPERATOR, 400 } }
#define CELLS_token_revoke { "/v1/tokens/none", \
	{ STRANGERS, NO_ENGINE, NO_OPERATOR, 404 } }

#define ROW(id, method, pattern, right, handler, query, action) \
	{ #id, method, pattern, CELLS_##id },
/* clang-format on */

static const struct {
	const char *id, *method, *pattern;
	struct cells cells;
} rows[] = { ROUTES(ROW) };

enum { ROWS = sizeof rows / sizeof *rows };

/* The path is one of the route's: what stands in braces is filled. */
static bool
fits(const char *pattern, const char *path)
{
	for (; *pattern != '\0'; pattern++) {
		if (*pattern != '{') {
			if (*path++ != *pattern)
				return false;
			continue;
		}
		pattern = strchr(pattern, '}');
		path += strcspn(path, "/?");
	}
	return *path == '\0' || *path == '?';
}

/* Who shows a JWT of another issuer: what they may stands in a column above. */
enum {
	JWT = WHO_COUNT,
	JWT_OTHER,
	JWT_EXPIRED,
	JWT_FORGED,
	JWT_ELSEWHERE, /* good, but of no subject that is known */
	CALLER_COUNT
};
static const struct {
	const char *name;
	enum who column;
} jwts[] = {
	[JWT - WHO_COUNT] = { "engine with JWT", ENGINE },
	[JWT_OTHER - WHO_COUNT] = { "other engine with JWT", OTHER },
	[JWT_EXPIRED - WHO_COUNT] = { "expired JWT", EXPIRED },
	[JWT_FORGED - WHO_COUNT] = { "forged JWT", UNKNOWN },
	[JWT_ELSEWHERE - WHO_COUNT] = { "JWT of a stranger", UNKNOWN },
};

static const char *tokens[CALLER_COUNT];

/* What lies outside must not be named, not even in passing. */
static void
check_silence(enum who who, size_t i, const char *body)
{
	static const char *const within[] = { "prod-us", "billing", "\"test\"",
		NULL };
	static const char *const outside[] = { "prod-eu", "prod-us",
		"\"authz\"", NULL };
	static const char *const stranger[] = { "prod-", "authz", "billing",
		"remote", NULL };
	const char *const *names = NULL;

	if (who == VIEWER_IN || who == RELEASER_IN)
		names = within;
	else if (who == VIEWER_OUT || who == RELEASER_OUT)
		names = outside;
	else if (who <= REVOKED)
		names = stranger;
	for (; names != NULL && *names != NULL; names++) {
		/* A wrong name is said back to who gave it. */
		if (rows[i].cells.status[who] == 404 &&
		    strstr(rows[i].cells.path, *names) != NULL)
			continue;
		if (strstr(body, *names) != NULL)
			fail_msg("%s %s as %s names %s: %s", rows[i].method,
			    rows[i].cells.path, who_names[who], *names, body);
	}
}

static const char *
body_of(size_t i)
{
	if (strcmp(rows[i].method, "POST") != 0)
		return NULL;
	return strstr(rows[i].pattern, "/logs") != NULL ? "[]" : "{}";
}

static void
check_cell(int caller, size_t i)
{
	const char *path = rows[i].cells.path;
	enum who who = caller < WHO_COUNT ? (enum who)caller
					  : jwts[caller - WHO_COUNT].column;
	const char *name = caller < WHO_COUNT ? who_names[caller]
					      : jwts[caller - WHO_COUNT].name;
	long wanted = rows[i].cells.status[who];
	struct answer a =
	    daemon_send(&(struct request){ .method = rows[i].method,
		.path = path,
		.token = tokens[caller],
		.body = body_of(i) });

	if (a.status != wanted)
		fail_msg("%s %s (%s) as %s: %ld, not %ld: %s", rows[i].method,
		    path, rows[i].id, name, a.status, wanted, a.body);
	check_silence(who, i, a.body);
}

static const char *
limited(const char *role, const char *name, const char *limits)
{
	return daemon_token(daemon_printf("{\"role\":\"%s\",\"name\":\"%s\"%s}",
	    role, name, limits));
}

static bool
is_known(void *arg)
{
	long *wanted = arg;

	for (int i = VIEWER; i < ADMIN; i++)
		if (daemon_get("/v1/keys", tokens[i], NULL).status != 200)
			return false;
	return daemon_get("/v1/keys", tokens[EXPIRED], NULL).status ==
	    *wanted &&
	    daemon_get("/v1/keys", tokens[REVOKED], NULL).status == *wanted;
}

static void
make_tokens(void)
{
	static const char in[] =
	    ",\"clusters\":[\"prod-eu\"],\"bundles\":[\"auth?\"]";
	static const char out[] = ",\"clusters\":[\"te*\"]";
	long wanted = 401;

	tokens[UNKNOWN] = "edict_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	tokens[EXPIRED] = limited("admin", "old", ",\"expires_in\":1");
	tokens[REVOKED] = limited("admin", "gone", "");
	tokens[ENGINE] = limited("engine", "e1", ",\"clusters\":[\"prod-eu\"]");
	tokens[OTHER] = limited("engine", "e2", ",\"clusters\":[\"test\"]");
	tokens[VIEWER] = limited("viewer", "v", "");
	tokens[VIEWER_IN] = limited("viewer", "v1", in);
	tokens[VIEWER_OUT] = limited("viewer", "v2", out);
	tokens[RELEASER] = limited("releaser", "r", "");
	tokens[RELEASER_IN] = limited("releaser", "r1", in);
	tokens[RELEASER_OUT] = limited("releaser", "r2", out);
	tokens[ADMIN] = daemon_admin();
	daemon_api("DELETE", "/tokens/gone", NULL, 200);
	daemon_wait("tokens are known", is_known, &wanted, DAEMON_DEADLINE_MS);
}

static void
make_jwts(void)
{
	static const char other[] = ".sub=\"system:serviceaccount:test:opa\"";

	tokens[JWT] = daemon_jwt("ec", "ES256", ".");
	tokens[JWT_OTHER] = daemon_jwt("ec", "ES256", other);
	tokens[JWT_EXPIRED] = daemon_jwt("ec", "ES256", ".exp=$n-60");
	tokens[JWT_FORGED] =
	    daemon_jose("sign stranger ES256 \"$(claims)\" ec");
	tokens[JWT_ELSEWHERE] = daemon_jwt("ec", "ES256",
	    ".sub=\"system:serviceaccount:eu:opa:x\"");
}

/* The issuer of JWTs has one key; the namespace eu is prod-eu. */
static void
start_with_issuer(void)
{
	const char *rev = daemon_estate(1);

	(void)daemon_jose("key ec ES256; key stranger ES256; keyset ec");
	daemon_start(&(struct daemon_options){
	    .config =
		daemon_printf("repositories: {remote: {url: \"%s\"}}\n"
			      "access:\n"
			      "  jwt:\n"
			      "  - issuer: https://k8s.example.org\n"
			      "    audience: edict\n"
			      "    algorithms: ES256\n"
			      "    jwks_file: \"%s\"\n"
			      "    subjects:\n"
			      "    - {subject: \"system:serviceaccount:eu:*\", "
			      "cluster: prod-eu}\n"
			      "    - {subject: \"system:*:test:opa\", "
			      "cluster: test}\n",
		    daemon_path("remote.git"), daemon_path("keys.json")) });
	daemon_wait_revision("prod-eu", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-eu", "billing", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("test", "billing", rev, DAEMON_DEADLINE_MS);
}

SCENARIO(every_cell)
{
	start_with_issuer();
	daemon_wait_discovery("prod-eu", 0);
	daemon_api("POST", "/repositories/remote/fetch", "{}", 202);
	make_tokens();
	make_jwts();
	for (size_t i = 0; i < ROWS; i++) {
		if (!fits(rows[i].pattern, rows[i].cells.path))
			fail_msg("%s: %s is not %s", rows[i].id,
			    rows[i].cells.path, rows[i].pattern);
		for (int caller = 0; caller < CALLER_COUNT; caller++)
			if (caller != ANONYMOUS)
				check_cell(caller, i);
	}
	print_message("%d routes, %d cells\n", ROWS, ROWS * CALLER_COUNT);
}

SCENARIO(every_cell_of_anonymous_engines)
{
	const char *rev = daemon_estate(1);

	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories: {remote: {url: \"%s\"}}\n"
				    "access: {anonymous_cluster: prod-eu}\n",
		daemon_path("remote.git")) });
	daemon_wait_revision("prod-eu", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_wait_discovery("prod-eu", 0);
	tokens[ANONYMOUS] = NULL;
	for (size_t i = 0; i < ROWS; i++)
		check_cell(ANONYMOUS, i);
}

/* The ledger keeps to the limits itself: http passes on what it is told. */
SCENARIO(releasers_move_only_what_is_theirs)
{
	const char *first = daemon_estate(1);
	const char *second, *r;
	struct answer a;

	daemon_start_estate(first);
	second = daemon_estate(2);
	daemon_wait_revision("prod-eu", "authz", second, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-us", "authz", second, DAEMON_DEADLINE_MS);
	r = limited("releaser", "r", ",\"clusters\":[\"*-eu\"]");
	daemon_sh("echo '%s' >token && chmod 600 token", r);
	a = daemon_send(&(struct request){ .method = "POST",
	    .path = "/v1/bundles/authz/rollback",
	    .token = r,
	    .body = daemon_printf("{\"to\":\"%s\",\"reason\":\"x\","
				  "\"clusters\":[\"prod-eu\",\"prod-us\"]}",
		first) });
	assert_int_equal(a.status, 404);
	assert_non_null(strstr(a.body,
	    "cluster prod-us does not have bundle authz"));
	/* All clusters are all that it knows of. */
	daemon_sh("edict rollback authz --to %s --reason x --server %s"
		  " --token-file token",
	    first, daemon_url());
	daemon_wait_revision("prod-eu", "authz", first, DAEMON_DEADLINE_MS);
	assert_string_equal(daemon_text(daemon_api("GET", "/clusters/prod-us",
					    NULL, 200),
				"assignments.0.mode"),
	    "following");
	/* Who did it stands in the assignment and in the audit. */
	assert_string_equal(daemon_text(daemon_api("GET", "/clusters/prod-eu",
					    NULL, 200),
				"assignments.0.by"),
	    "r");
	assert_int_equal(daemon_try("edict pin billing --reason x --cluster "
				    "test --server %s --token-file token",
			     daemon_url())
			     .status,
	    1);
}

static bool
sees(void *arg)
{
	return daemon_get(arg, tokens[VIEWER], NULL).status == 200;
}

/* Pages of what is seen are full pages, and their cursors name nothing else. */
SCENARIO(pages_of_what_is_seen)
{
	char path[] = "/v1/clusters";
	struct answer a;

	daemon_start_estate(daemon_estate(1));
	tokens[VIEWER] = limited("viewer", "v",
	    ",\"clusters\":[\"prod-us\",\"test\"],\"bundles\":[\"*\"]");
	daemon_wait("the token is known", sees, path, DAEMON_DEADLINE_MS);
	a = daemon_get("/v1/clusters?limit=1", tokens[VIEWER], NULL);
	assert_non_null(strstr(a.body, "\"prod-us\""));
	assert_null(strstr(a.body, "prod-eu"));
	assert_null(strstr(a.body, "\"name\":\"test\""));
	assert_non_null(strstr(a.body, "\"next\":\"prod-us\""));
	a = daemon_get("/v1/clusters?limit=1&next=prod-us", tokens[VIEWER],
	    NULL);
	assert_non_null(strstr(a.body, "\"name\":\"test\""));
	assert_non_null(strstr(a.body, "\"next\":null"));
	a = daemon_get("/v1/bundles/authz", tokens[VIEWER], NULL);
	assert_null(strstr(a.body, "prod-eu"));
}

/* An engine of several clusters names the one it means. */
SCENARIO(engines_of_several_clusters)
{
	static const struct {
		const char *path;
		long status;
	} cells[] = {
		{ "/clusters/prod-eu/bundles/authz", 200 },
		{ "/clusters/prod-us/bundles/authz", 200 },
		{ "/clusters/test/bundles/billing", 404 },
		{ "/clusters/none/bundles/billing", 404 },
		{ "/bundles/authz", 404 },
		/* test has it too, which is no concern of this one. */
		{ "/bundles/billing", 200 },
	};

	daemon_start_estate(daemon_estate(1));
	tokens[ENGINE] = limited("engine", "e", ",\"clusters\":[\"prod-*\"]");
	tokens[VIEWER] = tokens[ENGINE];
	daemon_wait("the token is known", sees,
	    (char[]){ "/clusters/prod-eu/bundles/authz" }, DAEMON_DEADLINE_MS);
	for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
		assert_int_equal(
		    daemon_get(cells[i].path, tokens[ENGINE], NULL).status,
		    cells[i].status);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(every_cell),
		PLAY(every_cell_of_anonymous_engines),
		PLAY(releasers_move_only_what_is_theirs),
		PLAY(pages_of_what_is_seen),
		PLAY(engines_of_several_clusters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
