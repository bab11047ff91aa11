#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "bundler/module.h"
#include "core/mem.h"
#include "fixture.h"

/* What the engine makes of each was asked of it: see agrees_with_the_engine. */
static const struct good {
	const char *text;
	const char *name;
	uint32_t line;
} goods[] = {
	{ "package a\n", "data.a", 1 },
	{ "package a.b[\"c-d\"].e\n", "data.a.b[\"c-d\"].e", 1 },
	{ "\xef\xbb\xbfpackage a\n", "data.a", 1 },
	{ "# METADATA\n# title: x\n\npackage a.b # note\n", "data.a.b", 4 },
	{ "\r\n\tpackage\ta\r\n", "data.a", 2 },
	{ "package # note\n\n a\n", "data.a", 1 },
	{ "package data.x\n", "data.data.x", 1 },
	{ "package a[`raw \\n`]\n", "data.a[\"raw \\\\n\"]", 1 },
	{ "package a[\"\\u0041\\n\\/\"]\n", "data.a[\"A\\n/\"]", 1 },
	{ "package a[\"\\ud83d\\ude00\"]\n", "data.a[\"\xf0\x9f\x98\x80\"]",
	    1 },
	{ "package a[\"\\ud83d\"]\n", "data.a[\"\xef\xbf\xbd\"]", 1 },
	{ "package a[ \"b\" # note\n]\n", "data.a.b", 1 },
	{ "package a[\"b\"]x := 1\n", "data.a.b", 1 },
	{ "package a x := 1\n", "data.a", 1 },
	{ "package if.contains.default\n", "data.if.contains.default", 1 },
	{ "package a_1._x\n", "data.a_1._x", 1 },
	{ "package a[\"\"]\n", "data.a[\"\"]", 1 },
	{ "package a[\"x/y\"]\n", "data.a[\"x/y\"]", 1 },
	{ "package a", "data.a", 1 },
};

static const struct bad {
	const char *text;
	const char *says;
} bads[] = {
	{ "", "f.rego:1: no package" },
	{ "# only\n", "f.rego:1: no package" },
	{ "packagea\n", "f.rego:1: expected \"package NAME\"" },
	{ "\n\nimport rego.v1\npackage a\n", "f.rego:3: expected" },
	{ "package\n", "expected a name" },
	{ "package", "expected \"package NAME\"" },
	{ "package[\"a\"]\n", "expected a name" },
	{ "package \"a\"\n", "expected a name" },
	{ "package 1a\n", "expected a name" },
	{ "package a.\n", "expected a name" },
	{ "package a..b\n", "expected a name" },
	{ "package a.1b\n", "expected a name" },
	{ "package a[b]\n", "expected a string" },
	{ "package a[1]\n", "expected a string" },
	{ "package a[\"b\"\n", "expected \"]\"" },
	{ "package a[\"b", "does not end" },
	{ "package a[\"b\n\"]", "does not end" },
	{ "package a[`b", "does not end" },
	{ "package a[\"\\x\"]\n", "unknown escape" },
	{ "package a[\"\\", "unknown escape" },
	{ "package a[\"\\u12\"]\n", "four hex digits" },
	{ "package \xc3\xa4.b\n", "expected a name" },
	{ "\x0cpackage a\n", "expected \"package NAME\"" },
	{ ";package a\n", "expected \"package NAME\"" },
};
/* The engine takes these; nobody is served by them. */
static const struct bad stricter[] = {
	{ "package _\n", "cannot be called \"_\"" },
	{ "package a[\"\\u0000\"]\n", "NUL" },
};

static void
reads_packages(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
		struct module_package p = { 0 };
		struct err e;
		AUTO_BUF name = { 0 };

		buf_init(&name, 4096);
		if (module_package_read(&p, "f.rego", goods[i].text,
			strlen(goods[i].text), &e) != ERR_OK)
			fail_msg("%s: %s", goods[i].text, e.text);
		module_path_write(&name, p.segments, p.count);
		assert_string_equal(name.data, goods[i].name);
		assert_int_equal(p.line, goods[i].line);
		module_package_clear(&p);
	}
}

static void
refuse(const struct bad *bad)
{
	struct module_package p = { 0 };
	struct err e = { 0 };
	/* At the very end of its memory, so that a step too far is seen. */
	size_t len = strlen(bad->text);
	char *exact = mem_alloc(len > 0 ? len : 1);

	memcpy(exact, bad->text, len);
	if (module_package_read(&p, "f.rego", exact, len, &e) == ERR_OK ||
	    strstr(e.text, bad->says) == NULL)
		fail_msg("%s: wanted \"%s\", got \"%s\"", bad->text, bad->says,
		    e.text);
	mem_free(exact);
}

static void
refuses_the_rest(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++)
		refuse(&bads[i]);
	for (size_t i = 0; i < sizeof stricter / sizeof stricter[0]; i++)
		refuse(&stricter[i]);
}

static void
keeps_its_limits(void **state)
{
	for (int over = 0; over <= 1; over++) {
		struct module_package p = { 0 };
		struct err e;
		AUTO_BUF text = { 0 };

		buf_init(&text, 65536);
		buf_add_str(&text, "package a");
		for (int i = 1; i < MODULE_SEGMENTS_MAX + over; i++)
			buf_add_str(&text, ".b");
		assert_int_equal(module_package_read(&p, "f", text.data,
				     text.len, &e),
		    over ? ERR_LIMIT : ERR_OK);
		module_package_clear(&p);
		buf_reset(&text);
		buf_add_str(&text, "package a[\"");
		for (int i = 1; i < MODULE_NAME_MAX + over; i++)
			buf_add_char(&text, 'x');
		buf_add_str(&text, "\"]");
		assert_int_equal(module_package_read(&p, "f", text.data,
				     text.len, &e),
		    over ? ERR_LIMIT : ERR_OK);
		module_package_clear(&p);
	}
	(void)state;
}

/* Every good one is asked of the engine under its own name, in one go. */
static void
agrees_with_the_engine(void **state)
{
	char *folder = fixture_folder();
	struct buf out = { 0 };

	for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
		AUTO_BUF text = { 0 };

		buf_init(&text, 4096);
		buf_printf(&text, "%s\nmarker := 7\n", goods[i].text);
		fixture_write(folder, "f.rego", text.data, text.len);
		if (fixture_run(&out, "%s eval -f raw -d %s/f.rego '%s.marker'",
			fixture_opa(), folder, goods[i].name) != 0 ||
		    strcmp(out.data, "7\n") != 0)
			fail_msg("%s: %s", goods[i].text, out.data);
	}
	for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
		fixture_write(folder, "f.rego", bads[i].text,
		    strlen(bads[i].text));
		if (fixture_run(&out, "%s parse %s/f.rego", fixture_opa(),
			folder) == 0)
			fail_msg("the engine takes: %s", bads[i].text);
	}
	buf_clear(&out);
	fixture_folder_end(folder);
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_packages),
		cmocka_unit_test(refuses_the_rest),
		cmocka_unit_test(keeps_its_limits),
		cmocka_unit_test(agrees_with_the_engine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
