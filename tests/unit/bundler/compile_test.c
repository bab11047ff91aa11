#include "bundler/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundler/compile_kept.h"
#include "bundler/compile_nots.h"
#include "bundler/compile_order.h"
#include "bundler/compile_read.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "tests/unit/bundler/fixture.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- what the optimizer makes, in one order ---- */

static char *
ordered(const char *text)
{
	struct compile_module m = { .name = "m.rego",
		.text = text,
		.len = strlen(text),
		.version = 1,
		.kind = COMPILE_HELPERS };
	struct err e = { 0 };
	char *out;

	if (compile_order(&m, 1, "a", &e) != ERR_OK)
		fail_msg("%s", e.text);
	out = buf_steal(&m.out, NULL);
	buf_clear(&m.out);
	return out;
}

/* What one run writes and another. */
static void
runs_become_one(void **state)
{
	static const struct {
		const char *one, *other;
	} cases[] = {
		/* order of rules, and one that is there twice */
		{ "package a\n\np if input.x\n\nq if input.y\n",
		    "package a\n\nq if input.y\n\np if input.x\n\np if "
		    "input.x" },
		/* numbers of variables */
		{ "package a\n\np if {\n\t__local3__12 = input.x\n\t"
		  "i341 = input.y[__local3__12]\n\ti341 > 1\n}\n",
		    "package a\n\np if {\n\t__local4__7 = input.x\n\t"
		    "i9 = input.y[__local4__7]\n\ti9 > 1\n}\n" },
		/* names of helpers, and of their helpers */
		{ "package a\n\np if not data.a.__not1_2_3__\n\n"
		  "__not1_2_3__ if not data.a.__not4_5_6__(1)\n\n"
		  "__not4_5_6__(x1) if x1 == input.z\n",
		    "package a\n\np if not data.a.__not4_5_6__\n\n"
		    "__not7_7_7__(x8) if x8 == input.z\n\n"
		    "__not4_5_6__ if not data.a.__not7_7_7__(1)\n" },
		/* order of negations, and empty lines between them */
		{ "package a\n\np if {\n\tinput.z\n\tnot input.x = 1\n\n"
		  "\tnot input.y = 2\n}\n",
		    "package a\n\np if {\n\tinput.z\n\tnot input.y = 2\n"
		    "\tnot input.x = 1\n}\n" },
		/* order of negations with variables, which are counted as they
		 * come */
		{ "package a\n\np if {\n\tx1 = input.a\n\tx2 = input.b\n"
		  "\tnot data.b.q(x2)\n\tnot data.c.q(x1)\n"
		  "\tnot x3 = input.c\n}\n",
		    "package a\n\np if {\n\tx7 = input.a\n\tx9 = input.b\n"
		    "\tnot x2 = input.c\n\tnot data.c.q(x7)\n"
		    "\tnot data.b.q(x9)\n}\n" },
		{ "package a\n\np if {\n\tnot data.b.q(x1)\n"
		  "\tnot data.c.q(x2)\n\tinput.z\n}\n",
		    "package a\n\np if {\n\tnot data.c.q(x1)\n"
		    "\tnot data.b.q(x2)\n\tinput.z\n}\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO_STR one = ordered(cases[i].one);
		AUTO_STR other = ordered(cases[i].other);

		assert_string_equal(one, other);
	}
}

/* What may not become one, or change at all. */
static void
meaning_stays(void **state)
{
	static const char *const apart[][2] = {
		{ "package a\n\np if {\n\tx1 = input.a\n\tx2 = input.b\n"
		  "\tx1 > x2\n}\n",
		    "package a\n\np if {\n\tx1 = input.a\n\tx2 = input.b\n"
		    "\tx2 > x1\n}\n" },
		{ "package a\n\np if data.b.r1\n",
		    "package a\n\np if data.b.r2\n" },
		{ "package a\n\nr1 if input.x\n",
		    "package a\n\nr2 if input.x\n" },
		{ "package a\n\ndefault r1 := 1\n",
		    "package a\n\ndefault r2 := 1\n" },
		{ "package a\n\np if input.x == \"x1\"\n",
		    "package a\n\np if input.x == \"x2\"\n" },
		{ "package a\n\np if f1(input.x)\n",
		    "package a\n\np if f2(input.x)\n" },
		{ "package a\n\np if base64.encode(input.x)\n",
		    "package a\n\np if base32.encode(input.x)\n" },
		{ "package a\n\np if not data.a.__not1_1_1__\n\n"
		  "__not1_1_1__ if input.x\n",
		    "package a\n\np if not data.a.__not1_1_1__\n\n"
		    "__not1_1_1__ if input.y\n" },
		{ "package a\n\np := 1 if input.x else := 2 if input.y\n",
		    "package a\n\np := 1 if input.y else := 2 if input.x\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(apart); i++) {
		AUTO_STR one = ordered(apart[i][0]);
		AUTO_STR other = ordered(apart[i][1]);

		assert_string_not_equal(one, other);
	}
	{
		AUTO_STR kept =
		    ordered("package a\n\np if {\n\tbase64.encode(input.x1) == "
			    "\"x2\"\n\tcrypto.md5(input.y) == data.d3.e4\n}\n");

		assert_non_null(strstr(kept, "base64.encode(input.x1)"));
		assert_non_null(strstr(kept, "crypto.md5("));
		assert_non_null(strstr(kept, "data.d3.e4"));
		assert_non_null(strstr(kept, "\"x2\""));
	}
}

/* What looks like the optimizer's names and is somebody's own. */
static void
names_of_others_stay(void **state)
{
	static const char *const cases[] = {
		"package a\n\np if input.__local7__ = \"x\"\n",
		"package a\n\np if data.__local1__.x\n",
		"package a\n\n__local7__ if input.x\n",
		"package a\n\ndefault __local7__ := 1\n",
		"package a\n\np if input.__not1_2_3__\n",
		"package a\n\nq if not data.a[input.x].__not1_2_3__\n",
		"package a\n\n__v1__ if input.x\n",
		"package a\n\np if input.x with base64.encode as input.y\n",
		"package a\n\np if q(1) with data.a.f as base64.encode\n",
	};
	AUTO_STR made = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		AUTO_STR got = ordered(cases[i]);

		assert_string_equal(got, cases[i]);
	}
	/* Beside a helper of that name. */
	made = ordered("package a\n\np if not data.a.__not1_2__\n\n"
		       "q if input.__not1_2__\n\n__not1_2__ if input.z\n");
	assert_non_null(strstr(made, "q if input.__not1_2__\n"));
	assert_non_null(strstr(made, "p if not data.a.__made_"));
}

/* Orders one module of each kind; the outputs are the caller's. */
static void
order_three(char *out[2], const char *made, const char *helpers,
    const char *source, const char *namespace)
{
	struct compile_module m[] = {
		{ .name = "made", .text = made, .len = strlen(made) },
		{ .name = "helpers",
		    .text = helpers,
		    .len = strlen(helpers),
		    .kind = COMPILE_HELPERS },
		{ .name = "source",
		    .text = source,
		    .len = strlen(source),
		    .kind = COMPILE_SOURCE },
	};
	struct err e = { 0 };

	for (size_t i = 0; i < COUNT(m); i++)
		m[i].version = 1;
	if (compile_order(m, COUNT(m), namespace, &e) != ERR_OK)
		fail_msg("%s", e.text);
	out[0] = buf_steal(&m[0].out, NULL);
	out[1] = buf_steal(&m[1].out, NULL);
	assert_int_equal(m[2].out.len, 0);
	for (size_t i = 0; i < COUNT(m); i++)
		buf_clear(&m[i].out);
}

/* A policy's own rules are asked for by their names, whatever these look like;
 * helpers are those of the namespace, however it is written. */
static void
only_helpers_get_new_names(void **state)
{
	static const char *const namespaces[][2] = { { "n", "data.n" },
		{ "if", "data[\"if\"]" } };

	(void)state;
	for (size_t i = 0; i < COUNT(namespaces); i++) {
		const char *n = namespaces[i][0], *ref = namespaces[i][1];
		AUTO_STR made = mem_printf(
		    "package a\n\n__not1_2_3__ if {\n\tdata.a.__not1_2_3__\n"
		    "\tdata.b[\"%s\"].__not1_2_3__\n\tnot %s.__not1_2_3__\n"
		    "}\n",
		    n, ref);
		AUTO_STR helpers =
		    mem_printf("package %s\n\n__not1_2_3__ if input.x\n", n);
		char *out[2];
		AUTO_STR wanted = NULL;

		order_three(out, made, helpers, "", n);
		wanted = mem_printf(
		    "package a\n\n__not1_2_3__ if {\n\tdata.a.__not1_2_3__\n"
		    "\tdata.b[\"%s\"].__not1_2_3__\n\tnot %s.%.25s\n}\n",
		    n, ref, strstr(out[1], "__made_"));
		assert_string_equal(out[0], wanted);
		mem_free(out[0]);
		mem_free(out[1]);
	}
}

/* A variable that is called as a rule of its package is that rule. */
static void
names_of_rules_are_taken(void **state)
{
	char *out[2];

	(void)state;
	order_three(out,
	    "package a\n\np if x1 = input.x\n\n__local3__ if input.y\n",
	    "package n\n\nq if x1 = input.x\n\ndefault __local5__ := 1\n",
	    "package a\n\nr if __local7__\n__local99999999999999999999__ := 1",
	    "n");
	assert_non_null(strstr(out[0], "p if __local8__ = input.x\n"));
	assert_non_null(strstr(out[1], "q if __local8__ = input.x\n"));
	mem_free(out[0]);
	mem_free(out[1]);
	order_three(out,
	    "package a\n\np if x1 = input.x\n\n__local3__ if input.y\n",
	    "package n\n\ndefault __local5__ := 1\n", "package a\n", "n");
	assert_non_null(strstr(out[0], "p if __local6__ = input.x\n"));
	mem_free(out[0]);
	mem_free(out[1]);
}

/* Half a million of them, and one more than there may be. */
static void
many_variables(void **state)
{
	AUTO_BUF text = { 0 };
	struct compile_module m = { .name = "m.rego", .version = 1 };
	struct err e = { 0 };

	(void)state;
	buf_init(&text, 64 << 20);
	buf_add_str(&text, "package a\n\np if {\n");
	for (size_t i = 0; i < 1 << 20; i++) {
		buf_printf(&text, "\tx%zu\n", i);
		if (i != (1 << 19))
			continue;
		{
			AUTO_STR half = mem_printf("%s}\n", text.data);

			mem_free(ordered(half));
		}
	}
	buf_add_str(&text, "\ty1\n}\n");
	m.text = text.data;
	m.len = text.len;
	assert_int_equal(compile_order(&m, 1, "a", &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "m.rego: "));
	assert_non_null(strstr(e.text, "more than 1048576 variables"));
	buf_clear(&m.out);
}

static void
nots_keep_what_belongs_to_them(void **state)
{
	char text[] = "p if {\n"
		      "\tnot input.z\n"
		      "\tnot every x in input.y {\n"
		      "\t\tx > 1\n"
		      "\t}\n"
		      "\tinput.q\n"
		      "\tnot b\n"
		      "\tnot a\n"
		      "}";
	char raw[] = "p if {\n\tnot input.x = `\n\tnot b\n`\n\tnot a\n}";
	AUTO_STR before = mem_strdup(raw);

	(void)state;
	compile_sort_nots(text, false);
	assert_string_equal(text,
	    "p if {\n"
	    "\tnot every x in input.y {\n"
	    "\t\tx > 1\n"
	    "\t}\n"
	    "\tnot input.z\n"
	    "\tinput.q\n"
	    "\tnot a\n"
	    "\tnot b\n"
	    "}");
	compile_sort_nots(raw, false);
	assert_string_equal(raw, before);
}

/* ---- what opa build writes ---- */

static const char *const source[] = { "a/a.rego", "package a\n\np if input.x\n",
	"data.json", "{\"d\":1.10}", NULL };

/* An archive as a shell makes it, in the folder src: names begin with a slash,
 * as opa's do. */
static enum err_code
read_made(struct bundle **out, const char *const *files, struct err *e)
{
	AUTO(tree, t) = fixture_commit(source);
	AUTO(bundle, from) = fixture_bundle(t, &fixture_all);
	char *folder = fixture_folder();
	AUTO_BUF bytes = { 0 };
	const struct compile_reading r = { .from = from,
		.commit = &t->commit,
		.engine = "1.19.1",
		.namespace = "partial_main" };
	enum err_code code;

	for (size_t i = 0; files[i] != NULL; i += 2) {
		AUTO_STR path = mem_printf("%s/%s", folder, files[i]);

		*strrchr(path, '/') = '\0';
		buf_init(&bytes, FIXTURE_OUT_MAX);
		assert_int_equal(fixture_run(&bytes, "mkdir -p '%s'", path), 0);
		buf_clear(&bytes);
		fixture_write(folder, files[i], files[i + 1],
		    strlen(files[i + 1]));
	}
	buf_init(&bytes, FIXTURE_OUT_MAX);
	assert_int_equal(fixture_run(&bytes,
			     "cd '%s' && tar -P --transform 's|^\\./|/|' -cz "
			     "$(find . -type f | sort)",
			     folder),
	    0);
	code = compile_read(out, &r, bytes.data, bytes.len, e);
	fixture_folder_end(folder);
	return code;
}

#define MANIFEST ".manifest", "{\"roots\":[\"a\",\"d\"],\"rego_version\":1}"
#define INPUT(path) GATE_COMPILE_INPUT "/" path

static void
what_opa_wrote_becomes_a_bundle(void **state)
{
	static const char *const files[] = { ".manifest",
		"{\"roots\":[\"a\",\"d\"],\"rego_version\":1,\"wasm\":[{"
		"\"entrypoint\":\"a/p\",\"module\":\"/policy.wasm\"}]}",
		"policy.wasm", "wasm", "data.json", "{ \"d\": 1.10 }",
		INPUT("a/a.rego"), "package a\n", "optimized/partial_main.rego",
		"package partial_main\n\nx if input.y\n", NULL };
	struct bundle *b = NULL;
	AUTO_BUF rest = { 0 };
	struct bundle_archive archive = { 0 };
	struct err e = { 0 };

	(void)state;
	if (read_made(&b, files, &e) != ERR_OK)
		fail_msg("%s", e.text);
	fixture_has(b, "a/a.rego", "package a\n");
	fixture_has(b, "data.json", "{\"d\":1.10}");
	fixture_has(b, "policy.wasm", "wasm");
	assert_true(compile_has_wasm(b));
	assert_int_equal(b->root_count, 3); /* a, d, partial_main */
	assert_non_null(strstr(fixture_file(b, ".manifest")->data,
	    "\"wasm\":[{\"entrypoint\":\"a/p\",\"module\":\"policy.wasm\"}]"));
	assert_non_null(strstr(fixture_file(b, ".manifest")->data,
	    "\"opa\":\"1.19.1\""));

	buf_init(&rest, FIXTURE_OUT_MAX);
	assert_int_equal(compile_pack_without_wasm(&rest, b, &e), ERR_OK);
	assert_int_equal(bundle_read(&archive, "rest", rest.data, rest.len, &e),
	    ERR_OK);
	assert_int_equal(archive.count, b->count - 1);
	assert_null(strstr(archive.files[0].data, "wasm"));
	bundle_archive_clear(&archive);
	bundle_free(b);
}

static void
what_is_not_understood_is_refused(void **state)
{
	static const struct {
		const char *files[8];
		const char *says;
	} cases[] = {
		{ { "data.json", "{}" }, "no manifest" },
		{ { MANIFEST, "x.txt", "x" }, "x.txt, which is not" },
		{ { MANIFEST, "elsewhere/a.rego", "package a\n" },
		    "elsewhere/a.rego, which is not" },
		{ { MANIFEST, INPUT("b.rego"), "package b\n" },
		    "outside the roots" },
		{ { MANIFEST, INPUT("optimized/a.rego"), "package a\n",
		      "optimized/a.rego", "package a\n\nx := 1\n" },
		    "a file of its own" },
		{ { MANIFEST, "data.json", "{" }, "data.json" },
		{ { MANIFEST, "patch.json", "{}" }, "patch.json" },
		{ { MANIFEST, "deep/.manifest", "{}" }, "deep/.manifest" },
		{ { ".manifest",
		      "{\"wasm\":[{\"entrypoint\":\"a\",\"module\":"
		      "\"/other.wasm\"}]}" },
		    "wasm[0]" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct bundle *b = NULL;
		struct err e = { 0 };

		if (read_made(&b, cases[i].files, &e) != ERR_INVALID ||
		    strstr(e.text, cases[i].says) == NULL)
			fail_msg("%zu: wanted \"%s\", got \"%s\"", i,
			    cases[i].says, e.text);
		assert_null(b);
	}
}

static void
results_are_kept_and_damage_is_seen(void **state)
{
	char *folder = fixture_folder();
	AUTO_STR kept = mem_printf("%s/kept", folder);
	struct buf result, found;

	(void)state;
	buf_init(&result, 100);
	buf_add_str(&result, "result");
	assert_false(compile_kept_get(&found, kept, "key"));
	buf_clear(&found);
	compile_kept_put(kept, "key", &result);
	assert_true(compile_kept_get(&found, kept, "key"));
	assert_int_equal(found.len, 6);
	assert_memory_equal(found.data, "result", 6);
	buf_clear(&found);
	assert_false(compile_kept_get(&found, kept, "other"));
	buf_clear(&found);
	fixture_write(kept, "key", "result", 6);
	assert_false(compile_kept_get(&found, kept, "key"));
	buf_clear(&found);
	/* Where nothing can be kept, nothing is. */
	{
		AUTO_STR nowhere = mem_printf("%s/key/in/a/file", kept);

		compile_kept_put(nowhere, "key", &result);
		assert_false(compile_kept_get(&found, nowhere, "key"));
		buf_clear(&found);
	}
	buf_clear(&result);
	fixture_folder_end(folder);
}

/* What was not used for long goes first. */
static void
results_have_their_room(void **state)
{
	char *folder = fixture_folder();
	AUTO_STR kept = mem_printf("%s/kept", folder);
	struct buf out, result;

	(void)state;
	buf_init(&result, 100);
	buf_add_str(&result, "result");
	compile_kept_put(kept, "used", &result);
	buf_init(&out, 100);
	assert_int_equal(fixture_run(&out,
			     "cd '%s' && touch -d '2001-01-01' used && "
			     "for i in $(seq %d); do echo > k$i; done && "
			     "touch -d '2002-01-01' k*",
			     kept, COMPILE_KEPT_MAX + 3),
	    0);
	buf_clear(&out);
	assert_true(compile_kept_get(&out, kept, "used"));
	buf_clear(&out);
	compile_kept_put(kept, "new", &result);
	buf_init(&out, 100);
	assert_int_equal(fixture_run(&out,
			     "cd '%s' && test -f new && test -f used && "
			     "test $(ls | wc -l) = %d",
			     kept, COMPILE_KEPT_MAX),
	    0);

	/* Large ones. */
	assert_int_equal(
	    fixture_run(&out,
		"cd '%s' && rm -f k* && for i in 1 2 3 4 5; do "
		"truncate -s 250M k$i && touch -d 200$i-01-01 k$i; "
		"done",
		kept),
	    0);
	compile_kept_put(kept, "newer", &result);
	assert_int_equal(fixture_run(&out, "cd '%s' && echo $(ls)", kept), 0);
	assert_string_equal(out.data, "k2 k3 k4 k5 new newer used\n");
	buf_clear(&out);
	buf_clear(&result);
	fixture_folder_end(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_become_one),
		cmocka_unit_test(meaning_stays),
		cmocka_unit_test(names_of_others_stay),
		cmocka_unit_test(only_helpers_get_new_names),
		cmocka_unit_test(names_of_rules_are_taken),
		cmocka_unit_test(many_variables),
		cmocka_unit_test(nots_keep_what_belongs_to_them),
		cmocka_unit_test(what_opa_wrote_becomes_a_bundle),
		cmocka_unit_test(what_is_not_understood_is_refused),
		cmocka_unit_test(results_are_kept_and_damage_is_seen),
		cmocka_unit_test(results_have_their_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
