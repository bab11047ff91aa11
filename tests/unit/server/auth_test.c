#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/http/auth.h"

static void
reads_bearer_tokens(void **state)
{
	static const struct {
		const char *header;
		enum auth_result result;
		const char *token;
	} rows[] = {
		{ NULL, AUTH_NONE, NULL },
		{ "Bearer abc", AUTH_KNOWN, "abc" },
		{ "bearer abc", AUTH_KNOWN, "abc" },
		{ "BEARER   abc==  ", AUTH_KNOWN, "abc==" },
		{ "Bearer a-b._~+/9=", AUTH_KNOWN, "a-b._~+/9=" },
		{ "", AUTH_WRONG, NULL },
		{ "Bearer", AUTH_WRONG, NULL },
		{ "Bearer ", AUTH_WRONG, NULL },
		{ "Bearer =", AUTH_WRONG, NULL },
		{ "Bearer a b", AUTH_WRONG, NULL },
		{ "Bearer a,b", AUTH_WRONG, NULL },
		{ "Bearer a=b", AUTH_WRONG, NULL },
		{ "Bearer \"abc\"", AUTH_WRONG, NULL },
		{ "Bearer\tabc", AUTH_WRONG, NULL },
		{ "Basic YTpi", AUTH_WRONG, NULL },
		{ "Bearerabc", AUTH_WRONG, NULL },
		{ "Bearer a\xff", AUTH_WRONG, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char token[AUTH_TOKEN_MAX + 1];

		assert_int_equal(auth_bearer(token, rows[i].header),
		    rows[i].result);
		if (rows[i].token != NULL)
			assert_string_equal(token, rows[i].token);
	}
}

static void
limits_tokens(void **state)
{
	char token[AUTH_TOKEN_MAX + 1];
	char header[7 + AUTH_TOKEN_MAX + 2] = "Bearer ";

	(void)state;
	memset(header + 7, 'a', AUTH_TOKEN_MAX);
	assert_int_equal(auth_bearer(token, header), AUTH_KNOWN);
	assert_int_equal(strlen(token), AUTH_TOKEN_MAX);
	header[7 + AUTH_TOKEN_MAX] = 'a';
	assert_int_equal(auth_bearer(token, header), AUTH_WRONG);
	header[7 + AUTH_TOKEN_MAX] = '=';
	assert_int_equal(auth_bearer(token, header), AUTH_WRONG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_bearer_tokens),
		cmocka_unit_test(limits_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
