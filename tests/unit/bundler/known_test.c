/* What is known of a bundle is what planning it anew says, in trees that Git
 * would never write, too. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "bundler/known.h"
#include "policies/repo.h"
#include "tests/unit/policies/git_fixture.h"

static struct repo *repo;

/* Shell: `entry MODE NAME ID` is one of a tree's, as it is in the object;
 * `object` puts a tree there unchecked; `policy RULE` is a folder with one. */
#define HAND_MADE                                                              \
	"cd r; "                                                               \
	"entry() { printf '%%s %%s\\0' $1 $2; echo $3 | unhex; }; "            \
	"object() { git hash-object -t tree --literally -w --stdin; }; "       \
	"blob() { printf \"$1\" | git hash-object -w --stdin; }; "             \
	"policy() { entry 100644 $1.rego $(blob \"package b\\n$1 := $2\\n\") " \
	"| object; }; "                                                        \
	"paths=$(blob 'bundles:\\n  main:\\n    paths: [b]\\n'); "             \
	"commit() { git commit-tree -m one $1; }; "

static void
plan(struct bundle_set *known, size_t *planned, const char *commit,
    struct bundle_cache *cache)
{
	const struct bundle_means means = { .threads = 1, .cache = cache };
	AUTO(tree, t) = NULL;
	AUTO(definition, d) = NULL;
	struct bundle_set anew = { 0 };
	struct err e = { 0 };

	if (repo_tree(repo, commit, &t, &e) != ERR_OK ||
	    definition_read(&d, t, &e) != ERR_OK ||
	    known_plan_all(known, planned, t, d, &means, &e) != ERR_OK ||
	    bundle_plan_all(&anew, t, d, &e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_string_equal(known->bundles[0]->content,
	    anew.bundles[0]->content);
	bundle_set_clear(&anew);
}

/* One commit after the other, with one cache: how many bundles of the second
 * were planned. */
static size_t
plan_second(const char *first, const char *second)
{
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	struct bundle_set set = { 0 };
	size_t planned;

	plan(&set, &planned, first, cache);
	bundle_set_clear(&set);
	assert_int_equal(planned, 1);
	plan(&set, &planned, second, cache);
	bundle_set_clear(&set);
	return planned;
}

/* a.rego is the rest of the tree. */
static const char *
tidy(const char *folder, const char *rest)
{
	return sh_line(HAND_MADE
	    "commit $({ entry 100644 a.rego $(blob '%s'); "
	    "entry 40000 b $(%s); entry 100644 edict.yaml $paths; } | object)",
	    rest, folder);
}

static void
what_did_not_change_is_known(void **state)
{
	(void)state;
	assert_int_equal(plan_second(tidy("policy p 1", "package a\\n"),
			     tidy("policy p 1", "package aa\\n")),
	    0);
	assert_int_equal(plan_second(tidy("policy p 1", "package a\\n"),
			     tidy("policy p 2", "package a\\n")),
	    1);
}

/* b after c and d: a search in order does not find it. */
static const char *
out_of_order(int value)
{
	return sh_line(HAND_MADE
	    "commit $({ entry 40000 c $(policy c 1); "
	    "entry 40000 d $(policy d 1); entry 40000 b $(policy p %d); "
	    "entry 100644 edict.yaml $paths; } | object)",
	    value);
}

static void
folders_out_of_order(void **state)
{
	(void)state;
	assert_int_equal(plan_second(out_of_order(1), out_of_order(2)), 1);
}

/* Two folders of one name: the tree has the files of both. */
static const char *
twice(int p, int q)
{
	return sh_line(HAND_MADE "commit $({ entry 40000 b $(policy p %d); "
				 "entry 40000 b $(policy q %d); "
				 "entry 100644 edict.yaml $paths; } | object)",
	    p, q);
}

static void
folders_of_one_name(void **state)
{
	(void)state;
	assert_int_equal(plan_second(twice(1, 1), twice(1, 2)), 1);
	assert_int_equal(plan_second(twice(1, 1), twice(2, 1)), 1);
}

/* Two bundles whose data fills the room, and then a commit that changes the
 * second: it has no more room because the first is known. */
static const char *
two_bundles(const char *data)
{
	return sh_line(HAND_MADE
	    "y=$(blob 'bundles:\\n  a: {paths: [a]}\\n  b: {paths: [b]}\\n'); "
	    "data() { entry 100644 data.json $(blob \"$1\") | object; }; "
	    "commit $({ entry 40000 a $(data '[1, 2]'); "
	    "entry 40000 b $(data '%s'); entry 100644 edict.yaml $y; } | "
	    "object)",
	    data);
}

static enum err_code
plan_within(const char *commit, struct bundle_cache *cache, size_t *documents,
    struct err *e)
{
	const struct bundle_means means = { .threads = 1,
		.cache = cache,
		.documents_max = *documents };
	AUTO(tree, t) = NULL;
	AUTO(definition, d) = NULL;
	struct bundle_set set;
	size_t planned;

	TRY(repo_tree(repo, commit, &t, e));
	TRY(definition_read(&d, t, e));
	TRY(known_plan_all(&set, &planned, t, d, &means, e));
	*documents = set.bundles[0]->documents + set.bundles[1]->documents;
	bundle_set_clear(&set);
	return ERR_OK;
}

static void
what_is_known_takes_its_room(void **state)
{
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	const char *first = two_bundles("[1]");
	const char *second = two_bundles("[2, 2]");
	size_t room = 0, less;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(plan_within(second, NULL, &room, &e), ERR_OK);
	less = room - 1;
	assert_int_equal(plan_within(second, NULL, &less, &e), ERR_LIMIT);
	assert_int_equal(plan_within(first, cache, &room, &e), ERR_OK);
	assert_int_equal(plan_within(second, cache, &less, &e), ERR_LIMIT);
	assert_int_equal(plan_within(second, cache, &room, &e), ERR_OK);
}

static int
start(void **state)
{
	struct err e = { 0 };

	(void)state;
	(void)fixture_start();
	sh("git init -q r");
	if (repo_discover(&repo, fixture_path("r"), &e) != ERR_OK)
		fail_msg("%s", e.text);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	repo_free(repo);
	fixture_end();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_did_not_change_is_known),
		cmocka_unit_test(folders_out_of_order),
		cmocka_unit_test(folders_of_one_name),
		cmocka_unit_test(what_is_known_takes_its_room),
	};

	return cmocka_run_group_tests(tests, start, end);
}
