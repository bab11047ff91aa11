#include "clusters/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clusters/payload.h"

static void
test_names(void **state)
{
	static const struct {
		const char *list, *name;
		bool fits;
	} rows[] = {
		{ "[]", "prod-eu", true },
		{ "[\"prod-eu\"]", "prod-eu", true },
		{ "[\"prod-eu\"]", "prod-e", false },
		{ "[\"prod-eu\"]", "prod-eu2", false },
		{ "[\"prod-*\"]", "prod-", true },
		{ "[\"prod-*\"]", "prod", false },
		{ "[\"*\"]", "x", true },
		{ "[\"*-eu\"]", "prod-eu-eu", true },
		{ "[\"*-eu\"]", "prod-eu-e", false },
		{ "[\"p*d-*u\"]", "prod-dd-eu", true },
		{ "[\"p?od\"]", "prod", true },
		{ "[\"p?od\"]", "pod", false },
		{ "[\"a\",\"b*\"]", "bc", true },
		{ "[\"a\",\"b*\"]", "c", false },
		{ "[\"**?\"]", "a", true },
		{ "[1]", "1", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_JSON list = json_loads(rows[i].list, 0, NULL);
		struct scope c = { .clusters = list };
		struct scope b = { .bundles = list };

		assert_non_null(list);
		assert_int_equal(scope_cluster(&c, rows[i].name), rows[i].fits);
		assert_int_equal(scope_bundle(&b, rows[i].name), rows[i].fits);
		assert_true(scope_bundle(&c, "anything"));
		assert_true(scope_cluster(&b, "anything"));
		assert_int_equal(scope_is_limited(&c),
		    json_array_size(list) > 0);
	}
}

static void
test_only(void **state)
{
	AUTO_JSON one = json_pack("[s]", "prod");
	AUTO_JSON two = json_pack("[s,s]", "prod", "test");
	AUTO_JSON any = json_pack("[s]", "pro*");

	(void)state;
	assert_string_equal(scope_only(one), "prod");
	assert_null(scope_only(two));
	assert_null(scope_only(any));
	assert_null(scope_only(NULL));
}

static void
test_lists_from_outside(void **state)
{
	static const struct {
		const char *text;
		enum err_code code;
	} rows[] = {
		{ "[]", ERR_OK },
		{ "[\"a.b_c-9*?\"]", ERR_OK },
		{ "[\"\"]", ERR_INVALID },
		{ "[\"A\"]", ERR_INVALID },
		{ "[\"a/b\"]", ERR_INVALID },
		{ "[\"[a]\"]", ERR_INVALID },
		{ "[\"a\\u0000b\"]", ERR_INVALID },
		{ "[1]", ERR_INVALID },
		{ "{}", ERR_INVALID },
		{ "\"a\"", ERR_INVALID },
	};
	AUTO_JSON many = json_array();
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_JSON list = json_loads(rows[i].text,
		    JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

		assert_non_null(list);
		assert_int_equal(scope_check(list, "clusters", &e),
		    rows[i].code);
	}
	for (int i = 0; i < SCOPE_PATTERNS_MAX; i++)
		json_array_append_new(many, json_string("a"));
	assert_int_equal(scope_check(many, "clusters", &e), ERR_OK);
	json_array_append_new(many, json_string("a"));
	assert_int_equal(scope_check(many, "clusters", &e), ERR_LIMIT);
	assert_int_equal(scope_check(NULL, "clusters", &e), ERR_OK);
}

static void
test_long_names(void **state)
{
	AUTO_JSON list = json_array();
	char name[SCOPE_PATTERN_MAX + 2];
	struct err e;

	(void)state;
	memset(name, 'a', sizeof name - 1);
	name[SCOPE_PATTERN_MAX] = '\0';
	json_array_append_new(list, json_string(name));
	assert_int_equal(scope_check(list, "bundles", &e), ERR_OK);
	name[SCOPE_PATTERN_MAX] = 'a';
	name[SCOPE_PATTERN_MAX + 1] = '\0';
	json_array_append_new(list, json_string(name));
	assert_int_equal(scope_check(list, "bundles", &e), ERR_INVALID);
}

static void
test_roles(void **state)
{
	enum scope_role role;

	(void)state;
	for (int i = 0; i < SCOPE_ROLES; i++) {
		assert_true(scope_role_parse(&role, scope_role_names[i]));
		assert_int_equal(role, i);
	}
	assert_false(scope_role_parse(&role, "Admin"));
	assert_false(scope_role_parse(&role, ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_only),
		cmocka_unit_test(test_lists_from_outside),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_roles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
