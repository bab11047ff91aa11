/* Tokens, and a scene where there is something to keep apart. */

#include <string.h>

#include "tests/daemon/scene.h"

const char *
daemon_token(const char *fields)
{
	return daemon_text(daemon_api("POST", "/tokens", fields, 201), "token");
}

const char *
daemon_estate(int n)
{
	return daemon_commit("an estate",
	    { "edict.yaml",
		"bundles:\n"
		"  authz: {paths: [authz]}\n"
		"  billing: {paths: [billing]}\n"
		"clusters:\n"
		"  prod-eu: {bundles: [authz, billing]}\n"
		"  prod-us: {bundles: [authz]}\n"
		"  test: {bundles: [billing]}\n" },
	    { "authz/authz.rego",
		daemon_printf("package authz\n\nlevel := %d\n", n) },
	    { "authz/authz_test.rego",
		daemon_printf("package authz_test\n\n"
			      "test_level if data.authz.level == %d\n",
		    n) },
	    { "billing/billing.rego",
		daemon_printf("package billing\n\nlevel := %d\n", n) });
}

void
daemon_start_estate(const char *rev)
{
	daemon_start(NULL);
	daemon_wait_revision("prod-eu", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-eu", "billing", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("prod-us", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_wait_revision("test", "billing", rev, DAEMON_DEADLINE_MS);
}
