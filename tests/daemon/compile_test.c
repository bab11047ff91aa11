#include <stdlib.h>
#include <string.h>

#include "tests/daemon/fixture.h"

/* Bundles that go through `opa build`. */

#define ROLES "roles/data.json"

static const char policy[] =
    "package authz\n\n"
    "default allow := false\n\n"
    "allow if {\n\tsome role in data.roles[input.user]\n"
    "\tpermits(role, input.method)\n\tnot denied\n}\n\n"
    "denied if {\n\tsome x in input.path\n\tnot owner(x)\n}\n\n"
    "owner(\"a\") if input.q == 1\n\n"
    "owner(\"b\") if input.q == 2\n\n"
    "owner(x) if \"admin\" in data.roles[x]\n\n"
    "permits(\"admin\", _)\n\n"
    "permits(\"reader\", \"GET\")\n\n"
    "permits(\"reader\", \"HEAD\") if input.z\n";

static const char test[] =
    "package authz_test\n\n"
    "test_admin if data.authz.allow with input as {\"user\": \"ann\", "
    "\"method\": \"PUT\"}\n";

static const struct {
	const char *input, *decision;
} questions[] = {
	{ "{\"user\": \"ann\", \"method\": \"PUT\"}", "true" },
	{ "{\"user\": \"bob\", \"method\": \"GET\"}", "true" },
	{ "{\"user\": \"bob\", \"method\": \"PUT\"}", "false" },
	{ "{\"user\": \"bob\", \"method\": \"HEAD\"}", "false" },
	{ "{\"user\": \"bob\", \"method\": \"HEAD\", \"z\": 1}", "true" },
	{ "{\"user\": \"eve\", \"method\": \"GET\"}", "false" },
	{ "{\"user\": \"ann\", \"method\": \"GET\", \"path\": [\"c\"]}",
	    "false" },
	{ "{\"user\": \"ann\", \"method\": \"GET\", \"path\": [\"b\"], "
	  "\"q\": 2}",
	    "true" },
	{ "{\"user\": \"ann\", \"method\": \"GET\", \"path\": [\"ann\"]}",
	    "true" },
};
enum { QUESTIONS = sizeof questions / sizeof questions[0] };

static const char *
definition(const char *compile)
{
	return daemon_printf("bundles:\n  main:\n"
			     "    paths: [authz, roles]\n"
			     "    compile: %s\n",
	    compile);
}

static const char *
commit(const char *compile)
{
	return daemon_commit("Compile it",
	    { "edict.yaml", definition(compile) }, { "authz/a.rego", policy },
	    { "authz/a_test.rego", test },
	    { ROLES, "{\"ann\": [\"admin\"], \"bob\": [\"reader\"]}\n" });
}

static void
start(const char *data)
{
	daemon_start(&(struct daemon_options){ .data = data,
	    .config = daemon_printf(
		"repositories: {policies: {url: \"%s\"}}\n"
		"signing: {keys: [{id: ci, private_key_file: \"%s\"}]}\n",
		daemon_path("remote.git"), daemon_path("ci.key")) });
}

/* What engines get, in file.tar.gz and unpacked in file. */
static void
download(const char *file)
{
	daemon_sh("curl -sf -H 'Authorization: Bearer %s' -o %s.tar.gz "
		  "%s/clusters/default/bundles/main && rm -rf %s && mkdir %s "
		  "&& tar -xzf %s.tar.gz -C %s",
	    daemon_engine(), file, daemon_url(), file, file, file, file);
}

/* By the program that engines are, and by no other key. */
static void
verified_by_opa(const char *file)
{
	daemon_sh("'%s' build -b %s.tar.gz --verification-key ci.pub "
		  "--verification-key-id ci --scope main -o /dev/null",
	    engine_opa(), file);
	daemon_sh("! '%s' build -b %s.tar.gz --verification-key other.pub "
		  "--verification-key-id ci --scope main -o /dev/null",
	    engine_opa(), file);
	daemon_sh("edict verify %s.tar.gz --key ci.pub --key-id ci --scope "
		  "main",
	    file);
}

static void
make_keys(void)
{
	daemon_sh("edict keygen ci && edict keygen other");
}

/* The engine decides as the sources do. */
static void
decides_the_same(void)
{
	struct engine *e = engine_start("default", ENGINE_LONG);

	engine_wait(e, "authz/allow", questions[0].input, questions[0].decision,
	    DAEMON_DEADLINE_MS);
	for (size_t i = 0; i < QUESTIONS; i++) {
		const char *source = daemon_sh("cd work && echo '%s' | '%s' "
					       "eval -f raw -I -d authz -d "
					       "roles:roles data.authz.allow",
		    questions[i].input, engine_opa());

		assert_string_equal(source, questions[i].decision);
		assert_string_equal(engine_ask(e, "authz/allow",
					questions[i].input),
		    questions[i].decision);
	}
	engine_stop(e);
}

SCENARIO(optimised_bundles_decide_as_their_sources)
{
	const char *rev;

	make_keys();
	rev = commit("{optimize: 1, entrypoints: [authz/allow]}");
	start("data");
	daemon_wait_served(rev);
	download("one");
	verified_by_opa("one");
	daemon_sh("test -f one/optimized/authz.rego && "
		  "grep -q '\"opa\":\"1\\.' one/.manifest");
	decides_the_same();

	rev = commit("{optimize: 2, entrypoints: [authz/allow, authz/denied]}");
	daemon_wait_served(rev);
	download("two");
	verified_by_opa("two");
	decides_the_same();
}

/* opa counts the negations of each entrypoint from the beginning, so what one
 * denies would become what the other denies. */
SCENARIO(entrypoints_keep_their_negations)
{
	struct engine *e;
	const char *rev;
	json_t *c;

	make_keys();
	start("data");
	rev = daemon_commit("Two with a negation each",
	    { "edict.yaml",
		definition("{optimize: 1, entrypoints: [authz/see, authz/own, "
			   "authz/__v1__]}") },
	    { "authz/a.rego",
		"package authz\n\n"
		"see if {\n\tinput.user == \"ann\"\n\tnot hidden\n}\n\n"
		"own if {\n\tinput.user == \"ann\"\n\tnot lent\n}\n\n"
		"__v1__ if {\n\tsome x in input.path\n\tx == 3\n}\n\n"
		"hidden if {\n\tsome x in input.path\n\tx == 1\n}\n\n"
		"lent if {\n\tsome x in input.path\n\tx == 2\n}\n" },
	    { "authz/a_test.rego",
		"package authz_test\n\n"
		"test_see if data.authz.see with input.user as \"ann\"\n" },
	    { ROLES, "{}\n" });
	daemon_wait_served(rev);
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "authz/see", "{\"user\": \"ann\"}", "true",
	    DAEMON_DEADLINE_MS);
	assert_string_equal(engine_ask(e, "authz/see",
				"{\"user\": \"ann\", \"path\": [2]}"),
	    "true");
	assert_string_equal(engine_ask(e, "authz/own",
				"{\"user\": \"ann\", \"path\": [1]}"),
	    "true");
	assert_string_not_equal(engine_ask(e, "authz/see",
				    "{\"user\": \"ann\", \"path\": [1]}"),
	    "true");
	assert_string_not_equal(engine_ask(e, "authz/own",
				    "{\"user\": \"ann\", \"path\": [2]}"),
	    "true");
	assert_string_equal(engine_ask(e, "authz/__v1__", "{\"path\": [3]}"),
	    "true");
	engine_stop(e);

	/* Those of annotations cannot be taken apart. */
	rev = daemon_commit("Annotated",
	    { "authz/b.rego",
		"package authz\n\n# METADATA\n# entrypoint: true\n"
		"other if {\n\tinput.user == \"bob\"\n\tnot lent\n}\n" });
	c = daemon_wait_verdict(rev, "failed", DAEMON_DEADLINE_MS);
	assert_non_null(strstr(daemon_text(c, "verdict.reason"),
	    "authz/b.rego: opa build mixes up"));
}

SCENARIO(a_plan_is_served)
{
	const char *rev;

	make_keys();
	rev = commit("{target: plan, entrypoints: [authz/allow]}");
	start("data");
	daemon_wait_served(rev);
	download("plan");
	verified_by_opa("plan");
	daemon_sh("grep -q '\"name\":\"authz/allow\"' plan/plan.json");
	decides_the_same();
}

/* The module is what opa makes of these files, and the manifest names it as the
 * archive does. */
SCENARIO(a_wasm_module_is_served)
{
	const char *rev, *inspected;
	json_t *c;

	make_keys();
	rev = commit("{target: wasm, entrypoints: [authz/allow]}");
	start("data");
	daemon_wait_served(rev);
	download("wasm");
	verified_by_opa("wasm");
	assert_non_null(strstr(daemon_read("wasm/.manifest"),
	    "\"wasm\":[{\"entrypoint\":\"authz/allow\",\"module\":"
	    "\"policy.wasm\"}]"));
	inspected = daemon_sh("'%s' inspect -f json wasm.tar.gz", engine_opa());
	assert_non_null(strstr(inspected, "policy.wasm"));
	/* Made by opa of the sources as anybody would. */
	daemon_sh("mkdir raw src && cp -r work/authz work/roles src && "
		  "rm src/authz/*_test.rego && "
		  "(cd src && '%s' build -t wasm -e authz/allow -o "
		  "../raw.tar.gz -b .) && tar -xzf raw.tar.gz -C raw && "
		  "cmp raw/policy.wasm wasm/policy.wasm",
	    engine_opa());

	/* Nobody started it here, and that is said. */
	c = daemon_wait_verdict(rev, "passed", DAEMON_DEADLINE_MS);
	if (system(
		"\"$EDICT_OPA\" version | grep -q 'WebAssembly: available'") ==
	    0)
		return;
	assert_non_null(strstr(daemon_text(c, "verdict.note"), "main"));
	assert_non_null(strstr(daemon_sh("edict show %s", rev),
	    "no WebAssembly"));
	/* Once more, from the stored answer. */
	rev = daemon_commit("Nothing new", { "README", "x\n" });
	c = daemon_wait_verdict(rev, "passed", DAEMON_DEADLINE_MS);
	assert_non_null(strstr(daemon_text(c, "verdict.note"), "main"));
}

SCENARIO(what_opa_refuses_is_refused_in_its_words)
{
	const char *good, *bad;
	json_t *c;

	make_keys();
	good = commit("{optimize: 1, entrypoints: [authz/allow]}");
	start("data");
	daemon_wait_served(good);
	bad = commit("{target: wasm, entrypoints: [authz/nosuch]}");
	c = daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS);
	assert_string_equal(daemon_text(c, "verdict.stage"), "compile");
	assert_non_null(strstr(daemon_text(c, "verdict.reason"),
	    "entrypoint \"authz/nosuch\" does not refer to a rule"));
	daemon_sh("cd work && ! edict check > ../check.txt && "
		  "grep -q 'failed (compile)' ../check.txt && "
		  "grep -q 'does not refer to a rule' ../check.txt");
	daemon_wait_served(good);

	/* It crashes over this one. */
	bad = daemon_commit("Too much for it",
	    { "edict.yaml",
		definition("{optimize: 2, entrypoints: [authz/p]}") },
	    { "authz/p.rego",
		"package authz\n\np if not q\n\n"
		"q if {\n\tevery z in input.l { z > 1 }\n}\n" });
	c = daemon_wait_verdict(bad, "crashed", DAEMON_DEADLINE_MS);
	assert_string_equal(daemon_text(c, "verdict.stage"), "compile");
	assert_non_null(strstr(daemon_text(c, "verdict.reason"),
	    "opa build died"));
	daemon_sh("cd work && ! edict check > ../check.txt && "
		  "grep -q 'crashed (compile)' ../check.txt");
	assert_non_null(strstr(daemon_text(c, "verdict.reason"), "panic: "));
	/* After a second try, alone. */
	assert_non_null(strstr(daemon_log(), "gate.retry"));
	daemon_wait_served(good);

	bad = commit("{target: wasm}");
	c = daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS);
	assert_string_equal(daemon_text(c, "verdict.stage"), "definition");
	assert_non_null(strstr(daemon_text(c, "verdict.reason"),
	    "edict.yaml:4:14: target wasm needs entrypoints"));
	daemon_wait_served(good);
}

static size_t
compiled(void)
{
	size_t n = 0;

	for (const char *s = daemon_log();
	     (s = strstr(s, "bundle.compiled")) != NULL; s++)
		n++;
	return n;
}

SCENARIO(what_did_not_change_is_not_compiled_again)
{
	const char *rev;

	make_keys();
	rev = commit("{optimize: 2, entrypoints: [authz/allow]}");
	start("data");
	daemon_wait_served(rev);
	assert_int_equal(compiled(), 1);
	rev = daemon_commit("Beside it", { "other/README.md", "x\n" });
	daemon_wait_verdict(rev, "passed", DAEMON_DEADLINE_MS);
	assert_int_equal(compiled(), 1);
	daemon_restart();
	rev = daemon_commit("Beside it", { "other/README.md", "y\n" });
	daemon_wait_verdict(rev, "passed", DAEMON_DEADLINE_MS);
	assert_int_equal(compiled(), 1);
	/* A damaged file is as none. */
	daemon_sh("for f in data/contents/compiled/*; do echo x >> $f; done");
	rev = daemon_commit("Beside it", { "other/README.md", "z\n" });
	daemon_wait_verdict(rev, "passed", DAEMON_DEADLINE_MS);
	assert_int_equal(compiled(), 2);
	rev = daemon_commit("In it", { ROLES, "{\"ann\": [\"admin\"]}\n" });
	daemon_wait_served(rev);
	assert_int_equal(compiled(), 3);
}

/* Several entrypoints are what opa itself makes something else of each time. */
static void
is_the_same_everywhere(const char *compile)
{
	const char *rev = commit(compile);

	start("data");
	daemon_wait_served(rev);
	download("one");
	daemon_stop();
	start("elsewhere/data");
	daemon_wait_served(rev);
	download("two");
	daemon_stop();
	daemon_sh("cmp one.tar.gz two.tar.gz");
	for (size_t i = 0; i < 3; i++)
		daemon_sh("rm -f three.tar.gz && edict build work -o "
			  "three.tar.gz --signing-key ci.key --key-id ci && "
			  "cmp one.tar.gz three.tar.gz");
}

SCENARIO(two_servers_and_the_command_compile_the_same_bytes)
{
	make_keys();
	is_the_same_everywhere(
	    "{optimize: 1, entrypoints: [authz/allow, authz/denied]}");
	is_the_same_everywhere("{target: wasm, optimize: 1, "
			       "entrypoints: [authz/allow, authz/denied]}");
}

/* A file that lists what policies may use, for check and for compile. */
SCENARIO(capabilities_hold)
{
	const char *rev;
	json_t *c;

	make_keys();
	start("data");
	rev = daemon_commit("Few builtins",
	    { "edict.yaml",
		"bundles:\n  main:\n    paths: [authz]\n"
		"    capabilities: few.json\n"
		"    compile: {optimize: 1, entrypoints: [authz/allow]}\n"
		"gate: {test: {empty: pass}}\n" },
	    { "few.json",
		"{\"builtins\": [{\"name\": \"eq\", \"infix\": \"=\", "
		"\"decl\": {\"type\": \"function\", \"args\": [{\"type\": "
		"\"any\"}, {\"type\": \"any\"}], \"result\": {\"type\": "
		"\"boolean\"}}}], \"features\": [\"rego_v1\"]}\n" },
	    { "authz/a.rego",
		"package authz\n\nallow if startswith(input.x, \"a\")\n" });
	c = daemon_wait_verdict(rev, "failed", DAEMON_DEADLINE_MS);
	assert_string_equal(daemon_text(c, "verdict.stage"), "check");
	assert_non_null(strstr(daemon_text(c, "verdict.reason"),
	    "undefined function startswith"));
	rev = daemon_commit("No more than those",
	    { "authz/a.rego", "package authz\n\nallow if input.x = \"a\"\n" });
	daemon_wait_served(rev);
}

/* Old files and new ones in one bundle, as its .manifest tells them apart:
 * checked, tested, compiled and loaded so. */
SCENARIO(versions_of_single_files_hold)
{
	static const char versions[] =
	    "{\"rego_version\": 0, \"file_rego_versions\": "
	    "{\"*/new/*.rego\": 1}}\n";
	const char *rev;
	struct engine *e;
	json_t *c;

	make_keys();
	start("data");
	rev = daemon_commit("Old and new",
	    { "edict.yaml",
		"bundles: {main: {paths: [{from: pol, to: \"\"}]}}\n" },
	    { "pol/.manifest", versions },
	    { "pol/old/a.rego", "package old\n\nallow {\n\tinput.x == 1\n}\n" },
	    { "pol/old/a_test.rego",
		"package old_test\n\ntest_a {\n\tdata.old.allow with input as "
		"{\"x\": 1}\n}\n" },
	    { "pol/new/b.rego", "package new\n\nallow if input.x == 2\n" },
	    { "pol/new/b_test.rego",
		"package new_test\n\ntest_b if data.new.allow with input as "
		"{\"x\": 2}\n" });
	c = daemon_wait_verdict(rev, "failed", DAEMON_DEADLINE_MS);
	assert_non_null(strstr(daemon_text(c, "verdict.reason"),
	    "set gate.test.scope: bundle"));

	rev = daemon_commit("By itself",
	    { "edict.yaml",
		"bundles: {main: {paths: [{from: pol, to: \"\"}]}}\n"
		"gate: {test: {scope: bundle, coverage: 50}}\n" });
	daemon_wait_served(rev);
	c = daemon_wait_verdict(rev, "passed", DAEMON_DEADLINE_MS);
	assert_int_equal(daemon_number(c, "verdict.tests.passed"), 2);
	c = daemon_api("GET", daemon_printf("/commits/%s", rev), NULL, 200);
	assert_string_equal(daemon_text(c, "verdicts.0.results.0.file"),
	    "pol/new/b_test.rego");
	e = engine_start("default", ENGINE_LONG);
	engine_wait(e, "old/allow", "{\"x\": 1}", "true", DAEMON_DEADLINE_MS);
	assert_string_equal(engine_ask(e, "new/allow", "{\"x\": 2}"), "true");

	rev = daemon_commit("And compiled",
	    { "edict.yaml",
		"bundles:\n  main:\n    paths: [{from: pol, to: \"\"}]\n"
		"    compile: {optimize: 1, entrypoints: [old/allow]}\n"
		"gate: {test: {scope: bundle}}\n" });
	daemon_wait_served(rev);
	download("mixed");
	verified_by_opa("mixed");
	engine_wait(e, "old/allow", "{\"x\": 1}", "true", DAEMON_DEADLINE_MS);
	assert_string_equal(engine_ask(e, "new/allow", "{\"x\": 2}"), "true");
	engine_stop(e);

	rev = daemon_commit("A mistake in the old one",
	    { "pol/old/a.rego", "package old\n\nallow {\n\tinput.x ==\n}\n" });
	c = daemon_wait_verdict(rev, "failed", DAEMON_DEADLINE_MS);
	assert_string_equal(daemon_text(c, "verdict.stage"), "check");
	assert_non_null(strstr(daemon_text(c, "verdict.reason"),
	    "pol/old/a.rego:"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(optimised_bundles_decide_as_their_sources),
		PLAY(entrypoints_keep_their_negations),
		PLAY(a_plan_is_served),
		PLAY(a_wasm_module_is_served),
		PLAY(what_opa_refuses_is_refused_in_its_words),
		PLAY(what_did_not_change_is_not_compiled_again),
		PLAY(two_servers_and_the_command_compile_the_same_bytes),
		PLAY(capabilities_hold),
		PLAY(versions_of_single_files_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
