#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "policies/tree.h"
#include "tests/unit/policies/git_fixture.h"

static int
setup(void **state)
{
	(void)state;
	fixture_start();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fixture_end();
	return 0;
}

static void
assert_refused(const char *name, const char *says)
{
	struct tree *t = NULL;
	struct err e;

	assert_int_equal(tree_from_folder(&t, fixture_path(name), &e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, says));
}

static void
test_same_id_as_git(void **state)
{
	AUTO(tree, t) = NULL;
	AUTO(tree, sub) = NULL;
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	sh("git init -q r; cd r; mkdir -p a/b a-c build a.d/deep/er empty\n"
	   "echo x > a/b/c; echo y > a-c/d; echo z > a.txt; echo w > a.d/deep/er/f\n"
	   "echo run > tool.sh; chmod +x tool.sh; : > none\n"
	   "printf 'one\\r\\ntwo\\r\\n' > win.txt; echo 'win.txt text' > .gitattributes\n"
	   "printf 'build/\\n*.log\\n' > .gitignore\n"
	   "echo kept > build/kept; git add -f build/kept; git add -A 2>/dev/null\n"
	   "git commit -qm one\n"
	   "echo junk > build/junk; echo junk > a/x.log");
	assert_int_equal(tree_from_folder(&t, fixture_path("r"), &e), ERR_OK);
	assert_string_equal(t->commit.tree,
	    sh_line("cd r; git rev-parse 'HEAD^{tree}'"));
	assert_string_equal(t->commit.id,
	    "0000000000000000000000000000000000000000");
	assert_non_null(tree_find(t, "build/kept"));
	assert_null(tree_find(t, "build/junk"));
	assert_null(tree_find(t, "a/x.log"));

	buf_init(&b, 100);
	assert_int_equal(tree_read(t, tree_find(t, "win.txt"), &b, &e), ERR_OK);
	assert_string_equal(b.data, "one\ntwo\n");

	assert_int_equal(tree_from_folder(&sub, fixture_path("r/a"), &e),
	    ERR_OK);
	assert_string_equal(sub->commit.tree,
	    sh_line("cd r; git rev-parse HEAD:a"));

	/* Untracked files count, as after `git add -A`. */
	tree_free(t);
	t = NULL;
	sh("echo new > r/a/new; rm r/a.txt");
	assert_int_equal(tree_from_folder(&t, fixture_path("r"), &e), ERR_OK);
	assert_string_equal(t->commit.tree,
	    sh_line("cd r; git add -A; git write-tree"));
}

static void
test_outside_git(void **state)
{
	AUTO(tree, t) = NULL;
	AUTO(tree, hidden) = NULL;
	struct err e;

	(void)state;
	sh("mkdir -p p/a; echo x > p/a/b; echo a > p/.gitignore");
	assert_int_equal(tree_from_folder(&t, fixture_path("p"), &e), ERR_OK);
	assert_int_equal(t->count, 2);

	/* Ignored as a whole by a repository further up. */
	sh("git init -q up; echo '/out/' > up/.gitignore; mkdir up/out\n"
	   "echo x > up/out/f");
	assert_int_equal(tree_from_folder(&hidden, fixture_path("up/out"), &e),
	    ERR_OK);
	assert_int_equal(hidden->count, 1);
}

static void
test_refused(void **state)
{
	AUTO(tree, t) = NULL;
	struct err e;

	(void)state;
	sh("mkdir link fifo sub case hidden\n"
	   "ln -s /etc/passwd link/x; mkfifo fifo/p\n"
	   "git init -q sub/inner; echo x > case/a; echo x > case/A\n"
	   "mkdir hidden/.h; ln -s x hidden/.h/l");
	assert_refused("link", "x: a symbolic link");
	assert_refused("fifo", "p: neither a file nor a folder");
	assert_refused("sub", "inner: a repository of its own");
	assert_refused("case", "equal but for case");
	assert_refused("hidden", ".h/l: a symbolic link");
	assert_int_equal(tree_from_folder(&t, fixture_path("none"), &e),
	    ERR_NOT_FOUND);
	sh("mkdir big; truncate -s 67108865 big/file");
	assert_int_equal(tree_from_folder(&t, fixture_path("big"), &e),
	    ERR_LIMIT);
}

static void
test_changed_meanwhile(void **state)
{
	AUTO(tree, t) = NULL;
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	buf_init(&b, 100);
	sh("mkdir m; echo 1 > m/f");
	assert_int_equal(tree_from_folder(&t, fixture_path("m"), &e), ERR_OK);
	sh("echo 2 > m/f");
	assert_int_equal(tree_read(t, t->entries, &b, &e), ERR_CONFLICT);
	assert_non_null(strstr(e.text, "changed while"));
}

static bool
only_rego(void *arg, const struct tree_entry *entry)
{
	(void)arg;
	return strstr(entry->path, ".rego") != NULL;
}

static void
test_write(void **state)
{
	AUTO(tree, t) = NULL;
	AUTO(tree, again) = NULL;
	struct err e;

	(void)state;
	sh("mkdir -p w/a/b out some; echo p > w/a/b/p.rego; echo d > w/a/d.json\n"
	   "chmod 755 w/a/d.json");
	assert_int_equal(tree_from_folder(&t, fixture_path("w"), &e), ERR_OK);
	assert_int_equal(tree_write(t, fixture_path("out"), NULL, NULL, &e),
	    ERR_OK);
	sh("diff -r w out; test \"$(stat -c %%a out/a/d.json)\" = 600");
	assert_int_equal(tree_from_folder(&again, fixture_path("out"), &e),
	    ERR_OK);
	assert_int_equal(again->total, t->total);
	assert_int_equal(tree_write(t, fixture_path("some"), only_rego, NULL,
			     &e),
	    ERR_OK);
	sh("test -f some/a/b/p.rego; test ! -e some/a/d.json");
	/* The folder has to be empty. */
	assert_int_equal(tree_write(t, fixture_path("out"), NULL, NULL, &e),
	    ERR_CONFLICT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same_id_as_git, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_outside_git, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_meanwhile, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
