#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/http/poll.h"

static void
reads_how_long_to_wait(void **state)
{
	static const struct {
		const char *header;
		int64_t seconds;
	} rows[] = {
		{ NULL, 0 },
		{ "", 0 },
		{ "modes=snapshot,delta", 0 },
		{ "modes=snapshot,delta;wait=60", 60 },
		{ "modes=snapshot;wait=10", 10 },
		{ "wait=5", 5 },
		{ "WAIT=5", 5 },
		{ " wait = 5 ", 5 },
		{ "respond-async, wait=7", 7 },
		{ "wait=\"8\"", 8 },
		{ "modes=\"a;wait=9\"", 0 },
		{ "modes=\"a\\\";wait=9\";wait=3", 3 },
		{ "modes=\"never ended;wait=9", 0 },
		{ "wait=1;wait=2", 1 },
		{ "wait=0", 0 },
		{ "wait=007", 7 },
		{ "wait=-1", 0 },
		{ "wait=+1", 0 },
		{ "wait=1.5", 0 },
		{ "wait=1s", 0 },
		{ "wait=", 0 },
		{ "wait", 0 },
		{ "waiting=5", 0 },
		{ "await=5", 0 },
		{ "wait=0x10", 0 },
		{ "wait=\"5", 0 },
		{ "wait=86401", POLL_WAIT_MAX },
		{ "wait=99999999999999999999999999", POLL_WAIT_MAX },
		{ ";;,,;wait=4;;", 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (poll_wait_s(rows[i].header) != rows[i].seconds)
			fail_msg("%s: %lld", rows[i].header,
			    (long long)poll_wait_s(rows[i].header));
}

static void
compares_etags(void **state)
{
	static const char etag[] = "\"sha256:aa\"";
	static const struct {
		const char *header;
		bool has;
	} rows[] = {
		{ NULL, false },
		{ "", false },
		{ "\"sha256:aa\"", true },
		{ "  \"sha256:aa\"  ", true },
		{ "W/\"sha256:aa\"", true },
		{ "w/\"sha256:aa\"", false },
		{ "\"x\", \"sha256:aa\"", true },
		{ "\"x\",,W/\"y\" ,\"sha256:aa\"", true },
		{ "\"a,b\", \"sha256:aa\"", true },
		{ "*", true },
		{ " * ", true },
		{ "*, \"x\"", false },
		{ "\"sha256:ab\"", false },
		{ "\"sha256:aa", false },
		{ "sha256:aa", false },
		{ "\"sha256:aa\"x", false },
		{ "\"sha256:aa\", \"x", false },
		{ "x\"sha256:aa\"", false },
		{ "\"x\" \"sha256:aa\"", false },
		{ "\"sha256:AA\"", false },
		{ "\"\"", false },
		{ ",", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (poll_has(rows[i].header, etag) != rows[i].has)
			fail_msg("row %zu: %s", i, rows[i].header);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_how_long_to_wait),
		cmocka_unit_test(compares_etags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
