/* Several real engines in several clusters, each with its cluster's own
 * credential: what one gets, none of the others sees. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/daemon/fixture.h"

enum { CLUSTERS = 3 };

static const char *const clusters[CLUSTERS] = { "prod-eu", "prod-us", "test" };
static const char *tokens[CLUSTERS];
static struct engine *engines[CLUSTERS];

/* What daemon_estate gives them. */
static bool
has_bundle(size_t cluster, const char *bundle)
{
	return strcmp(bundle, "authz") == 0 ? cluster < 2 : cluster != 1;
}

static void
start_engines(void)
{
	for (size_t i = 0; i < CLUSTERS; i++) {
		const char *name = clusters[i];

		daemon_sh("edict token create %s --role engine --cluster %s "
			  "-o %s.token",
		    name, name, name);
		tokens[i] = daemon_sh("cat %s.token", name);
		daemon_sh("edict engine-config %s --engine-token-file %s.token "
			  "--persist $PWD/%s.kept > %s.yaml",
		    name, name, name, name);
		engines[i] = engine_start_with(daemon_printf("host-%s", name),
		    daemon_path(daemon_printf("%s.yaml", name)));
	}
}

/* Whose credential, whose path, which bundle: all of them. */
static void
check_isolation(void)
{
	static const char *const bundles[] = { "authz", "billing" };

	for (size_t n = 0; n < CLUSTERS * CLUSTERS * 2; n++) {
		size_t who = n % CLUSTERS, whose = n / CLUSTERS % CLUSTERS;
		const char *bundle = bundles[n / (CLUSTERS * CLUSTERS)];
		bool may = who == whose && has_bundle(whose, bundle);
		const char *path = daemon_printf("/clusters/%s/bundles/%s",
		    clusters[whose], bundle);

		assert_int_equal(daemon_get(path, tokens[who], NULL).status,
		    may ? 200 : 404);
	}
	for (size_t i = 0; i < CLUSTERS * 2; i++)
		assert_int_equal(daemon_get(daemon_printf("/bundles/%s",
						bundles[i % 2]),
				     tokens[i / 2], NULL)
				     .status,
		    has_bundle(i / 2, bundles[i % 2]) ? 200 : 404);
}

/* The levels that an engine decides by; "undefined" where it has none. */
static void
wait_levels(size_t cluster, const char *authz, const char *billing)
{
	engine_wait(engines[cluster], "authz/level", NULL, authz,
	    DAEMON_DEADLINE_MS);
	engine_wait(engines[cluster], "billing/level", NULL, billing,
	    DAEMON_DEADLINE_MS);
}

static void
check_levels(size_t cluster, const char *authz, const char *billing)
{
	assert_string_equal(engine_ask(engines[cluster], "authz/level", NULL),
	    authz);
	assert_string_equal(engine_ask(engines[cluster], "billing/level", NULL),
	    billing);
}

static bool
is_converged(void *arg)
{
	const json_t *c = daemon_api("GET",
	    daemon_printf("/clusters/%s", (const char *)arg), NULL, 200);

	return daemon_number(c, "engines.converged") == 1;
}

static void
wait_converged(void)
{
	for (size_t i = 0; i < CLUSTERS; i++)
		daemon_wait("its engine is converged", is_converged,
		    (void *)(uintptr_t)clusters[i], DAEMON_DEADLINE_MS);
}

static bool
is_another(void *arg)
{
	pid_t now = daemon_process("http");

	return now != 0 && now != *(pid_t *)arg;
}

/* One cluster is rolled back, and stays there while the others follow, whatever
 * ends meanwhile; `--wait` is over when the engine has it. */
SCENARIO(one_cluster_goes_back_and_the_others_follow)
{
	const char *first = daemon_estate(1);
	pid_t http;

	daemon_start_estate(first);
	start_engines();
	wait_levels(0, "1", "1");
	wait_levels(1, "1", "undefined");
	wait_levels(2, "undefined", "1");
	check_isolation();

	(void)daemon_estate(2);
	wait_levels(0, "2", "2");
	wait_levels(1, "2", "undefined");
	wait_levels(2, "undefined", "2");
	wait_converged();

	daemon_sh("edict rollback authz --to HEAD~1 --cluster prod-eu "
		  "--reason 'only there' --wait --timeout 50s");
	check_levels(0, "1", "2");
	check_levels(1, "2", "undefined");

	http = daemon_process("http");
	daemon_kill("http", SIGKILL);
	(void)daemon_estate(3);
	daemon_kill("keeper", SIGKILL);
	wait_levels(1, "3", "undefined");
	wait_levels(2, "undefined", "3");
	wait_levels(0, "1", "3");
	daemon_wait("http is back", is_another, &http, DAEMON_DEADLINE_MS);

	daemon_kill("ledger", SIGKILL);
	daemon_kill("pipeline", SIGKILL);
	(void)daemon_estate(4);
	wait_levels(1, "4", "undefined");
	wait_levels(0, "1", "4");
	daemon_crash();
	daemon_restart();
	(void)daemon_estate(5);
	wait_levels(1, "5", "undefined");
	wait_levels(2, "undefined", "5");
	wait_levels(0, "1", "5");
	wait_converged();
	check_isolation();
	daemon_sh("edict audit --verify");

	daemon_sh("edict resume authz --cluster prod-eu --wait --timeout 50s");
	check_levels(0, "5", "5");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(one_cluster_goes_back_and_the_others_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
