#include <string.h>

#include "tests/daemon/fixture.h"

/* A commit with all that a clock, a locale, an order or a mask could get into:
 * many files, YAML, numbers as they are written, names beyond ASCII. */
static const char *
commit(void)
{
	return daemon_commit("Everything, twice",
	    { "edict.yaml",
		"bundles:\n"
		"  authz:\n"
		"    paths: [authz, {from: data/roles, to: roles}]\n"
		"    metadata: {owner: \"Zo\u00eb\", z: 1, a: [3, 2.50]}\n"
		"clusters: {one: {}}\n" },
	    { "authz/a.rego",
		"package authz\n\n# \u00fcber\nallow if "
		"data.roles[input.user].level > 1.10\n" },
	    { "authz/b/c.rego", "package authz.b.c\n\nx := 1e3\n" },
	    { "authz/b.rego", "package authz.b\n\ny := \"\u00e9\"\n" },
	    { "authz/a_test.rego",
		"package authz_test\n\ntest_y if data.authz.b.y == \"\u00e9\"\n" },
	    { "data/roles/data.yaml",
		"zed: {level: 1.50}\nann: {level: 0777, on: yes}\n"
		"\"\u00e4\": {level: 1_000}\n" },
	    { "data/roles/deep/data.json",
		"{\"n\": 1.10, \"b\": 12345678901234567890123, \"a\": "
		"\"\u00df\"}\n" });
}

/* Serves the commit from a folder of its own, and keeps what it sent. */
static json_t *
serve(const char *data, const char *rev, const char *const *env, mode_t mask,
    const char *file)
{
	json_t *revision;

	daemon_start(&(struct daemon_options){ .data = data,
	    .env = env,
	    .umask = mask,
	    .config = daemon_printf(
		"repositories: {policies: {url: \"%s\"}}\n"
		"signing: {keys: [{id: ci, private_key_file: \"%s\"}]}\n",
		daemon_path("remote.git"), daemon_path("ci.key")) });
	daemon_wait_revision("one", "authz", rev, DAEMON_DEADLINE_MS);
	daemon_sh("curl -sf -H 'Authorization: Bearer %s' -o %s "
		  "%s/clusters/one/bundles/authz",
	    daemon_engine(), file, daemon_url());
	revision = daemon_api("GET",
	    daemon_printf("/bundles/authz/revisions/%s", rev), NULL, 200);
	daemon_stop();
	return revision;
}

SCENARIO(two_servers_and_the_command_make_the_same_bytes)
{
	static const char *const here[] = { "TZ=UTC", "LC_ALL=C", NULL };
	static const char *const there[] = { "TZ=Asia/Tokyo",
		"LC_ALL=de_DE.UTF-8", "LANG=tr_TR.UTF-8", NULL };
	const char *rev;
	json_t *one, *two;
	const char *content;

	daemon_sh("edict keygen ci");
	rev = commit();
	one = serve("data", rev, here, 0022, "one.tar.gz");
	two = serve("another/place/data", rev, there, 0077, "two.tar.gz");
	content = daemon_text(one, "content");
	assert_int_equal(strlen(content), 64);
	assert_string_equal(content, daemon_text(two, "content"));
	assert_string_equal(daemon_text(one, "artifact.sha256"),
	    daemon_text(two, "artifact.sha256"));
	daemon_sh("cmp one.tar.gz two.tar.gz");

	/* Here a clone, elsewhere, and another time zone. */
	daemon_sh("git clone -q remote.git elsewhere && cd elsewhere && "
		  "umask 027 && TZ=America/Lima LC_ALL=C edict build . "
		  "--bundle authz -o ../three.tar.gz --signing-key ../ci.key "
		  "--key-id ci --json > ../three.json");
	daemon_sh("cmp one.tar.gz three.tar.gz");
	assert_non_null(strstr(daemon_read("three.json"), content));
	/* Unsigned, by another name for the commit: the same content. */
	daemon_sh("cd work && edict build --rev main --bundle authz -o "
		  "../four.tar.gz | grep -q %s",
	    content);
	/* What is signed is good, for others too. */
	daemon_sh("edict verify one.tar.gz --key ci.pub --key-id ci --scope "
		  "authz && '%s' build -b one.tar.gz --verification-key ci.pub "
		  "--verification-key-id ci --scope authz -o /dev/null",
	    engine_opa());
}

/* Built again from nothing, it is what it was. */
SCENARIO(a_server_that_lost_everything_makes_the_same_bytes)
{
	static const char *const env[] = { NULL };
	const char *rev;

	daemon_sh("edict keygen ci");
	rev = commit();
	serve("data", rev, env, 0, "one.tar.gz");
	daemon_sh("rm -r data/store data/artifacts data/contents data/repos");
	serve("data", rev, env, 0, "two.tar.gz");
	daemon_sh("cmp one.tar.gz two.tar.gz");
}

static void
serve_signed_by(const char *id)
{
	daemon_start(&(struct daemon_options){
	    .config = daemon_printf("repositories: {policies: {url: \"%s\"}}\n"
				    "signing: {use: %s, keys: ["
				    "{id: k1, private_key_file: \"%s\"},"
				    "{id: k2, private_key_file: \"%s\"}]}\n",
		daemon_path("remote.git"), id, daemon_path("k1.key"),
		daemon_path("k2.key")) });
}

/* What is assigned stays signed by the key of its time. */
SCENARIO(engines_get_the_key_that_signed)
{
	struct engine *e;
	const char *one;

	daemon_sh("edict keygen k1 && edict keygen k2");
	one = daemon_level(1);
	serve_signed_by("k1");
	daemon_wait_served(one);
	daemon_stop();
	serve_signed_by("k2");
	daemon_wait_served(one);
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "authz/level", NULL, "1", DAEMON_DEADLINE_MS);
	engine_stop(e);
	daemon_wait_served(daemon_level(2));
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "authz/level", NULL, "2", DAEMON_DEADLINE_MS);
}

/* A disk lost it or changed it: a commit that needs it has it built again. */
SCENARIO(a_lost_artifact_is_built_again)
{
	const char *one = daemon_level(1);
	const char *path = "/clusters/default/bundles/main";
	struct answer before, after;

	daemon_start(NULL);
	daemon_wait_served(one);
	before = daemon_get(path, daemon_engine(), NULL);
	daemon_stop();
	daemon_sh("find data/artifacts -type f -exec sh -c 'echo x > \"$1\"' "
		  "- {} ';'");
	daemon_restart();
	assert_int_equal(daemon_get(path, daemon_engine(), NULL).status, 503);
	daemon_sh("edict retest %s", one);
	daemon_wait_served(one);
	after = daemon_get(path, daemon_engine(), NULL);
	assert_int_equal(after.status, 200);
	assert_int_equal(after.len, before.len);
	assert_memory_equal(after.body, before.body, before.len);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(two_servers_and_the_command_make_the_same_bytes),
		PLAY(a_server_that_lost_everything_makes_the_same_bytes),
		PLAY(engines_get_the_key_that_signed),
		PLAY(a_lost_artifact_is_built_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
