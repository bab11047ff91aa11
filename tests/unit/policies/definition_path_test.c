#include "policies/definition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void
globs_match_as_promised(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool matches;
	} cases[] = {
		{ "", "", true },
		{ "", "a", false },
		{ "a", "a", true },
		{ "a", "b", false },
		{ "a", "ab", false },
		{ "*", "a.rego", true },
		{ "*", "a/b.rego", false },
		{ "*.rego", "a.rego", true },
		{ "*.rego", "a/b.rego", false },
		{ "a*c", "ac", true },
		{ "a*c", "abbbc", true },
		{ "a*c", "ab/c", false },
		{ "?", "a", true },
		{ "?", "/", false },
		{ "?", "", false },
		{ "?", "\xc3\xa4", true },
		{ "?", "\xc3\xa4\xc3\xa4", false },
		{ "??", "\xc3\xa4\xc3\xa4", true },
		{ "**", "a/b/c", true },
		{ "**", "", true },
		{ "**/testdata/**", "testdata/x", true },
		{ "**/testdata/**", "a/testdata/x/y", true },
		{ "**/testdata/**", "atestdata/x", false },
		{ "**/testdata/**", "a/b/testdatas/x", false },
		{ "**/x", "x", true },
		{ "**/x", "a/x", true },
		{ "**/x", "ax", false },
		{ "**x", "a/bx", true },
		{ "a/**/b", "a/b", true },
		{ "a/**/b", "a/x/y/b", true },
		{ "a/**/b", "a/xb", false },
		{ "a/**", "a/b/c", true },
		{ "a/**", "a", false },
		{ "[a]", "a", false },
		{ "[a]", "[a]", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (definition_glob(cases[i].pattern, cases[i].path) !=
		    cases[i].matches)
			fail_msg("%s on %s", cases[i].pattern, cases[i].path);
	}
}

static void
hostile_globs_take_no_time(void **state)
{
	char pattern[DEFINITION_GLOB_MAX + 2], path[TREE_PATH_MAX];

	(void)state;
	for (size_t i = 0; i < DEFINITION_GLOB_MAX; i += 2)
		memcpy(pattern + i, "*a", 2);
	pattern[DEFINITION_GLOB_MAX] = '\0';
	memset(path, 'a', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	assert_true(definition_glob(pattern, path));
	path[sizeof path - 2] = 'b';
	assert_false(definition_glob(pattern, path));
	/* One byte over the limit matches nothing. */
	memset(pattern, '*', sizeof pattern - 1);
	pattern[sizeof pattern - 1] = '\0';
	assert_false(definition_glob(pattern, path));
	pattern[sizeof pattern - 2] = '\0';
	assert_true(definition_glob(pattern, path));
}

static void
hidden_paths_are_known(void **state)
{
	(void)state;
	assert_true(definition_hidden(".a"));
	assert_true(definition_hidden("a/.b/c"));
	assert_true(definition_hidden("a/.manifest"));
	assert_false(definition_hidden(".manifest"));
	assert_false(definition_hidden("a.b/c."));
}

static char A[] = "policies/authz", B[] = "data/roles", C[] = "roles",
	    EMPTY[] = "", FILE_FROM[] = "x/one.json", FILE_TO[] = "y/data.json";
static struct definition_path RULES[] = { { A, A }, { B, C },
	{ FILE_FROM, FILE_TO } };
static struct definition_path LIFTED[] = { { A, EMPTY } };
static struct definition_path UNDER[] = { { EMPTY, C } };
static char NO_TESTDATA[] = "**/testdata", NO_TMP[] = "*.tmp.rego";
static char *EXCLUDES[] = { NO_TESTDATA, NO_TMP };

static void
files_are_placed(void **state)
{
	static const struct definition_bundle
	    whole = { .exclude = { EXCLUDES, 2 } },
	    parts = { .paths = { RULES, 3 }, .exclude = { EXCLUDES, 2 } },
	    lifted = { .paths = { LIFTED, 1 } },
	    under = { .paths = { UNDER, 1 } };
	static const struct {
		const struct definition_bundle *d;
		const char *path, *placed;
	} cases[] = {
		{ &whole, "a/b.rego", "a/b.rego" },
		{ &whole, ".manifest", ".manifest" },
		{ &whole, "a/.manifest", NULL },
		{ &whole, ".hidden/a.rego", NULL },
		{ &whole, "edict.yaml", NULL },
		{ &whole, "testdata/a.json", NULL },
		{ &whole, "a/testdata/b/c.json", NULL },
		{ &whole, "x.tmp.rego", NULL },
		{ &whole, "a/x.tmp.rego", "a/x.tmp.rego" },
		{ &parts, "policies/authz/a.rego", "policies/authz/a.rego" },
		{ &parts, "policies/authzx/a.rego", NULL },
		{ &parts, "policies/a.rego", NULL },
		{ &parts, "data/roles/data.json", "roles/data.json" },
		{ &parts, "data/roles/eu/data.json", "roles/eu/data.json" },
		{ &parts, "x/one.json", "y/data.json" },
		{ &parts, "x/two.json", NULL },
		{ &parts, ".manifest", NULL },
		{ &lifted, "policies/authz/a.rego", "a.rego" },
		{ &lifted, "policies/authz/.manifest", ".manifest" },
		{ &lifted, "policies/authz/.x", NULL },
		{ &under, "a.rego", "roles/a.rego" },
		{ &under, ".manifest", NULL },
	};
	char out[TREE_PATH_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		bool placed = definition_place(cases[i].d, cases[i].path, out);

		if (placed != (cases[i].placed != NULL))
			fail_msg("%zu: %s", i, cases[i].path);
		if (placed)
			assert_string_equal(out, cases[i].placed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs_match_as_promised),
		cmocka_unit_test(hostile_globs_take_no_time),
		cmocka_unit_test(hidden_paths_are_known),
		cmocka_unit_test(files_are_placed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
