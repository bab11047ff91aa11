/* Generated cases against the real opa. What we build it accepts with
 * verification and reads as it reads the source; what it refuses we refuse,
 * naming file and line; what we refuse and it does not is one of the rules in
 * docs/fidelity.md.
 *
 * An argument picks tests by name ("json*").
 *
 * EDICT_SEED picks other cases (a number; "new" for one from the clock),
 * EDICT_CASES how many times as many (1). */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "core/canon.h"
#include "core/mem.h"
#include "rules.h"
#include "tests/unit/bundler/fixture.h"

enum {
	SEED_USUAL = 20261123,
	FILES_IN_BATCH = 500,
	TREES_IN_BATCH = 200,
	MANIFESTS = 60,
	TIMES_MAX = 10000,
	WRONG_SHOWN = 40
};

static uint64_t seed;
static size_t times = 1;

enum kind { JSON, YAML, MODULE, TREE, TREE_ROOTS, MANIFEST, KINDS };
static const struct {
	const char *name, *base;
	size_t batches, count;
} kinds[KINDS] = {
	[JSON] = { "JSON", "data.json", 4, FILES_IN_BATCH },
	[YAML] = { "YAML", "data.yaml", 4, FILES_IN_BATCH },
	[MODULE] = { "modules", "p.rego", 2, FILES_IN_BATCH },
	[TREE] = { "trees", NULL, 2, TREES_IN_BATCH },
	[TREE_ROOTS] = { "trees with a manifest", NULL, 2, TREES_IN_BATCH },
	/* A bundle has one, so the engine is asked about each alone. */
	[MANIFEST] = { "manifests", NULL, MANIFESTS, 1 },
};

struct tally {
	size_t cases, taken, refused, by_rule, by_gate, wrong;
	size_t rules[32];
};

static bool
is_file(enum kind kind)
{
	return kinds[kind].base != NULL;
}

static void
fill(struct batch_case *c, enum kind kind, size_t i)
{
	struct dice d = dice_for(seed * KINDS + kind, c->number);
	struct make_file *f = &c->tree.files[0];
	char top[MAKE_PATH_SIZE];

	batch_top(top, i);
	if (kind == MANIFEST) {
		make_manifest(&c->tree, &d);
		return;
	}
	if (!is_file(kind)) {
		make_tree(&c->tree, &d, top, kind == TREE_ROOTS);
		return;
	}
	(void)snprintf(f->path, sizeof f->path, "c%zu/%s", i, kinds[kind].base);
	buf_init(&f->text, MAKE_TEXT_MAX);
	c->tree.count = 1;
	if (kind == JSON)
		make_json(&f->text, &d);
	else if (kind == YAML)
		make_yaml(&f->text, &d);
	else
		make_module(&f->text, &d, top);
}

static void
wrong(struct tally *t, const struct batch_case *c, const char *what)
{
	const struct make_tree *tree = &c->tree;

	if (++t->wrong > WRONG_SHOWN)
		return;
	printf("case %" PRIu64 ": %s\n  we say: %s\n", c->number, what,
	    c->taken ? "taken" : c->error);
	for (size_t i = 0; i < tree->count; i++)
		printf("  %s: %.*s\n", tree->files[i].path,
		    (int)tree->files[i].text.len < 600
			? (int)tree->files[i].text.len
			: 600,
		    tree->files[i].text.data);
	for (size_t i = 0; i < tree->root_count; i++)
		printf("  root %s\n", tree->roots[i]);
}

/* "c3/data.json:" and a digit. */
static bool
names_place(const struct batch_case *c, const char *path)
{
	const char *at = strstr(c->error, path);

	if (at == NULL || at[strlen(path)] != ':')
		return false;
	at += strlen(path) + 1;
	return *at >= '0' && *at <= '9';
}

/* Which of several files is at fault may be said of any of them. */
static bool
names_line(const struct batch_case *c)
{
	for (size_t i = 0; i < c->tree.count; i++)
		if (names_place(c, c->tree.files[i].path))
			return true;
	return names_place(c, ".manifest");
}

/* The whole file is at fault. */
static bool
is_null(const struct batch_case *c)
{
	return strstr(c->error, "nothing but null") != NULL;
}

static bool
names_file(const struct batch_case *c, size_t i)
{
	char top[MAKE_PATH_SIZE];

	batch_top(top, i);
	return strstr(c->error, top) != NULL ||
	    strstr(c->error, ".manifest") != NULL;
}

static bool
is_json(const struct buf *text)
{
	AUTO(document, d) = NULL;
	struct err e;

	return canon_read(&d, "", text->data, text->len, &e) == ERR_OK;
}

/* `opa eval -d` does not look for JSON in a YAML file, bundles do. */
static bool
looks_like_json(const struct batch_case *c, enum kind kind)
{
	const struct buf *text = &c->tree.files[0].text;
	size_t at = strspn(text->data, " \t\r\n");

	if (kind != YAML || text->data[at] == '\0')
		return false;
	return strchr("{[\"", text->data[at]) != NULL || is_json(text);
}

/* JSON in a YAML file is held to JSON's rules, but once it breaks one it is
 * read as YAML, and then the message may be about that. */
static size_t
refusal_rule(const struct batch_case *c, enum kind kind)
{
	const struct buf *text = &c->tree.files[0].text;
	AUTO(document, d) = NULL;
	size_t rule = rule_of(c->error);
	struct err e;

	if (rule < rule_count() || !looks_like_json(c, kind) ||
	    canon_read(&d, "", text->data, text->len, &e) == ERR_OK)
		return rule;
	return rule_of(e.text);
}

static void
check_refused(struct tally *t, struct batch *b, size_t i, enum kind kind)
{
	struct batch_case *c = &b->cases[i];
	size_t rule = refusal_rule(c, kind);

	t->refused++;
	if (!is_file(kind) || looks_like_json(c, kind) ||
	    (c->engine_takes && rule == rule_count()))
		batch_ask_alone(b, i);
	if (!names_file(c, i))
		wrong(t, c, "the message names no file");
	if (!c->engine_takes) {
		if (!names_line(c) && !is_null(c))
			wrong(t, c, "the message names no line");
		return;
	}
	if (rule == rule_count()) {
		wrong(t, c, "the engine takes what no rule refuses");
		return;
	}
	t->by_rule++;
	t->rules[rule]++;
}

static void
check_taken(struct tally *t, struct batch *b, size_t i, enum kind kind)
{
	struct batch_case *c = &b->cases[i];

	t->taken++;
	if (kind == MANIFEST || (!c->engine_takes && looks_like_json(c, kind)))
		batch_ask_alone(b, i);
	if (c->engine_takes)
		return;
	/* Only a module's package is read here; `opa check` reads the rest. */
	if (kind == MODULE || c->rego_error)
		t->by_gate++;
	else
		wrong(t, c, "the engine refuses it");
}

/* Which single one the engine refuses, when it refuses them together. */
static void
find_culprits(struct tally *t, struct batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		if (!b->cases[i].taken || !b->cases[i].engine_takes)
			continue;
		batch_ask_alone(b, i);
		if (!b->cases[i].engine_takes)
			wrong(t, &b->cases[i], "the engine refuses it alone");
	}
}

static void
run_batch(struct tally *t, enum kind kind, uint64_t first)
{
	struct batch b;
	AUTO_BUF text = { 0 };

	buf_init(&text, FIXTURE_OUT_MAX);
	batch_start(&b, kinds[kind].count, kind == TREE_ROOTS);
	for (size_t i = 0; i < b.count; i++) {
		b.cases[i].number = first + i;
		fill(&b.cases[i], kind, i);
	}
	batch_judge(&b);
	if (is_file(kind))
		batch_ask_files(&b);
	for (size_t i = 0; i < b.count; i++) {
		if (b.cases[i].taken)
			check_taken(t, &b, i, kind);
		else
			check_refused(t, &b, i, kind);
	}
	t->cases += b.count;
	if (batch_any(&b) && !batch_same(&b, &text)) {
		printf("%.8000s", text.data);
		t->wrong++;
		find_culprits(t, &b);
	}
	batch_end(&b);
}

static void
run(enum kind kind)
{
	struct tally t = { 0 };

	for (size_t i = 0; i < kinds[kind].batches * times; i++)
		run_batch(&t, kind, i * kinds[kind].count);
	printf("%s, seed %" PRIu64 ": %zu cases, %zu taken, %zu refused (%zu "
	       "by a rule of ours), %zu left to opa check, %zu wrong\n",
	    kinds[kind].name, seed, t.cases, t.taken, t.refused, t.by_rule,
	    t.by_gate, t.wrong);
	for (size_t i = 0; i < rule_count(); i++) {
		if (t.rules[i] > 0)
			printf("  %zu: %s\n", t.rules[i], rule_words(i));
	}
	if (t.wrong > 0)
		fail_msg("EDICT_SEED=%" PRIu64 " shows it again", seed);
}

#define TEST(name, kind)               \
	static void name(void **state) \
	{                              \
		(void)state;           \
		run(kind);             \
	}
TEST(json_is_read_as_the_engine_reads_it, JSON)
TEST(yaml_is_read_as_the_engine_reads_it, YAML)
TEST(packages_are_read_as_the_engine_reads_them, MODULE)
TEST(trees_merge_as_in_the_engine, TREE)
TEST(roots_mean_what_they_mean_to_the_engine, TREE_ROOTS)
TEST(manifests_mean_what_they_mean_to_the_engine, MANIFEST)

static uint64_t
number_from(const char *name, uint64_t usual)
{
	const char *text = getenv(name);
	char *end;
	uint64_t n;

	if (text == NULL || *text == '\0')
		return usual;
	if (strcmp(text, "new") == 0)
		return (uint64_t)time(NULL);
	n = strtoull(text, &end, 10);
	if (*end != '\0') {
		(void)fprintf(stderr, "%s: not a number: %s\n", name, text);
		exit(2);
	}
	return n;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_is_read_as_the_engine_reads_it),
		cmocka_unit_test(yaml_is_read_as_the_engine_reads_it),
		cmocka_unit_test(packages_are_read_as_the_engine_reads_them),
		cmocka_unit_test(trees_merge_as_in_the_engine),
		cmocka_unit_test(roots_mean_what_they_mean_to_the_engine),
		cmocka_unit_test(manifests_mean_what_they_mean_to_the_engine),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	seed = number_from("EDICT_SEED", SEED_USUAL);
	times = (size_t)number_from("EDICT_CASES", 1);
	if (times == 0 || times > TIMES_MAX)
		times = 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
