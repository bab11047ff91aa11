#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

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
finds_clashes(void **state)
{
	static const struct {
		const char *x, *y;         /* roots of two owners */
		const char *outer, *inner; /* NULL: no clash */
	} rows[] = {
		{ "a", "b", NULL, NULL },
		{ "a/b c", "a/c d", NULL, NULL },
		{ "a", "a", "a", "a" },
		{ "a", "c a/b", "a", "a/b" },
		{ "a/b/c", "x a/b", "a/b", "a/b/c" },
		{ "q", "", "", "q" },
		/* Nested in itself: the outer one counts. */
		{ "a a/b", "a/c", "a", "a/c" },
		{ "a-b", "a/b", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct roots x = list(rows[i].x), y = list(rows[i].y);
		struct root_owner owners[8];
		const struct root_owner *a = NULL, *b = NULL;
		size_t count = 0;
		bool found;

		for (size_t k = 0; k < x.count; k++)
			owners[count++] =
			    (struct root_owner){ x.items[k], "x" };
		for (size_t k = 0; k < y.count; k++)
			owners[count++] =
			    (struct root_owner){ y.items[k], "y" };
		found = roots_clash(owners, count, &a, &b);
		assert_int_equal(found, rows[i].outer != NULL);
		if (found) {
			assert_string_equal(a->root, rows[i].outer);
			assert_string_equal(b->root, rows[i].inner);
			assert_string_not_equal(a->owner, b->owner);
		}
		roots_clear(&x);
		roots_clear(&y);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reduces),
		cmocka_unit_test(shortens),
		cmocka_unit_test(checks),
		cmocka_unit_test(refuses_none),
		cmocka_unit_test(finds_clashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
