/* The rules of docs/fidelity.md, one by one: the engine takes it, we refuse
 * it, and say why in the words of that page. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "rules.h"
#include "tests/unit/bundler/fixture.h"

enum { TEXT_MAX = 1 << 20, RULES_MAX = 64 };

static const struct stricter {
	struct fixture_tree tree;
	const char *error; /* how it begins, behind "bundle main: " */
} stricter[] = {
	{ { "key twice", { "x/data.json", "{\"a\":1,\n\"a\":2}" } },
	    "x/data.json:2:1: the key \"a\" stands twice in one object" },
	{ { "half a pair", { "x/data.json", "{\"a\":\"\\ud800\"}" } },
	    "x/data.json:1:7: half of a surrogate pair stands alone" },
	{ { "bad UTF-8", { "x/data.json", "{\"a\":\"\xff\"}" } },
	    "x/data.json:1:7: not valid UTF-8" },
	{ { "BOM in YAML", { "x/data.yaml", "a: 1\nb: x\xef\xbb\xbfx\n" } },
	    "x/data.yaml:2:5: a byte order mark" },
	{ { "backspace", { "x/data.json", "{\"a\":\n[\"\\b\"]}" } },
	    "x/data.json:2:2: a backspace or a form feed" },
	{ { "form feed in a key", { "x/data.json", "{\"\\u000C\":1}" } },
	    "x/data.json:1:2: a backspace or a form feed" },
	{ { "backspace in YAML", { "x/data.yaml", "a: \"\\b\"\n" } },
	    "x/data.yaml:1:4: a backspace or a form feed" },
	{ { "form feed in binary", { "x/data.yaml", "a: !!binary DA==\n" } },
	    "x/data.yaml:1:4: a backspace or a form feed" },
	{ { "metadata",
	      { ".manifest", "{\"metadata\":{\"a\":\"\\f\"}}", "x/data.json",
		  "{\"a\":1}" } },
	    ".manifest:1:18: a backspace or a form feed" },
	{ { "null behind the end", { "x/data.json", "{\"a\":1}\nnull\n" } },
	    "x/data.json:2:1: the end of the text was expected" },
	{ { "binary key", { "x/data.yaml", "!!binary aGk=: 1\n" } },
	    "x/data.yaml:1:1: a key cannot be !!binary" },
	{ { "NaN as a key", { "x/data.yaml", ".nan: 1\n" } },
	    "x/data.yaml:1:1: this number would not survive as a key" },
	{ { "large number",
	      { "x/data.yaml", "a: 1\nb: 99999999999999999999\n" } },
	    "x/data.yaml:2:4: the number \"99999999999999999999\" does not fit: "
	    "integers have 64 bits" },
	{ { "odd tag", { "x/data.yaml", "!![][]" } },
	    "x/data.yaml:1:3: did not find expected tag URI" },
	{ { "bracket in a tag", { "x/data.yaml", "!!n]ull ~\n" } },
	    "x/data.yaml:1:4: did not find expected whitespace or line break" },
	{ { "comma behind a tag", { "x/data.yaml", "[!!str, yes]\n" } },
	    "x/data.yaml:1:2: OPA does not take a comma right behind a tag" },
	{ { "colon at the end of a name",
	      { "x/data.yaml", "a: {b:, c: 1}\n" } },
	    "x/data.yaml:1:6: found unexpected ':'" },
	{ { "escaped quote", { "x/data.yaml", "a: \"it\\'s\"\n" } },
	    "x/data.yaml:1:7: found unknown escape character" },
	{ { "timestamp", { "x/data.yaml", "a: [!!timestamp 2020-01-02]\n" } },
	    "x/data.yaml:1:5: !!timestamp is not supported" },
	{ { "infinity that is replaced",
	      { "x/data.yaml", "b: &b {k: 1}\na: {k: .inf, <<: *b}\n" } },
	    "x/data.yaml:2:8: JSON has no infinity and no NaN" },
	{ { "null", { "x/data.json", "null" } },
	    "x/data.json: nothing but null" },
	{ { "a field nobody knows",
	      { ".manifest", "{\"root\":[\"x\"]}", "x/data.json",
		  "{\"a\":1}" } },
	    ".manifest:1: unknown field \"root\"" },
	{ { "a field twice",
	      { ".manifest", "{\"roots\":[\"x\"],\"Roots\":[\"x\"]}",
		  "x/data.json", "{\"a\":1}" } },
	    ".manifest:1: \"Roots\" is given twice" },
	{ { "our metadata",
	      { ".manifest", "{\"metadata\":{\"edict\":{}}}", "x/data.json",
		  "{\"a\":1}" } },
	    ".manifest:1: metadata: the key \"edict\" is kept" },
	{ { "a version below",
	      { ".manifest", "{\"rego_version\":-1}", "x/data.json",
		  "{\"a\":1}" } },
	    ".manifest:1: rego_version has to be 0 or 1" },
	{ { "a pattern",
	      { ".manifest", "{\"file_rego_versions\":{\"/x/{a,b}.rego\":1}}",
		  "x/data.json", "{\"a\":1}" } },
	    ".manifest:1: file_rego_versions: \"/x/{a,b}.rego\": only * and ? are understood" },
	{ { "a NUL",
	      { ".manifest", "{\"revision\":\"a\\u0000\"}", "x/data.json",
		  "{\"a\":1}" } },
	    ".manifest:1: revision holds a NUL" },
	{ { "an odd root",
	      { ".manifest", "{\"roots\":[\"x\",\"a b\"]}", "x/data.json",
		  "{\"a\":1}" } },
	    ".manifest:1: root \"a b\": \"a b\" holds characters that engines read differently" },
	{ { "an empty part",
	      { ".manifest", "{\"roots\":[\"x\",\"a//b\"]}", "x/data.json",
		  "{\"a\":1}" } },
	    ".manifest:1: root \"a//b\": an empty part between slashes" },
	{ { "empty object outside",
	      { ".manifest", "{\"roots\":[\"a/b\"]}", "a/c/data.json", "{}",
		  "a/b/data.json", "{\"k\":1}" } },
	    "a/c/data.json:1: data.a.c lies outside the roots [a/b]" },
};

static bool shown[RULES_MAX];

static bool
any(void *arg, const struct tree_entry *entry)
{
	(void)arg;
	(void)entry;
	return true;
}

static void
engine_takes(const struct tree *t, const char *name)
{
	char *folder = fixture_folder();
	struct buf out = { 0 };
	struct err e;

	if (tree_write(t, folder, any, NULL, &e) != ERR_OK)
		fail_msg("%s", e.text);
	if (fixture_run(&out, "cd %s && %s eval -f raw -b . data", folder,
		fixture_opa()) != 0)
		fail_msg("%s: the engine refuses it too: %s", name, out.data);
	buf_clear(&out);
	fixture_folder_end(folder);
}

static void
refuse(const struct tree *t, const char *name, const char *begins)
{
	static const char where[] = "bundle main: ";
	struct bundle *b = NULL;
	struct err e = { 0 };
	enum err_code code = bundle_plan(&b, t, &fixture_all, &e);

	bundle_free(b);
	if (code == ERR_OK || strncmp(e.text, where, sizeof where - 1) != 0 ||
	    strncmp(e.text + sizeof where - 1, begins, strlen(begins)) != 0)
		fail_msg("%s: wanted \"%s\", got \"%s\"", name, begins, e.text);
	if (rule_of(e.text) == rule_count())
		fail_msg("%s: no rule: %s", name, e.text);
	shown[rule_of(e.text)] = true;
}

static void
rules_are_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof stricter / sizeof *stricter; i++) {
		AUTO(tree, t) = fixture_tree(stricter[i].tree.files);

		refuse(t, stricter[i].tree.name, stricter[i].error);
		engine_takes(t, stricter[i].tree.name);
	}
}

/* Too long to stand in a table. */
static void
check_long(const char *path, const char *begin, const char *part, size_t times,
    const char *end, const char *error)
{
	AUTO_BUF text = { 0 };
	AUTO(tree, t) = NULL;
	struct tree_file file = { .path = path };
	struct err e;

	buf_init(&text, TEXT_MAX);
	buf_add_str(&text, begin);
	for (size_t i = 0; i < times; i++)
		buf_add_str(&text, part);
	buf_add_str(&text, end);
	for (size_t i = 0; i < times; i++)
		buf_add_str(&text, *part == '[' ? "]" : "");
	file.data = text.data;
	file.len = text.len;
	if (tree_from_memory(&t, &file, 1, NULL, &e) != ERR_OK)
		fail_msg("%s", e.text);
	refuse(t, path, error);
	engine_takes(t, path);
}

static void
limits_are_as_written(void **state)
{
	(void)state;
	check_long("x/data.json", "", "[", 1001, "1",
	    "x/data.json:1:1001: nested deeper than 1000");
	check_long("x/data.yaml", "a: ", "[", 200, "x",
	    "x/data.yaml:1:203: nested deeper than 200");
	check_long("x/data.json", "", "1", 4097, "",
	    "x/data.json:1:1: a number longer than 4096 bytes");
}

static void
page_and_list_agree(void **state)
{
	AUTO_BUF text = { 0 };
	struct err e;

	(void)state;
	buf_init(&text, TEXT_MAX);
	if (file_read(&text, "docs/fidelity.md", &e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_true(rule_count() <= RULES_MAX);
	for (size_t i = 0; i < rule_count(); i++) {
		if (strstr(text.data, rule_words(i)) == NULL)
			fail_msg("docs/fidelity.md lacks: %s", rule_words(i));
		if (!shown[i])
			fail_msg("no example above of: %s", rule_words(i));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_are_as_written),
		cmocka_unit_test(limits_are_as_written),
		cmocka_unit_test(page_and_list_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
