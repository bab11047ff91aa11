/* What makes bundles fast changes none of their bytes: a cache, cold or warm,
 * small or large, and any number of threads. */

#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "bundler/cache.h"
#include "bundler/pack.h"
#include "core/mem.h"

enum {
	FOLDERS = 20,
	SLOTS = 240, /* places where a file may be */
	COMMITS = 200,
	TEXT_MAX = 8192
};

/* A repository in memory that random commits change. */
struct history {
	struct tree_file files[SLOTS + FOLDERS];
	char *names[SLOTS + FOLDERS];
	char *texts[SLOTS + FOLDERS];
	bool there[SLOTS + FOLDERS];
	uint32_t seed;
	unsigned int commit;
};

/* xorshift32: the same sequence everywhere. */
static uint32_t
dice(struct history *h, uint32_t sides)
{
	h->seed ^= h->seed << 13;
	h->seed ^= h->seed >> 17;
	h->seed ^= h->seed << 5;
	return h->seed % sides;
}

static char *
policy_text(struct history *h, size_t slot)
{
	size_t lines = 1 + dice(h, 100);
	AUTO_BUF b = { 0 };

	buf_init(&b, TEXT_MAX * 4);
	buf_printf(&b, "package p%zu.f%zu\n", slot % FOLDERS, slot);
	for (size_t i = 0; i < lines; i++)
		buf_printf(&b, "rule_%u := %u\n", dice(h, 1000), dice(h, 9999));
	return buf_steal(&b, NULL);
}

static char *
data_text(struct history *h)
{
	return mem_printf("{\"z\": %u, \"limits\": {\"b\": 1.0, \"a\": %u}}",
	    dice(h, 1000), dice(h, 1000));
}

static void
write_slot(struct history *h, size_t slot)
{
	mem_free(h->texts[slot]);
	h->texts[slot] = slot < SLOTS ? policy_text(h, slot) : data_text(h);
	h->there[slot] = true;
}

static void
history_init(struct history *h, uint32_t seed)
{
	*h = (struct history){ .seed = seed };
	for (size_t i = 0; i < SLOTS + FOLDERS; i++) {
		if (i < SLOTS)
			h->names[i] =
			    mem_printf("p%zu/f%zu.rego", i % FOLDERS, i);
		else
			h->names[i] = mem_printf("p%zu/more/data.%s", i - SLOTS,
			    i % 2 == 0 ? "json" : "yaml");
		write_slot(h, i);
	}
}

static void
history_clear(struct history *h)
{
	for (size_t i = 0; i < SLOTS + FOLDERS; i++) {
		mem_free(h->names[i]);
		mem_free(h->texts[i]);
	}
}

/* Mostly one file; at times many; files come and go. */
static void
history_step(struct history *h)
{
	size_t changes = dice(h, 20) == 0 ? 50 : 1 + dice(h, 3);

	while (changes-- > 0) {
		size_t slot = dice(h, SLOTS + FOLDERS);

		if (dice(h, 4) == 0)
			h->there[slot] = !h->there[slot];
		else
			write_slot(h, slot);
	}
	write_slot(h, 0);
}

static struct tree *
history_tree(struct history *h)
{
	AUTO_STR id = mem_printf("%040x", ++h->commit);
	struct tree *t = NULL;
	size_t count = 0;
	struct err e = { 0 };

	for (size_t i = 0; i < SLOTS + FOLDERS; i++) {
		if (h->there[i])
			h->files[count++] = (struct tree_file){ h->names[i],
				h->texts[i], strlen(h->texts[i]) };
	}
	if (tree_from_memory(&t, h->files, count, id, &e) != ERR_OK)
		fail_msg("%s", e.text);
	return t;
}

/* Nobody verifies it here: its length and what changes in it count. */
static void
sign(struct buf *out, const struct bundle *b, const struct buf *content,
    const struct bundle_means *means)
{
	AUTO_BUF jws = { 0 };
	struct err e = { 0 };

	buf_init(&jws, JWS_SIZE_MAX);
	for (size_t i = 0; i < b->count; i++) {
		for (size_t k = 0; k < 10; k++)
			buf_add_str(&jws, b->files[i].hash);
	}
	buf_add_str(&jws, b->content);
	if (bundle_sign_pack_with(out, content->data, content->len, jws.data,
		jws.len, means, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static void
build(struct buf *out, char digest[65], const struct tree *t,
    const struct bundle_means *means)
{
	AUTO(bundle, b) = NULL;
	AUTO_BUF content = { 0 };
	struct err e = { 0 };

	buf_clear(out);
	buf_init(out, PACK_SIZE_MAX);
	buf_init(&content, PACK_SIZE_MAX);
	if (bundle_plan_with(&b, t, &fixture_all, means, &e) != ERR_OK ||
	    bundle_pack_with(&content, b, means, &e) != ERR_OK)
		fail_msg("%s", e.text);
	sign(out, b, &content, means);
	(void)snprintf(digest, 65, "%s", b->content);
}

static void
compare_builds(const struct tree *t, const struct bundle_means *means)
{
	static const struct bundle_means cold = { .threads = 1 };
	AUTO_BUF wanted = { 0 }, got = { 0 };
	char wanted_content[65], got_content[65];

	build(&wanted, wanted_content, t, &cold);
	build(&got, got_content, t, means);
	assert_string_equal(got_content, wanted_content);
	assert_int_equal(got.len, wanted.len);
	assert_memory_equal(got.data, wanted.data, got.len);
}

/* Over many commits, with a cache of this size. */
static void
follow(size_t cache_max, uint32_t seed, unsigned int commits)
{
	AUTO(bundle_cache, cache) = bundle_cache_new(cache_max);
	const struct bundle_means warm = { .threads = 2, .cache = cache };
	struct history h;

	history_init(&h, seed);
	for (unsigned int i = 0; i < commits; i++) {
		AUTO(tree, t) = history_tree(&h);

		compare_builds(t, &warm);
		assert_true(cache_bytes(cache) <= cache_max);
		history_step(&h);
	}
	history_clear(&h);
}

static void
warm_is_as_cold(void **state)
{
	(void)state;
	follow(BUNDLE_CACHE_MAX, 20261, COMMITS);
}

static void
small_caches_are_as_none(void **state)
{
	static const size_t sizes[] = { 0, 1, 20000, 200000, 700000 };

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		follow(sizes[i], 7 + (uint32_t)i, 12);
}

static void
threads_change_nothing(void **state)
{
	struct history h;

	(void)state;
	history_init(&h, 99);
	for (unsigned int n = 0; n <= BUNDLE_THREADS_MAX; n++) {
		const struct bundle_means means = { .threads = n };
		AUTO(tree, t) = history_tree(&h);

		compare_builds(t, &means);
		history_step(&h);
	}
	history_clear(&h);
}

static void
break_slot(struct history *h, size_t slot)
{
	mem_free(h->texts[slot]);
	h->texts[slot] = mem_strdup("no package\n");
}

/* The first by path, whoever found which one first. */
static void
the_first_fault_is_told(void **state)
{
	static const unsigned int threads[] = { 1, 2, 8 };
	struct history h;

	(void)state;
	history_init(&h, 5);
	break_slot(&h, 33);  /* p13/ */
	break_slot(&h, 119); /* p19/ */
	break_slot(&h, 202); /* p2/ */
	AUTO(tree, t) = history_tree(&h);
	for (size_t i = 0; i < 60; i++) {
		const struct bundle_means means = { .threads = threads[i % 3] };
		AUTO(bundle, b) = NULL;
		struct err e = { 0 };

		assert_int_equal(bundle_plan_with(&b, t, &fixture_all, &means,
				     &e),
		    ERR_INVALID);
		assert_non_null(strstr(e.text, "p13/f33.rego:1"));
	}
	history_clear(&h);
}

static void
bundles_outlive_their_cache(void **state)
{
	static const char *const files[] = { "a.rego", "package a\n",
		"data.json", "{\"b\": 1.0}", NULL };
	AUTO(tree, t) = fixture_tree(files);
	struct bundle_cache *cache = bundle_cache_new(BUNDLE_CACHE_MAX);
	const struct bundle_means means = { .threads = 1, .cache = cache };
	AUTO(bundle, first) = NULL;
	AUTO(bundle, second) = NULL;
	struct err e;

	(void)state;
	assert_int_equal(bundle_plan_with(&first, t, &fixture_all, &means, &e),
	    ERR_OK);
	assert_int_equal(bundle_plan_with(&second, t, &fixture_all, &means, &e),
	    ERR_OK);
	bundle_cache_free(cache);
	assert_ptr_equal(fixture_file(first, "a.rego")->data,
	    fixture_file(second, "a.rego")->data);
	fixture_has(first, "a.rego", "package a\n");
	fixture_has(second, "data.json", "{\"b\":1.0}");
}

/* What is good in one place is refused in another, known or not. */
static void
known_blobs_are_checked_where_they_are(void **state)
{
	static const char *const good[] = { "a/data.json", "[1]", "b/x.rego",
		"package x\n", NULL };
	static const char *const top[] = { "data.json", "[1]", NULL };
	static const char *const percent[] = { "a%b.rego", "package x\n",
		NULL };
	AUTO(tree, first) = fixture_tree(good);
	AUTO(tree, second) = fixture_tree(top);
	AUTO(tree, third) = fixture_tree(percent);
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	const struct bundle_means means = { .threads = 1, .cache = cache };
	AUTO(bundle, b) = NULL;
	AUTO(bundle, none) = NULL;
	struct err e;

	(void)state;
	assert_int_equal(bundle_plan_with(&b, first, &fixture_all, &means, &e),
	    ERR_OK);
	assert_int_equal(bundle_plan_with(&none, second, &fixture_all, &means,
			     &e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, "data.json:1: data at the root"));
	assert_int_equal(bundle_plan_with(&none, third, &fixture_all, &means,
			     &e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, "a % in the path"));
}

/* -- what is refused ------------------------------------------------------- */

enum { SMALL = 12, SMALL_COMMITS = 1500 };

/* Packages and keys that meet each other at times; the last two of each list
 * are bad nearly anywhere. */
static const char *const small_policies[] = { "package a\n", "package a.b\n",
	"package b.c\np := 1\n", "package b.c\np := 2\n",
	"\n\npackage b.c\np := 2\n", "package c[\"d-e\"]\n", "package ", "" };
static const char *const small_data[] = { "{}", "{\"f\": 1}", "{\"f\": [2]}",
	"{\"g\": {\"c\": 2}}", "{\"g\": {\"c\": {}}}", "{\"h\": {\"c\": 3}}",
	"{\"b\": {\"c\": {\"p\": 1}}}", "{\"b\": {\"c\": 1}}",
	"{\"x\": [1, 2]}", "{\"", "null" };
static const char *const small_manifests[] = { "{\"roots\": [\"\"]}", "{}",
	"{\"metadata\": {\"k\": 1}}", "{\"roots\": [\"a\", \"b\", \"c\"]}",
	"{\"roots\": [\"q\"]}" };
static const char *const small_names[SMALL] = { ".manifest", "a/data.json",
	"a/x.rego", "b/c/data.json", "b/data.yaml", "b/y.rego", "c/z.rego",
	"data.json", "data.yaml", "p.rego", "x/data.json", "x%.rego" };

struct small_tree {
	struct history dice;
	const char *texts[SMALL]; /* NULL: not there */
};

static const char *
pick(struct history *h, const char *const *list, size_t count)
{
	return list[dice(h, (uint32_t)(dice(h, 30) == 0 ? count : count - 2))];
}

#define PICK(h, list) pick((h), (list), sizeof(list) / sizeof *(list))

static void
small_step(struct small_tree *s)
{
	size_t i = dice(&s->dice, SMALL);
	const char *name = small_names[i];

	/* The bad names are seldom there, so that most trees are good. */
	if (dice(&s->dice, 2) == 0 ||
	    (i == SMALL - 1 && dice(&s->dice, 20) > 0))
		s->texts[i] = NULL;
	else if (i == 0)
		s->texts[i] = PICK(&s->dice, small_manifests);
	else if (strstr(name, ".rego") != NULL)
		s->texts[i] = PICK(&s->dice, small_policies);
	else
		s->texts[i] = PICK(&s->dice, small_data);
}

static struct tree *
small_tree(const struct small_tree *s)
{
	struct tree_file files[SMALL];
	struct tree *t = NULL;
	size_t count = 0;
	struct err e = { 0 };

	for (size_t i = 0; i < SMALL; i++) {
		if (s->texts[i] != NULL)
			files[count++] = (struct tree_file){ small_names[i],
				s->texts[i], strlen(s->texts[i]) };
	}
	if (tree_from_memory(&t, files, count, NULL, &e) != ERR_OK)
		fail_msg("%s", e.text);
	return t;
}

/* The definition changes too, and with it where files go. */
static void
small_definition(struct definition_bundle *d, struct history *h)
{
	static char from[] = "b", to[] = "b/c", from_a[] = "a", roots[] = "b";
	static struct definition_path paths[] = { { from, to },
		{ from_a, from_a } };
	static char *root_items[] = { roots };

	*d = fixture_all;
	if (dice(h, 20) == 0) {
		d->paths.items = paths;
		d->paths.count = 2;
	}
	if (dice(h, 20) == 0) {
		d->roots.items = root_items;
		d->roots.count = 1;
		d->has_roots = true;
	}
}

static enum err_code
small_plan(struct bundle **out, const struct small_tree *s,
    const struct definition_bundle *d, const struct bundle_means *means,
    struct err *e)
{
	AUTO(tree, t) = small_tree(s);

	return bundle_plan_with(out, t, d, means, e);
}

static void
compare_plans(const struct small_tree *s, const struct definition_bundle *d,
    const struct bundle_means *warm, size_t *good)
{
	static const struct bundle_means cold = { .threads = 1 };
	AUTO(bundle, wanted) = NULL;
	AUTO(bundle, got) = NULL;
	struct err wanted_err = { 0 }, got_err = { 0 };
	enum err_code code = small_plan(&wanted, s, d, &cold, &wanted_err);

	assert_int_equal(small_plan(&got, s, d, warm, &got_err), code);
	assert_string_equal(got_err.text, wanted_err.text);
	if (code != ERR_OK)
		return;
	++*good;
	assert_string_equal(got->content, wanted->content);
	assert_int_equal(got->root_count, wanted->root_count);
	for (size_t i = 0; i < got->root_count; i++)
		assert_string_equal(got->roots[i], wanted->roots[i]);
}

static void
refused_as_without_a_cache(void **state)
{
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	const struct bundle_means warm = { .threads = 1, .cache = cache };
	struct small_tree s = { .dice = { .seed = 4711 } };
	struct definition_bundle d = fixture_all;
	size_t good = 0;

	(void)state;
	for (size_t i = 0; i < SMALL_COMMITS; i++) {
		small_step(&s);
		if (dice(&s.dice, 10) == 0)
			small_definition(&d, &s.dice);
		compare_plans(&s, &d, &warm, &good);
	}
	/* Of each there are enough. */
	assert_in_range(good, SMALL_COMMITS / 10, SMALL_COMMITS * 9 / 10);
}

/* One file changes, its keys at the top do not. */
static void
keys_deep_in_data_count(void **state)
{
	static const char *const good[] = { "b/y.rego", "package b.c\n",
		"data.json", "{\"b\": {\"c\": {\"d\": 1}}}", NULL };
	static const char *const bad[] = { "b/y.rego", "package b.c\n",
		"data.json", "{\"b\": {\"c\": 1}}", NULL };
	AUTO(tree, first) = fixture_tree(good);
	AUTO(tree, second) = fixture_tree(bad);
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	const struct bundle_means means = { .threads = 1, .cache = cache };
	AUTO(bundle, b) = NULL;
	AUTO(bundle, none) = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(bundle_plan_with(&b, first, &fixture_all, &means, &e),
	    ERR_OK);
	assert_int_equal(bundle_plan_with(&none, second, &fixture_all, &means,
			     &e),
	    ERR_INVALID);
	assert_non_null(strstr(e.text, "data.b.c is data ("));
}

/* The second bundle has the room that the first leaves, known or not. */
static void
data_has_its_memory(void **state)
{
	static const char *const files[] = { "edict.yaml",
		"bundles:\n  a: {paths: [a]}\n  b: {paths: [b]}\n",
		"a/data.json", "[1, 2, 3]", "b/data.json", "[4]", NULL };
	AUTO(tree, t) = fixture_tree(files);
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	struct bundle_means means = { .threads = 1, .cache = cache };
	AUTO(definition, d) = NULL;
	struct bundle_set set;
	struct err e = { 0 };
	size_t needed;

	(void)state;
	assert_int_equal(definition_read(&d, t, &e), ERR_OK);
	assert_int_equal(bundle_plan_all_with(&set, t, d, &means, &e), ERR_OK);
	assert_true(set.bundles[0]->documents > 4 * sizeof(struct value));
	needed = set.bundles[0]->documents + set.bundles[1]->documents;
	bundle_set_clear(&set);
	for (int known = 1; known >= 0; known--) {
		means.cache = known > 0 ? cache : NULL;
		means.documents_max = needed;
		assert_int_equal(bundle_plan_all_with(&set, t, d, &means, &e),
		    ERR_OK);
		bundle_set_clear(&set);
		means.documents_max = needed - 1;
		assert_int_equal(bundle_plan_all_with(&set, t, d, &means, &e),
		    ERR_LIMIT);
		assert_non_null(strstr(e.text, "bundle b: with this one "));
		assert_non_null(strstr(e.text, "1024 MiB of memory"));
	}
}

/* A part is filed under more than what is in it: by the next version it may be
 * compressed otherwise. */
static void
parts_of_other_makers_are_not_used(void **state)
{
	static const char *const files[] = { "a.rego", "package a\n", NULL };
	AUTO(tree, t) = fixture_tree(files);
	AUTO(bundle, b) = fixture_bundle(t, &fixture_all);
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	const struct bundle_means means = { .threads = 1, .cache = cache };
	AUTO_BUF listing = { 0 };
	AUTO_BUF cold = { 0 };
	AUTO_BUF warm = { 0 };
	char key[DIGEST_HEX_SIZE];
	struct err e = { 0 };

	(void)state;
	buf_init(&listing, 1000);
	buf_init(&cold, PACK_SIZE_MAX);
	buf_init(&warm, PACK_SIZE_MAX);
	buf_add(&listing, fixture_file(b, "a.rego")->hash,
	    sizeof fixture_file(b, "a.rego")->hash);
	buf_add(&listing, "a.rego", sizeof "a.rego");
	digest_hex(key, listing.data, listing.len);
	cache_add_member(cache, key, "other bytes", 11);
	assert_int_equal(bundle_pack(&cold, b, &e), ERR_OK);
	assert_int_equal(bundle_pack_with(&warm, b, &means, &e), ERR_OK);
	assert_int_equal(warm.len, cold.len);
	assert_memory_equal(warm.data, cold.data, cold.len);
}

/* -- parts ---------------------------------------------------------------- */

enum { PART_FILES = 4000 };

static void
parts_end_where_names_say(void **state)
{
	static char path[PART_FILES][24];
	static struct bundle_file files[PART_FILES];
	static const struct bundle_file *list[PART_FILES];
	static bool ends[PART_FILES + 1];
	size_t parts = 0, moved = 0;

	(void)state;
	for (size_t i = 0; i < PART_FILES; i++) {
		(void)snprintf(path[i], sizeof path[i], "p/f%05zu.rego", i);
		files[i] = (struct bundle_file){ .path = path[i], .len = 2000 };
		list[i] = &files[i];
	}
	for (size_t at = 0; at < PART_FILES; parts++) {
		at += pack_part(&list[at], PART_FILES - at);
		ends[at] = true;
	}
	assert_in_range(parts, 15, 80);
	/* One file grows: the ends after it are soon the same again. */
	files[1000].len = 5000;
	for (size_t at = 0; at < PART_FILES;) {
		at += pack_part(&list[at], PART_FILES - at);
		moved += !ends[at];
	}
	assert_in_range(moved, 0, 3);
}

static void
parts_have_a_largest_size(void **state)
{
	static char name[] = "f.rego";
	struct bundle_file file = { .path = name, .len = PACK_PART_MAX / 4 };
	struct bundle_file large = { .path = name, .len = 64 << 20 };
	const struct bundle_file *list[] = { &file, &file, &file, &file, &file,
		&large, &file };

	(void)state;
	assert_in_range(pack_part(list, 7), 1, 4);
	assert_int_equal(pack_part(&list[5], 2), 1);
	assert_int_equal(pack_part(&list[6], 1), 1);
	assert_int_equal(pack_part(list, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(warm_is_as_cold),
		cmocka_unit_test(small_caches_are_as_none),
		cmocka_unit_test(threads_change_nothing),
		cmocka_unit_test(the_first_fault_is_told),
		cmocka_unit_test(bundles_outlive_their_cache),
		cmocka_unit_test(known_blobs_are_checked_where_they_are),
		cmocka_unit_test(refused_as_without_a_cache),
		cmocka_unit_test(keys_deep_in_data_count),
		cmocka_unit_test(data_has_its_memory),
		cmocka_unit_test(parts_of_other_makers_are_not_used),
		cmocka_unit_test(parts_end_where_names_say),
		cmocka_unit_test(parts_have_a_largest_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
