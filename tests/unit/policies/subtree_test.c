/* A tree that is read where it differs from the one before is the tree that is
 * read from nothing: entries, sums, ids, and what is said of one that is
 * refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "git_fixture.h"
#include "policies/repo.h"

enum { COMMITS = 250, ITEMS_MAX = 12, DEPTH = 5, OBJECT_MAX = 64 << 20 };

static git_odb *odb;
static const char *mirror;
static uint32_t seed;

/* xorshift32: the same sequence everywhere. */
static uint32_t
dice(uint32_t sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % sides;
}

/* ---- objects as they are, with no rules of Git's ---- */

static git_oid
write_object(const struct buf *b, git_object_t type)
{
	git_oid id;

	assert_int_equal(git_odb_write(&id, odb, b->data, b->len, type), 0);
	return id;
}

static git_oid
write_blob(size_t size, uint32_t number)
{
	AUTO_BUF b = { 0 };

	buf_init(&b, OBJECT_MAX);
	buf_printf(&b, "%u\n", number);
	while (b.len < size)
		buf_add_char(&b, 'x');
	return write_object(&b, GIT_OBJECT_BLOB);
}

static void
add_line(struct buf *b, const char *mode, const char *name, const git_oid *id)
{
	buf_printf(b, "%s %s", mode, name);
	buf_add_char(b, '\0');
	buf_add(b, id->id, sizeof id->id);
}

static void
write_commit(char out[TREE_ID_SIZE], const git_oid *tree)
{
	AUTO_BUF b = { 0 };
	char hex[TREE_ID_SIZE];
	git_oid id;

	git_oid_tostr(hex, sizeof hex, tree);
	buf_init(&b, 4096);
	buf_printf(&b,
	    "tree %s\nauthor A <a@b> 1700000000 +0000\n"
	    "committer A <a@b> 1700000000 +0000\n\nsubject\n",
	    hex);
	id = write_object(&b, GIT_OBJECT_COMMIT);
	git_oid_tostr(out, TREE_ID_SIZE, &id);
}

/* ---- a tree that random commits change ---- */

struct item {
	const char *mode; /* "40000": a folder */
	char name[24];
	uint32_t content;
	struct item *items; /* of a folder: ITEMS_MAX places */
};

static bool
is_there(const struct item *i)
{
	return i->mode != NULL;
}

static bool
is_folder(const struct item *i)
{
	return is_there(i) && i->items != NULL;
}

static void
item_clear(struct item *i)
{
	for (size_t k = 0; i->items != NULL && k < ITEMS_MAX; k++)
		item_clear(&i->items[k]);
	mem_free(i->items);
	*i = (struct item){ 0 };
}

static struct item
item_copy(const struct item *i)
{
	struct item copy = *i;

	if (i->items == NULL)
		return copy;
	copy.items = mem_array(ITEMS_MAX, sizeof *copy.items);
	for (size_t k = 0; k < ITEMS_MAX; k++)
		copy.items[k] = item_copy(&i->items[k]);
	return copy;
}

static void
choose_name(struct item *i)
{
	static const char *const odd[] = { ".git", "..", "a\\b", "a\001", "CON",
		"\303\204", "\303\244", "\377", "a/b" };

	if (dice(100) == 0)
		(void)snprintf(i->name, sizeof i->name, "%s",
		    odd[dice(sizeof odd / sizeof odd[0])]);
	else
		(void)snprintf(i->name, sizeof i->name, "%c%s",
		    (int)("abcdefghijklAB"[dice(14)]),
		    (const char *const[]){ "", ".rego", "-", "0" }[dice(4)]);
}

static void
fill(struct item *i, unsigned int depth)
{
	static const char *const modes[] = { "100644", "100644", "100644",
		"100755", "100664" };

	item_clear(i);
	choose_name(i);
	i->content = dice(40);
	i->mode = modes[dice(5)];
	if (dice(120) == 0)
		i->mode = dice(2) == 0 ? "120000" : "160000";
	if (depth == 0 || dice(3) == 0)
		return;
	i->mode = "40000";
	i->items = mem_array(ITEMS_MAX, sizeof *i->items);
	for (uint32_t n = dice(6); n > 0; n--)
		fill(&i->items[dice(ITEMS_MAX)], depth - 1);
}

/* A place in some folder, and how deep it is. */
static struct item *
choose(struct item *root, unsigned int *depth)
{
	struct item *i = root;

	for (*depth = 0;; (*depth)++) {
		struct item *next = &i->items[dice(ITEMS_MAX)];

		if (!is_folder(next) || dice(4) == 0)
			return next;
		i = next;
	}
}

static void
step(struct item *root)
{
	unsigned int depth, from_depth;
	struct item *i = choose(root, &depth);
	struct item *from = choose(root, &from_depth), copy;

	switch (dice(7)) {
	case 0:
		item_clear(i);
		break;
	case 1:
		if (is_there(i))
			choose_name(i);
		break;
	case 2:
		if (is_there(i) && !is_folder(i))
			i->content = dice(1000);
		break;
	case 3: /* moved, or copied to a place of other depth */
		if (is_folder(from) && depth + 1 < DEPTH) {
			copy = item_copy(from);
			item_clear(i);
			*i = copy;
		}
		break;
	case 4:
		if (is_there(i) && !is_folder(i))
			i->mode = i->mode[3] == '7' ? "100644" : "100755";
		break;
	default:
		fill(i, depth < DEPTH ? DEPTH - 1 - depth : 0);
	}
}

/* What would have to be refused is mostly gone after a while. */
static void
mend(struct item *i)
{
	for (size_t k = 0; k < ITEMS_MAX; k++) {
		struct item *below = &i->items[k];
		bool bad = is_there(below) &&
		    (strchr("12", below->mode[1]) == NULL ||
			strcmp(below->mode, "120000") == 0);

		for (size_t n = 0; n < k && is_there(below); n++)
			bad = bad ||
			    (is_there(&i->items[n]) &&
				strcasecmp(i->items[n].name, below->name) == 0);
		if (is_folder(below))
			mend(below);
		else if (bad)
			item_clear(below);
		if (bad && is_there(below))
			(void)snprintf(below->name, sizeof below->name, "m%zu",
			    k);
		if (is_there(below) && below->name[0] < 'A')
			choose_name(below);
	}
}

static int
compare_items(const void *a, const void *b)
{
	const struct item *x = *(const struct item *const *)a;
	const struct item *y = *(const struct item *const *)b;
	char left[32], right[32];

	(void)snprintf(left, sizeof left, "%s%s", x->name,
	    is_folder(x) ? "/" : "");
	(void)snprintf(right, sizeof right, "%s%s", y->name,
	    is_folder(y) ? "/" : "");
	return strcmp(left, right);
}

static git_oid
write_item(const struct item *i)
{
	const struct item *sorted[ITEMS_MAX];
	AUTO_BUF b = { 0 };
	size_t count = 0;

	if (i->items == NULL)
		return write_blob(0, i->content);
	for (size_t k = 0; k < ITEMS_MAX; k++)
		if (is_there(&i->items[k]))
			sorted[count++] = &i->items[k];
	/* At times out of order, as no git writes it. */
	if (i->content % 32 != 0)
		qsort(sorted, count, sizeof *sorted, compare_items);
	buf_init(&b, OBJECT_MAX);
	for (size_t k = 0; k < count; k++) {
		git_oid id = write_item(sorted[k]);

		add_line(&b, sorted[k]->mode, sorted[k]->name, &id);
	}
	return write_object(&b, GIT_OBJECT_TREE);
}

/* ---- both ways ---- */

static enum err_code
read_cold(const char *commit, struct tree **out, struct err *e)
{
	AUTO(repo, r) = NULL;

	assert_int_equal(repo_discover(&r, mirror, e), ERR_OK);
	return repo_tree(r, commit, out, e);
}

static void
compare_trees(const struct tree *a, const struct tree *b)
{
	assert_int_equal(a->count, b->count);
	assert_int_equal(a->total, b->total);
	assert_string_equal(a->commit.tree, b->commit.tree);
	for (size_t i = 0; i < a->count; i++) {
		assert_string_equal(a->entries[i].path, b->entries[i].path);
		assert_string_equal(a->entries[i].id, b->entries[i].id);
		assert_int_equal(a->entries[i].size, b->entries[i].size);
	}
}

static bool
compare_ways(struct repo *warm, const git_oid *root)
{
	AUTO(tree, one) = NULL;
	AUTO(tree, two) = NULL;
	struct err cold_says = { 0 }, warm_says = { 0 };
	char commit[TREE_ID_SIZE];
	enum err_code cold_code, warm_code;

	write_commit(commit, root);
	cold_code = read_cold(commit, &one, &cold_says);
	warm_code = repo_tree(warm, commit, &two, &warm_says);
	assert_int_equal(warm_code, cold_code);
	if (cold_code != ERR_OK)
		assert_string_equal(warm_says.text, cold_says.text);
	else
		compare_trees(one, two);
	return cold_code == ERR_OK;
}

/* ---- by other means: libgit2's own walk, and a maker ---- */

static int
see_entry(const char *folder, const git_tree_entry *entry, void *arg)
{
	AUTO_STR path = mem_printf("%s%s", folder, git_tree_entry_name(entry));
	char hex[TREE_ID_SIZE];
	git_object_t type;
	struct err e;
	size_t size;

	if (git_tree_entry_type(entry) == GIT_OBJECT_TREE)
		return 0;
	if (git_odb_read_header(&size, &type, odb, git_tree_entry_id(entry)) !=
	    0)
		return -1;
	git_oid_tostr(hex, sizeof hex, git_tree_entry_id(entry));
	return tree_maker_add(arg, path, hex, (int64_t)size, false, &e) ==
		ERR_OK
	    ? 0
	    : -1;
}

static enum err_code
read_other(git_repository *git, const git_oid *root, struct tree **out,
    struct err *e)
{
	static const struct tree_source none = { 0 };
	AUTO(tree_maker, maker) = tree_maker_new(none);
	struct tree_commit commit = { 0 };
	git_tree *tree;
	int rc;

	assert_int_equal(git_tree_lookup(&tree, git, root), 0);
	rc = git_tree_walk(tree, GIT_TREEWALK_PRE, see_entry, maker);
	git_tree_free(tree);
	if (rc != 0)
		return err_set(e, ERR_INVALID, "by itself");
	git_oid_tostr(commit.tree, TREE_ID_SIZE, root);
	return tree_maker_end(maker, &commit, out, e);
}

static void
compare_with_other(git_repository *git, struct repo *warm, const git_oid *root)
{
	AUTO(tree, one) = NULL;
	AUTO(tree, two) = NULL;
	char commit[TREE_ID_SIZE];
	struct err e = { 0 };

	write_commit(commit, root);
	assert_int_equal(read_other(git, root, &one, &e), ERR_OK);
	assert_int_equal(repo_tree(warm, commit, &two, &e), ERR_OK);
	compare_trees(one, two);
}

static void
random_commits(uint32_t from)
{
	struct item root = { .mode = "40000" };
	AUTO(repo, warm) = NULL;
	git_repository *git;
	size_t good = 0;
	struct err e;

	seed = from;
	print_message("seed %u\n", from);
	root.items = mem_array(ITEMS_MAX, sizeof *root.items);
	for (size_t i = 0; i < ITEMS_MAX; i++)
		fill(&root.items[i], DEPTH - 1);
	assert_int_equal(repo_discover(&warm, mirror, &e), ERR_OK);
	assert_int_equal(git_repository_open(&git, mirror), 0);
	for (size_t i = 0; i < COMMITS; i++) {
		git_oid id;

		if (i % 8 == 0)
			mend(&root);
		root.content = dice(100);
		id = write_item(&root);
		if (compare_ways(warm, &id)) {
			compare_with_other(git, warm, &id);
			good++;
		}
		step(&root);
	}
	print_message("%zu of %d are good\n", good, COMMITS);
	assert_in_range(good, COMMITS / 4, COMMITS - COMMITS / 20);
	item_clear(&root);
	git_repository_free(git);
}

static void
test_random_commits(void **state)
{
	(void)state;
	random_commits(20263);
	random_commits(77);
}

/* ---- limits on the whole ---- */

/* count files or folders of this object, names rising. */
static git_oid
many(const char *mode, const char *prefix, const git_oid *id, unsigned int from,
    unsigned int to)
{
	AUTO_BUF b = { 0 };

	buf_init(&b, OBJECT_MAX);
	for (unsigned int i = from; i < to; i++) {
		char name[24];

		(void)snprintf(name, sizeof name, "%s%05u", prefix, i);
		add_line(&b, mode, name, id);
	}
	return write_object(&b, GIT_OBJECT_TREE);
}

/* The first tree is at its limit. The second has one folder more before all
 * others, so that the limit is passed inside of a known one. */
static void
pass_limit(const git_oid *folder, unsigned int count, const char *says)
{
	git_oid fits = many("40000", "f", folder, 2, count + 2);
	git_oid more = many("40000", "f", folder, 1, count + 2);
	AUTO(repo, warm) = NULL;
	char commit[TREE_ID_SIZE];
	struct tree *t;
	struct err e;

	assert_int_equal(repo_discover(&warm, mirror, &e), ERR_OK);
	assert_true(compare_ways(warm, &fits));
	assert_false(compare_ways(warm, &more));
	write_commit(commit, &more);
	assert_int_equal(repo_tree(warm, commit, &t, &e), ERR_LIMIT);
	if (strstr(e.text, says) == NULL)
		fail_msg("%s", e.text);
}

static void
test_bytes_in_all(void **state)
{
	git_oid blob = write_blob(1 << 20, 1);
	git_oid folder = many("100644", "x", &blob, 0, 64);

	(void)state;
	pass_limit(&folder, 32,
	    "f00033/x00000: with it all files together have more than");
}

static void
test_files_in_all(void **state)
{
	git_oid blob = write_blob(0, 1);
	git_oid folder = many("100644", "x", &blob, 0, 10000);

	(void)state;
	pass_limit(&folder, 100, "more than 1000000 files");
}

static void
test_folders_in_all(void **state)
{
	AUTO_BUF nothing = { 0 };
	git_oid empty, folder;

	(void)state;
	buf_init(&nothing, 1);
	empty = write_object(&nothing, GIT_OBJECT_TREE);
	folder = many("40000", "x", &empty, 0, 9999 - 7500);
	pass_limit(&folder, 99, "more than 250000 folders");
}

/* ---- ids of folders ---- */

static void
expect_id(const struct tree *t, const char *path, const char *id)
{
	char found[TREE_ID_SIZE] = "";

	if (tree_folder_id(t, path, found) != (id != NULL) ||
	    strcmp(found, id != NULL ? id : "") != 0)
		fail_msg("%s: %s", path, found);
}

static void
test_ids_of_folders(void **state)
{
	AUTO(repo, r) = NULL;
	AUTO(tree, t) = NULL;
	AUTO(tree, memory) = NULL;
	struct err e;

	(void)state;
	sh("git init -q ids; cd ids; mkdir -p a/b a.c; echo 1 > a/b/x; "
	   "echo 2 > a.c/y; echo 3 > z; git add .; git commit -qm one");
	assert_int_equal(repo_discover(&r, fixture_path("ids"), &e), ERR_OK);
	assert_int_equal(repo_tree(r, sh_line("cd ids; git rev-parse HEAD"), &t,
			     &e),
	    ERR_OK);
	expect_id(t, "", sh_line("cd ids; git rev-parse HEAD:"));
	expect_id(t, "a", sh_line("cd ids; git rev-parse HEAD:a"));
	expect_id(t, "a/b", sh_line("cd ids; git rev-parse HEAD:a/b"));
	expect_id(t, "a.c", sh_line("cd ids; git rev-parse HEAD:a.c"));
	expect_id(t, "a/b/x", NULL);
	expect_id(t, "z", NULL);
	expect_id(t, "b", NULL);
	assert_int_equal(tree_from_memory(&memory, NULL, 0, NULL, &e), ERR_OK);
	expect_id(memory, "", NULL);
}

static int
start(void **state)
{
	git_repository *git;

	(void)state;
	(void)fixture_start();
	sh("git init -q --bare m.git");
	mirror = fixture_path("m.git");
	(void)git_libgit2_init();
	assert_int_equal(git_repository_open(&git, mirror), 0);
	assert_int_equal(git_repository_odb(&odb, git), 0);
	git_repository_free(git);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	git_odb_free(odb);
	(void)git_libgit2_shutdown();
	fixture_end();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_commits),
		cmocka_unit_test(test_bytes_in_all),
		cmocka_unit_test(test_files_in_all),
		cmocka_unit_test(test_folders_in_all),
		cmocka_unit_test(test_ids_of_folders),
	};

	return cmocka_run_group_tests(tests, start, end);
}
