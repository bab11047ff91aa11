/* Clusters come from edict.yaml: who gets what, and what becomes of what leaves
 * the file. */

#include <stdio.h>
#include <string.h>

#include "tests/daemon/fixture.h"

#define AUTHZ                                                    \
	{ "authz/authz.rego", "package authz\n\nlevel := 1\n" }, \
	{                                                        \
		LEVEL_TEST,                                      \
		    "package authz_test\n\n"                     \
		    "test_level if data.authz.level > 0\n"       \
	}

static json_t *
cluster(const char *name)
{
	return daemon_api("GET", daemon_printf("/clusters/%s", name), NULL,
	    200);
}

static const char *
clusters_yaml(const char *clusters)
{
	return daemon_commit("Clusters",
	    { "edict.yaml",
		daemon_printf("bundles: {authz: {paths: [authz]}}\n"
			      "clusters:\n%s",
		    clusters) },
	    AUTHZ);
}

static bool
is_orphan(void *arg)
{
	return json_is_true(daemon_at(cluster(arg), "orphan"));
}

static void
wait_orphan(const char *name)
{
	char text[64];

	(void)snprintf(text, sizeof text, "%s", name);
	daemon_wait("it is an orphan", is_orphan, text, DAEMON_DEADLINE_MS);
}

/* Labels, members and their end, as the newest passing commit has them. */
SCENARIO(the_file_says_who_gets_what)
{
	const char *first = clusters_yaml(
	    "  prod-eu: {labels: {env: prod, region: eu}, follow: main}\n"
	    "  prod-us: {labels: {env: prod, region: us}, bundles: [authz]}\n");
	const char *bad, *second;
	const json_t *v;
	struct shell s;

	daemon_start(NULL);
	daemon_wait_revision("prod-us", "authz", first, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-eu", "authz", first, DAEMON_DEADLINE_MS);
	assert_string_equal(daemon_text(cluster("prod-eu"), "labels.region"),
	    "eu");
	/* A fault changes nothing, and says where it is. */
	bad = clusters_yaml("  prod-eu: {bundles: [authy]}\n");
	v = daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS);
	assert_non_null(strstr(daemon_text(v, "verdict.reason"),
	    "edict.yaml:3:"));
	assert_non_null(strstr(daemon_text(v, "verdict.reason"),
	    "did you mean \"authz\""));
	bad = clusters_yaml("  prod-eu: {follow: develop}\n");
	v = daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS);
	assert_non_null(strstr(daemon_text(v, "verdict.reason"),
	    "only the tracked branch, main, can be followed"));
	assert_false(json_is_true(daemon_at(cluster("prod-us"), "orphan")));
	/* One goes, one comes; what goes is still served. */
	second = clusters_yaml("  prod-eu: {labels: {env: prod}}\n"
			       "  test: {labels: {env: test}}\n");
	daemon_wait_revision("test", "authz", first, DAEMON_DEADLINE_MS);
	wait_orphan("prod-us");
	daemon_wait_revision("prod-us", "authz", first, DAEMON_DEADLINE_MS);
	assert_non_null(daemon_text(cluster("prod-us"),
	    "assignments.0.blocked"));
	assert_string_equal(daemon_text(cluster("test"),
				"assignments.0.current_with"),
	    second);
	assert_null(daemon_text(cluster("prod-eu"), "labels.region"));
	assert_non_null(strstr(daemon_sh("edict cluster list"), "orphan"));
	assert_non_null(strstr(daemon_sh("edict status"), "prod-us"));
	/* What is defined stays; an orphan goes when an operator says so. */
	s = daemon_try("edict cluster remove prod-eu");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "take it out there first"));
	assert_non_null(
	    strstr(daemon_sh("edict cluster remove prod-us --reason 'off'"),
		"removed from cluster prod-us"));
	daemon_api("GET", "/clusters/prod-us", NULL, 404);
	daemon_api("DELETE", "/clusters/prod-us", NULL, 404);
	assert_non_null(strstr(daemon_sh("edict audit"), "cluster.remove"));
	daemon_sh("edict audit --verify");
}

static bool
is_gone(void *arg)
{
	return daemon_get(arg, daemon_engine(), NULL).status == 404;
}

static bool
has_left(void *arg)
{
	(void)arg;
	return json_is_true(daemon_at(cluster("prod"), "assignments.1.orphan"));
}

/* Serials never fall, not even by way of a removal and a restart. */
SCENARIO(a_bundle_that_leaves_a_cluster)
{
	static const char both[] =
	    "bundles:\n  authz: {paths: [authz]}\n  old: {paths: [old]}\n"
	    "clusters:\n  prod: {bundles: [authz, old]}\n";
	char path[] = "/clusters/prod/bundles/old";
	const char *first = daemon_commit("Both", { "edict.yaml", both },
	    { "old/old.rego", "package old\n\nx := 1\n" }, AUTHZ);
	struct shell s;
	int64_t serial;

	daemon_start(NULL);
	daemon_wait_revision("prod", "old", first, DAEMON_DEADLINE_MS);
	daemon_sh("edict pin old --reason freeze");
	serial = daemon_number(cluster("prod"), "assignments.1.serial");
	daemon_commit("One",
	    { "edict.yaml",
		"bundles:\n  authz: {paths: [authz]}\n"
		"clusters:\n  prod: {}\n" });
	daemon_wait("it is marked", has_left, NULL, DAEMON_DEADLINE_MS);
	assert_int_equal(daemon_get(path, daemon_engine(), NULL).status, 200);
	s = daemon_try("edict cluster remove prod --bundle authz");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "gives cluster prod bundle authz"));
	daemon_sh("edict cluster remove prod --bundle old");
	daemon_wait("the bundle is not served", is_gone, path,
	    DAEMON_DEADLINE_MS);
	assert_int_equal(daemon_get("/clusters/prod/bundles/authz",
			     daemon_engine(), NULL)
			     .status,
	    200);
	daemon_restart();
	daemon_commit("Both again", { "edict.yaml", both });
	daemon_wait_revision("prod", "old", first, DAEMON_DEADLINE_MS);
	assert_true(daemon_number(cluster("prod"), "assignments.1.serial") >
	    serial);
}

/* ---- several repositories ---- */

/* A commit of the second repository. */
static const char *
other_commit(const char *yaml, const char *bundle)
{
	daemon_write("other/edict.yaml", yaml);
	daemon_write(daemon_printf("other/%s/p.rego", bundle),
	    daemon_printf("package %s\n\nx := 1\n", bundle));
	daemon_write(daemon_printf("other/%s/p_test.rego", bundle),
	    daemon_printf("package %s_test\n\ntest_x if data.%s.x == 1\n",
		bundle, bundle));
	daemon_sh("cd other && git add -A && git commit -q --allow-empty -m "
		  "other && git push -q origin HEAD:main");
	return daemon_sh("git -C other rev-parse HEAD");
}

static void
start_two(const char *globs, const char *other_globs)
{
	daemon_start(&(struct daemon_options){
	    .config = daemon_printf(
		"repositories:\n"
		"  policies: {url: \"%s\", clusters: true, bundles: [%s]}\n"
		"  payments: {url: \"%s\", bundles: [%s]}\n",
		daemon_path("remote.git"), globs, daemon_path("other.git"),
		other_globs) });
}

static void
make_other(void)
{
	daemon_sh("git init -q --bare -b main other.git && "
		  "git init -q -b main other && "
		  "git -C other remote add origin ../other.git");
}

static const char *
reason_of(const char *rev)
{
	return daemon_text(daemon_wait_verdict(daemon_printf("payments@%s",
						   rev),
			       "failed", DAEMON_DEADLINE_MS),
	    "verdict.reason");
}

/* Each its bundles, one of them the clusters. */
SCENARIO(several_repositories)
{
	const char *first = daemon_commit("Clusters",
	    { "edict.yaml",
		"bundles: {authz: {paths: [authz]}}\n"
		"clusters:\n"
		"  prod: {bundles: [authz, pay]}\n"
		"  test: {bundles: [pay]}\n" },
	    AUTHZ);
	const char *pay, *bad, *next;
	const char *reason;
	struct shell s;

	make_other();
	pay = other_commit("bundles: {pay: {paths: [pay]}}\n", "pay");
	start_two("authz*", "\"pay*\"");
	daemon_wait_revision("prod", "authz", first, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod", "pay", pay, DAEMON_DEADLINE_MS);
	daemon_wait_revision("test", "pay", pay, DAEMON_DEADLINE_MS);
	/* No bundle beyond what the server's configuration gives it. */
	bad =
	    other_commit("bundles: {pay: {paths: [pay]}, stolen: {}}\n", "pay");
	reason = reason_of(bad);
	assert_non_null(strstr(reason, "bundles.stolen"));
	assert_non_null(strstr(reason, "payments"));
	/* No clusters but those of the one that has them. */
	bad = other_commit("bundles: {pay: {paths: [pay]}}\n"
			   "clusters: {mine: {bundles: [pay]}}\n",
	    "pay");
	reason = reason_of(bad);
	assert_non_null(strstr(reason,
	    "repository policies defines the clusters, repository payments "
	    "cannot"));
	daemon_api("GET", "/clusters/mine", NULL, 404);
	/* A cluster's bundle that nobody may define is a mistake. */
	bad = clusters_yaml("  prod: {bundles: [authz, zzz]}\n");
	assert_non_null(strstr(
	    daemon_text(daemon_wait_verdict(daemon_printf("policies@%s", bad),
			    "failed", DAEMON_DEADLINE_MS),
		"verdict.reason"),
	    "there is no bundle \"zzz\""));
	/* Each goes its own way, and back its own way. */
	daemon_write("other/pay/more.rego", "package pay\n\ny := 2\n");
	next = other_commit("bundles: {pay: {paths: [pay]}}\n", "pay");
	daemon_wait_revision("prod", "pay", next, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod", "authz", first, DAEMON_DEADLINE_MS);
	s = daemon_try("edict rollback --all --to %s --reason x", pay);
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text,
	    "several repositories (policies and payments)"));
	daemon_sh("edict rollback --all --to payments@%s --reason x --cluster "
		  "prod",
	    pay);
	daemon_wait_revision("prod", "pay", pay, DAEMON_DEADLINE_MS);
	daemon_wait_revision("test", "pay", next, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod", "authz", first, DAEMON_DEADLINE_MS);
}

/* Both may, but only one has: the later commit fails, with both names. */
SCENARIO(a_clash_of_names)
{
	const char *first = daemon_level(1);
	const char *later;
	const char *reason;

	make_other();
	daemon_start(NULL);
	daemon_wait_served(first);
	daemon_stop();
	other_commit("bundles: {pay: {paths: [pay]}}\n", "pay");
	start_two("\"*\"", "\"*\"");
	later = other_commit("bundles: {main: {paths: [pay]}}\n", "pay");
	reason = reason_of(later);
	assert_non_null(strstr(reason, "bundle main belongs to repository"));
	assert_non_null(strstr(reason, "repository payments cannot"));
	daemon_wait_served(first);
}

/* ---- selectors ---- */

static const char *
selected(const char *selector)
{
	return daemon_sh("edict cluster list --json --selector '%s' | "
			 "sed -n 's/^ *\"name\": \"\\(.*\\)\",*$/\\1/p' | "
			 "tr '\\n' ' '",
	    selector);
}

static bool
is_known(void *arg)
{
	return daemon_get("/v1/keys", arg, NULL).status == 200;
}

SCENARIO(clusters_by_their_labels)
{
	const char *first =
	    clusters_yaml("  prod-eu: {labels: {env: prod, region: eu}}\n"
			  "  prod-us: {labels: {env: prod, region: us}}\n"
			  "  test: {labels: {env: test, team: \"a b\"}}\n");
	const char *viewer;
	struct answer a;
	struct shell s;

	daemon_start(NULL);
	daemon_wait_revision("test", "authz", first, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-us", "authz", first, DAEMON_DEADLINE_MS);
	assert_string_equal(selected("env=prod"), "prod-eu prod-us ");
	assert_string_equal(selected("env=prod,region!=us"), "prod-eu ");
	assert_string_equal(selected("!region"), "test ");
	assert_string_equal(selected("team==a b"), "test ");
	assert_string_equal(selected("env=none"), "");
	s = daemon_try("edict cluster list --selector 'env=prod,,x'");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "selector: column 10"));
	s = daemon_try("edict status --selector env=test");
	assert_int_equal(s.status, 0);
	assert_non_null(strstr(s.text, "test"));
	assert_null(strstr(s.text, "prod-eu"));
	/* Pages, and what a credential may not see. */
	a = daemon_get("/v1/clusters?selector=env%3Dprod&limit=1",
	    daemon_admin(), NULL);
	assert_non_null(strstr(a.body, "\"next\":\"prod-eu\""));
	a = daemon_get("/v1/clusters?selector=env%3Dprod&limit=1&next=prod-eu",
	    daemon_admin(), NULL);
	assert_non_null(strstr(a.body, "\"next\":null"));
	viewer = daemon_token("{\"role\":\"viewer\",\"name\":\"v\","
			      "\"clusters\":[\"*-us\",\"test\"]}");
	daemon_wait("the token is known", is_known, (void *)(uintptr_t)viewer,
	    DAEMON_DEADLINE_MS);
	a = daemon_get("/v1/clusters?selector=env%3Dprod", viewer, NULL);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.body, "prod-us"));
	assert_null(strstr(a.body, "prod-eu"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(the_file_says_who_gets_what),
		PLAY(a_bundle_that_leaves_a_cluster),
		PLAY(several_repositories),
		PLAY(a_clash_of_names),
		PLAY(clusters_by_their_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
