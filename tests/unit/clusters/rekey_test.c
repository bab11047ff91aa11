/* Which key signs for a cluster: chosen, waited for, retired. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_key.h"
#include "clusters/store_variant.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "world.h"

static struct world w;

static json_t *
key_json(const char *id, const char *kind)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", id, "algorithm",
	    "RS256", "kind", kind, "created_at", "2026-10-01T00:00:00.000Z",
	    "public", id);
}

/* k1 signs by default, k2 is beside it. */
static int
begin(void **state)
{
	(void)state;
	world_open(&w);
	assert_int_equal(world_run(&w, ledger_keys,
			     json_pack("{s:s, s:[o, o, o]}", "current", "k1",
				 "keys", key_json("k1", "bundle"),
				 key_json("k2", "bundle"),
				 key_json("heads", "audit")),
			     NULL),
	    ERR_OK);
	world_repository(&w, "policies", 1, 3);
	world_line(&w, "policies", 1, 1, 3);
	world_pass(&w, 1, 'a');
	return 0;
}

static int
end(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

/* What the assignment's artifact is signed by. */
static const char *
signed_by(void)
{
	static struct store_artifact a;
	struct store_assignments all = { 0 };

	assert_int_equal(store_assignments(w.context.store, "prod", "authz",
			     &all, &w.e),
	    ERR_OK);
	assert_int_equal(all.count, 1);
	assert_int_equal(store_get_artifact(w.context.store,
			     all.items[0].artifact, &a, &w.e),
	    ERR_OK);
	store_assignments_clear(&all);
	return a.key;
}

/* As the pipeline does: all that is wanted is signed, once. */
static size_t
sign_wanted(void)
{
	AUTO_JSON rows = NULL;
	size_t i;
	json_t *row;

	assert_int_equal(store_variants_wanted(w.context.store, &rows, &w.e),
	    ERR_OK);
	json_array_foreach(rows, i, row) {
		const char *of = payload_text(row, "artifact");
		const char *key = payload_text(row, "key");
		AUTO_STR text = mem_printf("%s by %s", of, key);
		char sha256[DIGEST_HEX_SIZE];

		digest_hex(sha256, text, strlen(text));
		if (world_run(&w, ledger_variant,
			json_pack("{s:s, s:s, s:s, s:i}", "of", of, "key", key,
			    "sha256", sha256, "size", 10),
			NULL) != ERR_OK)
			fail_msg("%s", w.e.text);
	}
	return i;
}

/* Takes fields over. */
static enum err_code
act(json_t *fields)
{
	json_t *body = NULL;
	enum err_code code = world_action(&w, fields, &body);

	json_decref(body);
	return code;
}

static enum err_code
use(const char *key)
{
	return act(json_pack("{s:s, s:s, s:[s], s:s}", "action", "key.use",
	    "key", key, "clusters", "prod", "reason", "rotation"));
}

static void
used(const char *key)
{
	if (use(key) != ERR_OK)
		fail_msg("%s", w.e.text);
}

static enum err_code
retire(const char *key, const char *reason, bool force)
{
	return act(json_pack("{s:s, s:s, s:s*, s:b}", "action", "key.retire",
	    "key", key, "reason", reason, "force", force));
}

static void
roll_back(int commit, int status)
{
	char id[STORE_ID_SIZE];
	json_t *body = NULL;
	AUTO_JSON reply = NULL;

	world_id(id, commit);
	if (world_run(&w, ledger_action,
		world_action_payload(&w, w.admin,
		    json_pack("{s:s, s:s, s:s, s:s}", "action", "rollback",
			"bundle", "authz", "to", id, "reason", "it broke")),
		&reply) != ERR_OK)
		fail_msg("%s", w.e.text);
	body = json_object_get(reply, "status");
	assert_int_equal(json_integer_value(body), status);
}

/* The same revision, the next serial, and the hold stays who made it. */
static void
the_key_of_what_is_assigned_changes(void **state)
{
	(void)state;
	assert_assigned(&w, "prod", "authz", "1 following 1");
	assert_string_equal(signed_by(), "k1");
	used("k2");
	assert_assigned(&w, "prod", "authz", "1 following 1");
	assert_int_equal(sign_wanted(), 1);
	assert_string_equal(signed_by(), "k2");
	assert_assigned(&w, "prod", "authz", "1 following 2");
	assert_int_equal(sign_wanted(), 0);
	/* Back: signed already. */
	used("k1");
	assert_string_equal(signed_by(), "k1");
	assert_assigned(&w, "prod", "authz", "1 following 3");
	used("k1");
	assert_assigned(&w, "prod", "authz", "1 following 3");
}

static void
what_follows_waits_for_the_signature(void **state)
{
	(void)state;
	used("k2");
	assert_int_equal(sign_wanted(), 1);
	world_pass(&w, 2, 'b');
	assert_assigned(&w, "prod", "authz", "1 following 2");
	assert_string_equal(signed_by(), "k2");
	assert_int_equal(sign_wanted(), 1);
	assert_assigned(&w, "prod", "authz", "2 following 3");
	assert_string_equal(signed_by(), "k2");
}

static void
rollbacks_wait_for_the_signature(void **state)
{
	(void)state;
	world_pass(&w, 2, 'b');
	used("k2");
	assert_int_equal(sign_wanted(), 1);
	assert_assigned(&w, "prod", "authz", "2 following 3");
	roll_back(1, 202);
	assert_assigned(&w, "prod", "authz", "2 following 3");
	assert_int_equal(sign_wanted(), 1);
	assert_assigned(&w, "prod", "authz", "1 held 4");
	assert_string_equal(signed_by(), "k2");
	/* Now both are there. */
	roll_back(2, 200);
	assert_assigned(&w, "prod", "authz", "2 held 5");
	assert_string_equal(signed_by(), "k2");
	/* Held stays held when the key changes. */
	used("k1");
	assert_assigned(&w, "prod", "authz", "2 held 6");
}

/* Who changed their mind meanwhile is not overruled by what was signed late. */
static void
a_late_signature_overrules_nobody(void **state)
{
	(void)state;
	world_pass(&w, 2, 'b');
	used("k2");
	assert_int_equal(sign_wanted(), 1);
	roll_back(1, 202);
	assert_int_equal(act(json_pack("{s:s, s:s, s:s}", "action", "pin",
			     "bundle", "authz", "reason", "wait")),
	    ERR_OK);
	assert_assigned(&w, "prod", "authz", "2 held 4");
	assert_int_equal(sign_wanted(), 1);
	assert_assigned(&w, "prod", "authz", "2 held 4");
}

static void
a_fault_is_told_and_tried_again(void **state)
{
	AUTO_JSON rows = NULL;

	(void)state;
	used("k2");
	assert_int_equal(store_variants_wanted(w.context.store, &rows, &w.e),
	    ERR_OK);
	assert_int_equal(world_run(&w, ledger_variant,
			     json_pack("{s:O, s:s, s:s}", "of",
				 json_object_get(json_array_get(rows, 0),
				     "artifact"),
				 "key", "k2", "error", "no disk"),
			     NULL),
	    ERR_OK);
	json_decref(rows);
	assert_int_equal(store_variants_wanted(w.context.store, &rows, &w.e),
	    ERR_OK);
	assert_string_equal(payload_text(json_array_get(rows, 0), "error"),
	    "no disk");
	assert_int_equal(sign_wanted(), 1);
	assert_string_equal(signed_by(), "k2");
}

static void
only_what_may_sign_is_used(void **state)
{
	static const struct {
		const char *key;
		enum err_code code;
		const char *says;
	} cases[] = {
		{ "none", ERR_NOT_FOUND, "no key is called none" },
		{ "heads", ERR_CONFLICT, "of kind audit" },
		{ "../k1", ERR_INVALID, "no key's id" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(use(cases[i].key), cases[i].code);
		assert_non_null(strstr(w.e.text, cases[i].says));
	}
	/* Compared with what was seen. */
	assert_int_equal(act(json_pack("{s:s, s:s, s:[s], s:{s:s}}", "action",
			     "key.use", "key", "k2", "clusters", "prod",
			     "expect", "prod", "k3")),
	    ERR_CONFLICT);
	assert_int_equal(act(json_pack("{s:s, s:s, s:[s]}", "action", "key.use",
			     "key", "k2", "clusters", "nowhere")),
	    ERR_NOT_FOUND);
	assert_int_equal(act(json_pack("{s:s, s:s}", "action", "key.use", "key",
			     "k2")),
	    ERR_INVALID);
	assert_string_equal(signed_by(), "k1");
	assert_int_equal(sign_wanted(), 0);
}

static void
retired_keys_are_none(void **state)
{
	(void)state;
	assert_int_equal(retire("k1", NULL, true), ERR_CONFLICT);
	assert_non_null(strstr(w.e.text, "the default"));
	assert_int_equal(retire("heads", NULL, false), ERR_CONFLICT);
	used("k2");
	assert_int_equal(sign_wanted(), 1);
	assert_int_equal(retire("k2", "old", false), ERR_CONFLICT);
	assert_non_null(strstr(w.e.text, "cluster prod uses it"));
	assert_int_equal(retire("k2", NULL, true), ERR_INVALID);
	assert_int_equal(retire("k2", "lost", true), ERR_OK);
	/* Back with the default, and nothing else can be had of it. */
	assert_string_equal(signed_by(), "k1");
	assert_int_equal(use("k2"), ERR_CONFLICT);
	assert_int_equal(retire("k2", "twice", true), ERR_CONFLICT);
	/* Unneeded, it goes without force; and is found again as retired. */
	assert_int_equal(world_run(&w, ledger_keys,
			     json_pack("{s:s, s:[o, o, o]}", "current", "k1",
				 "keys", key_json("k1", "bundle"),
				 key_json("k2", "bundle"),
				 key_json("k3", "bundle")),
			     NULL),
	    ERR_OK);
	assert_int_equal(retire("k3", NULL, false), ERR_OK);
	assert_int_equal(use("k2"), ERR_CONFLICT);
	assert_int_equal(use("k3"), ERR_CONFLICT);
}

/* Signed for before it was retired, and late. */
static void
late_signatures_of_a_retired_key(void **state)
{
	AUTO_JSON rows = NULL;
	char sha256[DIGEST_HEX_SIZE];

	(void)state;
	used("k2");
	assert_int_equal(store_variants_wanted(w.context.store, &rows, &w.e),
	    ERR_OK);
	assert_int_equal(retire("k2", "lost", true), ERR_OK);
	digest_hex(sha256, "late", 4);
	assert_int_equal(world_run(&w, ledger_variant,
			     json_pack("{s:O, s:s, s:s, s:i}", "of",
				 json_object_get(json_array_get(rows, 0),
				     "artifact"),
				 "key", "k2", "sha256", sha256, "size", 10),
			     NULL),
	    ERR_CONFLICT);
	assert_int_equal(sign_wanted(), 0);
	assert_string_equal(signed_by(), "k1");
}

static void
hostile_messages(void **state)
{
	static const char *const keys[] = { "{}", "{\"current\":1,\"keys\":[]}",
		"{\"current\":null,\"keys\":{}}",
		"{\"current\":null,\"keys\":[{}]}",
		"{\"current\":null,\"keys\":[{\"id\":\"a\"}]}",
		"{\"current\":null,\"keys\":[],\"more\":1}" };
	static const char *const variants[] = { "{}", "{\"of\":\"x\"}",
		"{\"of\":\"x\",\"key\":\"k2\",\"error\":\"\"}",
		("{\"of\":\"" WORLD_ENGINE "\",\"key\":\"k2\"}"),
		("{\"of\":\"" WORLD_ENGINE "\",\"key\":\"k2\","
		 "\"sha256\":\"x\",\"size\":1}"),
		("{\"of\":\"" WORLD_ENGINE "\",\"key\":\"k2\","
		 "\"sha256\":\"" WORLD_ENGINE "\",\"size\":0}") };

	(void)state;
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		assert_int_equal(world_run(&w, ledger_keys,
				     json_loads(keys[i], 0, NULL), NULL),
		    ERR_INVALID);
	for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
		assert_int_equal(world_run(&w, ledger_variant,
				     json_loads(variants[i], 0, NULL), NULL),
		    ERR_INVALID);
	assert_string_equal(signed_by(), "k1");
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(the_key_of_what_is_assigned_changes),
		IN_WORLD(what_follows_waits_for_the_signature),
		IN_WORLD(rollbacks_wait_for_the_signature),
		IN_WORLD(a_late_signature_overrules_nobody),
		IN_WORLD(a_fault_is_told_and_tried_again),
		IN_WORLD(only_what_may_sign_is_used),
		IN_WORLD(retired_keys_are_none),
		IN_WORLD(late_signatures_of_a_retired_key),
		IN_WORLD(hostile_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
