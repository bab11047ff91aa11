#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/http/route.h"

static void
nothing(struct request *r)
{
	(void)r;
}

static const struct route table[] = {
	{ "GET", "/bundles/{bundle}", ROUTE_ENGINE, nothing, NULL, NULL },
	{ "GET", "/v1/commits", ROUTE_ADMIN, nothing, "repository limit next",
	    NULL },
	{ "GET", "/v1/commits/{rev}", ROUTE_ADMIN, nothing, NULL, NULL },
	{ "POST", "/v1/commits/{rev}/retest", ROUTE_ADMIN, nothing, NULL,
	    "retest" },
	{ "GET", "/v1/bundles/{bundle}/revisions/{rev}", ROUTE_ADMIN, nothing,
	    NULL, NULL },
	{ "POST", "/both", ROUTE_ADMIN, nothing, NULL, NULL },
	{ "GET", "/both", ROUTE_ADMIN, nothing, NULL, NULL },
	{ "GET", "/v1/operations/{id}", ROUTE_ADMIN, nothing, NULL, NULL },
	{ 0 },
};

static void
finds_routes(void **state)
{
	static const struct {
		const char *method;
		const char *path;
		enum route_result result;
		const char *pattern;
	} rows[] = {
		{ "GET", "/bundles/authz", ROUTE_FOUND, "/bundles/{bundle}" },
		{ "HEAD", "/bundles/authz", ROUTE_FOUND, "/bundles/{bundle}" },
		{ "GET", "/bundles/a%75thz", ROUTE_FOUND, "/bundles/{bundle}" },
		{ "GET", "/v1/commits", ROUTE_FOUND, "/v1/commits" },
		{ "GET", "/v1/commits/main~3", ROUTE_FOUND,
		    "/v1/commits/{rev}" },
		{ "POST", "/v1/commits/p%40feature%2Fx/retest", ROUTE_FOUND,
		    "/v1/commits/{rev}/retest" },
		{ "GET", "/v1/operations/12", ROUTE_FOUND,
		    "/v1/operations/{id}" },
		{ "POST", "/bundles/authz", ROUTE_OTHER_METHOD, NULL },
		{ "BREW", "/bundles/authz", ROUTE_OTHER_METHOD, NULL },
		{ "get", "/bundles/authz", ROUTE_OTHER_METHOD, NULL },
		{ "HEAD", "/v1/commits/x/retest", ROUTE_OTHER_METHOD, NULL },
		{ "GET", "/", ROUTE_NOT_FOUND, NULL },
		{ "GET", "", ROUTE_NOT_FOUND, NULL },
		{ "GET", "*", ROUTE_NOT_FOUND, NULL },
		{ "GET", "bundles/authz", ROUTE_NOT_FOUND, NULL },
		{ "GET", "//bundles/authz", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/bundles/authz/", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/bundles//", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/bundles/", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/bundles", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/Bundles/authz", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/bundles/..", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/bundles/%2e%2e", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/bundles/..%2F..%2Fetc%2Fpasswd", ROUTE_NOT_FOUND,
		    NULL },
		{ "GET", "/bundles/a/../b", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/bundles/Upper", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/v1/operations/12x", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/v1/operations/-1", ROUTE_NOT_FOUND, NULL },
		{ "GET", "/v1/operations/1234567890123456789", ROUTE_NOT_FOUND,
		    NULL },
		{ "GET", "/bundles/a%", ROUTE_MALFORMED, NULL },
		{ "GET", "/bundles/a%4", ROUTE_MALFORMED, NULL },
		{ "GET", "/bundles/a%zz", ROUTE_MALFORMED, NULL },
		{ "GET", "/bundles/a%00b", ROUTE_MALFORMED, NULL },
		{ "GET", "/v1/commits/a%0d%0aX:1", ROUTE_MALFORMED, NULL },
		{ "GET", "/v1/commits/%ff", ROUTE_MALFORMED, NULL },
		{ "GET", "/v1/commits/%c0%af", ROUTE_MALFORMED, NULL },
		{ "GET", "/v1/commits/%ed%a0%80", ROUTE_MALFORMED, NULL },
		{ "GET", "/v1/commits/%c3%bc", ROUTE_FOUND,
		    "/v1/commits/{rev}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct route_match m;
		enum route_result result =
		    route_find(&m, table, rows[i].method, rows[i].path);

		if (result != rows[i].result)
			fail_msg("%s %s: %d instead of %d", rows[i].method,
			    rows[i].path, (int)result, (int)rows[i].result);
		if (rows[i].pattern != NULL)
			assert_string_equal(m.route->pattern, rows[i].pattern);
	}
}

static void
gives_parameters(void **state)
{
	struct route_match m;

	(void)state;
	assert_int_equal(route_find(&m, table, "GET",
			     "/v1/bundles/authz/revisions/policies%40main~3"),
	    ROUTE_FOUND);
	assert_string_equal(route_param(&m, "bundle"), "authz");
	assert_string_equal(route_param(&m, "rev"), "policies@main~3");
}

static void
says_what_is_allowed(void **state)
{
	struct route_match m;

	(void)state;
	assert_int_equal(route_find(&m, table, "POST", "/bundles/authz"),
	    ROUTE_OTHER_METHOD);
	assert_string_equal(m.allow, "GET, HEAD");
	assert_int_equal(route_find(&m, table, "DELETE", "/both"),
	    ROUTE_OTHER_METHOD);
	assert_string_equal(m.allow, "POST, GET, HEAD");
	assert_int_equal(route_find(&m, table, "GET", "/both"), ROUTE_FOUND);
}

static void
limits_lengths(void **state)
{
	char path[ROUTE_PATH_MAX + 2];
	char rev[ROUTE_PARAM_SIZE + 32];
	struct route_match m;

	(void)state;
	memset(path, 'a', sizeof path);
	path[0] = '/';
	path[ROUTE_PATH_MAX] = '\0';
	assert_int_equal(route_find(&m, table, "GET", path), ROUTE_NOT_FOUND);
	path[ROUTE_PATH_MAX] = 'a';
	path[ROUTE_PATH_MAX + 1] = '\0';
	assert_int_equal(route_find(&m, table, "GET", path), ROUTE_TOO_LONG);

	memset(rev, 'a', sizeof rev);
	memcpy(rev, "/v1/commits/", 12);
	rev[12 + ROUTE_PARAM_SIZE - 1] = '\0';
	assert_int_equal(route_find(&m, table, "GET", rev), ROUTE_FOUND);
	rev[12 + ROUTE_PARAM_SIZE - 1] = 'a';
	rev[12 + ROUTE_PARAM_SIZE] = '\0';
	assert_int_equal(route_find(&m, table, "GET", rev), ROUTE_MALFORMED);
}

static void
knows_parameters_of_the_query(void **state)
{
	(void)state;
	assert_true(route_takes(&table[1], "limit"));
	assert_true(route_takes(&table[1], "repository"));
	assert_true(route_takes(&table[1], "next"));
	assert_false(route_takes(&table[1], "lim"));
	assert_false(route_takes(&table[1], "limit next"));
	assert_false(route_takes(&table[1], ""));
	assert_false(route_takes(&table[0], "limit"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_routes),
		cmocka_unit_test(gives_parameters),
		cmocka_unit_test(says_what_is_allowed),
		cmocka_unit_test(limits_lengths),
		cmocka_unit_test(knows_parameters_of_the_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
