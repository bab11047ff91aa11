/* Policies that opa's optimizer works on, and what compile_read.h makes of its
 * result: both decide the same for every input. Names that look like the
 * optimizer's own are among them. EDICT_SEED and EDICT_CASES choose others and
 * more. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundler/compile_read.h"
#include "core/file.h"
#include "core/mem.h"
#include "dice.h"
#include "policies/gate.h"
#include "tests/unit/bundler/fixture.h"

enum {
	CASES = 70,
	INPUTS = 60,
	RULES = 6,
	TEXT_MAX = 1 << 20,
	ARCHIVE_MAX = 16 << 20
};

#define NAMESPACE "if"

static const char *const names[RULES] = { "r0", "__local0__", "__v1__",
	"__not1_1_2__", "x1", "r5" };

/* # is the number of the statement, $ a rule before this one. */
static const char *const statements[] = {
	"input.a == 1",
	"input.__local0__ == \"x1\"",
	"input.__not1_1_2__ > 1",
	"input.x1 != data.set[0]",
	"data.o.__local1__ == input.k",
	"input[\"__local2__\"] == input.x1",
	"$",
	"$",
	"not $",
	"not $",
	"not $",
	"some v# in input.e\n\tv# > 2",
	"some k#, w# in data.o\n\tw# == input.a\n\tk# != \"b\"",
	"every v# in data.set { v# != input.a }",
	"count({y | some y in input.e; not f(y)}) > 1",
	"n# := [z | some z in data.set; z != input.a]\n\tcount(n#) > 1",
	"f(input.a)",
	"not f(input.k)",
	"g(input.a) == \"one\"",
	"not g(input.k) == \"one\"",
	"members[input.a]",
	"not members[input.k]",
	"grades[input.s] == 2",
	"$ with input.a as 3",
	"not $ with data.set as [1, 2]",
	"base64.encode(input.s) == \"YQ==\"",
	"input.s == \"a\" with base64.encode as \"q\"",
	"crypto.md5(input.s) != \"x2\"",
	"m1 := input.__local0__\n\tm1 != \"`\"",
	"{\"__local0__\": j#} = {\"__local0__\": input.a}\n\tj# < 3",
	"[_, i#] = [input.__v1__, input.a]\n\ti# >= 1",
};

static const char common[] =
    "f(x) if x in data.set\n\n"
    "f(x) if {\n\tx > 3\n\tinput.k == 1\n}\n\n"
    "default g(_) := \"none\"\n\n"
    "g(x) := \"one\" if {\n\tx == 1\n\tnot input.k == 2\n} else := \"two\" if {\n"
    "\tsome y in input.e\n\ty == x\n}\n\n"
    "members contains x if {\n\tsome x in input.e\n\tnot x in data.set\n}\n\n"
    "grades[k] := v if {\n\tsome k, v in data.o\n\tv != input.a\n}\n\n";

static const char data[] =
    "{\"set\": [1, 2, 4], \"o\": {\"a\": 1, \"b\": 2, \"__local1__\": 3}}\n";

static uint64_t
number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- what is asked ---- */

static void
make_statement(struct buf *out, struct dice *d, size_t rule, size_t number)
{
	const char *s = DICE_PICK(d, statements);

	buf_add_str(out, "\t");
	for (; *s != '\0'; s++) {
		if (*s == '#')
			buf_printf(out, "%zu", number);
		else if (*s == '$')
			buf_add_str(out,
			    rule > 0 ? names[dice_roll(d, rule)] : "input.a");
		else
			buf_add_char(out, *s);
	}
	buf_add_str(out, "\n");
}

static void
make_module(struct buf *out, struct dice *d)
{
	buf_printf(out, "package p\n\n%s", common);
	for (size_t i = 0; i < RULES; i++) {
		if (dice_often(d, 30))
			buf_printf(out, "default %s := false\n\n", names[i]);
		for (size_t n = 1 + dice_roll(d, 3); n > 0; n--) {
			buf_printf(out, "%s if {\n", names[i]);
			for (size_t k = 1 + dice_roll(d, 4); k > 0; k--)
				make_statement(out, d, i, k);
			buf_add_str(out, "}\n\n");
		}
	}
}

static void
make_member(struct buf *out, struct dice *d, const char *name)
{
	static const char *const values[] = { "1", "2", "3", "4", "\"x1\"",
		"true", "[1, 2, 3]", "null" };

	if (dice_often(d, 80))
		buf_printf(out, "\"%s\": %s, ", name, DICE_PICK(d, values));
}

static void
make_inputs(struct buf *out, struct dice *d)
{
	static const char *const members[] = { "a", "k", "x1", "__local0__",
		"__local2__", "__not1_1_2__", "__v1__" };

	buf_add_str(out, "{\"all\": [");
	for (size_t i = 0; i < INPUTS; i++) {
		buf_add_str(out, i > 0 ? ", {" : "{");
		for (size_t k = 0; k < sizeof members / sizeof *members; k++)
			make_member(out, d, members[k]);
		buf_printf(out, "\"e\": [%zu, %zu, %zu], \"s\": \"%c\"}",
		    dice_roll(d, 6), dice_roll(d, 6), dice_roll(d, 6),
		    "abc"[dice_roll(d, 3)]);
	}
	buf_add_str(out, "]}\n");
}

/* ---- what is answered ---- */

/* Everything that the entrypoint says of all inputs. */
static void
decide(struct buf *out, const char *folder, const char *bundle,
    const char *rule)
{
	if (fixture_run(out,
		"cd '%s' && '%s' eval --format=raw -b %s -i in.json '[[x | x "
		":= data.p.%s with input as i] | some i in input.all]'",
		folder, fixture_opa(), bundle, rule) != 0)
		fail_msg("%s: %s", bundle, out->data);
}

static void
order(const char *folder, const char *module)
{
	const char *const files[] = { "p.rego", module, "data.json", data,
		NULL };
	AUTO(tree, t) = fixture_commit(files);
	AUTO(bundle, from) = fixture_bundle(t, &fixture_all);
	AUTO(bundle, made) = NULL;
	AUTO_STR raw = file_path(folder, "raw.tar.gz");
	AUTO_BUF bytes = { 0 };
	AUTO_BUF packed = { 0 };
	const struct compile_reading r = { .from = from,
		.commit = &t->commit,
		.engine = "1.19.1",
		.namespace = NAMESPACE };
	struct err e = { 0 };

	buf_init(&bytes, ARCHIVE_MAX);
	buf_init(&packed, ARCHIVE_MAX);
	if (file_read(&bytes, raw, &e) != ERR_OK ||
	    compile_read(&made, &r, bytes.data, bytes.len, &e) != ERR_OK ||
	    bundle_pack(&packed, made, &e) != ERR_OK)
		fail_msg("%s\n%s", e.text, module);
	fixture_write(folder, "ours.tar.gz", packed.data, packed.len);
}

/* False: opa refuses to build it, or cannot load what it built. */
static bool
build(const char *folder, const char *rule, size_t level)
{
	AUTO_BUF out = { 0 };

	return fixture_run(&out,
		   "cd '%s' && rm -f raw.tar.gz ours.tar.gz && '%s' build -O%zu -e p/%s "
		   "--partial-namespace=" NAMESPACE " -b " GATE_COMPILE_INPUT
		   " -o raw.tar.gz && '%s' eval -b raw.tar.gz true",
		   folder, fixture_opa(), level, rule, fixture_opa()) == 0;
}

static bool
compare(const char *folder, uint64_t seed, uint64_t number)
{
	struct dice d = dice_for(seed, number);
	const char *rule = names[RULES - 1 - dice_roll(&d, 4)];
	AUTO_BUF module = { 0 };
	AUTO_BUF inputs = { 0 };
	AUTO_BUF theirs = { 0 };
	AUTO_BUF ours = { 0 };

	buf_init(&module, TEXT_MAX);
	buf_init(&inputs, TEXT_MAX);
	make_module(&module, &d);
	make_inputs(&inputs, &d);
	fixture_write(folder, GATE_COMPILE_INPUT "/p.rego", module.data,
	    module.len);
	fixture_write(folder, "in.json", inputs.data, inputs.len);
	if (!build(folder, rule, 1 + dice_roll(&d, 2)))
		return false;
	order(folder, module.data);
	decide(&theirs, folder, "raw.tar.gz", rule);
	decide(&ours, folder, "ours.tar.gz", rule);
	if (strcmp(theirs.data, ours.data) != 0)
		fail_msg("seed %llu, case %llu, %s: opa's says\n%s\nand ours\n"
			 "%s\n%s",
		    (unsigned long long)seed, (unsigned long long)number, rule,
		    theirs.data, ours.data, module.data);
	return strstr(theirs.data, "true") != NULL;
}

static void
decisions_are_the_optimizers(void **state)
{
	uint64_t seed = number_from("EDICT_SEED", 1);
	uint64_t cases = number_from("EDICT_CASES", CASES);
	char *folder = fixture_folder();
	size_t telling = 0;
	AUTO_BUF out = { 0 };

	(void)state;
	assert_int_equal(fixture_run(&out, "mkdir '%s/" GATE_COMPILE_INPUT "'",
			     folder),
	    0);
	fixture_write(folder, GATE_COMPILE_INPUT "/data.json", data,
	    strlen(data));
	for (uint64_t i = 0; i < cases; i++)
		telling += compare(folder, seed, i);
	/* Else nothing was looked at. */
	print_message("%zu of %llu cases say yes to something\n", telling,
	    (unsigned long long)cases);
	assert_true(telling * 3 > cases);
	fixture_folder_end(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decisions_are_the_optimizers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
