/* What an engine makes of a bundle is what it makes of the folder that the
 * bundle was made of; and where it refuses the folder, so do we. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bundler/pack.h"
#include "core/file.h"
#include "core/mem.h"
#include "fixture.h"

static const struct fixture_tree same[] = {
	{ "one policy", { "a.rego", "package a\np := 1\n" } },
	{ "policy reads data",
	    { "x/p.rego", "package x.p\nq := data.x.d.k\n", "x/d/data.json",
		"{\"k\":[1,2,{\"z\":null}]}" } },
	{ "numbers keep their text",
	    { "data.json",
		"{\"a\":1.10,\"b\":1e3,\"c\":-0,\"d\":1E+2,"
		"\"e\":1234567890123456789012345678901234567890,"
		"\"f\":0.1000000000000000055511151231257827}" } },
	{ "strings",
	    { "data.json",
		"{\"a\":\"\\u0041\\/\\\"\\\\\\n\\r\\t\\u0001\","
		"\"b\":\"<>&\\u007f\\u2028\\u2029\\ud83d\\ude00\","
		"\"\xc3\xa4\":\"\xe2\x82\xac\"}" } },
	{ "odd keys at the top",
	    { "data.json", "{\"a b\":1,\"c/d\":2,\"\":3,\"e%20f\":4}" } },
	{ "odd keys below",
	    { "q/data.json", "{\"a b\":{\"c/d\":[]},\"\":{\"\":1}}" } },
	{ "folders merge",
	    { "data.json", "{\"a\":{\"b\":{\"c\":1}},\"z\":[]}", "a/data.json",
		"{\"b\":{\"d\":2},\"e\":3}", "a/b/data.json", "{\"f\":{}}" } },
	{ "three data files in one folder",
	    { "x/data.json", "{\"a\":{\"one\":1}}", "x/data.yaml",
		"a: {two: 2}\n", "x/data.yml", "a: {three: {}}\nb: 1\n" } },
	{ "yaml",
	    { "y/data.yaml",
		"a: 1.10\nb: 1e3\nc: 0777\nd: yes\ne: ~\nf: 2020-01-02\n"
		"g: \"1:30\"\nh: |\n  text\n  more\n"
		"i: &x {k: v}\nj: *x\nk: [y, n, on]\nl: 0x1F\nm: 1_000\n" } },
	{ "yaml merge keys and numbers as keys",
	    { "y/data.yaml",
		"base: &b {k: 1, l: 2}\nuse:\n  <<: *b\n  l: 3\n"
		"1: one\n2.5: half\ntrue: t\n" } },
	{ "json in a yaml file", { "y/data.yaml", "{\"a\":1.10,\"b\":[]}" } },
	{ "an array and a scalar as documents",
	    { "list/data.json", "[1,2]", "text/data.json", "\"x\"",
		"truth/data.yaml", "true\n" } },
	{ "other files are no data",
	    { "a.rego", "package a\np := data.b\n", "b/config.json",
		"{\"x\":1}", "b/values.yaml", "x: 1\n", "README.md", "#" } },
	{ "data beside rules",
	    { "a/data.json", "{\"b\":{\"k\":1}}", "p.rego",
		"package a.b\nrule := data.a.b.k + 1\n", "q.rego",
		"package a\nother := 2\n" } },
	{ "quoted packages",
	    { "a.rego", "package a[\"b-c\"].d\np := 1\n", "b.rego",
		"package a[\"e f\"].g\np := 2\n" } },
	{ "a package called data", { "a.rego", "package data.x\np := 1\n" } },
	{ "one package in many files",
	    { "1.rego", "package p\na := 1\n", "d/2.rego",
		"package p\nb := a + 1\n", "d/e/3.rego",
		"package p.q\nc := data.p.b\n" } },
	{ "a manifest with roots",
	    { ".manifest", "{\"revision\":\"r\",\"roots\":[\"a\",\"b/c/\"]}",
		"a/p.rego", "package a.p\nq := data.b.c\n", "b/c/data.json",
		"{\"k\":1}" } },
	{ "roots within a data file",
	    { ".manifest", "{\"roots\":[\"a/b\",\"a/c\"]}", "data.json",
		"{\"a\":{\"b\":1,\"c\":{\"d\":2}}}" } },
	{ "old syntax by bundle",
	    { ".manifest", "{\"rego_version\":0}", "a.rego",
		"package a\np { input.x == 1 }\nq[x] { x := 1 }\n" } },
	{ "old syntax by file",
	    { ".manifest", "{\"file_rego_versions\":{\"/old/*.rego\":0}}",
		"old/[1]/a.rego",
		"package old\np = 1 { true }\nq[1] { true }\n", "new.rego",
		"package new\np := 1 if true\n" } },
	{ "byte order mark and line ends",
	    { "a.rego", "\xef\xbb\xbfpackage a\r\n\r\np := 1\r\n" } },
	{ "paths beyond ASCII and beyond a header",
	    { "\xc3\xa4 \xe2\x82\xac/p.rego", "package x\np := 1\n",
		"a-very-long-folder-name-that-goes-on-and-on-and-on-and-on-and-"
		"on/another-very-long-folder-name-that-goes-on-and-on-and-on/"
		"and-a-third-one-that-does-too-for-good-measure/with-a-fourth/"
		"data.json",
		"{\"deep\":true}" } },
	{ "an empty object below",
	    { "a/data.json", "{}", "b/data.json", "{\"x\":{}}" } },
};

static const struct fixture_tree refused[] = {
	{ "data twice", { "x/data.json", "{\"a\":1}", "x/data.yaml", "a: 1" } },
	{ "data twice, nested",
	    { "data.json", "{\"x\":{\"y\":1}}", "x/data.json",
		"{\"y\":{\"z\":1}}" } },
	{ "an array and more",
	    { "x/data.json", "[1]", "x/y/data.json", "{}" } },
	{ "an array at the top", { "data.json", "[1]" } },
	{ "a scalar where a package is",
	    { "data.json", "{\"a\":{\"b\":1}}", "p.rego",
		"package a.b\nx := 1\n" } },
	{ "data outside the roots",
	    { ".manifest", "{\"roots\":[\"a\"]}", "b/data.json",
		"{\"x\":1}" } },
	{ "a package outside the roots",
	    { ".manifest", "{\"roots\":[\"a\"]}", "p.rego",
		"package b\nx := 1\n" } },
	{ "roots that overlap",
	    { ".manifest", "{\"roots\":[\"a\",\"a/b\"]}", "p.rego",
		"package a\nx := 1\n" } },
	{ "a file without a package", { "p.rego", "x := 1\n" } },
	{ "not JSON", { "data.json", "{a: 1}" } },
	{ "yaml beyond numbers", { "x/data.yaml", "a: .inf\n" } },
};

static bool
any(void *arg, const struct tree_entry *entry)
{
	(void)arg;
	(void)entry;
	return true;
}

/* What the engine answers for all of data, as one line. */
static int
ask(const char *folder, const char *bundle, struct buf *out)
{
	return fixture_run(out, "cd %s && %s eval -f raw -b %s data", folder,
	    fixture_opa(), bundle);
}

static void
lay_out(const struct tree *t, const char *folder)
{
	AUTO_STR source = file_path(folder, "source");
	struct err e;

	assert_int_equal(mkdir(source, 0700), 0);
	if (tree_write(t, source, any, NULL, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static void
engine_sees_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
		AUTO(tree, t) = fixture_tree(same[i].files);
		AUTO(bundle, b) = fixture_bundle(t, &fixture_all);
		char *folder = fixture_folder();
		struct buf wanted = { 0 }, got = { 0 };
		struct err e;
		AUTO_BUF bytes = { 0 };

		buf_init(&bytes, PACK_SIZE_MAX);
		lay_out(t, folder);
		if (bundle_pack(&bytes, b, &e) != ERR_OK)
			fail_msg("%s", e.text);
		fixture_write(folder, "b.tar.gz", bytes.data, bytes.len);
		if (ask(folder, "source", &wanted) != 0)
			fail_msg("%s: the folder: %s", same[i].name,
			    wanted.data);
		if (ask(folder, "b.tar.gz", &got) != 0 ||
		    strcmp(wanted.data, got.data) != 0)
			fail_msg("%s: wanted %s, got %s", same[i].name,
			    wanted.data, got.data);
		buf_clear(&wanted);
		buf_clear(&got);
		fixture_folder_end(folder);
	}
}

static void
engine_refuses_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		AUTO(tree, t) = fixture_tree(refused[i].files);
		char *folder = fixture_folder();
		struct buf out = { 0 };

		fixture_refuse(t, &fixture_all, ERR_INVALID, "");
		lay_out(t, folder);
		if (ask(folder, "source", &out) == 0)
			fail_msg("%s: the engine takes it: %s", refused[i].name,
			    out.data);
		buf_clear(&out);
		fixture_folder_end(folder);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engine_sees_the_same),
		cmocka_unit_test(engine_refuses_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
