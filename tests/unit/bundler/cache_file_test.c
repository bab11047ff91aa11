/* A cache that was in a file is the cache that it was, and a file that is
 * damaged in any way changes no bundle. */

#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundler/cache.h"
#include "bundler/cache_file.h"
#include "bundler/pack.h"
#include "core/file.h"
#include "core/mem.h"

static const char *const texts[] = { "README.md", "words\n", "a/a.rego",
	"package a\n\nx := data.a.n\n", "a/data.json",
	"{\"n\":  1.0,\n \"b\": [1, 2]}", "b/data.yaml", "y: 1\nx: 2\n",
	"b/same.rego", "package b\n", "c/same.rego", "package b\n", NULL };

/* A record with the size of one file. */
enum { SIZES = 1 + 4 + 64 + 40 + 4 };

/* What a test works with: the file is below a folder of its own. */
struct scene {
	char *folder;
	char *path;
	struct tree *tree;
	struct buf cold; /* the bundle as it has to be */
};

static void
build(struct buf *out, const struct tree *t, struct bundle_cache *cache)
{
	const struct bundle_means means = { .threads = 1, .cache = cache };
	AUTO(bundle, b) = NULL;
	struct err e = { 0 };

	buf_clear(out);
	buf_init(out, PACK_SIZE_MAX);
	if (bundle_plan_with(&b, t, &fixture_all, &means, &e) != ERR_OK ||
	    bundle_pack_with(out, b, &means, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static void
begin(struct scene *s, const char *const *files)
{
	*s = (struct scene){ .folder = fixture_folder() };
	s->path = mem_printf("%s/cache", s->folder);
	s->tree = fixture_tree(files);
	build(&s->cold, s->tree, NULL);
}

static void
end(struct scene *s)
{
	fixture_folder_end(s->folder);
	mem_free(s->path);
	tree_free(s->tree);
	buf_clear(&s->cold);
}

static void
expect_cold(const struct scene *s, struct bundle_cache *cache)
{
	AUTO_BUF got = { 0 };

	build(&got, s->tree, cache);
	assert_int_equal(got.len, s->cold.len);
	assert_memory_equal(got.data, s->cold.data, got.len);
}

/* Builds with an empty cache and files it. */
static void
file_it(const struct scene *s)
{
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	AUTO(cache_file, file) = cache_file_new(s->path);

	cache_file_load(file, cache, NULL, NULL);
	expect_cold(s, cache);
	cache_file_save(file, cache, s->tree);
}

static int64_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static void
get(const struct scene *s, struct buf *out)
{
	struct err e;

	buf_init(out, CACHE_FILE_MAX);
	assert_int_equal(file_read(out, s->path, &e), ERR_OK);
}

static void
put(const struct scene *s, const void *data, size_t len)
{
	int fd = open(s->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct err e;

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, data, len, &e), ERR_OK);
	close(fd);
}

/* ---- what comes back ---- */

struct told {
	size_t count;
	const struct tree *tree;
};

static void
tell(void *arg, const char *id, int64_t size)
{
	struct told *told = arg;
	bool found = false;

	for (size_t i = 0; i < told->tree->count; i++) {
		const struct tree_entry *entry = &told->tree->entries[i];

		if (strcmp(entry->id, id) != 0)
			continue;
		assert_int_equal(entry->size, size);
		found = true;
	}
	assert_true(found);
	told->count++;
}

static bool
has(struct bundle_cache *cache, const struct tree *t, const char *path,
    enum blob_kind kind)
{
	const struct blob_key key = blob_key(tree_find(t, path)->id, kind);

	return cache_peek(cache, &key) != NULL;
}

static void
all_comes_back(void **state)
{
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	AUTO(cache_file, file) = NULL;
	struct scene s;
	struct told told = { 0 };
	int64_t size;
	struct stat st;

	(void)state;
	begin(&s, texts);
	file_it(&s);
	assert_int_equal(stat(s.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	size = size_of(s.path);
	told.tree = s.tree;
	file = cache_file_new(s.path);
	cache_file_load(file, cache, tell, &told);
	/* Two files are one blob. */
	assert_int_equal(told.count, 5);
	assert_true(has(cache, s.tree, "a/a.rego", BLOB_POLICY));
	assert_true(has(cache, s.tree, "b/same.rego", BLOB_POLICY));
	assert_true(has(cache, s.tree, "a/data.json", BLOB_JSON));
	assert_true(has(cache, s.tree, "b/data.yaml", BLOB_YAML));
	expect_cold(&s, cache);
	/* Nothing is new, so nothing is written. */
	cache_file_save(file, cache, s.tree);
	assert_int_equal(size_of(s.path), size);
	end(&s);
}

/* A file's lines are told as they are in the repository. */
static void
faults_are_told_as_without(void **state)
{
	static const char *const good[] = { "a/data.json", "\n\n\n[1]",
		"a/a.rego", "package x\n", NULL };
	static const char *const bad[] = { "data.json", "\n\n\n[1]", NULL };
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	AUTO(cache_file, file) = NULL;
	const struct bundle_means means = { .threads = 1, .cache = cache };
	AUTO(tree, t) = fixture_tree(bad);
	AUTO(bundle, none) = NULL;
	struct err cold, warm;
	struct scene s;

	(void)state;
	begin(&s, good);
	file_it(&s);
	file = cache_file_new(s.path);
	cache_file_load(file, cache, NULL, NULL);
	assert_int_equal(bundle_plan(&none, t, &fixture_all, &cold),
	    ERR_INVALID);
	assert_int_equal(bundle_plan_with(&none, t, &fixture_all, &means,
			     &warm),
	    ERR_INVALID);
	assert_string_equal(warm.text, cold.text);
	assert_non_null(strstr(warm.text, "data.json:4"));
	end(&s);
}

/* ---- damage ---- */

/* Loads what is there, whatever it is: the bundle is the same, and afterwards
 * there is a whole file again, or one that lost no more than sizes. */
static void
expect_harmless(const struct scene *s, int64_t whole)
{
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	AUTO(cache_file, file) = cache_file_new(s->path);
	struct told told = { .tree = s->tree };

	cache_file_load(file, cache, tell, &told);
	expect_cold(s, cache);
	cache_file_save(file, cache, s->tree);
	assert_in_range(size_of(s->path), whole - SIZES, whole);
}

static void
cut_anywhere(void **state)
{
	AUTO_BUF whole = { 0 };
	struct scene s;

	(void)state;
	begin(&s, texts);
	file_it(&s);
	get(&s, &whole);
	assert_in_range(whole.len, 500, 10000);
	for (size_t len = 0; len < whole.len; len++) {
		put(&s, whole.data, len);
		expect_harmless(&s, (int64_t)whole.len);
	}
	end(&s);
}

static void
changed_anywhere(void **state)
{
	AUTO_BUF whole = { 0 };
	struct scene s;

	(void)state;
	begin(&s, texts);
	file_it(&s);
	get(&s, &whole);
	for (size_t i = 0; i < whole.len; i++) {
		char flip = (char)(1 << (i % 8));

		whole.data[i] = (char)(whole.data[i] ^ flip);
		put(&s, whole.data, whole.len);
		whole.data[i] = (char)(whole.data[i] ^ flip);
		expect_harmless(&s, (int64_t)whole.len);
	}
	end(&s);
}

static void
not_ours(void **state)
{
	struct scene s;
	int64_t whole;

	(void)state;
	begin(&s, texts);
	file_it(&s);
	whole = size_of(s.path);
	put(&s, "edict cache 2\n", 14);
	expect_harmless(&s, whole);
	put(&s, "", 0);
	expect_harmless(&s, whole);
	/* Too large, and a hole at that. */
	assert_int_equal(truncate(s.path, (off_t)CACHE_FILE_MAX + 1), 0);
	expect_harmless(&s, whole);
	assert_int_equal(unlink(s.path), 0);
	assert_int_equal(symlink("/etc/passwd", s.path), 0);
	expect_harmless(&s, whole);
	assert_int_equal(unlink(s.path), 0);
	assert_int_equal(mkfifo(s.path, 0600), 0);
	expect_harmless(&s, whole);
	end(&s);
}

/* ---- growth ---- */

/* A policy that does not get smaller. */
static char *
noise(uint32_t seed, size_t len)
{
	AUTO_BUF b = { 0 };

	buf_init(&b, len + 64);
	buf_printf(&b, "package n\n\n# ");
	while (b.len < len) {
		seed ^= seed << 13;
		seed ^= seed >> 17;
		seed ^= seed << 5;
		buf_add_char(&b, (char)('0' + seed % 75));
	}
	return buf_steal(&b, NULL);
}

static void
grows_by_what_is_new(void **state)
{
	enum { LARGE = 1100000, COMMITS = 50 };
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	AUTO(cache_file, file) = NULL;
	struct scene s;
	AUTO(bundle_cache, again) = NULL;
	AUTO_STR rest = noise(7, LARGE * 4);
	int64_t most = 0, before = 0;
	unsigned int anew = 0;

	(void)state;
	begin(&s, texts);
	file = cache_file_new(s.path);
	for (uint32_t i = 1; i < COMMITS; i++) {
		AUTO_STR one = noise(i * 77, LARGE);
		const char *const files[] = { "n/n.rego", one, "n/rest.rego",
			rest, NULL };
		AUTO_BUF out = { 0 };
		int64_t size;

		tree_free(s.tree);
		s.tree = fixture_tree(files);
		build(&out, s.tree, cache);
		cache_file_save(file, cache, s.tree);
		size = size_of(s.path);
		if (size < before)
			anew++;
		else if (i > 1)
			assert_in_range(size - before, LARGE, LARGE * 2);
		before = size;
		most = size > most ? size : most;
	}
	assert_in_range(anew, 1, 10);
	assert_true(most < CACHE_FILE_MAX / 2);
	build(&s.cold, s.tree, NULL);
	again = bundle_cache_new(BUNDLE_CACHE_MAX);
	cache_file_free(file);
	file = cache_file_new(s.path);
	cache_file_load(file, again, NULL, NULL);
	expect_cold(&s, again);
	end(&s);
}

/* The file is written anew while an old commit is built: what the newest one
 * has comes with the next save. */
static void
an_old_commit_does_not_empty_it(void **state)
{
	static const char *const other[] = { "o/o.rego", "package o\n", NULL };
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	AUTO(bundle_cache, again) = bundle_cache_new(BUNDLE_CACHE_MAX);
	AUTO(cache_file, file) = NULL;
	AUTO(cache_file, next) = NULL;
	AUTO(tree, old) = fixture_tree(other);
	AUTO_BUF out = { 0 };
	struct scene s;

	(void)state;
	begin(&s, texts);
	file = cache_file_new(s.path);
	next = cache_file_new(s.path);
	expect_cold(&s, cache);
	build(&out, old, cache);
	cache_file_save(file, cache, old);
	cache_file_save(file, cache, s.tree);
	cache_file_load(next, again, NULL, NULL);
	assert_true(has(again, s.tree, "a/a.rego", BLOB_POLICY));
	assert_true(has(again, s.tree, "a/data.json", BLOB_JSON));
	assert_true(has(again, old, "o/o.rego", BLOB_POLICY));
	expect_cold(&s, again);
	end(&s);
}

/* ---- no room ---- */

static void
without_room_there_is_none(void **state)
{
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	AUTO(cache_file, file) = NULL;
	struct rlimit old, none = { 0 };
	struct scene s;

	(void)state;
	begin(&s, texts);
	file_it(&s);
	file = cache_file_new(s.path);
	expect_cold(&s, cache);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = (struct rlimit){ 100, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	cache_file_save(file, cache, s.tree);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	/* It takes no room that others need, and is not tried again. */
	assert_int_equal(size_of(s.path), -1);
	cache_file_save(file, cache, s.tree);
	assert_int_equal(size_of(s.path), -1);
	expect_cold(&s, cache);
	end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_comes_back),
		cmocka_unit_test(faults_are_told_as_without),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(changed_anywhere),
		cmocka_unit_test(not_ours),
		cmocka_unit_test(grows_by_what_is_new),
		cmocka_unit_test(an_old_commit_does_not_empty_it),
		cmocka_unit_test(without_room_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
