/* What differs between two revisions, and whether a bundle is what it says, as
 * people ask for it. */

#include <string.h>

#include "fixture.h"

static const char first_policy[] =
    "package authz\n"
    "default allow := false\n"
    "allow if { input.user in data.roles.admin }\n"
    "old if true\n"
    "level := data.roles.level\n";
static const char second_policy[] =
    "package authz\n"
    "# layout and words beside it do not count\n"
    "default allow := false\n"
    "allow if {\n\tinput.user in data.roles.admin\n}\n"
    "fresh(x) := x + 1\n"
    "level := data.roles.level\n"
    "limit := data.roles.limit.daily\n";
static const char policy_test[] = "package authz_test\n"
				  "test_admin if data.authz.allow with "
				  "input.user as \"ada\"\n";

static const char *
commit_first(void)
{
	return daemon_commit("First", { "authz/authz.rego", first_policy },
	    { "authz/authz_test.rego", policy_test },
	    { "roles/data.json", "{\"admin\":[\"ada\"],\"level\":1}" });
}

static const char *
commit_second(void)
{
	return daemon_commit("Second", { "authz/authz.rego", second_policy },
	    { "roles/data.json",
		"{\"admin\":[\"ada\",\"bob\"],\"level\":2,\"limit\":{"
		"\"daily\":7}}" });
}

/* The entry of a list that has this text at key, and no other. */
static const json_t *
entry(const json_t *delta, const char *list, const char *key, const char *text)
{
	const json_t *items =
	    json_object_get(json_object_get(delta, list), "items");
	const json_t *item;
	const json_t *found = NULL;
	size_t i;

	json_array_foreach(items, i, item) {
		const char *at = json_string_value(json_object_get(item, key));

		if (at == NULL || strcmp(at, text) != 0)
			continue;
		assert_null(found);
		found = item;
	}
	if (found == NULL)
		fail_msg("%s: no entry with %s %s", list, key, text);
	return found;
}

static void
check_delta(const json_t *delta)
{
	const json_t *item;

	assert_true(json_is_false(json_object_get(delta, "same")));
	assert_int_equal(daemon_number(delta, "rules.added"), 2);
	assert_int_equal(daemon_number(delta, "rules.removed"), 1);
	assert_int_equal(daemon_number(delta, "rules.changed"), 0);
	item = entry(delta, "rules", "name", "fresh");
	assert_string_equal(daemon_text(item, "change"), "added");
	assert_string_equal(daemon_text(item, "kind"), "function");
	assert_int_equal(daemon_number(item, "to.line"), 7);
	assert_string_equal(daemon_text(entry(delta, "rules", "name", "old"),
				"change"),
	    "removed");
	item = entry(delta, "data", "path", "data.roles.limit");
	assert_string_equal(daemon_text(item, "to"), "{\"daily\":7}");
	item = entry(delta, "data", "path", "data.roles.level");
	assert_string_equal(daemon_text(item, "from"), "1");
	assert_string_equal(daemon_text(item, "to"), "2");
	(void)entry(delta, "data", "path", "data.roles.admin[1]");
	assert_int_equal(daemon_number(delta, "data.added"), 2);
}

SCENARIO(a_server_shows_what_differs)
{
	const char *first = commit_first();
	const char *second;
	const json_t *delta;
	const json_t *same;
	struct engine *e;

	daemon_start(NULL);
	(void)daemon_wait_served(first);
	second = commit_second();
	(void)daemon_wait_served(second);
	delta = daemon_api("GET",
	    daemon_printf("/bundles/main/diff?from=%s&to=HEAD", first), NULL,
	    200);
	check_delta(delta);
	assert_string_equal(daemon_text(delta, "bundle"), "main");
	assert_string_equal(daemon_text(delta, "from.revision"), first);
	assert_string_equal(daemon_text(delta, "to.revision"), second);
	assert_string_equal(daemon_text(delta, "to.rev"), "HEAD");

	/* What is said to be there is there for an engine. */
	e = engine_start("default", ENGINE_LONG);
	(void)engine_wait(e, "roles/limit", NULL, "{\"daily\":7}",
	    DAEMON_DEADLINE_MS);
	assert_string_equal(engine_ask(e, "authz/limit", NULL), "7");
	assert_string_equal(engine_ask(e, "authz/old", NULL), "undefined");
	engine_stop(e);

	same = daemon_api("GET", "/bundles/main/diff?from=HEAD&to=HEAD", NULL,
	    200);
	assert_true(json_is_true(json_object_get(same, "same")));
	/* Policy data is nothing for a log. */
	assert_null(strstr(daemon_log(), "daily"));
}

SCENARIO(a_server_says_why_it_cannot_compare)
{
	static const struct {
		const char *path;
		long status;
		const char *says;
	} rows[] = {
		{ "/bundles/main/diff?from=HEAD", 400, "from and to" },
		{ "/bundles/main/diff?to=HEAD", 400, "from and to" },
		{ "/bundles/main/diff?from=HEAD&to=HEAD&x=1", 400, "from to" },
		{ "/bundles/main/diff?from=HEAD&to=ffff", 404, "edict diff" },
		{ "/bundles/none/diff?from=HEAD&to=HEAD", 404, "none" },
	};

	daemon_start(NULL);
	(void)daemon_wait_served(commit_first());
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const json_t *body =
		    daemon_api("GET", rows[i].path, NULL, rows[i].status);

		if (strstr(daemon_text(body, "error.message"), rows[i].says) ==
		    NULL)
			fail_msg("%s: %s", rows[i].path,
			    daemon_text(body, "error.message"));
	}
	assert_int_equal(daemon_get("/v1/bundles/main/diff?from=HEAD&to=HEAD",
			     NULL, NULL)
			     .status,
	    401);
	assert_int_equal(daemon_get("/v1/bundles/main/diff?from=HEAD&to=HEAD",
			     daemon_engine(), NULL)
			     .status,
	    403);
}

/* Commits, files, and the server say the same. */
SCENARIO(diff_compares_commits_files_and_revisions)
{
	const char *first = commit_first();
	const char *second;
	struct shell s;
	json_t *delta;

	daemon_start(NULL);
	(void)daemon_wait_served(first);
	second = commit_second();
	(void)daemon_wait_served(second);
	daemon_sh("cd work && edict build --rev HEAD~1 -o ../a.tar.gz && "
		  "edict build -o ../b.tar.gz");
	daemon_sh("edict diff --json a.tar.gz b.tar.gz > files.json");
	daemon_sh("edict diff --json --repo work HEAD~1 HEAD > commits.json");
	daemon_sh("edict diff --json --repo work a.tar.gz HEAD > mixed.json");
	daemon_sh("edict diff --json --data-dir data --bundle main %s %s | "
		  "jq 'del(.bundle, .from.rev, .to.rev)' > server.json",
	    first, second);
	daemon_sh("for f in files commits mixed; do "
		  "jq -S . $f.json > x; jq -S . server.json > y; cmp x y || "
		  "exit 1; done");
	delta = json_loads(daemon_read("files.json"), 0, NULL);
	check_delta(delta);
	json_decref(delta);

	s = daemon_try("edict diff a.tar.gz b.tar.gz");
	assert_int_equal(s.status, 0);
	assert_non_null(strstr(s.text, "+ data.authz.fresh  (function)"));
	assert_non_null(strstr(s.text, "- data.authz.old"));
	assert_non_null(strstr(s.text, "~ data.roles.level"));
	assert_null(strstr(s.text, "\033"));
	assert_int_equal(
	    daemon_try("edict diff --exit-code a.tar.gz b.tar.gz").status, 1);
	assert_int_equal(
	    daemon_try("edict diff --exit-code a.tar.gz a.tar.gz").status, 0);
	assert_int_equal(daemon_try("edict diff a.tar.gz").status, 2);
	assert_int_equal(daemon_try("edict diff a.tar.gz none").status, 1);
	assert_int_equal(
	    daemon_try("edict diff --data-dir data HEAD HEAD").status, 2);
}

/* The artifact that a server made, checked by who has the key and a clone. */
SCENARIO(verify_builds_a_servers_artifact_anew)
{
	const char *first = commit_first();
	struct shell s;

	daemon_start(NULL);
	(void)daemon_wait_served(first);
	daemon_sh("curl -sf -o served.tar.gz -H 'Authorization: Bearer %s' "
		  "%s/bundles/main",
	    daemon_engine(), daemon_url());
	daemon_sh("cp data/keys/$(cat data/keys/current).pub key.pub");
	s = daemon_try("edict verify served.tar.gz --key key.pub --repo work");
	if (s.status != 0)
		fail_msg("%s", s.text);
	assert_non_null(strstr(s.text, "byte for byte"));
	assert_non_null(strstr(s.text, first));
	daemon_sh("edict verify served.tar.gz --key key.pub --repo work --json "
		  "> good.json");
	assert_string_equal(
	    daemon_sh("jq -r '[.good, .same_bytes, .scope_from] | join(\" \")' "
		      "good.json"),
	    "true true manifest");

	/* The same commit with another file in it: the hash that is expected
	 * and the one that was found are those of sha256sum. */
	daemon_sh("mkdir x && tar xzf served.tar.gz -C x && "
		  "echo '{\"admin\":[\"eve\"]}' > x/roles/data.json && "
		  "tar czf forged.tar.gz -C x .manifest .signatures.json authz "
		  "roles");
	s = daemon_try("edict verify forged.tar.gz --key key.pub --repo work "
		       "--json > forged.json");
	assert_int_equal(s.status, 1);
	assert_string_equal(
	    daemon_sh("jq -r '.faults[] | select(.kind == \"repository\" and "
		      ".path != null) | .found' forged.json"),
	    daemon_sh("sha256sum < x/roles/data.json | cut -d' ' -f1"));
	assert_string_equal(
	    daemon_sh("jq -r '.faults[] | select(.kind == \"file\") | "
		      ".expected' forged.json"),
	    daemon_sh("tar xzOf served.tar.gz roles/data.json | sha256sum | "
		      "cut -d' ' -f1"));
}

/* What opa compiled, it compiles again to the same bytes. */
SCENARIO(verify_compiles_anew)
{
	struct shell s;

	(void)daemon_commit("First",
	    { "edict.yaml",
		"bundles: {authz: {compile: {optimize: 1, entrypoints: "
		"[authz/allow]}}}\n" },
	    { "a.rego", "package authz\nallow if input.x == data.v\n" },
	    { "data.json", "{\"v\": 1}" });
	daemon_sh("edict keygen ci && edict build work -o c.tar.gz "
		  "--opa '%s' --signing-key ci.key --key-id ci",
	    engine_opa());
	s = daemon_try("edict verify c.tar.gz --key ci.pub --repo work "
		       "--opa '%s'",
	    engine_opa());
	if (s.status != 0)
		fail_msg("%s", s.text);
	assert_non_null(strstr(s.text, "compiled    by opa"));
	assert_non_null(strstr(s.text, "byte for byte"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(a_server_shows_what_differs),
		PLAY(a_server_says_why_it_cannot_compare),
		PLAY(diff_compares_commits_files_and_revisions),
		PLAY(verify_builds_a_servers_artifact_anew),
		PLAY(verify_compiles_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
