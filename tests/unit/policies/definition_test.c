#include "policies/definition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* Reads a definition in a tree that has these files besides. */
static enum err_code
read_beside(struct definition **out, const char *yaml,
    const struct definition_elsewhere *elsewhere, struct err *e)
{
	const struct tree_file files[] = {
		{ "edict.yaml", yaml, yaml != NULL ? strlen(yaml) : 0 },
		{ "policies/authz/a.rego", "package a\n", 10 },
		{ "policies-old/a.rego", "package b\n", 10 },
		{ "data/roles/data.json", "{}", 2 },
		{ "schemas/input.json", "{}", 2 },
		{ "odd:name/x.rego", "package x\n", 10 },
		{ ".hidden/x.rego", "package h\n", 10 },
		{ "lifted/.manifest", "{}", 2 },
		{ "v1.5.0", "{}", 2 },
	};
	size_t skip = yaml == NULL;
	AUTO(tree, t) = NULL;
	struct err made;

	if (tree_from_memory(&t, files + skip, COUNT(files) - skip,
		"1111111111111111111111111111111111111111", &made) != ERR_OK)
		fail_msg("%s", made.text);
	return definition_read_with(out, t, elsewhere, e);
}

static enum err_code
read_text(struct definition **out, const char *yaml, struct err *e)
{
	return read_beside(out, yaml, NULL, e);
}

static struct definition *
good(const char *yaml)
{
	struct definition *d = NULL;
	struct err e = { 0 };

	if (read_text(&d, yaml, &e) != ERR_OK)
		fail_msg("%s", e.text);
	return d;
}

static const struct definition_bundle *
bundle(const struct definition *d, size_t i)
{
	assert_true(i < d->bundles.count);
	return (const struct definition_bundle *)d->bundles.items + i;
}

static const struct definition_cluster *
cluster(const struct definition *d, size_t i)
{
	assert_true(i < d->clusters.count);
	return (const struct definition_cluster *)d->clusters.items + i;
}

static void
without_a_file_all_is_one_bundle(void **state)
{
	static const char *const texts[] = { NULL, "", "# nothing\n", "{}",
		"name: x\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		AUTO(definition, d) = good(texts[i]);

		assert_int_equal(d->from_file, texts[i] != NULL);
		assert_int_equal(d->bundles.count, 1);
		assert_string_equal(bundle(d, 0)->name, "main");
		assert_int_equal(bundle(d, 0)->rego_version, -1);
		assert_int_equal(bundle(d, 0)->paths.count, 0);
		assert_false(bundle(d, 0)->has_roots);
		assert_int_equal(d->clusters.count, 1);
		assert_string_equal(cluster(d, 0)->name, "default");
		assert_int_equal(cluster(d, 0)->bundles.count, 1);
		assert_string_equal(cluster(d, 0)->bundles.items[0], "main");
		assert_true(d->gate.strict);
		assert_int_equal(d->gate.scope, SCOPE_REPOSITORY);
		assert_int_equal(d->gate.mode, MODE_FILES);
		assert_int_equal(d->gate.timeout, 120);
		assert_int_equal(d->gate.coverage, 0);
		assert_int_equal(d->gate.empty, EMPTY_FAIL);
		assert_null(d->gate.schemas);
	}
}

static void
everything_is_read(void **state)
{
	AUTO(definition, d) =
	    good("name: policies\n"
		 "bundles:\n"
		 "  zeta: {paths: [./policies-old/]}\n"
		 "  authz:\n"
		 "    paths: [policies/authz, {from: data/roles, to: roles}]\n"
		 "    exclude: [\"**/testdata/**\", tmp/]\n"
		 "    roots: [/authz/, roles]\n"
		 "    rego_version: 0\n"
		 "    metadata: {owner: platform-team, n: 1}\n"
		 "clusters:\n"
		 "  prod-eu:\n"
		 "    labels: {region: eu, env: prod}\n"
		 "    bundles: [authz]\n"
		 "    follow: main\n"
		 "  all: {}\n"
		 "  none: {bundles: []}\n"
		 "gate:\n"
		 "  check: {strict: false, schemas: schemas/}\n"
		 "  test:\n"
		 "    scope: bundle\n"
		 "    mode: bundle\n"
		 "    paths: [., policies/authz]\n"
		 "    ignore: [\"*.yaml\", testdata]\n"
		 "    coverage: 80\n"
		 "    timeout: 2m\n"
		 "    empty: pass\n"
		 "  commands: [{name: lint, run: [regal, lint, policies]}]\n");
	const struct definition_bundle *b = bundle(d, 0);
	const struct definition_path *paths = b->paths.items;
	const struct definition_label *labels = cluster(d, 2)->labels.items;
	const struct definition_command *cmd = d->gate.commands.items;

	(void)state;
	assert_string_equal(d->name, "policies");
	assert_string_equal(b->name, "authz");
	assert_string_equal(bundle(d, 1)->name, "zeta");
	assert_int_equal(b->paths.count, 2);
	assert_string_equal(paths[0].from, "policies/authz");
	assert_string_equal(paths[0].to, "policies/authz");
	assert_string_equal(paths[1].from, "data/roles");
	assert_string_equal(paths[1].to, "roles");
	assert_string_equal(b->exclude.items[1], "tmp");
	assert_true(b->has_roots);
	assert_string_equal(b->roots.items[0], "authz");
	assert_int_equal(b->rego_version, 0);
	assert_non_null(value_get(b->metadata, "owner"));
	assert_string_equal(cluster(d, 0)->name, "all");
	assert_int_equal(cluster(d, 0)->bundles.count, 2);
	assert_int_equal(cluster(d, 1)->bundles.count, 0);
	assert_int_equal(cluster(d, 2)->bundles.count, 1);
	assert_string_equal(labels[0].key, "env");
	assert_string_equal(labels[1].value, "eu");
	assert_string_equal(cluster(d, 2)->follow, "main");
	assert_false(d->gate.strict);
	assert_string_equal(d->gate.schemas, "schemas");
	assert_int_equal(d->gate.scope, SCOPE_BUNDLE);
	assert_int_equal(d->gate.mode, MODE_BUNDLE);
	assert_string_equal(d->gate.test_paths.items[0], ".");
	assert_int_equal(d->gate.coverage, 80);
	assert_int_equal(d->gate.timeout, 120);
	assert_int_equal(d->gate.empty, EMPTY_PASS);
	assert_string_equal(cmd[0].name, "lint");
	assert_int_equal(cmd[0].run.count, 3);
}

static void
a_manifest_may_come_from_a_folder(void **state)
{
	AUTO(definition, d) = good(
	    "bundles: {a: {paths: [{from: lifted/.manifest, to: .manifest}, "
	    "{from: policies/authz, to: .}]}}\n");
	char out[TREE_PATH_MAX];

	(void)state;
	assert_true(definition_place(bundle(d, 0), "lifted/.manifest", out));
	assert_string_equal(out, ".manifest");
	assert_true(definition_place(bundle(d, 0), "policies/authz/a.rego",
	    out));
	assert_string_equal(out, "a.rego");
}

/* Each says what a fault says and where. */
static void
faults_say_where(void **state)
{
	static const struct {
		const char *yaml, *place, *what;
	} cases[] = {
		{ "bundle: {}\n", "edict.yaml:1:", "bundle" },
		{ "bundles:\n  a: {compiled: {target: rego}}\n",
		    "edict.yaml:2:", "compile" },
		{ "bundles:\n  a:\n    ignore: [a/b]\n", "edict.yaml:3:14",
		    "without \"/\"" },
		{ "bundles:\n  a:\n    ignore: [\"[ab]\"]\n", "edict.yaml:3:14",
		    "only * and ?" },
		{ "bundles:\n  A b: {}\n", "edict.yaml:2:", "A b" },
		{ "bundles:\n  discovery: {}\n", "edict.yaml:2:", "reserved" },
		{ "clusters:\n  discovery: {}\n", "edict.yaml:2:", "reserved" },
		{ "bundles:\n  a:\n    paths: [policies, nosuch]\n",
		    "edict.yaml:3:", "paths: \"nosuch\": no such file" },
		{ "bundles:\n  a:\n    paths: [polic]\n", "edict.yaml:3:13",
		    "no such file or folder" },
		{ "bundles:\n  a:\n    paths: [../x]\n", "edict.yaml:3:13",
		    "within the repository" },
		{ "bundles:\n  a:\n    paths: [/etc]\n", "edict.yaml:3:13",
		    "within the repository" },
		{ "bundles:\n  a:\n    paths: [.hidden]\n", "edict.yaml:3:13",
		    "hidden" },
		{ "bundles:\n  a:\n    paths: [{to: x}]\n", "edict.yaml:3:13",
		    "needs from" },
		{ "bundles:\n  a:\n    paths: [{from: data, to: x, x: y}]\n",
		    "edict.yaml:3:", "unknown key \"x\"" },
		{ "bundles:\n  a:\n    paths: [{from: data, to: .x}]\n",
		    "edict.yaml:3:13", "hidden" },
		{ "bundles:\n  a:\n    paths: "
		  "[{from: data/roles/data.json, to: .}]\n",
		    "edict.yaml:3:13", "is a file" },
		{ "bundles:\n  a:\n    paths: []\n",
		    "edict.yaml:3:", "is empty" },
		{ "bundles:\n  a:\n    paths: policies\n",
		    "edict.yaml:3:", "is a list" },
		{ "bundles:\n  a:\n    paths: [1]\n", "edict.yaml:3:13",
		    "is a string" },
		{ "bundles:\n  a:\n    exclude: [/x]\n", "edict.yaml:3:15",
		    "matches nothing" },
		{ "bundles:\n  a:\n    roots: [a, a/b]\n", "edict.yaml:3:16",
		    "overlap" },
		{ "bundles:\n  a:\n    roots: [a//b]\n", "edict.yaml:3:13",
		    "no root" },
		{ "bundles:\n  a:\n    rego_version: 2\n",
		    "edict.yaml:3:", "rego_version" },
		{ "bundles:\n  a:\n    metadata: [1]\n", "edict.yaml:3:15",
		    "is an object" },
		{ "bundles: {authz: {}}\nclusters:\n  p:\n"
		  "    bundles: [auth]\n",
		    "edict.yaml:4:15", "did you mean \"authz\"?" },
		{ "bundles: {authz: {}}\nclusters:\n  p:\n"
		  "    bundles: [xyz]\n",
		    "edict.yaml:4:15", "there is no bundle \"xyz\"" },
		{ "clusters:\n  p:\n    bundles: [main, main]\n",
		    "edict.yaml:3:21", "twice" },
		{ "clusters:\n  p:\n    labels: {a: 1}\n", "edict.yaml:3:17",
		    "quote it" },
		{ "gate:\n  test:\n    timeout: 0s\n",
		    "edict.yaml:3:", "timeout" },
		{ "gate:\n  test:\n    timeout: 3601s\n",
		    "edict.yaml:3:", "timeout" },
		{ "gate:\n  test:\n    coverage: 101\n",
		    "edict.yaml:3:", "coverage" },
		{ "gate:\n  test:\n    scope: all\n",
		    "edict.yaml:3:", "scope" },
		{ "gate:\n  test:\n    paths: [nosuch]\n", "edict.yaml:3:13",
		    "no such file" },
		{ "gate:\n  test:\n    paths: [\"odd:name\"]\n",
		    "edict.yaml:3:13", "colon" },
		{ "gate:\n  test:\n    paths: [.hidden]\n", "edict.yaml:3:13",
		    "hidden" },
		{ "gate:\n  test:\n    ignore: [\"a,b\"]\n", "edict.yaml:3:14",
		    "commas" },
		{ "gate:\n  check:\n    schemas: nosuch\n", "edict.yaml:3:14",
		    "no such file" },
		{ "gate:\n  commands:\n    - {name: a, run: [/bin/sh]}\n",
		    "edict.yaml:3:", "not a path" },
		{ "gate:\n  commands:\n    - {name: a, run: []}\n",
		    "edict.yaml:3:", "run" },
		{ "gate:\n  commands:\n    - {run: [a]}\n",
		    "edict.yaml:3:", "name" },
		{ "gate:\n  commands:\n    - {name: a, run: [x]}\n"
		  "    - {name: a, run: [x]}\n",
		    "edict.yaml:4:", "two commands" },
		{ "bundles:\n  a: {}\n  a: {}\n", "edict.yaml:3:", "a" },
		{ "a: [\n", "edict.yaml:", "" },
		{ "- a\n", "edict.yaml:1:", "object" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct definition *d = NULL;
		struct err e = { 0 };
		enum err_code code = read_text(&d, cases[i].yaml, &e);

		if (code == ERR_OK || strstr(e.text, cases[i].place) == NULL ||
		    strstr(e.text, cases[i].what) == NULL)
			fail_msg("%s-> %d %s", cases[i].yaml, (int)code,
			    e.text);
		assert_null(d);
	}
}

static void
compile_is_read(void **state)
{
	AUTO(definition, d) = good(
	    "bundles:\n"
	    "  a: {}\n"
	    "  b: {compile: {optimize: 0, entrypoints: [b/allow]},\n"
	    "    capabilities: ./schemas/input.json}\n"
	    "  c: {compile: {optimize: 2, entrypoints: [c/allow, c/deny],\n"
	    "    partial_namespace: made-up}}\n"
	    "  d: {compile: {target: wasm, entrypoints: d,\n"
	    "    prune_unused: true, wasm_include_print: true}}\n"
	    "gate: {capabilities: v1.4.0}\n");

	(void)state;
	assert_false(definition_is_compiled(bundle(d, 0)));
	assert_false(definition_is_compiled(bundle(d, 1)));
	assert_true(definition_is_compiled(bundle(d, 2)));
	assert_true(definition_is_compiled(bundle(d, 3)));
	assert_string_equal(definition_capabilities(d, bundle(d, 0)), "v1.4.0");
	assert_string_equal(definition_capabilities(d, bundle(d, 1)),
	    "schemas/input.json");
	assert_int_equal(bundle(d, 2)->compile.optimize, 2);
	assert_int_equal(bundle(d, 2)->compile.entrypoints.count, 2);
	assert_string_equal(bundle(d, 2)->compile.partial_namespace, "made-up");
	assert_int_equal(bundle(d, 3)->compile.target, TARGET_WASM);
	assert_true(bundle(d, 3)->compile.prune_unused);
	assert_true(bundle(d, 3)->compile.wasm_include_print);
}

static void
compile_says_what_is_wrong(void **state)
{
	static const struct {
		const char *compile, *place, *what;
	} cases[] = {
		{ "{target: wasm}", ":3:14", "target wasm needs entrypoints" },
		{ "{target: plan}", ":3:14", "target plan needs entrypoints" },
		{ "{optimize: 1}", ":3:14", "optimize needs entrypoints" },
		{ "{optimize: 3, entrypoints: [a/b]}", ":3:", "0 to 2" },
		{ "{optimize: -1}", ":3:", "0 to 2" },
		{ "{target: elf}", ":3:", "rego, wasm or plan" },
		{ "{optimize: 1, entrypoints: [a]}", ":3:42", "no rule" },
		{ "{target: wasm, entrypoints: [\"\"]}", ":3:", "package" },
		{ "{target: wasm, entrypoints: [a//b]}", ":3:43", "package" },
		{ "{target: wasm, entrypoints: [../b]}", ":3:43", "package" },
		{ "{target: wasm, entrypoints: [a/b, a/b]}", ":3:48", "twice" },
		{ "{target: wasm, entrypoints: [data.a.b]}", ":3:43",
		    "write a/b" },
		{ "{target: wasm, entrypoints: [a.b]}", ":3:43", "write a/b" },
		{ "{optimize: 1, entrypoints: [a/b], prune_unused: true}",
		    ":3:", "prune_unused changes nothing with target rego" },
		{ "{target: plan, entrypoints: [a/b], "
		  "wasm_include_print: true}",
		    ":3:", "target wasm" },
		{ "{target: wasm, entrypoints: [a/b], partial_namespace: x}",
		    ":3:", "without optimize" },
		{ "{optimize: 1, entrypoints: [a/b], partial_namespace: x.y}",
		    ":3:", "only letters" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO_STR yaml = mem_printf("bundles:\n  a:\n    compile: %s\n",
		    cases[i].compile);
		struct definition *d = NULL;
		struct err e = { 0 };

		assert_int_equal(read_text(&d, yaml, &e), ERR_INVALID);
		if (strstr(e.text, cases[i].place) == NULL ||
		    strstr(e.text, cases[i].what) == NULL)
			fail_msg("%s-> %s", yaml, e.text);
	}
}

static void
capabilities_are_a_file_or_a_version(void **state)
{
	static const struct {
		const char *capabilities, *what;
	} cases[] = {
		{ "nosuch.json", "no such file" },
		{ "schemas", "is a folder" },
		{ "policies/authz/a.rego", "a.rego:1:1" },
		{ "v1.4", "no such file" },
		{ "1.4.0", "\"1.4.0\": write v1.4.0" },
		{ "v1.4.x", "no such file" },
		{ "../x", "no path" },
		{ ".hidden/x.rego", "hidden" },
		{ "v1.5.0", "a version of opa, and a file" },
		{ "./v1.5.0", "a version of opa, and a file" },
	};
	AUTO(definition, d) =
	    good("bundles: {a: {capabilities: v0.60.0}}\n"
		 "gate: {capabilities: schemas/input.json}\n");

	(void)state;
	assert_string_equal(definition_capabilities(d, bundle(d, 0)),
	    "v0.60.0");
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO_STR yaml = mem_printf("bundles:\n  a:\n    capabilities: "
					   "%s\n",
		    cases[i].capabilities);
		struct definition *none = NULL;
		struct err e = { 0 };

		assert_int_equal(read_text(&none, yaml, &e), ERR_INVALID);
		if (strstr(e.text, "edict.yaml:3:19") == NULL ||
		    strstr(e.text, cases[i].what) == NULL)
			fail_msg("%s-> %s", yaml, e.text);
	}
}

static void
ignored_names_are_ignored_everywhere(void **state)
{
	AUTO(definition, d) = good("bundles: {a: {ignore: [testdata, '*.yaml', "
				   "'?_old.rego']}}\n");
	static const struct {
		const char *path;
		bool taken;
	} cases[] = {
		{ "policies/authz/a.rego", true },
		{ "testdata/a.rego", false },
		{ "policies/testdata/deep/a.rego", false },
		{ "policies/testdata2/a.rego", true },
		{ "testdata", false },
		{ "data/data.yaml", false },
		{ "data.yaml/data.json", false },
		{ "a_old.rego", false },
		{ "x/\xc3\xa9_old.rego", false },
		{ "x/ab_old.rego", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char placed[TREE_PATH_MAX];

		if (definition_place(bundle(d, 0), cases[i].path, placed) !=
		    cases[i].taken)
			fail_msg("%s", cases[i].path);
	}
}

static void
entrypoints_are_limited(void **state)
{
	(void)state;
	for (size_t more = 0; more < 2; more++) {
		AUTO_BUF yaml = { 0 };
		struct definition *d = NULL;
		struct err e = { 0 };

		buf_init(&yaml, 1 << 20);
		buf_add_str(&yaml,
		    "bundles:\n  a:\n    compile: {target: plan, "
		    "entrypoints: [");
		for (size_t i = 0; i < DEFINITION_ENTRYPOINTS_MAX + more; i++)
			buf_printf(&yaml, "a/b%zu,", i);
		buf_add_str(&yaml, "]}\n");
		assert_int_equal(read_text(&d, yaml.data, &e),
		    more ? ERR_INVALID : ERR_OK);
		definition_free(d);
	}
}

static void
all_faults_are_told(void **state)
{
	struct definition *d = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(
	    read_text(&d,
		"bundles:\n  discovery: {}\n  b: {paths: [nosuch]}\n"
		"clusters:\n  c: {bundles: [nix]}\n"
		"gate: {test: {paths: [none]}}\n",
		&e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, "edict.yaml:2:"));
	assert_non_null(strstr(e.text, "edict.yaml:3:"));
	assert_non_null(strstr(e.text, "edict.yaml:5:"));
	assert_non_null(strstr(e.text, "edict.yaml:6:"));
}

static void
too_large_is_refused(void **state)
{
	struct definition *d = NULL;
	struct err e = { 0 };
	char *text = mem_alloc(DEFINITION_FILE_MAX + 2);

	(void)state;
	memset(text, '#', DEFINITION_FILE_MAX + 1);
	text[DEFINITION_FILE_MAX + 1] = '\0';
	assert_int_equal(read_text(&d, text, &e), ERR_LIMIT);
	text[DEFINITION_FILE_MAX] = '\0';
	d = good(text);
	definition_free(d);
	mem_free(text);
}

static void
the_reference_names_every_key(void **state)
{
	static const char *const keys[] = { "bundles", "paths", "exclude",
		"roots", "rego_version", "metadata", "clusters", "labels",
		"follow", "strict", "schemas", "scope", "mode", "ignore",
		"coverage", "timeout", "empty", "commands", "run" };
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	definition_describe(&b);
	for (size_t i = 0; i < COUNT(keys); i++) {
		if (strstr(b.data, keys[i]) == NULL)
			fail_msg("no %s", keys[i]);
	}
	buf_clear(&b);
}

static bool
is_called(const void *arg, const char *name)
{
	return strcmp(name, arg) == 0;
}

/* Clusters may have what another repository may define, and nothing else. */
static void
clusters_have_bundles_of_another_repository(void **state)
{
	static const struct {
		const char *bundle;
		enum err_code code;
	} rows[] = { { "pay", ERR_OK }, { "payy", ERR_INVALID } };
	const struct definition_elsewhere elsewhere = { is_called, "pay" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		AUTO(definition, d) = NULL;
		AUTO_STR yaml =
		    mem_printf("bundles: {authz: {}}\nclusters:\n  p:\n"
			       "    bundles: [authz, %s]\n",
			rows[i].bundle);
		struct err e = { 0 };

		assert_int_equal(read_beside(&d, yaml, &elsewhere, &e),
		    rows[i].code);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_file_all_is_one_bundle),
		cmocka_unit_test(everything_is_read),
		cmocka_unit_test(a_manifest_may_come_from_a_folder),
		cmocka_unit_test(faults_say_where),
		cmocka_unit_test(clusters_have_bundles_of_another_repository),
		cmocka_unit_test(compile_is_read),
		cmocka_unit_test(compile_says_what_is_wrong),
		cmocka_unit_test(capabilities_are_a_file_or_a_version),
		cmocka_unit_test(ignored_names_are_ignored_everywhere),
		cmocka_unit_test(entrypoints_are_limited),
		cmocka_unit_test(all_faults_are_told),
		cmocka_unit_test(too_large_is_refused),
		cmocka_unit_test(the_reference_names_every_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
