#include "clusters/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clusters/payload.h"
#include "core/mem.h"

static void
test_fits(void **state)
{
	static const char labels[] =
	    "{\"env\":\"prod\",\"region\":\"eu\",\"empty\":\"\"}";
	static const struct {
		const char *text;
		bool fits;
	} rows[] = {
		{ "env=prod", true },
		{ "env==prod", true },
		{ "env=test", false },
		{ "env=pro", false },
		{ "env!=prod", false },
		{ "env!=test", true },
		{ "none=x", false },
		{ "none!=x", true },
		{ "env", true },
		{ "!env", false },
		{ "none", false },
		{ "!none", true },
		{ "env=prod,region!=us", true },
		{ "env=prod,region!=eu", false },
		{ " env = prod , region != us , !none ", true },
		{ "! none", true },
		{ "empty=", true },
		{ "empty!=", false },
		{ "none=", false },
		{ "env=", false },
		{ "env=prod,env!=prod", false },
		{ "Env=prod", false },
	};
	AUTO_JSON j = json_loads(labels, 0, NULL);

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO(selector, s) = NULL;
		struct err e;

		if (selector_parse(&s, rows[i].text, &e) != ERR_OK)
			fail_msg("%s: %s", rows[i].text, e.text);
		if (selector_fits(s, j) != rows[i].fits)
			fail_msg("%s", rows[i].text);
	}
}

static void
test_faults(void **state)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ "", "column 1: here a label's name is missing" },
		{ "=prod", "column 1: here a label's name is missing" },
		{ "a,", "column 3: here a label's name is missing" },
		{ ",a", "column 1: here a label's name is missing" },
		{ "a,,b", "column 3: here a label's name is missing" },
		{ "!", "column 2: here a label's name is missing" },
		{ "!!a", "column 2: here a label's name is missing" },
		{ "!a=b", "column 3: !key takes no value" },
		{ "!a!=b", "column 3: !key takes no value" },
		{ "a=b=c", "column 4: here a comma or the end is missing" },
		{ "a=b!=c", "column 4: here a comma or the end is missing" },
		{ "a===b", "column 4: here a comma or the end is missing" },
		{ "a!b", "column 2: \"!\" stands before a key" },
		{ "a=!b", "column 3: here a comma or the end is missing" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct selector *s = NULL;
		struct err e = { 0 };

		assert_int_equal(selector_parse(&s, rows[i].text, &e),
		    ERR_INVALID);
		assert_null(s);
		if (strstr(e.text, rows[i].words) == NULL)
			fail_msg("%s: %s", rows[i].text, e.text);
	}
}

static void
test_limits(void **state)
{
	char text[SELECTOR_SIZE_MAX + 2];
	struct selector *s = NULL;
	struct err e;

	(void)state;
	memset(text, 'a', sizeof text);
	text[SELECTOR_SIZE_MAX] = '\0';
	assert_int_equal(selector_parse(&s, text, &e), ERR_OK);
	selector_free(s);
	text[SELECTOR_SIZE_MAX] = 'a';
	text[SELECTOR_SIZE_MAX + 1] = '\0';
	assert_int_equal(selector_parse(&s, text, &e), ERR_LIMIT);
	for (int i = 0; i < SELECTOR_TERMS_MAX + 1; i++)
		memcpy(text + 2 * i, "a,", 2);
	text[2 * SELECTOR_TERMS_MAX - 1] = '\0';
	assert_int_equal(selector_parse(&s, text, &e), ERR_OK);
	selector_free(s);
	text[2 * SELECTOR_TERMS_MAX - 1] = ',';
	text[2 * SELECTOR_TERMS_MAX + 1] = '\0';
	assert_int_equal(selector_parse(&s, text, &e), ERR_LIMIT);
	assert_non_null(strstr(e.text, "32 terms"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
