#include <string.h>

#include "bundler/delta.h"
#include "bundler/inspect.h"
#include "core/mem.h"
#include "fixture.h"

/* What is said of two trees: one line for each entry, in the order of the
 * answer. "+" added, "-" removed, "~" changed. */
static const struct scene {
	const char *name;
	const char *from[2 * FIXTURE_FILES];
	const char *to[2 * FIXTURE_FILES];
	const char *says;
} scenes[] = {
	{ "nothing", { "a/a.rego", "package a\np := 1" },
	    { "a/a.rego", "package a\np := 1" }, "same\n" },
	{ "layout alone", { "a/a.rego", "package a\np := 1 if { q; r }" },
	    { "a/a.rego", "package a\n# why\np := 1 if {\n\tq\n\tr\n}" },
	    "~ file a/a.rego\n" },
	{ "rules of one package",
	    { "a/a.rego",
		"package a\np := 1\nq if p == 1\nr contains 1\ns := 1" },
	    { "a/a.rego",
		"package a\np := 2\nq if p == 1\nf(x) := x\nr contains 2\n"
		"r contains 1" },
	    "~ file a/a.rego\n"
	    "+ rule data.a f function - a/a.rego:4\n"
	    "~ rule data.a p value a/a.rego:2 a/a.rego:2\n"
	    "~ rule data.a r set a/a.rego:4 a/a.rego:5\n"
	    "- rule data.a s value a/a.rego:5 -\n" },
	{ "default, else and order count as one rule",
	    { "a/a.rego",
		"package a\ndefault p := 0\np := 1 if q\np := 2 if r else := "
		"3" },
	    { "a/a.rego",
		"package a\np := 2 if r else := 4\np := 1 if q\ndefault p := "
		"0" },
	    "~ file a/a.rego\n~ rule data.a p value a/a.rego:4 a/a.rego:2\n" },
	{ "a rule that moved",
	    { "a/a.rego", "package a\np := 1\nq := 1", "a/b.rego",
		"package a\nr := 1" },
	    { "a/a.rego", "package a\nq := 1", "a/b.rego",
		"package a\nr := 1\np := 1" },
	    "~ file a/a.rego\n~ file a/b.rego\n" },
	{ "packages", { "a/a.rego", "package a\nimport data.x\np := 1" },
	    { "b/b.rego", "package b\nimport data.x\np := 1" },
	    "- manifest roots a -\n+ manifest roots - b\n"
	    "- file a/a.rego\n+ file b/b.rego\n"
	    "- package data.a\n+ package data.b\n"
	    "- rule data.a p value a/a.rego:3 -\n"
	    "+ rule data.b p value - b/b.rego:3\n" },
	{ "imports", { "a/a.rego", "package a\nimport data.x\np := 1" },
	    { "a/a.rego", "package a\nimport data.y as x\np := 1" },
	    "~ file a/a.rego\n"
	    "- rule data.a data.x import a/a.rego:2 -\n"
	    "+ rule data.a data.y as x import - a/a.rego:2\n" },
	{ "data",
	    { "r/data.json",
		"{\"a\":1,\"b\":[1,2],\"c\":{\"d\":true},\"x y\":\"q\"}" },
	    { "r/data.json",
		"{\"a\":\"1\",\"b\":[0,1,2],\"c\":{},\"e\":{\"f\":null},"
		"\"x y\":\"r\"}" },
	    "~ file r/data.json\n"
	    "~ data data.r.a 1 \"1\"\n"
	    "+ data data.r.b[0] - 0\n"
	    "- data data.r.c.d true -\n"
	    "+ data data.r.e - {\"f\":null}\n"
	    "~ data data.r[\"x y\"] \"q\" \"r\"\n" },
	{ "data that moved to another file",
	    { "r/data.json", "{\"a\":{\"b\":1},\"c\":2}", "r/z/data.json",
		"{\"y\":1}" },
	    { "r/a/data.yaml", "b: 1", "r/data.json", "{\"c\":2}",
		"r/z/data.json", "{\"y\":1}" },
	    "+ file r/a/data.json\n~ file r/data.json\n" },
	{ "data beside what stayed",
	    { "data.json", "{\"a\":{\"y\":2}}", "a/b/data.json", "{\"x\":1}" },
	    { "data.json", "{\"c\":1}", "a/b/data.json", "{\"x\":1}" },
	    "- manifest roots a -\n+ manifest roots - a/b\n"
	    "+ manifest roots - c\n"
	    "~ file data.json\n- data data.a.y 2 -\n+ data data.c - 1\n" },
	{ "a value becomes an object", { "r/data.json", "{\"a\":1}" },
	    { "r/data.json", "{\"a\":{\"b\":1}}" },
	    "~ file r/data.json\n~ data data.r.a 1 {\"b\":1}\n" },
	{ "arrays in the middle",
	    { "r/data.json", "{\"a\":[1,2,3,{\"k\":1},5]}" },
	    { "r/data.json", "{\"a\":[1,3,{\"k\":2},5]}" },
	    "~ file r/data.json\n"
	    "~ data data.r.a[1] 2 3\n~ data data.r.a[2] 3 {\"k\":2}\n"
	    "- data data.r.a[3] {\"k\":1} -\n" },
	{ "the manifest",
	    { ".manifest", "{\"roots\":[\"a\"],\"metadata\":{\"owner\":\"x\"}}",
		"a/a.rego", "package a\np := 1" },
	    { ".manifest",
		"{\"roots\":[\"a\"],\"rego_version\":1,\"metadata\":{"
		"\"owner\":\"y\",\"tier\":1}}",
		"a/a.rego", "package a\np := 1" },
	    "~ manifest metadata.owner \"x\" \"y\"\n"
	    "+ manifest metadata.tier - 1\n" },
	{ "the old syntax",
	    { ".manifest", "{\"rego_version\":0}", "a/a.rego",
		"package a\np { q }\ncontains = 1" },
	    { ".manifest", "{\"rego_version\":0}", "a/a.rego",
		"package a\np { q } { r }\ncontains = 1" },
	    "~ file a/a.rego\n~ rule data.a p value a/a.rego:2 a/a.rego:2\n" },
	{ "what is no module inside", { "a/a.rego", "package a\np := (" },
	    { "a/a.rego", "package a\np := 1" },
	    "~ file a/a.rego\n"
	    "+ rule data.a p value - a/a.rego:2\n"
	    "? from a/a.rego:2: a bracket is not closed\n" },
};

static const char *
text_at(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text != NULL ? text : "-";
}

static char
sign_of(const json_t *item)
{
	switch (text_at(item, "change")[0]) {
	case 'a':
		return '+';
	case 'r':
		return '-';
	default:
		return '~';
	}
}

static void
write_place(struct buf *out, const json_t *item, const char *side)
{
	const json_t *p = json_object_get(item, side);

	if (!json_is_object(p))
		buf_add_str(out, " -");
	else
		buf_printf(out, " %s:%d", text_at(p, "file"),
		    (int)json_integer_value(json_object_get(p, "line")));
}

static void
write_list(struct buf *out, const json_t *delta, const char *key,
    const char *word)
{
	const json_t *list =
	    json_object_get(json_object_get(delta, key), "items");
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		buf_printf(out, "%c %s ", sign_of(item), word);
		if (strcmp(word, "file") == 0) {
			buf_add_str(out, text_at(item, "path"));
		} else if (strcmp(word, "package") == 0) {
			buf_add_str(out, text_at(item, "package"));
		} else if (strcmp(word, "rule") == 0) {
			buf_printf(out, "%s %s %s", text_at(item, "package"),
			    text_at(item, "name"), text_at(item, "kind"));
			write_place(out, item, "from");
			write_place(out, item, "to");
		} else {
			buf_printf(out, "%s %s %s", text_at(item, "path"),
			    text_at(item, "from"), text_at(item, "to"));
		}
		buf_add_char(out, '\n');
	}
}

static void
describe(struct buf *out, const json_t *delta)
{
	const json_t *item;
	size_t i;

	write_list(out, delta, "manifest", "manifest");
	write_list(out, delta, "files", "file");
	write_list(out, delta, "packages", "package");
	write_list(out, delta, "rules", "rule");
	write_list(out, delta, "data", "data");
	json_array_foreach(json_object_get(delta, "unread"), i, item)
		buf_printf(out, "? %s %s\n", text_at(item, "side"),
		    text_at(item, "message"));
	if (json_is_true(json_object_get(delta, "same")))
		buf_add_str(out, "same\n");
}

static json_t *
compare_trees(const char *const *from, const char *const *to)
{
	struct tree *trees[2] = { fixture_commit(from), fixture_commit(to) };
	struct bundle *bundles[2];
	struct bundle_archive views[2];
	struct err e = { 0 };
	json_t *delta = NULL;

	for (int i = 0; i < 2; i++) {
		char content[DIGEST_HEX_SIZE];

		bundles[i] = fixture_bundle(trees[i], &fixture_all);
		views[i] = delta_view(bundles[i]);
		if (delta_content(content, &views[i], &e) != ERR_OK)
			fail_msg("%s", e.text);
		assert_string_equal(content, bundles[i]->content);
	}
	if (delta_make(&delta, &views[0], &views[1], DELTA_VALUES_MAX, &e) !=
	    ERR_OK)
		fail_msg("%s", e.text);
	for (int i = 0; i < 2; i++) {
		bundle_free(bundles[i]);
		tree_free(trees[i]);
	}
	return delta;
}

static void
says_what_differs(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
		json_t *delta = compare_trees(scenes[i].from, scenes[i].to);
		AUTO_BUF got = { 0 };

		buf_init(&got, 65536);
		describe(&got, delta);
		json_decref(delta);
		if (strcmp(got.data, scenes[i].says) != 0)
			fail_msg("%s: got\n%s\nwanted\n%s", scenes[i].name,
			    got.data, scenes[i].says);
	}
}

static json_t *
compare_data(const char *from, const char *to)
{
	const char *const a[] = { "r/data.json", from, NULL };
	const char *const b[] = { "r/data.json", to, NULL };

	return compare_trees(a, b);
}

static void
long_lists_are_counted(void **state)
{
	AUTO_BUF text = { 0 };
	json_t *delta;
	const json_t *data;

	(void)state;
	buf_init(&text, 1 << 20);
	for (int i = 0; i < DELTA_LIST_MAX + 5; i++)
		buf_printf(&text, "%s\"k%d\":%d", i == 0 ? "{" : ",", i, i);
	buf_add_str(&text, "}");
	delta = compare_data("{}", text.data);
	data = json_object_get(delta, "data");
	assert_int_equal(json_array_size(json_object_get(data, "items")),
	    DELTA_LIST_MAX);
	assert_int_equal(json_integer_value(json_object_get(data, "added")),
	    DELTA_LIST_MAX + 5);
	assert_int_equal(json_integer_value(json_object_get(data, "more")), 5);
	json_decref(delta);
}

static void
long_values_are_cut(void **state)
{
	AUTO_BUF text = { 0 };
	json_t *delta;
	const json_t *item;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_add_str(&text, "{\"k\":[");
	for (int i = 0; i < 1000; i++)
		buf_printf(&text, "\"%0100d\",", i);
	buf_add_str(&text, "1]}");
	delta = compare_data("{\"k\":1}", text.data);
	item = json_array_get(json_object_get(json_object_get(delta, "data"),
				  "items"),
	    0);
	assert_true(strlen(text_at(item, "to")) < 2 * DELTA_VALUE_MAX);
	assert_non_null(strstr(text_at(item, "to"), "…"));
	json_decref(delta);
}

/* The object with its key and one value, and that with an array and its three
 * items, of which one looks like more: so many, and not one more. A file that
 * is the same counts nothing. */
static void
values_are_counted_before(void **state)
{
	enum { VALUES = 3 + 6 };
	static const char *const from_files[] = { "a/data.json", "{\"k\":1}",
		"b/data.json", "[1,2,3,4,5,6,7,8,9]", NULL };
	static const char *const to_files[] = { "a/data.json",
		"{\"k\":[0,\"a,b:[{\\\\\\\"\",0]}", "b/data.json",
		"[1,2,3,4,5,6,7,8,9]", NULL };
	AUTO(tree, from_tree) = fixture_commit(from_files);
	AUTO(tree, to_tree) = fixture_commit(to_files);
	AUTO(bundle, from) = fixture_bundle(from_tree, &fixture_all);
	AUTO(bundle, to) = fixture_bundle(to_tree, &fixture_all);
	struct bundle_archive views[2] = { delta_view(from), delta_view(to) };
	json_t *delta = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(delta_make(&delta, &views[0], &views[1], VALUES, &e),
	    ERR_OK);
	json_decref(STEAL(delta));
	assert_int_equal(delta_make(&delta, &views[0], &views[1], VALUES - 1,
			     &e),
	    ERR_LIMIT);
	assert_non_null(strstr(e.text, "a/data.json: "));
	assert_non_null(strstr(e.text, "more than 8 values"));
	assert_null(delta);
}

/* Deep, and a thousand files in a thousand folders: no deeper than the readers
 * allow, and not slow. */
static void
goes_deep(void **state)
{
	enum { DEPTH = 990 };
	AUTO_BUF a = { 0 };
	AUTO_BUF b = { 0 };
	json_t *delta;

	(void)state;
	buf_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	for (int i = 0; i < DEPTH; i++) {
		buf_add_str(&a, "{\"k\":");
		buf_add_str(&b, "{\"k\":");
	}
	buf_add_str(&a, "1");
	buf_add_str(&b, "2");
	for (int i = 0; i < DEPTH; i++) {
		buf_add_str(&a, "}");
		buf_add_str(&b, "}");
	}
	delta = compare_data(a.data, b.data);
	assert_int_equal(json_integer_value(json_object_get(
			     json_object_get(delta, "data"), "changed")),
	    1);
	json_decref(delta);
}

/* What a bundle says of itself, and whether it holds together. */
static void
inspects(void **state)
{
	const char *const files[] = { "a/a.rego", "package a\np := 1",
		"r/s/data.json", "{\"x\":1}", NULL };
	struct tree *t = fixture_commit(files);
	struct bundle *b = fixture_bundle(t, &fixture_all);
	struct bundle_archive view = delta_view(b);
	struct inspect_origin origin;
	char *narrow[] = { NULL };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(inspect_origin_read(&origin, &view, &e), ERR_OK);
	assert_string_equal(origin.bundle, "main");
	assert_string_equal(origin.commit, b->revision);
	assert_int_equal(origin.format, BUNDLE_FORMAT);
	inspect_origin_clear(&origin);
	assert_int_equal(inspect_layout(&view, &e), ERR_OK);
	narrow[0] = mem_strdup("a");
	view.roots = narrow;
	view.root_count = 1;
	assert_int_equal(inspect_layout(&view, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "r/s/data.json"));
	mem_free(narrow[0]);
	bundle_free(b);
	tree_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_differs),
		cmocka_unit_test(long_lists_are_counted),
		cmocka_unit_test(long_values_are_cut),
		cmocka_unit_test(values_are_counted_before),
		cmocka_unit_test(goes_deep),
		cmocka_unit_test(inspects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
