#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "bundler/bundle.h"
#include "bundler/roots.h"
#include "core/mem.h"

static struct roots
list(const char *text)
{
	struct roots r = { 0 };
	AUTO_STR copy = mem_strdup(text);
	char *rest = copy;

	while (rest != NULL) {
		char *one = strsep(&rest, " ");

		roots_add(&r, one, strlen(one));
	}
	return r;
}

static void
holds_by_segment(void **state)
{
	(void)state;
	assert_true(root_holds("a", "a"));
	assert_true(root_holds("a", "a/b"));
	assert_false(root_holds("a", "ab"));
	assert_false(root_holds("a/b", "a"));
	assert_true(root_holds("", ""));
	assert_true(root_holds("", "x"));
}

static void
reduces(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "b a", "[a, b]" },
		{ "a/b a-b a a/b/c", "[a, a-b]" },
		{ "a/c a/b a/b", "[a/b, a/c]" },
		{ "x  y", "[\"\"]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct roots r = list(rows[i].in);
		AUTO_BUF text = { 0 };

		buf_init(&text, 1024);
		roots_reduce(&r);
		roots_describe(&text, r.items, r.count);
		assert_string_equal(text.data, rows[i].out);
		roots_clear(&r);
	}
}

static void
shortens(void **state)
{
	static const struct {
		const char *in;
		size_t max;
		const char *out;
	} rows[] = {
		{ "a/b/c a/b/d e", 3, "[a/b/c, a/b/d, e]" },
		{ "a/b/c a/b/d e", 2, "[a/b, e]" },
		{ "a/b/c a/d e/f/g", 2, "[a, e]" },
		{ "a b c", 2, "[a, b, c]" },
		{ "a/b c/d", 1, "[a, c]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct roots r = list(rows[i].in);
		AUTO_BUF text = { 0 };

		buf_init(&text, 1024);
		roots_shorten(&r, rows[i].max);
		roots_describe(&text, r.items, r.count);
		assert_string_equal(text.data, rows[i].out);
		roots_clear(&r);
	}
}

static void
checks(void **state)
{
	static const struct {
		const char *in, *says; /* NULL: fine */
	} rows[] = {
		{ "/a/ b/c", NULL },
		{ "a a-b ab", NULL },
		{ "", NULL },
		{ "a a/b", "\"a\" and \"a/b\" overlap" },
		{ "a/b a-b a", "\"a\" and \"a/b\" overlap" },
		{ "a /a", "overlap" },
		{ "/ a", "overlap" },
		{ "a//b", "empty part" },
		{ "a%20b", "read differently" },
		{ "a/\xc3\xa4", "read differently" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct roots r = list(rows[i].in);
		struct err e = { 0 };
		enum err_code code = roots_check(&r, "here", &e);

		if (rows[i].says == NULL && code != ERR_OK)
			fail_msg("%s: %s", rows[i].in, e.text);
		if (rows[i].says != NULL) {
			assert_int_equal(code, ERR_INVALID);
			assert_non_null(strstr(e.text, rows[i].says));
		}
		roots_clear(&r);
	}
}

static void
refuses_none(void **state)
{
	struct roots none = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(roots_check(&none, "here", &e), ERR_INVALID);
}

static void
finds_overlaps(void **state)
{
	static const struct {
		const char *x, *y, *a, *b; /* a NULL: none */
	} rows[] = {
		{ "a", "b", NULL, NULL },
		{ "a/b c", "a/c d", NULL, NULL },
		{ "a", "a", "a", "a" },
		{ "a", "c a/b", "a", "a/b" },
		{ "a/b/c", "x a/b", "a/b/c", "a/b" },
		{ "q", "", "q", "" },
		/* Nested in itself: the outer one counts. */
		{ "a a/b", "a/c", "a", "a/c" },
		{ "a-b", "a/b", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct roots x = list(rows[i].x), y = list(rows[i].y);
		const char *a = NULL, *b = NULL;
		bool found =
		    roots_overlap(x.items, x.count, y.items, y.count, &a, &b);

		assert_int_equal(found, rows[i].a != NULL);
		if (found) {
			assert_string_equal(a, rows[i].a);
			assert_string_equal(b, rows[i].b);
		}
		roots_clear(&x);
		roots_clear(&y);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_by_segment),
		cmocka_unit_test(reduces),
		cmocka_unit_test(shortens),
		cmocka_unit_test(checks),
		cmocka_unit_test(refuses_none),
		cmocka_unit_test(finds_overlaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
