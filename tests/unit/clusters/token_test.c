/* The ledger lets each token do what it may, whatever http lets through. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clusters/payload.h"
#include "core/mem.h"
#include "world.h"

static struct world w;

/* authz in prod-eu and prod-us, billing in prod-eu. */
static int
begin(void **state)
{
	struct world_publication p = { .repository = "policies",
		.commit = 1,
		.bundles = { { "authz", 'a', "authz" },
		    { "billing", 'b', "billing" } },
		.clusters = { { "prod-eu", "authz billing" },
		    { "prod-us", "authz" } } };

	(void)state;
	world_open(&w);
	world_repository(&w, "policies", 1, 1);
	world_line(&w, "policies", 1, 1, 1);
	world_verdict(&w, "policies", 1, "passed");
	assert_int_equal(world_publish(&w, &p), ERR_OK);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

/* name is also that of the token; mem_ memory. */
static char *
make(const char *name, const char *role, const char *cluster,
    const char *bundle)
{
	json_t *body = NULL;
	json_t *fields = json_pack("{s:s, s:s, s:s, s:o*, s:o*}", "action",
	    "token.create", "name", name, "role", role, "clusters",
	    cluster != NULL ? json_pack("[s]", cluster) : NULL, "bundles",
	    bundle != NULL ? json_pack("[s]", bundle) : NULL);
	char *token;

	if (world_action(&w, fields, &body) != ERR_OK)
		fail_msg("%s", w.e.text);
	token = mem_strdup(payload_text(body, "token"));
	json_decref(body);
	return token;
}

static enum err_code
act(const char *token, const char *fields)
{
	json_t *j = json_loads(fields, 0, NULL);

	assert_non_null(j);
	return world_run(&w, ledger_action, world_action_payload(&w, token, j),
	    NULL);
}

#define PIN(bundle, more)                                                     \
	"{\"action\":\"pin\",\"bundle\":\"" bundle "\",\"reason\":\"r\"" more \
	"}"
#define EU ",\"clusters\":[\"prod-eu\"]"
#define US ",\"clusters\":[\"prod-us\"]"

static void
test_every_role_at_every_action(void **state)
{
	static const char fetch[] =
	    "{\"action\":\"fetch\",\"repository\":\"policies\"}";
	static const char suspend[] =
	    "{\"action\":\"suspend\",\"repository\":\"policies\"}";
	static const char accept[] =
	    "{\"action\":\"accept\",\"repository\":\"policies\"}";
	static const char create[] = "{\"action\":\"token.create\","
				     "\"name\":\"x\",\"role\":\"admin\"}";
	static const char revoke[] =
	    "{\"action\":\"token.revoke\",\"name\":\"nobody\"}";
	enum { DENIED = ERR_DENIED, NONE = ERR_NOT_FOUND };
	/* engine, viewer, releaser, of prod-eu, of billing */
	static const struct {
		const char *fields;
		int codes[5];
	} rows[] = {
		{ PIN("authz", EU), { DENIED, DENIED, 0, 0, NONE } },
		{ PIN("authz", US), { DENIED, DENIED, 0, NONE, NONE } },
		{ PIN("billing", EU), { DENIED, DENIED, 0, 0, 0 } },
		{ PIN("none", ""), { DENIED, DENIED, NONE, NONE, NONE } },
		{ fetch, { DENIED, DENIED, 0, DENIED, DENIED } },
		{ suspend, { DENIED, DENIED, 0, DENIED, DENIED } },
		{ accept, { DENIED, DENIED, DENIED, DENIED, DENIED } },
		{ create, { DENIED, DENIED, DENIED, DENIED, DENIED } },
		{ revoke, { DENIED, DENIED, DENIED, DENIED, DENIED } },
	};
	char *tokens[] = { make("e", "engine", "*", NULL),
		make("v", "viewer", NULL, NULL),
		make("r", "releaser", NULL, NULL),
		make("eu", "releaser", "*-eu", NULL),
		make("b", "releaser", NULL, "billing") };

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t k = 0; k < 5; k++)
			if ((int)act(tokens[k], rows[i].fields) !=
			    rows[i].codes[k])
				fail_msg("%s as number %zu: not %d: %s",
				    rows[i].fields, k, rows[i].codes[k],
				    w.e.text);
	for (size_t k = 0; k < 5; k++)
		mem_free(tokens[k]);
}

static void
test_all_clusters_are_those_within(void **state)
{
	char *eu = make("eu", "releaser", "prod-eu", NULL);

	(void)state;
	assert_int_equal(act(eu, PIN("authz", "")), ERR_OK);
	assert_assigned(&w, "prod-eu", "authz", "1 held 2");
	assert_assigned(&w, "prod-us", "authz", "1 following 1");
	assert_assigned(&w, "prod-eu", "billing", "1 following 1");
	mem_free(eu);
}

static void
test_revoked_tokens_do_nothing(void **state)
{
	char *r = make("r", "releaser", NULL, NULL);

	(void)state;
	assert_int_equal(act(r, PIN("authz", "")), ERR_OK);
	assert_int_equal(act(NULL,
			     "{\"action\":\"token.revoke\",\"name\":\"r\"}"),
	    ERR_OK);
	assert_int_equal(act(r, PIN("authz", "")), ERR_DENIED);
	assert_int_equal(act(NULL,
			     "{\"action\":\"token.revoke\",\"name\":\"r\"}"),
	    ERR_NOT_FOUND);
	/* The name is free, the token is another. */
	mem_free(make("r", "releaser", NULL, NULL));
	assert_int_equal(act(r, PIN("authz", "")), ERR_DENIED);
	mem_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_role_at_every_action,
		    begin, end),
		cmocka_unit_test_setup_teardown(
		    test_all_clusters_are_those_within, begin, end),
		cmocka_unit_test_setup_teardown(test_revoked_tokens_do_nothing,
		    begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
