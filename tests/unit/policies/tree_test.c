#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/tree.h"

static void
test_sorted_found_and_read(void **state)
{
	static const struct tree_file files[] = {
		{ "b.rego", "package b\n", 10 },
		{ "a/z.json", "{}\n", 3 },
		{ "a.txt", "", 0 },
		{ "a/b/c.yaml", "x: 1\n", 5 },
		{ "copy.json", "{}\n", 3 },
	};
	static const char *const sorted[] = { "a.txt", "a/b/c.yaml", "a/z.json",
		"b.rego", "copy.json" };
	AUTO(tree, t) = NULL;
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 1024);
	assert_int_equal(tree_from_memory(&t, files, 5,
			     "0123456789abcdef0123456789abcdef01234567", &e),
	    ERR_OK);
	assert_int_equal(t->count, 5);
	assert_int_equal(t->total, 21);
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(t->entries[i].path, sorted[i]);
	assert_string_equal(t->commit.id,
	    "0123456789abcdef0123456789abcdef01234567");
	assert_null(tree_find(t, "a"));
	assert_null(tree_find(t, "A.txt"));
	assert_int_equal(tree_read(t, tree_find(t, "a/z.json"), &b, &e),
	    ERR_OK);
	assert_int_equal(tree_read(t, tree_find(t, "b.rego"), &b, &e), ERR_OK);
	assert_string_equal(b.data, "{}\npackage b\n");
	/* As `git hash-object` says. */
	assert_string_equal(tree_find(t, "a.txt")->id,
	    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

static void
test_empty(void **state)
{
	AUTO(tree, t) = NULL;
	struct err e;

	(void)state;
	assert_int_equal(tree_from_memory(&t, NULL, 0, NULL, &e), ERR_OK);
	assert_int_equal(t->count, 0);
	assert_null(tree_find(t, "x"));
	assert_string_equal(t->commit.tree,
	    "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
	assert_string_equal(t->commit.id,
	    "0000000000000000000000000000000000000000");
	assert_string_equal(t->commit.parent, "");
	assert_string_equal(t->commit.author, "");
	assert_string_equal(t->commit.subject, "");
}

static void
test_refused_paths(void **state)
{
	static const struct {
		const char *path, *says;
	} bad[] = {
		{ "", "is empty" },
		{ "/etc/passwd", "absolute" },
		{ "a//b", "empty segment" },
		{ "a/", "empty segment" },
		{ "./a", "\".\" segment" },
		{ "a/../b", "\"..\" segment" },
		{ "..", "\"..\" segment" },
		{ ".git/config", "\".git\" segment" },
		{ "x/.GiT/y", "\".git\" segment" },
		{ "a\\b", "backslash" },
		{ "a\nb\tc\x1b",
		    "\"a\\nb\\tc\\x1b\": the path has a control character" },
		{ "a\x7f", "control character" },
		{ "a\xc2\x85", "control character" },
		{ "a\xff", "not UTF-8" },
		{ "a\xc0\xaf", "not UTF-8" },
		{ "\xed\xa0\x80", "not UTF-8" },
		{ "\xf4\x90\x80\x80", "not UTF-8" },
		{ "a\xe2\x82", "not UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tree_file file = { bad[i].path, "x", 1 };
		AUTO(tree, t) = NULL;
		struct err e;

		assert_int_equal(tree_from_memory(&t, &file, 1, NULL, &e),
		    ERR_INVALID);
		assert_non_null(strstr(e.text, bad[i].says));
		assert_null(strpbrk(e.text, "\n\x7f\xff"));
		assert_null(t);
	}
}

static void
test_allowed_paths(void **state)
{
	static const struct tree_file files[] = {
		{ ".gitignore", "", 0 },
		{ ".github/x", "", 0 },
		{ "...", "", 0 },
		{ "a b/c$d", "", 0 },
		{ "\xc3\xa9/\xf0\x9f\x98\x80", "", 0 },
		{ "git", "", 0 },
	};
	AUTO(tree, t) = NULL;
	struct err e;

	(void)state;
	assert_int_equal(tree_from_memory(&t, files, 6, NULL, &e), ERR_OK);
}

static enum err_code
one(const char *path, size_t len, struct err *e)
{
	char *data = mem_zalloc(len + 1);
	struct tree_file file = { path, data, len };
	AUTO(tree, t) = NULL;
	enum err_code code = tree_from_memory(&t, &file, 1, NULL, e);

	mem_free(data);
	return code;
}

static void
test_limits(void **state)
{
	char path[TREE_PATH_MAX + 2];
	struct err e;

	(void)state;
	memset(path, 'a', sizeof(path));
	path[TREE_PATH_MAX + 1] = '\0';
	assert_int_equal(one(path, 0, &e), ERR_INVALID);
	path[TREE_PATH_MAX] = '\0';
	assert_int_equal(one(path, 0, &e), ERR_OK);

	for (size_t i = 0; i < (size_t)TREE_DEPTH_MAX; i++) {
		path[2 * i] = 'd';
		path[2 * i + 1] = '/';
	}
	path[2 * TREE_DEPTH_MAX - 1] = '\0';
	assert_int_equal(one(path, 0, &e), ERR_OK);
	path[2 * TREE_DEPTH_MAX - 1] = '/';
	path[2 * TREE_DEPTH_MAX] = 'f';
	path[2 * TREE_DEPTH_MAX + 1] = '\0';
	assert_int_equal(one(path, 0, &e), ERR_INVALID);

	assert_int_equal(one("f", TREE_BLOB_MAX, &e), ERR_OK);
	assert_int_equal(one("f", (size_t)TREE_BLOB_MAX + 1, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "f: 67108865 bytes"));
}

static void
test_total_and_count_limits(void **state)
{
	static const char id[] = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
	struct tree_source none = { 0 };
	AUTO(tree_maker, total) = tree_maker_new(none);
	AUTO(tree_maker, many) = tree_maker_new(none);
	char path[16];
	struct err e;

	(void)state;
	for (int i = 0; i < 32; i++) {
		(void)snprintf(path, sizeof(path), "%d", i);
		assert_int_equal(tree_maker_add(total, path, id, TREE_BLOB_MAX,
				     false, &e),
		    ERR_OK);
	}
	assert_int_equal(tree_maker_add(total, "z", id, 0, false, &e), ERR_OK);
	assert_int_equal(tree_maker_add(total, "zz", id, 1, false, &e),
	    ERR_LIMIT);
	for (int i = 0; i < TREE_FILES_MAX; i++) {
		(void)snprintf(path, sizeof(path), "%d", i);
		if (tree_maker_add(many, path, id, 0, false, &e) != ERR_OK)
			fail();
	}
	assert_int_equal(tree_maker_add(many, "z", id, 0, false, &e),
	    ERR_LIMIT);
}

static void
test_clashes(void **state)
{
	static const struct {
		const char *a, *b;
		enum err_code code;
	} pairs[] = {
		{ "readme", "README", ERR_INVALID },
		{ "D/x", "d/X", ERR_INVALID },
		{ "a", "a", ERR_INVALID },
		{ "a", "a/b", ERR_INVALID },
		{ "A", "a/b", ERR_INVALID },
		{ "\xc3\x84", "\xc3\xa4", ERR_INVALID },
		{ "a", "a.b", ERR_OK },
		{ "a", "a-b/c", ERR_OK },
		{ "D/x", "d/y", ERR_OK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct tree_file files[] = { { pairs[i].a, "", 0 },
			{ "a.z", "", 0 }, { pairs[i].b, "", 0 } };
		AUTO(tree, t) = NULL;
		struct err e;

		assert_int_equal(tree_from_memory(&t, files, 3, NULL, &e),
		    pairs[i].code);
		if (pairs[i].code != ERR_OK)
			assert_non_null(strstr(e.text, pairs[i].b));
	}
}

static void
test_read_respects_the_reader(void **state)
{
	static const struct tree_file file = { "f", "12345", 5 };
	AUTO(tree, t) = NULL;
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 4);
	assert_int_equal(tree_from_memory(&t, &file, 1, NULL, &e), ERR_OK);
	assert_int_equal(tree_read(t, t->entries, &b, &e), ERR_LIMIT);
	assert_int_equal(b.len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sorted_found_and_read),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_refused_paths),
		cmocka_unit_test(test_allowed_paths),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_total_and_count_limits),
		cmocka_unit_test(test_clashes),
		cmocka_unit_test(test_read_respects_the_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
