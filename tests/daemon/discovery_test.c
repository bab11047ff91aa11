/* Engines that are told their configuration by the server. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/fixture.h"

/* What an engine may take to be ready again: much less than a long poll, for
 * which engines are told to ask for WAIT_S here. */
enum { SETTLED_MS = DAEMON_DEADLINE_MS, WAIT_S = 150 };

static char settings[2048];

/* With more settings. */
static void
configure(const char *more)
{
	(void)snprintf(settings, sizeof settings,
	    "repositories: {remote: {url: \"%s\"}}\ndiscovery: {wait: %ds}\n%s",
	    daemon_path("remote.git"), WAIT_S, more);
}

static void
start(void)
{
	const char *rev = daemon_estate(1);

	configure("");
	daemon_start(&(struct daemon_options){ .config = settings });
	daemon_wait_revision("prod-eu", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("test", "billing", rev, DAEMON_DEADLINE_MS);
}

static bool
is_known(void *token)
{
	return daemon_get("/clusters/none/discovery", token, NULL).status !=
	    401;
}

static const char *
token_of(const char *name, const char *cluster)
{
	const char *token =
	    daemon_token(daemon_printf("{\"role\":\"engine\",\"name\":\"%s\","
				       "\"clusters\":[\"%s\"]}",
		name, cluster));

	daemon_wait("the token is known", is_known, (void *)(uintptr_t)token,
	    DAEMON_DEADLINE_MS);
	return token;
}

/* The file that `engine-config CLUSTER --discovery` gives, but that nobody wants
 * to wait for polls. */
static const char *
discovery_config(const char *cluster, const char *token)
{
	daemon_write("token", token);
	daemon_sh("chmod 600 token && edict engine-config %s --discovery "
		  "--engine-token-file token --persist $PWD/kept > opa.yaml && "
		  "sed -i 's/\\(m.._delay_seconds\\): .*/\\1: 1/' opa.yaml",
	    cluster);
	return daemon_path("opa.yaml");
}

static struct answer
get_discovery(const char *cluster, const char *token, const char *header)
{
	return daemon_get(daemon_printf("/clusters/%s/discovery", cluster),
	    token, header);
}

static size_t
count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

static const char *
commit_clusters(const char *message, const char *test, const char *more)
{
	return daemon_commit(message,
	    { "edict.yaml",
		daemon_printf("bundles:\n"
			      "  authz: {paths: [authz]}\n"
			      "  billing: {paths: [billing]}\n"
			      "%s"
			      "clusters:\n"
			      "  prod-eu: {bundles: [authz, billing]}\n"
			      "  prod-us: {bundles: [authz]}\n"
			      "  test: {bundles: [%s]}\n",
		    more, test) },
	    { "third/third.rego", "package third\n\nlevel := 3\n" });
}

static bool
is_ready(void *arg)
{
	return engine_is_ready(arg);
}

static bool
began_anew(void *arg)
{
	return strstr(engine_log(arg), "Restarting bundle loader") != NULL;
}

/* A bundle more in Git, and one more: the engine has them without a restart, of
 * itself; of the server there is one in the middle. */
SCENARIO(engines_follow_clusters_in_git)
{
	const char *token;
	struct engine *e;
	size_t from;

	start();
	token = token_of("e1", "test");
	daemon_wait_discovery("test", 0);
	e = engine_start_with("host-1", discovery_config("test", token));
	engine_wait(e, "billing/level", NULL, "1", DAEMON_DEADLINE_MS);
	daemon_wait("the engine is ready", is_ready, e, DAEMON_DEADLINE_MS);
	assert_string_equal(engine_ask(e, "authz/level", NULL), "undefined");

	commit_clusters("test gets authz", "billing, authz", "");
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	daemon_wait("the engine is ready again", is_ready, e, SETTLED_MS);

	daemon_restart();
	from = strlen(daemon_log());
	commit_clusters("and a third", "billing, authz, third",
	    "  third: {paths: [third]}\n");
	daemon_wait_discovery("test", from);
	engine_wait(e, "third/level", NULL, "3", DAEMON_DEADLINE_MS);
	daemon_wait("the engine is ready again", is_ready, e, SETTLED_MS);
}

SCENARIO(it_is_served_plainly_and_to_its_cluster_only)
{
	static const char wait[] = "Prefer: modes=snapshot,delta;wait=300";
	const char *mine, *other, *etag;
	struct answer a, b;

	daemon_start_estate(daemon_estate(1));
	mine = token_of("e1", "test");
	other = token_of("e2", "prod-us");
	daemon_wait_discovery("test", 0);
	a = get_discovery("test", mine, wait);
	assert_int_equal(a.status, 200);
	etag = answer_header(&a, "ETag");
	assert_int_equal(strncmp(etag, "\"sha256:", 8), 0);
	assert_string_equal(answer_header(&a, "Content-Type"),
	    "application/gzip");
	assert_string_equal(answer_header(&a, "Cache-Control"),
	    "private, no-cache");
	assert_string_equal(answer_header(&a, "Vary"),
	    "Authorization, X-Edict-Engine");
	/* Not even if it asks to wait. */
	b = daemon_send(&(struct request){ .path = "/clusters/test/discovery",
	    .token = mine,
	    .header = wait,
	    .header2 = daemon_printf("If-None-Match: %s", etag) });
	assert_int_equal(b.status, 304);
	assert_string_equal(answer_header(&b, "ETag"), etag);
	b = daemon_send(&(struct request){ .method = "HEAD",
	    .path = "/clusters/test/discovery",
	    .token = mine });
	assert_int_equal(b.status, 200);
	assert_string_equal(answer_header(&b, "ETag"), etag);
	b = get_discovery("test", mine, "If-None-Match: \"sha256:00\"");
	assert_int_equal(b.status, 200);
	assert_int_equal(b.len, a.len);
	assert_memory_equal(b.body, a.body, a.len);
	assert_int_equal(get_discovery("test", other, NULL).status, 404);
	assert_int_equal(get_discovery("none", mine, NULL).status, 404);
	assert_int_equal(get_discovery("test", NULL, NULL).status, 401);
	assert_int_equal(get_discovery("test", daemon_admin(), NULL).status,
	    200);
}

/* For a while after a change a bundle's poll by who has no name is not held for
 * long: it may be of an engine that waits to be ready. */
SCENARIO(polls_after_a_change_are_not_held)
{
	const char *token;
	struct answer a;
	struct poll *p;
	size_t from;

	daemon_start_estate(daemon_estate(1));
	token = token_of("e1", "test");
	daemon_wait_discovery("test", 0);
	from = strlen(daemon_log());
	commit_clusters("test gets authz", "billing, authz", "");
	daemon_wait_discovery("test", from);
	a = daemon_get("/bundles/billing", token, NULL);
	p = poll_start("/bundles/billing", token, answer_header(&a, "ETag"),
	    WAIT_S);
	a = poll_end(p);
	assert_int_equal(a.status, 304);
	assert_true(a.ms < SETTLED_MS);
}

/* Commits that do not touch what it says leave it alone; and it is there when
 * neither Git nor the engine are. */
SCENARIO(what_did_not_change_is_not_made_again)
{
	const char *opa = daemon_path("opa");
	const char *rev = daemon_estate(1);
	const char *etag, *revision;
	struct answer a;
	size_t from;

	daemon_sh("cp '%s' opa", engine_opa());
	daemon_start(&(struct daemon_options){ .opa = opa });
	daemon_wait_revision("prod-eu", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_wait_discovery("test", 0);
	daemon_wait_discovery("prod-us", 0);
	a = get_discovery("test", daemon_admin(), NULL);
	etag = answer_header(&a, "ETag");
	revision = daemon_text(daemon_api("GET", "/clusters/test", NULL, 200),
	    "discovery.revision");
	assert_int_equal(strlen(revision), 64);
	rev = daemon_estate(2);
	daemon_wait_revision("test", "billing", rev, DAEMON_DEADLINE_MS);
	/* Whoever looks at another cluster has looked at this one. */
	from = strlen(daemon_log());
	daemon_commit("prod-us gets billing",
	    { "edict.yaml",
		"bundles:\n"
		"  authz: {paths: [authz]}\n"
		"  billing: {paths: [billing]}\n"
		"clusters:\n"
		"  prod-eu: {bundles: [authz, billing]}\n"
		"  prod-us: {bundles: [authz, billing]}\n"
		"  test: {bundles: [billing]}\n" });
	daemon_wait_discovery("prod-us", from);
	assert_int_equal(count(daemon_log(),
			     "discovery.published cluster=test "),
	    1);
	a = get_discovery("test", daemon_admin(), NULL);
	assert_string_equal(answer_header(&a, "ETag"), etag);

	daemon_sh("mv remote.git away.git && mv opa opa.away");
	daemon_restart();
	a = get_discovery("test", daemon_admin(), NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_header(&a, "ETag"), etag);
	assert_string_equal(daemon_text(daemon_api("GET", "/clusters/test",
					    NULL, 200),
				"discovery.revision"),
	    revision);
	assert_int_equal(count(daemon_log(),
			     "discovery.published cluster=test "),
	    1);
	/* One event, in a chain that holds. */
	assert_non_null(strstr(daemon_sh("edict audit --verify"), "event"));
}

static bool
is_whole(void *etag)
{
	struct answer a = get_discovery("test", daemon_admin(), NULL);

	return a.status == 200 &&
	    strcmp(answer_header(&a, "ETag"), etag) == 0 &&
	    daemon_get("/readyz", NULL, NULL).status == 200;
}

/* A file that the disk lost is made again, the same to the byte. */
SCENARIO(a_lost_one_is_made_again)
{
	const char *etag;
	struct answer a;

	daemon_start_estate(daemon_estate(1));
	daemon_wait_discovery("test", 0);
	a = get_discovery("test", daemon_admin(), NULL);
	etag = answer_header(&a, "ETag");
	daemon_stop();
	daemon_sh("rm data/artifacts/*/%.64s.tar.gz", etag + 8);
	daemon_restart();
	daemon_wait("it is there again", is_whole, (void *)(uintptr_t)etag,
	    DAEMON_DEADLINE_MS);
}

struct saying {
	struct engine *engine;
	const char *text;
};

static bool
is_said(void *arg)
{
	const struct saying *s = arg;

	return strstr(engine_log(s->engine), s->text) != NULL;
}

static void
refuses(struct engine *e, const char *why)
{
	struct saying s = { e, why };

	daemon_wait(daemon_printf("the engine says %s", why), is_said, &s,
	    DAEMON_DEADLINE_MS);
	assert_string_equal(engine_ask(e, "billing/level", NULL), "undefined");
	engine_stop(e);
}

/* An engine takes ours, and from its own disk too when nobody serves it; but not
 * what was changed, lost its signature, or is another cluster's. */
SCENARIO(an_engine_takes_nothing_else)
{
	const char *token, *config;
	struct engine *e;

	daemon_start_estate(daemon_estate(1));
	token = token_of("e1", "test");
	daemon_wait_discovery("test", 0);
	daemon_wait_discovery("prod-us", 0);
	config = discovery_config("test", token);
	e = engine_start_with("host-1", config);
	engine_wait(e, "billing/level", NULL, "1", DAEMON_DEADLINE_MS);
	/* It writes them down when it uses them. */
	daemon_wait_file("kept/bundles/billing/bundle.tar.gz");
	daemon_wait_file("kept/bundles/discovery/bundle.tar.gz");
	engine_stop(e);
	daemon_sh("cp -r kept good");

	/* The other cluster's bundle, under this one's scope. */
	daemon_sh("sed -e 's|clusters/test/discovery|"
		  "clusters/prod-us/discovery|' -e 's/token: .*/token: %s/' "
		  "-e 's|/kept|/none|' opa.yaml > other.yaml",
	    token_of("e2", "prod-us"));
	refuses(engine_start_with("host-2", daemon_path("other.yaml")),
	    "scope mismatch");

	daemon_stop();
	e = engine_start_with("host-1", config);
	engine_wait(e, "billing/level", NULL, "1", DAEMON_DEADLINE_MS);
	engine_stop(e);

	daemon_sh("rm -rf kept && cp -r good kept && mkdir t && cd t && "
		  "tar xzf ../kept/bundles/discovery/bundle.tar.gz && "
		  "sed -i 's/\"persist\":true/\"persist\":false/' "
		  "discovery/data.json && tar czf "
		  "../kept/bundles/discovery/bundle.tar.gz "
		  ".signatures.json .manifest discovery/data.json");
	refuses(engine_start_with("host-1", config), "mismatch");

	daemon_sh("rm -rf kept && cp -r good kept && rm -rf t && mkdir t && "
		  "cd t && tar xzf ../kept/bundles/discovery/bundle.tar.gz && "
		  "tar czf ../kept/bundles/discovery/bundle.tar.gz .manifest "
		  "discovery/data.json");
	refuses(engine_start_with("host-1", config), "missing .signatures");
}

/* A key comes to engines before anything is signed with it. They begin anew with
 * their bundles then, and are ready again long before a poll would have ended,
 * without asking all the time. */
SCENARIO(keys_come_ahead_of_their_use)
{
	const char *token, *document;
	struct engine *e;
	size_t from;

	start();
	token = token_of("e1", "test");
	daemon_wait_discovery("test", 0);
	e = engine_start_with("host-1", discovery_config("test", token));
	engine_wait(e, "billing/level", NULL, "1", DAEMON_DEADLINE_MS);
	daemon_wait("the engine is ready", is_ready, e, DAEMON_DEADLINE_MS);

	daemon_sh("edict keygen next --signing-alg ES256");
	configure(daemon_printf("signing: {keys: [{id: next, algorithm: ES256, "
				"private_key_file: \"%s\"}]}\n",
	    daemon_path("next.key")));
	from = strlen(daemon_log());
	daemon_restart();
	daemon_wait_discovery("test", from);
	daemon_wait("the engine begins anew", began_anew, e,
	    DAEMON_DEADLINE_MS);
	daemon_wait("the engine is ready again", is_ready, e, SETTLED_MS);
	assert_int_equal(count(engine_log(e), "Restarting bundle loader"), 1);
	document = daemon_sh("curl -s -H 'Authorization: Bearer %s' "
			     "%s/clusters/test/discovery > d.tar.gz && "
			     "'%s' eval -f raw -b d.tar.gz data.discovery",
	    token, daemon_url(), engine_opa());
	assert_non_null(strstr(document, "\"next\""));
	assert_non_null(strstr(document, "ES256"));
	assert_null(strstr(document, "discovery-"));
	assert_null(strstr(document, "audit-"));
	/* What it answered in all that time was not a storm. */
	document = strstr(daemon_get("/metrics", NULL, NULL).body,
	    "edict_polls_total{code=\"304\"} ");
	assert_true(strtol(strchr(document, ' '), NULL, 10) < 100);
}

static bool
runs_next(void *arg)
{
	const json_t *c = daemon_api("GET", "/clusters/test", NULL, 200);
	const json_t *e =
	    daemon_api("GET", "/clusters/test/engines", NULL, 200);
	const char *etag = daemon_text(c, "assignments.0.etag");
	const char *has = daemon_text(e, "items.0.bundles.0.has.etag");

	return strcmp(daemon_text(c, "assignments.0.key"), arg) == 0 &&
	    has != NULL && strcmp(has, etag) == 0;
}

/* From key to key, nobody touches the engine, and it never is without policy. */
SCENARIO(a_rotation_reaches_engines_by_itself)
{
	struct engine *e;
	const char *token;
	size_t from;

	start();
	token = token_of("e1", "test");
	daemon_wait_discovery("test", 0);
	e = engine_start_with("host-1", discovery_config("test", token));
	engine_wait(e, "billing/level", NULL, "1", DAEMON_DEADLINE_MS);
	from = strlen(daemon_log());
	daemon_sh("edict keygen next && edict key add next.key --id next");
	daemon_wait_discovery("test", from);
	daemon_sh("edict key use next --cluster test --reason rotation");
	daemon_wait("the engine runs what the next key signed", runs_next,
	    (void *)(uintptr_t) "next", DAEMON_DEADLINE_MS);
	assert_string_equal(engine_ask(e, "billing/level", NULL), "1");
	daemon_wait("the engine is ready", is_ready, e, SETTLED_MS);
}

/* A secret that would sign as well is not handed out. */
SCENARIO(a_shared_secret_is_not_told)
{
	const char *rev = daemon_estate(1);
	struct shell s;

	daemon_sh("edict keygen shared --signing-alg HS256");
	configure(daemon_printf("signing: {keys: [{id: shared, algorithm: "
				"HS256, private_key_file: \"%s\"}]}\n",
	    daemon_path("shared.key")));
	daemon_start(&(struct daemon_options){ .config = settings });
	daemon_wait_revision("test", "billing", rev, DAEMON_DEADLINE_MS);
	daemon_wait_log("discovery.stale", 0);
	assert_int_equal(get_discovery("test", daemon_admin(), NULL).status,
	    404);
	s = daemon_try("edict engine-config test --discovery");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "shared secret"));
	assert_int_equal(daemon_try("edict engine-config test").status, 0);
	assert_null(strstr(daemon_log(), daemon_read("shared.key")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(engines_follow_clusters_in_git),
		PLAY(it_is_served_plainly_and_to_its_cluster_only),
		PLAY(polls_after_a_change_are_not_held),
		PLAY(what_did_not_change_is_not_made_again),
		PLAY(a_lost_one_is_made_again),
		PLAY(an_engine_takes_nothing_else),
		PLAY(keys_come_ahead_of_their_use),
		PLAY(a_rotation_reaches_engines_by_itself),
		PLAY(a_shared_secret_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
