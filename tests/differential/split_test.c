/* Modules cut into rules by us, and read by the engine's parser: the same
 * names, the same lines and extents, and for two versions of a module the same
 * answer to what has changed. EDICT_SEED and EDICT_CASES choose others and
 * more. */

#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundler/rule.h"
#include "core/base64.h"
#include "core/file.h"
#include "core/mem.h"
#include "make_rego.h"
#include "tests/unit/bundler/fixture.h"

enum {
	PAIRS = 200,  /* of modules, by default */
	PARSED = 25,  /* modules whose places are compared */
	CHANGED = 30, /* percent of rules that are made anew */
	NAMES_MAX = 4 << 20,
	TEXT_MAX = 1 << 20
};

static uint64_t
number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- the engine's words ---- */

/* p, a.b["c"] as rule.h names it, of a head of the syntax tree. */
static char *
name_of(const json_t *rule)
{
	const json_t *ref =
	    json_object_get(json_object_get(rule, "head"), "ref");
	AUTO_BUF text = { 0 };
	const json_t *part;
	size_t i;

	buf_init(&text, RULE_NAME_MAX);
	json_array_foreach(ref, i, part) {
		const char *type =
		    json_string_value(json_object_get(part, "type"));
		const char *value =
		    json_string_value(json_object_get(part, "value"));

		if (i == 0) {
			buf_add_str(&text, value);
		} else if (strcmp(type, "string") != 0) {
			break;
		} else if (value[0] != '\0' &&
		    strspn(value, "abcdefghijklmnopqrstuvwxyz_") ==
			strlen(value)) {
			buf_printf(&text, ".%s", value);
		} else {
			json_t *s = json_string(value);
			char *quoted = json_dumps(s, JSON_ENCODE_ANY);

			buf_printf(&text, "[%s]", quoted);
			free(quoted);
			json_decref(s);
		}
	}
	return buf_steal(&text, &(size_t){ 0 });
}

/* ---- what has changed ---- */

/* Everything that a module says of one name, by us and by the engine. */
static char *
ours_of(const struct rule_list *l, const char *name)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, NAMES_MAX);
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->items[i].name, name) == 0)
			buf_add_str(&text, l->items[i].hash);
	return buf_steal(&text, &(size_t){ 0 });
}

static char *
theirs_of(const json_t *module, const char *name)
{
	AUTO_BUF text = { 0 };
	json_t *rule;
	size_t i;

	buf_init(&text, NAMES_MAX);
	json_array_foreach(json_object_get(module, "rules"), i, rule) {
		AUTO_STR found = name_of(rule);
		char *dump;

		if (strcmp(found, name) != 0)
			continue;
		dump = json_dumps(rule, JSON_COMPACT | JSON_SORT_KEYS);
		buf_add_str(&text, dump);
		free(dump);
	}
	return buf_steal(&text, &(size_t){ 0 });
}

struct tally {
	size_t refused, modules, rules, changed, unchanged;
};

static void
read_ours(struct rule_list *out, const char *text)
{
	struct err e = { 0 };

	if (rule_read(out, "x.rego", text, strlen(text), 1, &e) != ERR_OK)
		fail_msg("%s\n%s", e.text, text);
}

static void
compare_names(const struct rule_list *l, const json_t *module, const char *text)
{
	const json_t *rules = json_object_get(module, "rules");

	if (json_array_size(rules) != l->count)
		fail_msg("%zu rules, and the engine has %zu:\n%s", l->count,
		    json_array_size(rules), text);
	for (size_t i = 0; i < l->count; i++) {
		AUTO_STR name = name_of(json_array_get(rules, i));

		if (strcmp(name, l->items[i].name) != 0)
			fail_msg("rule %zu is %s, and to the engine %s:\n%s", i,
			    l->items[i].name, name, text);
	}
}

/* What we take for the rule. */
static void
show(const char *name, const struct rule_list *l, const char *text)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->items[i].name, name) == 0)
			(void)printf("%.*s\n", (int)l->items[i].len,
			    text + l->items[i].start);
	(void)printf("----\n");
}

static void
compare_pair(struct tally *t, const char *const texts[2],
    const json_t *const modules[2])
{
	struct rule_list l[2] = { 0 };

	if (!json_is_object(modules[0]) || !json_is_object(modules[1])) {
		t->refused++;
		return;
	}
	for (int i = 0; i < 2; i++) {
		read_ours(&l[i], texts[i]);
		compare_names(&l[i], modules[i], texts[i]);
	}
	for (size_t i = 0; i < l[0].count; i++) {
		const char *name = l[0].items[i].name;
		AUTO_STR ours_a = ours_of(&l[0], name);
		AUTO_STR ours_b = ours_of(&l[1], name);
		AUTO_STR theirs_a = theirs_of(modules[0], name);
		AUTO_STR theirs_b = theirs_of(modules[1], name);
		bool ours = strcmp(ours_a, ours_b) == 0;
		bool theirs = strcmp(theirs_a, theirs_b) == 0;

		if (ours != theirs) {
			show(name, &l[0], texts[0]);
			show(name, &l[1], texts[1]);
			fail_msg("%s %s, and to the engine not", name,
			    ours ? "is the same" : "has changed");
		}
		t->changed += ours ? 0 : 1;
		t->unchanged += ours ? 1 : 0;
	}
	t->modules += 2;
	t->rules += l[0].count + l[1].count;
	rule_list_clear(&l[0]);
	rule_list_clear(&l[1]);
}

/* The second of a pair: other layout, some rules made anew. */
static void
make_pair(struct buf out[2], uint64_t seed, uint64_t number)
{
	struct dice chance = dice_for(seed, 1000000 + number);

	for (uint64_t which = 0; which < 2; which++) {
		struct dice layout = dice_for(seed, 4 * number + which);
		struct dice content[MAKE_REGO_RULES];

		for (uint64_t i = 0; i < MAKE_REGO_RULES; i++) {
			uint64_t row = 100 * number + i;

			if (which == 1 && dice_often(&chance, CHANGED))
				row += 100000000;
			content[i] = dice_for(seed + 1, row);
		}
		make_rego(&out[which], content, &layout);
	}
}

static json_t *
parse_all(const char *folder, json_t *texts)
{
	AUTO_STR in = mem_printf("%s/input.json", folder);
	AUTO_STR answer = mem_printf("%s/answer.json", folder);
	AUTO_BUF out = { 0 };
	json_t *j;

	buf_init(&out, FIXTURE_OUT_MAX);
	assert_int_equal(json_dump_file(texts, in, 0), 0);
	if (fixture_run(&out,
		"'%s' eval -i '%s' -f raw '{sprintf(\"%%d\", [i]): m | "
		"some i, t in input; m := rego.parse_module(\"x.rego\", t)}' "
		"> '%s'",
		fixture_opa(), in, answer) != 0)
		fail_msg("%s", out.data);
	j = json_load_file(answer, 0, NULL);
	assert_non_null(j);
	return j;
}

static void
changes_are_the_engines(void **state)
{
	uint64_t seed = number_from("EDICT_SEED", 20261123);
	uint64_t pairs = number_from("EDICT_CASES", PAIRS);
	char *folder = fixture_folder();
	json_t *texts = json_array();
	struct tally t = { 0 };
	json_t *parsed;

	(void)state;
	for (uint64_t n = 0; n < pairs; n++) {
		struct buf pair[2];

		for (int i = 0; i < 2; i++)
			buf_init(&pair[i], TEXT_MAX);
		make_pair(pair, seed, n);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(json_array_append_new(texts,
					     json_stringn(pair[i].data,
						 pair[i].len)),
			    0);
			buf_clear(&pair[i]);
		}
	}
	parsed = parse_all(folder, texts);
	for (uint64_t n = 0; n < pairs; n++) {
		const char *both[2];
		const json_t *modules[2];

		for (uint64_t i = 0; i < 2; i++) {
			AUTO_STR key =
			    mem_printf("%llu", (unsigned long long)(2 * n + i));

			both[i] = json_string_value(json_array_get(texts,
			    (size_t)(2 * n + i)));
			modules[i] = json_object_get(parsed, key);
		}
		compare_pair(&t, both, modules);
	}
	printf("seed %llu: %zu modules, %zu rules, %zu names changed, %zu "
	       "not; %zu pairs refused\n",
	    (unsigned long long)seed, t.modules, t.rules, t.changed,
	    t.unchanged, t.refused);
	assert_true(t.changed > pairs && t.unchanged > pairs);
	/* Not all that is made up is Rego. */
	assert_true(t.refused * 5 < pairs);
	json_decref(parsed);
	json_decref(texts);
	fixture_folder_end(folder);
}

/* ---- places ---- */

static json_t *
parse_file(const char *path, const char *flags)
{
	AUTO_BUF out = { 0 };
	json_t *j;

	buf_init(&out, FIXTURE_OUT_MAX);
	if (fixture_run(&out,
		"'%s' parse %s --format json --json-include "
		"locations,-comments '%s'",
		fixture_opa(), flags, path) != 0)
		return NULL;
	j = json_loadb(out.data, out.len, 0, NULL);
	assert_non_null(j);
	return j;
}

/* Line and text of each; of rules with several bodies the engine makes several,
 * the later ones begin inside ours. */
static void
compare_places(const struct rule_list *l, const char *text,
    const json_t *module, const char *path)
{
	const json_t *rule;
	size_t at = 0;
	size_t i;

	json_array_foreach(json_object_get(module, "rules"), i, rule) {
		const json_t *place = json_object_get(rule, "location");
		const char *coded =
		    json_string_value(json_object_get(place, "text"));
		json_int_t row =
		    json_integer_value(json_object_get(place, "row"));
		AUTO_BUF plain = { 0 };
		AUTO_STR name = name_of(rule);
		size_t len;

		buf_init(&plain, TEXT_MAX);
		assert_true(base64_read(buf_reserve(&plain, strlen(coded)),
		    &len, coded, strlen(coded)));
		buf_commit(&plain, len);
		while (at < l->count && l->items[at].kind == RULE_IMPORT)
			at++;
		if (plain.data[0] == '{') {
			assert_true(at > 0);
			assert_string_equal(l->items[at - 1].name, name);
			continue;
		}
		assert_true(at < l->count);
		if (l->items[at].line != row ||
		    strcmp(l->items[at].name, name) != 0 ||
		    l->items[at].len < plain.len ||
		    memcmp(text + l->items[at].start, plain.data, plain.len) !=
			0)
			fail_msg("%s: %s at %u, and to the engine %s at %lld",
			    path, l->items[at].name, l->items[at].line, name,
			    (long long)row);
		at++;
	}
	while (at < l->count && l->items[at].kind == RULE_IMPORT)
		at++;
	assert_int_equal(at, l->count);
}

/* False: the engine refuses it. */
static bool
compare_file(const char *path, int version)
{
	AUTO_BUF text = { 0 };
	struct rule_list l = { 0 };
	struct err e = { 0 };
	json_t *module;

	buf_init(&text, TEXT_MAX);
	assert_int_equal(file_read(&text, path, &e), ERR_OK);
	if (rule_read(&l, path, text.data, text.len, version, &e) != ERR_OK)
		fail_msg("%s", e.text);
	module = parse_file(path, version == 0 ? "--v0-compatible" : "");
	if (module != NULL)
		compare_places(&l, text.data, module, path);
	rule_list_clear(&l);
	if (module == NULL)
		return false;
	json_decref(module);
	return true;
}

static void
places_are_the_engines(void **state)
{
	uint64_t seed = number_from("EDICT_SEED", 20261123);
	char *folder = fixture_folder();
	AUTO_STR path = mem_printf("%s/x.rego", folder);
	size_t taken = 0;

	(void)state;
	for (uint64_t n = 0; n < PARSED; n++) {
		struct buf pair[2];

		for (int i = 0; i < 2; i++)
			buf_init(&pair[i], TEXT_MAX);
		make_pair(pair, seed, n);
		fixture_write(folder, "x.rego", pair[1].data, pair[1].len);
		taken += compare_file(path, 1) ? 1 : 0;
		for (int i = 0; i < 2; i++)
			buf_clear(&pair[i]);
	}
	assert_true(taken * 5 > PARSED * 4);
	fixture_folder_end(folder);
}

static void
examples_are_the_engines(void **state)
{
	glob_t found;

	(void)state;
	assert_int_equal(glob("examples/policies/*/*.rego", 0, NULL, &found),
	    0);
	assert_true(found.gl_pathc > 5);
	for (size_t i = 0; i < found.gl_pathc; i++)
		assert_true(compare_file(found.gl_pathv[i], 1));
	globfree(&found);
}

/* Written before 1.0, or with what such modules import. */
static const char *const olds[] = {
	"package a\np { q }\nr = 1 { s } else = 2 { t } else = 3 { u }\n",
	"package a\np[x] { x = 1 } { x = 2 }\n{ x = 3 }\nq[x] = y { z[x] = y "
	"}\n",
	"package a\np { q }\ncontains(x) { y[x] }\nif { z }\nin = 1 { true }\n"
	"every = 2 { true }\np { contains(1) }\n",
	"package a\nimport future.keywords\np contains x if x := 1\nq if "
	"every y in [1] { y }\n",
	"package a\nimport future.keywords.every\np = x { every a in b { c } }"
	"\nif { 1 in [1] }\n",
	"package a\nimport future.keywords.if\nimport future.keywords.contains"
	"\np contains 1\nin = 1 { true }\nq if { 1 }\n",
	"package a\nimport rego.v1\np if q\nr contains 1 if { 2 }\n",
	"package a\nimport data.b.c as d\nimport input.e\np { d.x } q { e }\n",
	"package a\np = 1 { true } q = 2 { true }\ndefault r = 3\ns(x) = x { "
	"true } { false }\n",
	"package a\np [x] { x = 1 }\nq (x) = y { y = x }\n",
	"package a\np.q.r { true }\np.s[x] { x = 1 }\nt[\"u-v\"] = 1 { true "
	"}\n",
};

static void
old_modules_are_the_engines(void **state)
{
	char *folder = fixture_folder();
	AUTO_STR path = mem_printf("%s/x.rego", folder);

	(void)state;
	for (size_t i = 0; i < sizeof olds / sizeof olds[0]; i++) {
		fixture_write(folder, "x.rego", olds[i], strlen(olds[i]));
		assert_true(compare_file(path, 0));
	}
	fixture_folder_end(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_are_the_engines),
		cmocka_unit_test(places_are_the_engines),
		cmocka_unit_test(examples_are_the_engines),
		cmocka_unit_test(old_modules_are_the_engines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
