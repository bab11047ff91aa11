#include "server/http/certificate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_patterns(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} rows[] = {
		{ "a.example.org", "a.example.org", true },
		{ "a.example.org", "b.example.org", false },
		{ "a.example.org", "a.example.org.evil", false },
		{ "a.example.org", "xa.example.org", false },
		{ "*.example.org", "a.example.org", true },
		{ "*.example.org", "a.b.example.org", false },
		{ "*.example.org", ".example.org", true },
		{ "*.example.org", "example.org", false },
		{ "opa-*.eu.example.org", "opa-12.eu.example.org", true },
		{ "opa-*.eu.example.org", "opa-.x.eu.example.org", false },
		{ "*-*.org", "a-b-c.org", true },
		{ "*", "host", true },
		{ "*", "a.b", false },
		{ "*.*", "a.b", true },
		{ "*.*", "a.b.c", false },
		{ "spiffe://t/ns/*/sa/opa", "spiffe://t/ns/eu/sa/opa", true },
		{ "spiffe://t/ns/*/sa/opa", "spiffe://t/ns/e/x/sa/opa", false },
		{ "spiffe://t/*", "spiffe://t/a.b", false },
		{ "*", "spiffe://t", false },
		{ "*//*", "spiffe://t", false },
		{ "spiffe://t", "t", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (certificate_fits(rows[i].pattern, rows[i].name) !=
		    rows[i].fits)
			fail_msg("%s and %s", rows[i].pattern, rows[i].name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
