#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/join.h"
#include "policies/objects.h"
#include "policies/repo.h"
#include "policies/tree.h"
#include "tests/unit/policies/git_fixture.h"

enum {
	CHILD_MS = 60000,
	FETCHES = 300,
	FEW = JOIN_PACKS_MAX + 1,
	/* Until all is published, and a step every so often after it. */
	EACH_STEP = 12,
	SOME_STEPS = 9
};

static struct repo *mirror;
static int joins;

/* -- a process that dies before the N-th change to the disk --------------- */

static int steps_left; /* 0: no end */

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

static void
one_step(void)
{
	if (steps_left > 0 && --steps_left == 0)
		(void)raise(SIGKILL);
}

int
__wrap_rename(const char *from, const char *to)
{
	one_step();
	return __real_rename(from, to);
}

int
__wrap_unlink(const char *path)
{
	one_step();
	return __real_unlink(path);
}

int
__wrap_fsync(int fd)
{
	one_step();
	return __real_fsync(fd);
}

/* -- a mirror that was fetched into often --------------------------------- */

static void
open_mirror(void)
{
	struct err e;

	if (repo_open(&mirror, fixture_path("repos/p/git"), true, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static void
close_mirror(void)
{
	repo_free(mirror);
	mirror = NULL;
}

static int
setup(void **state)
{
	(void)state;
	fixture_start();
	open_mirror();
	joins = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	close_mirror();
	fixture_end();
	return 0;
}

/* Commits in r, and for each a folder as a fetch child would leave it. */
static void
make_fetches(int count)
{
	sh("git init -q -b main r\n"
	   "export GIT_DIR=$PWD/r/.git; git config core.fsync none\n"
	   "{ for i in $(seq %d); do\n"
	   "  printf 'commit refs/heads/main\\ncommitter A <a@b.c> %%d +0000\\n"
	   "data 1\\nx\\n' $((1700000000 + i))\n"
	   "  [ $i != 1 ] || for j in $(seq 50); do\n"
	   "    printf 'M 100644 inline d/f%%d\\ndata <<E\\n%%s\\nE\\n' $j "
	   "\"$(seq $j $((j + 200)))\"; done\n"
	   "  printf 'M 100644 inline d/f%%d\\ndata <<E\\n%%s\\nE\\n' "
	   "$((i %% 50 + 1)) \"$(seq $i $((i + 200)))\"\n"
	   "done; } | git fast-import --quiet\n"
	   "n=0; before=; for c in $(git rev-list --reverse main); do\n"
	   "  mkdir -p in/$n/objects/pack; echo $c > in/$n/tip\n"
	   "  printf '%%s\\n%%s\\n' $c $before |\n"
	   "    git pack-objects -q --revs in/$n/objects/pack/pack > out\n"
	   "  before=^$c; n=$((n + 1)); done",
	    count);
}

static void
take_in(int n)
{
	const char *tip = sh_line("cat in/%d/tip", n);
	char name[32];
	struct err e;

	(void)snprintf(name, sizeof(name), "in/%d", n);
	if (repo_take_in(mirror, fixture_path(name), tip, &e) != ERR_OK ||
	    repo_set_ref(mirror, "tip", tip, &e) != ERR_OK)
		fail_msg("%d: %s", n, e.text);
}

static void
fetch_all(int count)
{
	make_fetches(count);
	for (int i = 0; i < count; i++)
		take_in(i);
}

/* -- joining -------------------------------------------------------------- */

static const char *
begin(struct join *j)
{
	const char *incoming;
	char name[64];
	struct err e;

	(void)snprintf(name, sizeof(name), "repos/p/incoming/%d", ++joins);
	incoming = fixture_path(name);
	assert_int_equal(file_make_dirs(incoming, &e), ERR_OK);
	if (join_write(j, incoming, &e) != ERR_OK)
		fail_msg("%s", e.text);
	return incoming;
}

static void
run_child(const char *incoming)
{
	AUTO(join_child, c) = NULL;
	struct child_result r;
	struct err e = { 0 };

	if (join_child_new(&c, fixture_path("repos/p/git"), incoming, &e) !=
		ERR_OK ||
	    child_run(&r, join_child_spec(c), CHILD_MS, JOIN_RESULT_MAX, &e) !=
		ERR_OK)
		fail_msg("%s", e.text);
	if (join_result(&r, &e) != ERR_OK)
		fail_msg("%s", e.text);
	child_result_clear(&r);
}

static enum err_code
finish(struct join *j, const char *incoming, struct err *e)
{
	TRY(join_verify(j, fixture_path("repos/p/git"), incoming, NULL, e));
	TRY(repo_join(mirror, j, incoming, e));
	return file_remove_tree(incoming, e);
}

static bool
plan(struct join *j)
{
	struct err e;

	if (join_plan(j, fixture_path("repos/p/git"), &e) != ERR_OK)
		fail_msg("%s", e.text);
	return !join_is_empty(j);
}

/* True when there was something to join. */
static bool
join_if_due(void)
{
	const char *incoming;
	struct join j;
	struct err e;

	if (!plan(&j))
		return false;
	incoming = begin(&j);
	run_child(incoming);
	if (finish(&j, incoming, &e) != ERR_OK)
		fail_msg("%s", e.text);
	join_clear(&j);
	return true;
}

static int
packs(void)
{
	return (int)strtol(
	    sh_line("ls repos/p/git/objects/pack/*.pack | wc -l"), NULL, 10);
}

/* Both by git and by the handle that was open all the time. */
static void
assert_whole(const char *dir)
{
	sh("git --git-dir=%s fsck --full --strict 2>&1\n"
	   "git --git-dir=r/.git rev-list --objects main | cut -d' ' -f1 |\n"
	   "  git --git-dir=%s cat-file --batch-check > have\n"
	   "! grep missing have; test $(wc -l < have) -gt 100",
	    dir, dir);
}

static void
assert_readable(void)
{
	int count =
	    (int)strtol(sh_line("git --git-dir=r/.git rev-list main | wc -l"),
		NULL, 10);
	struct repo_line line;
	struct err e;

	if (repo_line(mirror, sh_line("git --git-dir=r/.git rev-parse main"),
		NULL, SIZE_MAX, &line, &e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_int_equal(line.count, count);
	for (size_t i = 0; i < line.count; i++) {
		AUTO(tree, t) = NULL;
		AUTO_BUF b = { 0 };

		buf_init(&b, 1 << 20);
		if (repo_tree(mirror, line.steps[i].commit.id, &t, &e) !=
			ERR_OK ||
		    tree_read(t, &t->entries[i % t->count], &b, &e) != ERR_OK)
			fail_msg("%s", e.text);
	}
	repo_line_clear(&line);
}

/* -- tests ---------------------------------------------------------------- */

static void
test_few_packs_are_left_alone(void **state)
{
	struct join j;

	(void)state;
	fetch_all(JOIN_PACKS_MAX);
	assert_false(plan(&j));
	assert_int_equal(packs(), JOIN_PACKS_MAX);
}

static void
test_a_mirror_that_is_fetched_into_often_stays_small(void **state)
{
	int done = 0;
	int bytes, by_git;

	(void)state;
	make_fetches(FETCHES);
	for (int i = 0; i < FETCHES; i++) {
		take_in(i);
		done += join_if_due();
		assert_false(packs() > JOIN_PACKS_MAX);
	}
	assert_whole("repos/p/git");
	assert_readable();
	sh("cp -a repos/p/git gc; git --git-dir=gc gc -q --prune=now");
	bytes = (int)strtol(sh_line("du -sb repos/p/git/objects | cut -f1"),
	    NULL, 10);
	by_git = (int)strtol(sh_line("du -sb gc/objects | cut -f1"), NULL, 10);
	print_message("%d fetches, %d joins, %d packs, %d bytes; git gc: %d\n",
	    FETCHES, done, packs(), bytes, by_git);
	assert_true(done > 1);
	assert_true(bytes < 3 * by_git);
}

static void
test_a_large_pack_is_not_written_again(void **state)
{
	const char *large;
	struct join j;

	(void)state;
	sh("git init -q -b main big; cd big; head -c 3000000 /dev/urandom > f\n"
	   "git add f; git commit -qm big; mkdir -p ../big-in/objects/pack\n"
	   "git rev-parse main > ../big-in/tip\n"
	   "echo main | git pack-objects -q --revs ../big-in/objects/pack/pack");
	{
		const char *tip = sh_line("cat big-in/tip");
		struct err e;

		assert_int_equal(repo_take_in(mirror, fixture_path("big-in"),
				     tip, &e),
		    ERR_OK);
	}
	large = sh_line("basename repos/p/git/objects/pack/*.pack .pack");
	fetch_all(FEW);
	assert_true(plan(&j));
	assert_int_equal(j.pack_count, FEW);
	for (size_t i = 0; i < j.pack_count; i++)
		assert_string_not_equal(j.packs[i], large + 5);
	join_clear(&j);
	assert_true(join_if_due());
	assert_int_equal(packs(), 2);
}

/* What the branch was rewritten away from is what a rollback needs. */
static void
test_what_no_ref_reaches_stays(void **state)
{
	const char *gone;
	struct err e;

	(void)state;
	fetch_all(FEW);
	gone = sh_line("git --git-dir=r/.git rev-parse main");
	assert_int_equal(repo_set_ref(mirror, "tip",
			     sh_line("git --git-dir=r/.git rev-parse main~20"),
			     &e),
	    ERR_OK);
	assert_true(join_if_due());
	assert_string_equal(sh_line("git --git-dir=repos/p/git rev-list "
				    "--objects %s >/dev/null; echo fine",
				gone),
	    "fine");
}

/* Files that the handle has not even opened yet are gone afterwards. */
static void
test_readers_from_before_read_on(void **state)
{
	AUTO(repo, other) = NULL;
	AUTO(tree, held) = NULL;
	AUTO(tree, late) = NULL;
	AUTO(tree_reader, reader) = NULL;
	struct err e;

	(void)state;
	fetch_all(FEW);
	if (repo_discover(&other, fixture_path("repos/p/git"), &e) != ERR_OK ||
	    repo_tree(mirror, sh_line("cat in/%d/tip", FEW - 1), &held, &e) !=
		ERR_OK)
		fail_msg("%s", e.text);
	assert_true(join_if_due());
	assert_int_equal(packs(), 1);
	assert_int_equal(tree_reader_open(&reader, held, &e), ERR_OK);
	for (size_t i = 0; i < held->count; i++) {
		AUTO_BUF b = { 0 };
		AUTO_BUF again = { 0 };

		buf_init(&b, 1 << 20);
		buf_init(&again, 1 << 20);
		if (tree_read(held, &held->entries[i], &b, &e) != ERR_OK ||
		    tree_reader_read(reader, &held->entries[i], &again, &e) !=
			ERR_OK)
			fail_msg("%s", e.text);
	}
	if (repo_tree(other, sh_line("cat in/3/tip"), &late, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

/* A mirror from before there were joins. */
static void
test_very_many_packs_take_turns(void **state)
{
	(void)state;
	fetch_all(FETCHES);
	assert_true(join_if_due());
	assert_int_equal(packs(), FETCHES - JOIN_AT_ONCE_MAX + 1);
	while (join_if_due())
		continue;
	assert_false(packs() > JOIN_PACKS_MAX);
	assert_whole("repos/p/git");
	assert_readable();
}

static void
test_loose_objects_are_joined_too(void **state)
{
	struct err e;
	struct join j;
	const char *tip;

	(void)state;
	sh("git init -q -b main l; cd l; git config core.fsync none\n"
	   "mkdir d; for i in $(seq %d); do echo $i > d/$i; done\n"
	   "git add d; git commit -qm loose; git config gc.auto 0\n"
	   "git rev-parse main > ../tip",
	    (int)JOIN_LOOSE_MAX);
	tip = sh_line("cat tip");
	if (repo_take_in(mirror, fixture_path("l/.git/objects"), tip, &e) !=
		ERR_OK ||
	    repo_set_ref(mirror, "tip", tip, &e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_true(plan(&j));
	assert_int_equal(j.pack_count, 0);
	assert_int_equal(j.loose_count, JOIN_LOOSE_MAX + 3);
	join_clear(&j);
	assert_true(join_if_due());
	assert_int_equal(packs(), 1);
	assert_string_equal(sh_line("find repos/p/git/objects -type f -path "
				    "'*objects/[0-9a-f][0-9a-f]/*' | wc -l"),
	    "0");
	sh("git --git-dir=repos/p/git fsck --full --strict 2>&1");
}

/* A child that was taken over hands over something else. */
static void
assert_refused(const char *script, enum err_code code, const char *says)
{
	const char *incoming;
	struct join j;
	struct err e = { 0 };

	assert_true(plan(&j));
	incoming = begin(&j);
	run_child(incoming);
	sh("cd %s; %s", incoming, script);
	assert_int_equal(finish(&j, incoming, &e), code);
	if (strstr(e.text, says) == NULL)
		fail_msg("%s", e.text);
	assert_int_equal(packs(), FEW);
	join_clear(&j);
}

static void
test_what_is_not_whole_is_not_taken(void **state)
{
	(void)state;
	fetch_all(FEW);
	assert_refused("cp ../../../../in/0/objects/pack/*.pack joined.pack",
	    ERR_CORRUPT, "is missing from the new pack");
	assert_refused("truncate -s -30 joined.pack", ERR_CORRUPT, "damaged");
	assert_refused("printf x | dd of=joined.pack bs=1 seek=2000 "
		       "conv=notrunc status=none",
	    ERR_CORRUPT, "damaged");
	assert_refused("rm joined.pack", ERR_NOT_FOUND, "joined.pack");
	assert_refused("rm joined.pack; ln -s ../../git/HEAD joined.pack",
	    ERR_IO, "joined.pack");
	assert_whole("repos/p/git");
}

static void
test_a_child_that_cannot_says_why(void **state)
{
	AUTO(join_child, c) = NULL;
	const char *incoming;
	struct child_result r;
	struct join j;
	struct err e = { 0 };

	(void)state;
	fetch_all(FEW);
	assert_true(plan(&j));
	incoming = begin(&j);
	/* libgit2 would remember it, and the child is a copy of us. */
	close_mirror();
	sh("rm repos/p/git/objects/pack/pack-%s.idx", j.packs[3]);
	assert_int_equal(join_child_new(&c, fixture_path("repos/p/git"),
			     incoming, &e),
	    ERR_OK);
	assert_int_equal(child_run(&r, join_child_spec(c), CHILD_MS,
			     JOIN_RESULT_MAX, &e),
	    ERR_OK);
	assert_int_equal(join_result(&r, &e), ERR_UNAVAILABLE);
	if (strstr(e.text, j.packs[3]) == NULL)
		fail_msg("%s", e.text);
	child_result_clear(&r);
	join_clear(&j);
}

static bool
always(void *arg)
{
	(void)arg;
	return true;
}

static void
test_verifying_can_be_given_up(void **state)
{
	const struct objects_patience none = { .over = always };
	const char *incoming;
	struct join j;
	struct err e = { 0 };

	(void)state;
	fetch_all(FEW);
	assert_true(plan(&j));
	incoming = begin(&j);
	run_child(incoming);
	assert_int_equal(join_verify(&j, fixture_path("repos/p/git"), incoming,
			     &none, &e),
	    ERR_UNAVAILABLE);
	join_clear(&j);
}

static void
test_the_list_is_checked(void **state)
{
	static const char *const bad[] = { "pack x", "pack ../../../etc/passwd",
		"pack-0123456789012345678901234567890123456789",
		"loose 01234567890123456789012345678901234567890", "other" };
	struct join j;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		sh("echo '%s' > join", bad[i]);
		assert_int_equal(join_read(&j, fixture_path("."), &e),
		    ERR_INVALID);
	}
	sh("echo 'pack 0123456789012345678901234567890123456789' > join\n"
	   "for i in $(seq %d); do cat join; done > many; mv many join",
	    (int)JOIN_AT_ONCE_MAX);
	assert_int_equal(join_read(&j, fixture_path("."), &e), ERR_OK);
	assert_int_equal(j.pack_count, JOIN_AT_ONCE_MAX);
	join_clear(&j);
	sh("head -1 join >> more; cat join >> more; mv more join");
	assert_int_equal(join_read(&j, fixture_path("."), &e), ERR_INVALID);
}

/* The mirror has a pack of this name, and it is no good: an index that fits
 * nothing, and half of the objects. */
static void
test_a_damaged_pack_of_its_name_gives_way(void **state)
{
	const char *incoming;
	struct join j;
	struct err e;

	(void)state;
	fetch_all(FEW);
	assert_true(plan(&j));
	incoming = begin(&j);
	run_child(incoming);
	assert_int_equal(join_verify(&j, fixture_path("repos/p/git"), incoming,
			     NULL, &e),
	    ERR_OK);
	sh("for f in %s/*/pack-*.idx; do to=repos/p/git/objects/pack; "
	   "cp $f $to; f=${f%%.idx}.pack; "
	   "head -c 1000 $f > $to/${f##*/}; done; ls $to",
	    incoming);
	if (repo_join(mirror, &j, incoming, &e) != ERR_OK)
		fail_msg("%s", e.text);
	join_clear(&j);
	assert_int_equal(packs(), 1);
	assert_whole("repos/p/git");
	assert_readable();
}

/* True when it died. */
static bool
dies_before(int step, struct join *j, const char *incoming)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err e;

		steps_left = step;
		if (finish(j, incoming, &e) == ERR_OK)
			_exit(0);
		print_error("%s\n", e.text);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return true;
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

static void
test_killed_at_any_step_it_is_whole(void **state)
{
	const char *incoming;
	bool died = true;
	struct join j;
	int step = 1;

	(void)state;
	fetch_all(FEW);
	assert_true(plan(&j));
	incoming = begin(&j);
	run_child(incoming);
	sh("cp -a repos fresh");
	while (died) {
		/* Opening tidies the folder away that the join needs. */
		close_mirror();
		sh("rm -rf repos; cp -a fresh repos");
		open_mirror();
		sh("rm -rf repos; cp -a fresh repos");
		died = dies_before(step, &j, incoming);
		step += step < EACH_STEP ? 1 : SOME_STEPS;
		/* As it is, and as the next start makes it. */
		assert_whole("repos/p/git");
		close_mirror();
		open_mirror();
		assert_whole("repos/p/git");
		assert_readable();
		sh("test -z \"$(ls repos/p/incoming)\"\n"
		   "cd repos/p/git/objects/pack; for i in *; do\n"
		   "test -e ${i%%.*}.pack -a -e ${i%%.*}.idx; done");
	}
	assert_int_equal(packs(), 1);
	assert_true(step > FEW);
	join_clear(&j);
}

int
main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		EACH(test_few_packs_are_left_alone),
		EACH(test_a_mirror_that_is_fetched_into_often_stays_small),
		EACH(test_a_large_pack_is_not_written_again),
		EACH(test_what_no_ref_reaches_stays),
		EACH(test_readers_from_before_read_on),
		EACH(test_very_many_packs_take_turns),
		EACH(test_loose_objects_are_joined_too),
		EACH(test_what_is_not_whole_is_not_taken),
		EACH(test_a_child_that_cannot_says_why),
		EACH(test_verifying_can_be_given_up),
		EACH(test_the_list_is_checked),
		EACH(test_a_damaged_pack_of_its_name_gives_way),
		EACH(test_killed_at_any_step_it_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
