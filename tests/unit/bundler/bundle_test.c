/* What goes into a bundle, what its manifest says, and what is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundler/bundle.h"
#include "bundler/roots.h"
#include "core/canon.h"
#include "core/mem.h"
#include "fixture.h"

#define ID "0123456789abcdef0123456789abcdef01234567"

static const char *const plain[] = {
	"a/x.rego",
	"package a.x\nallow := data.roles.admin\n",
	"a/x_test.rego",
	"package a.other_test\n",
	"roles/data.yaml",
	"# who\nadmin: [1.50, yes]\n",
	"data.json",
	"{ \"top\" : {\"n\": 1.10} }",
	"README.md",
	"# hello",
	"other.json",
	"[",
	"a/patch.json",
	"{}",
	"x.manifest",
	"{}",
	".github/data.json",
	"{}",
	NULL,
};

static void
holds_what_engines_load(void **state)
{
	AUTO(tree, t) = fixture_commit(plain);
	AUTO(bundle, b) = fixture_bundle(t, &fixture_all);

	(void)state;
	assert_int_equal(b->count, 4);
	assert_int_equal(b->policies, 1);
	assert_string_equal(b->revision, ID);
	assert_int_equal(b->rego_version, 1);
	fixture_has(b, "a/x.rego", plain[1]);
	fixture_has(b, "roles/data.json", "{\"admin\":[1.5,true]}");
	fixture_has(b, "data.json", "{\"top\":{\"n\":1.10}}");
	AUTO_STR manifest = mem_printf(
	    "{\"metadata\":{\"edict\":{\"author\":\"Ada \\\"A\\\" "
	    "<ada@example.org>\",\"bundle\":\"main\",\"commit\":\"" ID
	    "\",\"committer_date\":\"2026-01-31T04:45:02-05:30\","
	    "\"format\":1,\"tree\":\"%s\"}},\"rego_version\":1,"
	    "\"revision\":\"" ID "\",\"roots\":[\"a/x\",\"roles\",\"top\"]}",
	    t->commit.tree);
	fixture_has(b, ".manifest", manifest);
	for (size_t i = 1; i < b->count; i++)
		assert_true(strcmp(b->files[i - 1].path, b->files[i].path) < 0);
}

static void
works_out_roots(void **state)
{
	static const struct {
		const char *files[9];
		const char *roots;
	} rows[] = {
		{ { "a.rego", "package a.b", "b.rego", "package a.c", NULL },
		    "a/b a/c" },
		{ { "a.rego", "package a", "b.rego", "package a.c", NULL },
		    "a" },
		{ { "a.rego", "package a.b", "a/data.json", "{}", NULL }, "a" },
		{ { "data.json", "{\"x\":1,\"y\":{}}", NULL }, "x y" },
		{ { "x/y/data.yml", "[1]", NULL }, "x/y" },
		/* Cut where engines would read a segment in two ways. */
		{ { "a.rego", "package a[\"c d\"].e", NULL }, "a" },
		{ { "a.rego", "package a[\"c-d\"].e", NULL }, "a/c-d/e" },
		{ { "data.json", "{\"x/y\":1}", "a.rego", "package a", NULL },
		    "" },
		{ { "a.rego", "package a", "a_test.rego", "package b", NULL },
		    "a" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		AUTO(tree, t) = fixture_tree(rows[i].files);
		AUTO(bundle, b) = fixture_bundle(t, &fixture_all);
		AUTO_BUF text = { 0 };

		buf_init(&text, 1024);
		for (size_t k = 0; k < b->root_count; k++)
			buf_printf(&text, "%s%s", k > 0 ? " " : "",
			    b->roots[k]);
		assert_string_equal(text.data, rows[i].roots);
	}
}

static void
honours_a_manifest(void **state)
{
	static const char *const files[] = {
		".manifest",
		"{\"revision\":\"theirs\",\"ROOTS\":[\"/a/\",\"old\"],"
		"\"metadata\":{\"z\":1.0,\"b\":\"\xc3\xa4\"},"
		"\"file_rego_versions\":{\"/old/*\":0,\"a/x.rego\":1},"
		"\"wasm\":[],\"rego_version\":null}",
		"a/x.rego",
		"package a\n",
		"old/q/[z].rego",
		"package old.z\n",
		"old/t_test.rego",
		"package q\n",
		NULL,
	};
	AUTO(tree, t) = fixture_commit(files);
	AUTO(bundle, b) = fixture_bundle(t, &fixture_all);
	const struct bundle_file *m = fixture_file(b, ".manifest");

	(void)state;
	assert_non_null(m);
	assert_int_equal(b->count, 3);
	assert_non_null(strstr(m->data,
	    "{\"file_rego_versions\":{\"old/q/\\\\[z\\\\].rego\":0},"
	    "\"metadata\":{\"b\":\"\xc3\xa4\",\"edict\":{"));
	assert_non_null(strstr(m->data,
	    "},\"z\":1.0},\"rego_version\":1,\"revision\":\"" ID
	    "\",\"roots\":[\"a\",\"old\"]}"));
}

static void
merges_data_of_one_folder(void **state)
{
	static const char *const files[] = {
		"x/data.json",
		"{\"a\":{\"q\":1,\"deep\":{\"one\":1}},\"j\":1}",
		"x/data.rego",
		"package other",
		"x/data.yaml",
		"a: {z: 2, deep: {two: 2}}\n",
		"x/data.yml",
		"b: 3\n",
		"data.json",
		"{\"x\":{\"a\":{\"top\":4}}}",
		NULL,
	};
	AUTO(tree, t) = fixture_tree(files);
	AUTO(bundle, b) = fixture_bundle(t, &fixture_all);

	(void)state;
	assert_int_equal(b->count, 4);
	fixture_has(b, "x/data.json",
	    "{\"a\":{\"deep\":{\"one\":1,\"two\":2},\"q\":1,\"z\":2},\"b\":3,"
	    "\"j\":1}");
}

static char folder_from[] = "data/roles", folder_to[] = "roles";
static char policies[] = "policies";
static struct definition_path paths[] = { { policies, policies },
	{ folder_from, folder_to } };
static char pattern[] = "**/testdata/**";
static char *patterns[] = { pattern };

static void
places_by_definition(void **state)
{
	static const char *const files[] = {
		"policies/a.rego",
		"package a",
		"policies/testdata/data.json",
		"{\"bad\":1}",
		"data/roles/data.json",
		"{\"r\":1}",
		"data/other/data.json",
		"{\"o\":1}",
		"edict.yaml",
		"x: 1",
		NULL,
	};
	struct definition_bundle d = fixture_all;
	AUTO(tree, t) = fixture_tree(files);

	(void)state;
	d.paths = (struct spec_list){ paths, 2 };
	d.exclude = (struct spec_strings){ patterns, 1 };
	AUTO(bundle, b) = fixture_bundle(t, &d);
	assert_int_equal(b->count, 3);
	fixture_has(b, "roles/data.json", "{\"r\":1}");
	fixture_has(b, "policies/a.rego", "package a");
}

static const struct refusal {
	const char *says;
	const char *files[7];
} refusals[] = {
	{ "bundle main: no policies and no data", { "x.md", "" } },
	{ "no policies and no data", { ".manifest", "{\"roots\":[\"a\"]}" } },
	{ "data is empty", { "data.json", "{}" } },
	{ "a.rego:2: expected \"package NAME\"", { "a.rego", "\nx := 1" } },
	/* Data and data. */
	{ "data.x.a is also set by",
	    { "x/data.json", "{\"a\":1}", "x/data.yaml", "a: 1" } },
	{ "data.x.y is also set by",
	    { "x/data.json", "{\"y\":1}", "x/y/data.json", "{}" } },
	{ "data.x.y.k is also set by",
	    { "data.json", "{\"x\":{\"y\":{\"k\":1}}}", "x/y/data.json",
		"{\"k\":{}}" } },
	{ "data.x is also set by",
	    { "x/data.json", "[1]", "x/data.yaml", "{}" } },
	{ "data.x is also set by",
	    { "x/data.json", "5", "x/y/data.json", "{}" } },
	/* Data and packages. */
	{ "data.a.b is data (number), but p.rego:1 makes a package data.a.b;",
	    { "data.json", "{\"a\":{\"b\":1}}", "p.rego", "package a.b" } },
	{ "data.a is data (string), but p.rego:1 makes a package data.a.b;",
	    { "data.json", "{\"a\":\"s\"}", "p.rego", "package a.b" } },
	{ "a/data.json:2: data.a[\"x-y\"] is data (null), but p.rego:1 makes",
	    { "a/data.json", "{\n\"x-y\":null}", "p.rego",
		"package a[\"x-y\"].b" } },
	/* Bad data. */
	{ "data.json:1:", { "data.json", "{\"a\":1,\"a\":2}" } },
	{ "data.json:1:", { "data.json", "{\"a\":1} x" } },
	{ "data.json:1:", { "data.json", "\xef\xbb\xbf{}" } },
	{ "has to be an object, not array", { "data.json", "[1]" } },
	{ "nothing but null", { "x/data.json", "null" } },
	{ "\"a b\" differently", { "a b/data.json", "{}" } },
	{ "a % in the path", { "a%20b.rego", "package a" } },
	/* Manifests. */
	{ ".manifest:1: unknown field \"root\"",
	    { ".manifest", "{\"root\":[]}", "a.rego", "package a" } },
	{ ".manifest:1: \"Roots\" is given twice",
	    { ".manifest", "{\"roots\":[\"a\"],\"Roots\":[\"b\"]}", "a.rego",
		"package a" } },
	{ "a.rego:2: package data.a lies outside the roots [b, c]",
	    { ".manifest", "{\"roots\":[\"c\",\"b\"]}", "a.rego",
		"#\npackage a" } },
	{ "data.json:1: data.a.z lies outside the roots [a/b]",
	    { ".manifest", "{\"roots\":[\"a/b\"]}", "data.json",
		"{\"a\":{\"b\":1,\"z\":{}}}" } },
	{ "data.q lies outside the roots [a/b]",
	    { ".manifest", "{\"roots\":[\"a/b\"]}", "q/data.json", "{}" } },
	{ "data.a lies outside the roots [a/b]",
	    { ".manifest", "{\"roots\":[\"a/b\"]}", "a/data.json", "[]" } },
	{ ".manifest:2: roots \"a\" and \"a/b\" overlap",
	    { ".manifest", "{\n\"roots\":[\"a/b\",\"a\"]}", "a.rego",
		"package a" } },
	{ "roots is an empty list",
	    { ".manifest", "{\"roots\":[]}", "a.rego", "package a" } },
	{ "each of roots has to be a string",
	    { ".manifest", "{\"roots\":[1]}", "a.rego", "package a" } },
	{ "rego_version has to be 0 or 1",
	    { ".manifest", "{\"rego_version\":2}", "a.rego", "package a" } },
	{ "wasm modules cannot",
	    { ".manifest", "{\"wasm\":[{}]}", "a.rego", "package a" } },
	{ "the key \"edict\" is kept",
	    { ".manifest", "{\"metadata\":{\"edict\":1}}", "a.rego",
		"package a" } },
	{ "both match a.rego and disagree",
	    { ".manifest", "{\"file_rego_versions\":{\"*\":0,\"a.*\":1}}",
		"a.rego", "package a" } },
	{ "only * and ? are understood",
	    { ".manifest", "{\"file_rego_versions\":{\"[a]*\":0}}", "a.rego",
		"package a" } },
};

static void
refuses_by_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
		AUTO(tree, t) = fixture_tree(refusals[i].files);

		fixture_refuse(t, &fixture_all, ERR_INVALID, refusals[i].says);
	}
}

/* Many roots make engines slow, so they get shorter. */
static void
keeps_roots_few(void **state)
{
	(void)state;
	for (int over = 0; over <= 1; over++) {
		size_t count = ROOTS_FINE_MAX + (size_t)over;
		struct tree_file *files = mem_array(count, sizeof *files);
		struct err e;
		AUTO(tree, t) = NULL;

		for (size_t i = 0; i < count; i++) {
			char *text = mem_printf("package a.b%zu", i);

			files[i] =
			    (struct tree_file){ mem_printf("p%zu.rego", i),
				    text, strlen(text) };
		}
		if (tree_from_memory(&t, files, count, NULL, &e) != ERR_OK)
			fail_msg("%s", e.text);
		AUTO(bundle, b) = fixture_bundle(t, &fixture_all);
		assert_int_equal(b->root_count, over ? 1 : ROOTS_FINE_MAX);
		assert_string_equal(b->roots[0], over ? "a" : "a/b0");
		for (size_t i = 0; i < count; i++) {
			free((void *)(uintptr_t)files[i].path);
			free((void *)(uintptr_t)files[i].data);
		}
		mem_free(files);
	}
}

static void
limits_roots(void **state)
{
	(void)state;
	for (size_t over = 0; over <= 1; over++) {
		const char *files[] = { "data.json", NULL, NULL };
		AUTO_BUF text = { 0 };

		buf_init(&text, 1 << 20);
		for (size_t i = 0; i < ROOTS_MAX + over; i++)
			buf_printf(&text, "%c\"k%zu\":1", i == 0 ? '{' : ',',
			    i);
		buf_add_char(&text, '}');
		files[1] = text.data;
		AUTO(tree, t) = fixture_tree(files);
		if (over == 1) {
			fixture_refuse(t, &fixture_all, ERR_LIMIT,
			    "too many roots");
			continue;
		}
		AUTO(bundle, b) = fixture_bundle(t, &fixture_all);
		assert_int_equal(b->root_count, ROOTS_MAX);
	}
}

static void
limits_the_length_of_roots(void **state)
{
	(void)state;
	for (int over = 0; over <= 1; over++) {
		AUTO_STR text =
		    mem_printf("{\"%0*d\":1}", ROOT_LEN_MAX + over, 0);
		const char *files[] = { "data.json", text, NULL };
		AUTO(tree, t) = fixture_tree(files);

		if (over == 1) {
			fixture_refuse(t, &fixture_all, ERR_LIMIT,
			    "a path of more than 4096 bytes");
			continue;
		}
		AUTO(bundle, b) = fixture_bundle(t, &fixture_all);
		assert_int_equal(strlen(b->roots[0]), ROOT_LEN_MAX);
	}
}

static void
refuses_two_policies_for_one_place(void **state)
{
	static const char *const files[] = {
		"policies/a.rego",
		"package a",
		"data/roles/a.rego",
		"package b",
		NULL,
	};
	struct definition_bundle d = fixture_all;
	AUTO(tree, t) = fixture_tree(files);
	struct definition_path both[] = { { policies, folder_to },
		{ folder_from, folder_to } };

	(void)state;
	d.paths = (struct spec_list){ both, 2 };
	fixture_refuse(t, &d, ERR_INVALID,
	    "data/roles/a.rego and policies/a.rego would both become "
	    "roles/a.rego; rename one");
}

static char folder_a[] = "a", folder_b[] = "b", folder_c[] = "c",
	    folder_d[] = "d", at_top[] = "";

/* As many as there are folders, at the top and below it. */
static void
merges_data_of_several_folders(void **state)
{
	static const char *const files[] = { "a/data.json", "{\"x\":{\"a\":1}}",
		"b/data.json", "{\"x\":{\"b\":2},\"y\":[]}", "b/data.yaml",
		"z: 3\n", "c/data.json", "{\"c\":4}", "d/data.json",
		"{\"d\":5}", "d/one.rego", "package one", NULL };
	static const char *const places[] = { "", "roles" };
	static const char *const made[] = { "data.json", "roles/data.json" };
	AUTO(tree, t) = fixture_tree(files);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		AUTO_STR to = mem_strdup(places[i]);
		struct definition_bundle d = fixture_all;
		struct definition_path all[] = { { folder_a, to },
			{ folder_b, to }, { folder_c, to }, { folder_d, to } };

		d.paths = (struct spec_list){ all, 4 };
		AUTO(bundle, b) = fixture_bundle(t, &d);
		assert_int_equal(b->count, 3);
		fixture_has(b, made[i],
		    "{\"c\":4,\"d\":5,\"x\":{\"a\":1,\"b\":2},\"y\":[],"
		    "\"z\":3}");
	}
}

static void
refuses_a_key_of_two_folders(void **state)
{
	static const char *const files[] = { "a/data.json", "{\"x\":{\"k\":1}}",
		"b/data.json", "{\"x\":{\"k\":1}}", NULL };
	struct definition_bundle d = fixture_all;
	AUTO(tree, t) = fixture_tree(files);
	struct definition_path both[] = { { folder_a, at_top },
		{ folder_b, at_top } };

	(void)state;
	d.paths = (struct spec_list){ both, 2 };
	fixture_refuse(t, &d, ERR_INVALID,
	    "a/data.json:1: data.x.k is also set by b/data.json:1");
}

/* edict.yaml and .manifest may say the same, not different things. */
static void
compares_definition_and_manifest(void **state)
{
	static const char *const files[] = {
		".manifest",
		"{\"roots\":[\"a\"],\"rego_version\":0,\"metadata\":{\"k\":1}}",
		"a.rego",
		"package a",
		NULL,
	};
	static char same[] = "/a", other[] = "b";
	char *root = same;
	struct definition_bundle d = fixture_all;
	AUTO(tree, t) = fixture_tree(files);
	AUTO(document, doc) = NULL;
	struct err e;

	(void)state;
	assert_int_equal(canon_read(&doc, "t", "{\"k\":2}", 7, &e), ERR_OK);
	d.roots = (struct spec_strings){ &root, 1 };
	d.has_roots = true;
	d.rego_version = 0;
	AUTO(bundle, b) = fixture_bundle(t, &d);
	assert_int_equal(b->rego_version, 0);
	root = other;
	fixture_refuse(t, &d, ERR_INVALID,
	    "edict.yaml and .manifest give different roots");
	root = same;
	d.rego_version = 1;
	fixture_refuse(t, &d, ERR_INVALID, "give different rego_version");
	d.rego_version = -1;
	d.metadata = document_root(doc);
	fixture_refuse(t, &d, ERR_INVALID, "give different metadata");
}

/* As the header says, by other people's tools. */
static void
digests_content_as_documented(void **state)
{
	AUTO(tree, t) = fixture_commit(plain);
	AUTO(bundle, b) = fixture_bundle(t, &fixture_all);
	char *folder = fixture_folder();
	struct buf out = { 0 };

	(void)state;
	assert_int_equal(fixture_run(&out, "mkdir %s/a %s/roles", folder,
			     folder),
	    0);
	for (size_t i = 0; i < b->count; i++)
		fixture_write(folder, b->files[i].path, b->files[i].data,
		    b->files[i].len);
	assert_int_equal(
	    fixture_run(&out,
		"cd %s && sed -i "
		"'s/\"edict\":{[^}]*}//; s/\"revision\":\"[^\"]*\",//' "
		".manifest && find . -type f | sed 's|^./||' | LC_ALL=C sort | "
		"xargs sha256sum | sha256sum | cut -d' ' -f1 | tr -d '\\n'",
		folder),
	    0);
	assert_string_equal(out.data, b->content);
	buf_clear(&out);
	fixture_folder_end(folder);
}

static void
digests_content_only(void **state)
{
	AUTO(tree, t) = fixture_tree(plain);
	AUTO(tree, u) = fixture_commit(plain);
	AUTO(tree, v) = fixture_tree(plain + 2);
	struct definition_bundle d = fixture_all;

	(void)state;
	/* Another commit, other tests: equal. Another rego version: not. */
	memset(u->commit.id, 'a', TREE_ID_SIZE - 1);
	AUTO(bundle, one) = fixture_bundle(t, &fixture_all);
	AUTO(bundle, two) = fixture_bundle(u, &fixture_all);
	AUTO(bundle, three) = fixture_bundle(v, &fixture_all);
	d.rego_version = 0;
	AUTO(bundle, four) = fixture_bundle(t, &d);
	assert_string_equal(one->content, two->content);
	assert_string_not_equal(one->content, three->content);
	assert_string_not_equal(one->content, four->content);
	assert_string_not_equal(one->revision, two->revision);
}

static void
checks_what_a_cluster_loads_together(void **state)
{
	static char a[] = "a", b[] = "b", c[] = "c", prod[] = "prod",
		    dev[] = "dev";
	static const char *const files[] = {
		"a/p.rego",
		"package shared",
		"b/p.rego",
		"package shared.b",
		"c/p.rego",
		"package c",
		NULL,
	};
	struct definition_path from[] = { { a, a }, { b, b }, { c, c } };
	struct definition_bundle bundles[] = {
		{ .name = a, .paths = { &from[0], 1 }, .rego_version = -1 },
		{ .name = b, .paths = { &from[1], 1 }, .rego_version = -1 },
		{ .name = c, .paths = { &from[2], 1 }, .rego_version = -1 },
	};
	char *apart[] = { a, c }, *together[] = { c, b, a };
	struct definition_cluster clusters[] = {
		{ .name = dev, .bundles = { apart, 2 } },
		{ .name = prod, .bundles = { apart, 2 } },
	};
	struct definition d = {
		.bundles = { bundles, 3 },
		.clusters = { clusters, 2 },
	};
	AUTO(tree, t) = fixture_tree(files);
	struct bundle_set set = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(bundle_plan_all(&set, t, &d, &e), ERR_OK);
	assert_int_equal(set.count, 3);
	assert_string_equal(set.bundles[1]->name, "b");
	bundle_set_clear(&set);
	clusters[1].bundles = (struct spec_strings){ together, 3 };
	assert_int_equal(bundle_plan_all(&set, t, &d, &e), ERR_INVALID);
	assert_non_null(strstr(e.text,
	    "cluster prod: bundles a (root \"shared\") and b (root "
	    "\"shared/b\") overlap"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_what_engines_load),
		cmocka_unit_test(works_out_roots),
		cmocka_unit_test(honours_a_manifest),
		cmocka_unit_test(merges_data_of_one_folder),
		cmocka_unit_test(places_by_definition),
		cmocka_unit_test(refuses_by_name),
		cmocka_unit_test(keeps_roots_few),
		cmocka_unit_test(limits_roots),
		cmocka_unit_test(limits_the_length_of_roots),
		cmocka_unit_test(refuses_two_policies_for_one_place),
		cmocka_unit_test(merges_data_of_several_folders),
		cmocka_unit_test(refuses_a_key_of_two_folders),
		cmocka_unit_test(compares_definition_and_manifest),
		cmocka_unit_test(digests_content_as_documented),
		cmocka_unit_test(digests_content_only),
		cmocka_unit_test(checks_what_a_cluster_loads_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
