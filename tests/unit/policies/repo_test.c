#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/repo.h"
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

static struct repo *
discovered(const char *name)
{
	struct repo *r = NULL;
	struct err e;

	assert_int_equal(repo_discover(&r, fixture_path(name), &e), ERR_OK);
	return r;
}

static struct repo *
mirror(void)
{
	struct repo *r = NULL;
	struct err e;

	assert_int_equal(repo_open(&r, fixture_path("repos/p/git"), true, &e),
	    ERR_OK);
	return r;
}

static void
test_tree_of_a_commit(void **state)
{
	AUTO(repo, r) = NULL;
	AUTO(tree, t) = NULL;
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	sh("git init -q -b main r; cd r; mkdir -p a/b a-c; echo x > a/b/c\n"
	   "echo y > a-c/d; echo z > a.txt; echo e > run; chmod +x run; git add -A\n"
	   "git commit -qm 'first'\n"
	   "echo 2 > a.txt; git -c i18n.commitEncoding=latin1 commit -qam \"$(printf 'Sec\\033ond \\377 line\\n\\nbody')\"");
	r = discovered("r/a/b");
	assert_int_equal(repo_tree(r, sh_line("cd r; git rev-parse HEAD"), &t,
			     &e),
	    ERR_OK);
	repo_free(r); /* a tree outlives it */
	r = NULL;
	assert_int_equal(t->count, 4);
	assert_string_equal(t->entries[0].path, "a-c/d");
	assert_string_equal(t->entries[1].path, "a.txt");
	assert_string_equal(t->entries[2].path, "a/b/c");
	assert_int_equal(t->total, 8);
	assert_string_equal(t->commit.tree,
	    sh_line("cd r; git rev-parse 'HEAD^{tree}'"));
	assert_string_equal(t->commit.parent,
	    sh_line("cd r; git rev-parse HEAD~1"));
	assert_string_equal(t->commit.author, "Ada <ada@example.org>");
	assert_string_equal(t->commit.subject, "Second \xef\xbf\xbd line");
	assert_int_equal(t->commit.author_time, 1700000000);
	assert_int_equal(t->commit.commit_time, 1700000100);
	assert_int_equal(t->commit.commit_offset, 60);
	buf_init(&b, 100);
	assert_int_equal(tree_read(t, tree_find(t, "a.txt"), &b, &e), ERR_OK);
	assert_string_equal(b.data, "2\n");
}

static void
test_long_subject(void **state)
{
	AUTO(repo, r) = NULL;
	AUTO(tree, t) = NULL;
	struct err e;

	(void)state;
	sh("git init -q r; cd r\n"
	   "git commit -q --allow-empty -m \"$(printf 'x%%.0s' $(seq 199))\xc3\xa9tail\"");
	r = discovered("r");
	assert_int_equal(repo_tree(r, sh_line("cd r; git rev-parse HEAD"), &t,
			     &e),
	    ERR_OK);
	assert_int_equal(strlen(t->commit.subject), 199);
	assert_int_equal(t->count, 0);
}

/* Each script leaves a tree's id; what is said about a commit of it? */
static void
test_hygiene(void **state)
{
	static const struct {
		const char *script, *says;
		enum err_code code;
	} bad[] = {
		{ "printf '120000 blob %s\\tl\\n' $B | git mktree",
		    "l: a symbolic link", ERR_INVALID },
		{ "S=$(printf '120000 blob %s\\tl\\n' $B | git mktree)\n"
		  "printf '040000 tree %s\\t.hidden\\n' $S | git mktree",
		    ".hidden/l: a symbolic link", ERR_INVALID },
		{ "printf '160000 commit %s\\tm\\n' $C | git mktree --missing",
		    "m: a submodule", ERR_INVALID },
		{ "printf '100644 blob %s\\tA\\n100644 blob %s\\ta\\n' $B $B | "
		  "git mktree",
		    "equal but for case", ERR_INVALID },
		{ "printf '100644 blob %s\\ta\\\\\\\\b\\n' $B | git mktree",
		    "backslash", ERR_INVALID },
		{ "printf '100644 blob %s\\t\"a\\\\nb\"\\n' $B | git mktree",
		    "control character", ERR_INVALID },
		{ "T=$(printf '100644 blob %s\\tx\\n' $B | git mktree)\n"
		  "(printf '40000 .GIT\\0'; echo $T | unhex) | git "
		  "hash-object -t tree -w --literally --stdin",
		    "\".git\" segment", ERR_INVALID },
		{ "(printf '100644 a/b\\0'; echo $B | unhex) | git "
		  "hash-object -t tree -w --literally --stdin",
		    "slash", ERR_INVALID },
		{ "(printf '100644 ..\\0'; echo $B | unhex) | git "
		  "hash-object -t tree -w --literally --stdin",
		    "\"..\" segment", ERR_INVALID },
		{ "(printf '100644 x\\0'; echo $B | unhex; printf "
		  "'100644 x\\0'; echo $B | unhex) | git hash-object -t "
		  "tree -w --literally --stdin",
		    "equal", ERR_INVALID },
		{ "T=$(printf '100644 blob %s\\tx\\n' $B | git mktree)\n"
		  "for i in $(seq 70); do\n"
		  "T=$(printf '040000 tree %s\\td\\n' $T | git mktree); done; "
		  "echo $T",
		    "nested deeper", ERR_INVALID },
		{ "truncate -s 67108865 ../big\n"
		  "printf '100644 blob %s\\tbig\\n' $(git hash-object -w "
		  "../big) | git mktree",
		    "big: 67108865 bytes", ERR_LIMIT },
		{ "printf '100644 blob "
		  "1234567890123456789012345678901234567890\\tgone\\n' | git "
		  "mktree --missing",
		    "gone", ERR_CORRUPT },
		{ "printf '100644 blob %s\\tt\\n' $E | git mktree --missing "
		  "2>/dev/null || (printf '100644 t\\0'; echo $E | unhex)"
		  " | git hash-object -t tree -w --literally --stdin",
		    "t", ERR_CORRUPT },
	};

	(void)state;
	sh("git init -q r; cd r; git commit -q --allow-empty -m x");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		AUTO(repo, r) = discovered("r");
		AUTO(tree, t) = NULL;
		struct err e;
		const char *commit = sh_line(
		    "cd r; B=$(echo x | git hash-object -w --stdin)\n"
		    "C=$(git rev-parse HEAD); E=$(git mktree < /dev/null)\n"
		    "t() {\n%s\n}\nT=$(t); git commit-tree -m bad $T",
		    bad[i].script);

		e.text[0] = '\0';
		assert_int_equal(repo_tree(r, commit, &t, &e), bad[i].code);
		assert_non_null(strstr(e.text, bad[i].says));
		assert_memory_equal(e.text, "commit ", 7);
	}
}

/* A tree of trees without a file, 2^40 folders when walked. */
static void
test_bomb(void **state)
{
	AUTO(repo, r) = NULL;
	AUTO(tree, t) = NULL;
	struct err e;

	(void)state;
	sh("git init -q r");
	r = discovered("r");
	assert_int_equal(
	    repo_tree(r,
		sh_line(
		    "cd r; T=$(git mktree < /dev/null)\n"
		    "for i in $(seq 40); do T=$(printf "
		    "'040000 tree %%s\\ta\\n040000 tree %%s\\tb\\n' $T $T | "
		    "git mktree); done; git commit-tree -m bomb $T"),
		&t, &e),
	    ERR_LIMIT);
	assert_non_null(strstr(e.text, "folders"));
}

static void
test_resolve(void **state)
{
	AUTO(repo, r) = NULL;
	char id[TREE_ID_SIZE];
	struct err e;
	static const char *const same[] = { "HEAD~2", "v1", "light", "main~2",
		"HEAD^^" };

	(void)state;
	sh("git init -q -b main r; cd r; git commit -q --allow-empty -m one\n"
	   "git tag -a -m t v1; git tag light\n"
	   "git commit -q --allow-empty -m two; git commit -q --allow-empty -m "
	   "three; git branch other; echo x > f; git add f");
	r = discovered("r");
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(repo_resolve(r, same[i], id, &e), ERR_OK);
		assert_string_equal(id, sh_line("cd r; git rev-parse light"));
	}
	assert_int_equal(repo_resolve(r,
			     sh_line("cd r; git rev-parse --short HEAD"), id,
			     &e),
	    ERR_OK);
	assert_string_equal(id, sh_line("cd r; git rev-parse HEAD"));
	assert_int_equal(repo_resolve(r, "nope", id, &e), ERR_NOT_FOUND);
	assert_int_equal(repo_resolve(r, "0123456789", id, &e), ERR_NOT_FOUND);
	assert_int_equal(repo_resolve(r, "", id, &e), ERR_INVALID);
	assert_int_equal(repo_resolve(r, ":/one", id, &e), ERR_INVALID);
	assert_int_equal(repo_resolve(r, "HEAD^{tree}", id, &e), ERR_INVALID);
	assert_int_equal(repo_resolve(r, "HEAD~99", id, &e), ERR_NOT_FOUND);
	repo_free(r);
	r = NULL;
	assert_int_equal(repo_discover(&r, fixture_path("nowhere"), &e),
	    ERR_NOT_FOUND);
}

static void
test_line_and_descent(void **state)
{
	AUTO(repo, r) = NULL;
	struct repo_line line = { 0 };
	const char *tip, *first, *side;
	bool yes;
	struct err e;

	(void)state;
	sh("git init -q -b main r; cd r\n"
	   "for i in 0 1 2; do git commit -q --allow-empty -m c$i; done\n"
	   "git checkout -q -b side HEAD~1; git commit -q --allow-empty -m side\n"
	   "git checkout -q main; git merge -q --no-ff -m merge side\n"
	   "git commit -q --allow-empty -m c4\n"
	   "git checkout -q --orphan lone; git commit -q --allow-empty -m lone");
	r = discovered("r");
	tip = sh_line("cd r; git rev-parse main");
	first = sh_line("cd r; git rev-list --max-parents=0 main");
	side = sh_line("cd r; git rev-parse side");

	assert_int_equal(repo_line(r, tip, NULL, 100, &line, &e), ERR_OK);
	assert_int_equal(line.count, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(line.steps[i].depth, 4 - (int)i);
	assert_string_equal(line.steps[0].commit.subject, "c4");
	assert_string_equal(line.steps[1].commit.subject, "merge");
	assert_string_equal(line.steps[2].commit.subject, "c2");
	repo_line_clear(&line);

	/* The depth of the last tip is known now; a newer one builds on it. */
	sh("cd r; git checkout -q main; git commit -q --allow-empty -m c5");
	assert_int_equal(repo_line(r, sh_line("cd r; git rev-parse main"), tip,
			     100, &line, &e),
	    ERR_OK);
	assert_int_equal(line.count, 1);
	assert_int_equal(line.steps[0].depth, 5);
	repo_line_clear(&line);
	assert_int_equal(repo_line(r, first, NULL, 1, &line, &e), ERR_OK);
	assert_int_equal(line.steps[0].depth, 0);
	repo_line_clear(&line);
	assert_int_equal(repo_line(r, tip, NULL, 2, &line, &e), ERR_OK);
	assert_int_equal(line.count, 2);
	assert_int_equal(line.steps[1].depth, 3);
	repo_line_clear(&line);

	assert_int_equal(repo_descends(r, first, tip, &yes, &e), ERR_OK);
	assert_true(yes);
	assert_int_equal(repo_descends(r, side, tip, &yes, &e), ERR_OK);
	assert_true(yes);
	assert_int_equal(repo_descends(r, tip, tip, &yes, &e), ERR_OK);
	assert_true(yes);
	assert_int_equal(repo_descends(r, tip, side, &yes, &e), ERR_OK);
	assert_false(yes);
	assert_int_equal(repo_descends(r, sh_line("cd r; git rev-parse lone"),
			     tip, &yes, &e),
	    ERR_OK);
	assert_false(yes);
	assert_int_equal(repo_descends(r,
			     "1234567890123456789012345678901234567890", tip,
			     &yes, &e),
	    ERR_NOT_FOUND);
}

static void
test_shallow_clone_ends_early(void **state)
{
	AUTO(repo, r) = NULL;
	struct repo_line line = { 0 };
	struct err e;

	(void)state;
	sh("git init -q o; cd o; git commit -q --allow-empty -m a; git commit -q "
	   "--allow-empty -m b; cd ..; git clone -q --depth 1 \"file://$PWD/o\" "
	   "s");
	r = discovered("s");
	assert_int_equal(repo_line(r, sh_line("cd s; git rev-parse HEAD"), NULL,
			     10, &line, &e),
	    ERR_OK);
	assert_int_equal(line.count, 1);
	assert_int_equal(line.steps[0].depth, 0);
	repo_line_clear(&line);
}

/* Packs what HEAD of r needs into in/objects/pack, as a fetch would. */
static const char *
bring(const char *from, const char *to)
{
	sh("rm -rf in; mkdir -p in/objects/pack; cd r\n"
	   "printf '%s\\n' | git pack-objects -q --revs --thin --stdout > p\n"
	   "git index-pack --fix-thin --stdin < p > /dev/null\n"
	   "N=$(ls -t .git/objects/pack/*.pack | head -1)\n"
	   "cp ${N%%.pack}.* ../in/objects/pack/; chmod u+w "
	   "../in/objects/pack/*",
	    from);
	return sh_line("cd r; git rev-parse %s", to);
}

static void
test_take_in(void **state)
{
	AUTO(repo, m) = NULL;
	AUTO(tree, t) = NULL;
	const char *one, *two;
	char id[TREE_ID_SIZE];
	struct err e;

	(void)state;
	sh("git init -q -b main r; cd r; mkdir d; echo 1 > d/f; echo k > keep\n"
	   "git add -A; git commit -qm one; git tag one\n"
	   "echo 2 > d/f; git commit -qam two");
	m = mirror();
	one = bring("one", "one");
	assert_int_equal(repo_take_in(m, fixture_path("in"), one, &e), ERR_OK);
	assert_int_equal(repo_set_ref(m, "tip", one, &e), ERR_OK);
	two = bring("main\\n^one", "main");
	assert_int_equal(repo_take_in(m, fixture_path("in"), two, &e), ERR_OK);
	assert_int_equal(repo_set_ref(m, "tip", two, &e), ERR_OK);
	assert_int_equal(repo_set_ref(m, "kept/a", one, &e), ERR_OK);
	assert_int_equal(repo_tree(m, two, &t, &e), ERR_OK);
	assert_int_equal(t->count, 2);
	assert_int_equal(repo_name_branch(m, "main", &e), ERR_OK);
	assert_int_equal(repo_resolve(m, "main~1", id, &e), ERR_OK);
	assert_string_equal(id, one);
	assert_int_equal(repo_name_branch(m, "trunk", &e), ERR_OK);
	assert_int_equal(repo_resolve(m, "trunk", id, &e), ERR_OK);
	assert_int_equal(repo_resolve(m, "HEAD", id, &e), ERR_OK);
	assert_string_equal(id, two);
	assert_int_equal(repo_resolve(m, "main", id, &e), ERR_NOT_FOUND);
	assert_int_equal(repo_name_branch(m, "a..b", &e), ERR_INVALID);
	assert_int_equal(repo_get_ref(m, "kept/a", id, &e), ERR_OK);
	assert_string_equal(id, one);
	assert_int_equal(repo_set_ref(m, "kept/a", NULL, &e), ERR_OK);
	assert_int_equal(repo_set_ref(m, "kept/a", NULL, &e), ERR_OK);
	assert_int_equal(repo_get_ref(m, "kept/a", id, &e), ERR_NOT_FOUND);
	assert_int_equal(repo_set_ref(m, "../x", one, &e), ERR_INVALID);
	sh("git -C repos/p/git fsck --strict");
}

static void
test_take_in_loose(void **state)
{
	AUTO(repo, m) = NULL;
	AUTO(tree, t) = NULL;
	struct err e;
	const char *tip;

	(void)state;
	sh("git init -q r; cd r; echo 1 > f; git add f; git commit -qm one\n"
	   "cp -r .git ../in");
	m = mirror();
	tip = sh_line("cd r; git rev-parse HEAD");
	assert_int_equal(repo_take_in(m, fixture_path("in"), tip, &e), ERR_OK);
	assert_int_equal(repo_tree(m, tip, &t, &e), ERR_OK);
	assert_int_equal(t->count, 1);
}

static void
assert_nothing_moved(void)
{
	sh("test -z \"$(find repos/p/git/objects -type f)\"");
}

static void
test_take_in_refuses(void **state)
{
	AUTO(repo, m) = NULL;
	const char *tip;
	struct err e;

	(void)state;
	sh("git init -q -b main r; cd r; mkdir d; seq 1000 > d/f; git add -A\n"
	   "git commit -qm one; git tag one; seq 1001 > d/f; git commit -qam two");
	m = mirror();

	/* A pack without the parent that it builds on. */
	tip = bring("main\\n^one", "main");
	assert_int_not_equal(repo_take_in(m, fixture_path("in"), tip, &e),
	    ERR_OK);
	assert_nothing_moved();

	/* Flipped bytes: near the start, in the middle, in the checksum. */
	for (int i = 0; i < 3; i++) {
		static const char *const at[] = { "20", "$((S / 2))",
			"$((S - 3))" };

		tip = bring("main", "main");
		sh("cd in/objects/pack; P=$(ls *.pack); S=$(stat -c %%s $P)\n"
		   "A=%s; O=$(dd if=$P bs=1 skip=$A count=1 2>/dev/null | od "
		   "-An -tx1 | tr -d ' ')\n"
		   "printf \"\\\\x$(printf %%02x $((0x$O ^ 0x55)))\" | dd of=$P "
		   "bs=1 seek=$A conv=notrunc 2>/dev/null",
		    at[i]);
		assert_int_equal(repo_take_in(m, fixture_path("in"), tip, &e),
		    ERR_CORRUPT);
		assert_nothing_moved();
	}

	/* The tip is not there. */
	(void)bring("one", "one");
	assert_int_not_equal(repo_take_in(m, fixture_path("in"), tip, &e),
	    ERR_OK);
	assert_nothing_moved();

	/* A link in place of a pack. */
	tip = bring("main", "main");
	sh("cd in/objects/pack; P=$(ls *.pack); mv $P /$PWD/../../x; ln -s "
	   "../../x $P");
	assert_int_not_equal(repo_take_in(m, fixture_path("in"), tip, &e),
	    ERR_OK);
	assert_nothing_moved();

	/* A loose blob whose content is another's. */
	sh("rm -rf in r2; git init -q r2; cd r2; echo 1 > f; git add f\n"
	   "git commit -qm one; cp -r .git ../in; chmod -R u+w ../in\n"
	   "A=$(git rev-parse HEAD:f); B=$(echo evil | git hash-object -w "
	   "--stdin)\n"
	   "p() { echo $1 | sed 's,^..,&/,'; }\n"
	   "cp -f .git/objects/$(p $B) ../in/objects/$(p $A)");
	assert_int_equal(repo_take_in(m, fixture_path("in"),
			     sh_line("cd r2; git rev-parse HEAD"), &e),
	    ERR_CORRUPT);
	assert_nothing_moved();
}

static void
test_missing_blob(void **state)
{
	AUTO(repo, m) = NULL;
	const char *tip;
	struct err e;

	(void)state;
	sh("git init -q r; cd r; echo 1 > f; git add f; git commit -qm one\n"
	   "cp -r .git ../in; rm -f "
	   "../in/objects/$(git rev-parse HEAD:f | sed 's,^..,&/,')");
	m = mirror();
	tip = sh_line("cd r; git rev-parse HEAD");
	assert_int_equal(repo_take_in(m, fixture_path("in"), tip, &e),
	    ERR_CORRUPT);
	assert_non_null(strstr(e.text, "is missing"));
}

/* Among many, where packs are read without libgit2: one that is missing, and a
 * folder that goes by a file's name. */
static void
test_wrong_blobs_among_many(void **state)
{
	static const char *const tips[] = { "main", "odd" };
	AUTO(repo, m) = NULL;
	struct err e;

	(void)state;
	sh("git init -q -b main r; cd r; for i in $(seq 100); do seq $i 99 > "
	   "f$i; done; echo last > z; git add -A; git commit -qm one\n"
	   "T=$(git rev-parse main^{tree}); mkdir -p ../in/objects/pack\n"
	   "N=$( (git cat-file tree main | head -c -20; perl -e 'print pack "
	   "\"H*\", shift' $T) | git hash-object -t tree -w --stdin "
	   "--literally)\n"
	   "git branch odd $(git commit-tree -m odd $N)\n"
	   "(git rev-list --objects main | grep -v ' z$' | cut -d' ' -f1\n"
	   "echo $N; git rev-parse odd) | "
	   "git pack-objects -q ../in/objects/pack/pack > /dev/null");
	m = mirror();
	for (size_t i = 0; i < 2; i++) {
		const char *tip = sh_line("cd r; git rev-parse %s", tips[i]);

		assert_int_equal(repo_take_in(m, fixture_path("in"), tip, &e),
		    ERR_CORRUPT);
		assert_non_null(strstr(e.text, "is missing"));
	}
}

/* A commit that came along unasked, without its tree, must not make a later
 * tip pass as whole. */
static void
test_half_a_commit_is_not_trusted(void **state)
{
	AUTO(repo, m) = NULL;
	const char *a, *b;
	struct err e;

	(void)state;
	sh("git init -q -b main r; cd r; echo 1 > f; git add f; git commit -qm a\n"
	   "git checkout -q --orphan o; echo 2 > f; git add f; git commit -qm b\n"
	   "mkdir -p ../in/objects/pack; git rev-list --objects main > l\n"
	   "git rev-parse o >> l; git pack-objects -q "
	   "../in/objects/pack/pack < l > /dev/null");
	m = mirror();
	a = sh_line("cd r; git rev-parse main");
	b = sh_line("cd r; git rev-parse o");
	assert_int_equal(repo_take_in(m, fixture_path("in"), a, &e), ERR_OK);
	assert_int_equal(repo_set_ref(m, "tip", a, &e), ERR_OK);
	sh("rm -rf in; mkdir -p in/objects");
	assert_int_equal(repo_take_in(m, fixture_path("in"), b, &e),
	    ERR_CORRUPT);
}

static void
test_left_overs_are_removed(void **state)
{
	AUTO(repo, m) = NULL;
	const char *tip;
	struct err e;

	(void)state;
	sh("git init -q r; cd r; echo 1 > f; git add f; git commit -qm one");
	m = mirror();
	tip = bring("HEAD", "HEAD");
	assert_int_equal(repo_take_in(m, fixture_path("in"), tip, &e), ERR_OK);
	assert_int_equal(repo_set_ref(m, "tip", tip, &e), ERR_OK);
	repo_free(m);
	m = NULL;
	sh("cd repos/p/git; : > HEAD.lock; : > refs/edict/tip.lock\n"
	   ": > config.lock; : > objects/pack/pack_git2_a1b2; mkdir -p "
	   "objects/12\n"
	   ": > objects/12/tmp_object_git2_x\n"
	   ": > "
	   "objects/pack/pack-1234567890123456789012345678901234567890.pack\n"
	   "mkdir -p ../incoming/7/objects; : > ../incoming/7/x");
	m = mirror();
	sh("cd repos/p; test -z \"$(find . -name '*.lock' -o -name '*git2*' -o "
	   "-name 'pack-1234567890*')\"; test -z \"$(ls incoming)\"");
	assert_int_equal(repo_set_ref(m, "tip", tip, &e), ERR_OK);
	sh("git -C repos/p/git fsck --strict");
}

/* Only what repo_open made is tidied. */
static void
test_foreign_repository_is_left_alone(void **state)
{
	AUTO(repo, r) = NULL;
	struct err e;

	(void)state;
	sh("git init -q --bare f/git; : > f/git/HEAD.lock; mkdir -p f/incoming/1");
	assert_int_equal(repo_open(&r, fixture_path("f/git"), true, &e),
	    ERR_OK);
	sh("test -e f/git/HEAD.lock; test -d f/incoming/1");
	repo_free(r);
	r = NULL;
	assert_int_equal(repo_open(&r, fixture_path("none/git"), false, &e),
	    ERR_NOT_FOUND);
}

static void
test_damaged_mirror(void **state)
{
	AUTO(repo, m) = NULL;
	AUTO(tree, t) = NULL;
	AUTO_BUF b = { 0 };
	const char *tip;
	struct err e;

	(void)state;
	sh("git init -q r; cd r; echo 1 > f; git add f; git commit -qm one\n"
	   "cp -r .git ../in");
	m = mirror();
	tip = sh_line("cd r; git rev-parse HEAD");
	assert_int_equal(repo_take_in(m, fixture_path("in"), tip, &e), ERR_OK);
	sh("cd r; A=$(git rev-parse HEAD:f); B=$(echo 2 | git hash-object -w "
	   "--stdin)\n"
	   "p() { echo $1 | sed 's,^..,&/,'; }\n"
	   "cp -f .git/objects/$(p $B) ../repos/p/git/objects/$(p $A)");
	buf_init(&b, 10);
	assert_int_equal(repo_tree(m, tip, &t, &e), ERR_OK);
	assert_int_equal(tree_read(t, t->entries, &b, &e), ERR_CORRUPT);
	assert_int_equal(b.len, 0);
}

/* A folder where a file should be; a delta in a pack does not say which it is. */
static void
test_tree_for_a_file(void **state)
{
	static const char *const folders[] = { "HEAD~1:big", "HEAD:big" };
	AUTO(repo, r) = NULL;
	size_t deltas = 0;

	(void)state;
	sh("git init -q r; cd r; mkdir big; for i in $(seq 200); do "
	   "echo $i > big/$i; done; git add .; git commit -qm 1; "
	   "echo x > big/7; git add .; git commit -qm 2");
	sh("cd r; git rev-parse HEAD~1:big HEAD:big | "
	   "git pack-objects -q .git/objects/pack/pack; git prune-packed");
	sh("cd r; git verify-pack -v .git/objects/pack/*.idx > ../packed");
	r = discovered("r");
	for (size_t i = 0; i < 2; i++) {
		const char *id = sh_line("cd r; git rev-parse %s", folders[i]);
		const char *commit = sh_line(
		    "cd r; T=$( (printf '100644 data.txt\\0'; echo %s | unhex) "
		    "| git hash-object -t tree -w --literally --stdin); "
		    "git commit-tree -m bad $T",
		    id);
		AUTO(tree, t) = NULL;
		AUTO_BUF text = { 0 };
		struct err e = { 0 };
		enum err_code code = repo_tree(r, commit, &t, &e);

		/* Deltas have two more columns: depth and base. */
		if (strcmp(sh_line("grep %s packed | wc -w", id), "7") == 0)
			deltas++;
		buf_init(&text, 1 << 20);
		if (code == ERR_OK)
			code = tree_read(t, t->entries, &text, &e);
		assert_int_equal(code, ERR_CORRUPT);
		assert_non_null(strstr(e.text, "is no file"));
		assert_int_equal(text.len, 0);
	}
	assert_int_equal(deltas, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_tree_of_a_commit),
		CASE(test_long_subject),
		CASE(test_hygiene),
		CASE(test_bomb),
		CASE(test_resolve),
		CASE(test_line_and_descent),
		CASE(test_shallow_clone_ends_early),
		CASE(test_take_in),
		CASE(test_take_in_loose),
		CASE(test_take_in_refuses),
		CASE(test_missing_blob),
		CASE(test_wrong_blobs_among_many),
		CASE(test_half_a_commit_is_not_trusted),
		CASE(test_left_overs_are_removed),
		CASE(test_foreign_repository_is_left_alone),
		CASE(test_damaged_mirror),
		CASE(test_tree_for_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
