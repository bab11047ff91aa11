#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/file.h"
#include "policies/known_hosts.h"
#include "tests/unit/policies/git_fixture.h"

/* base64 of "key-one" and so on; the type is not looked at. */
#define ONE "a2V5LW9uZQ=="
#define TWO "a2V5LXR3bw=="

static enum known_hosts_answer
ask(const char *text, const char *host, int port, const char *key)
{
	return known_hosts_check(text, strlen(text), host, port, key,
	    strlen(key));
}

static void
test_lines(void **state)
{
	static const struct {
		const char *text, *host;
		int port;
		enum known_hosts_answer answer;
	} cases[] = {
		{ "", "h", 22, KNOWN_HOSTS_UNKNOWN },
		{ "h ssh-ed25519 " ONE "\n", "h", 22, KNOWN_HOSTS_MATCH },
		{ "h ssh-ed25519 " ONE " a comment", "h", 22,
		    KNOWN_HOSTS_MATCH },
		{ "  h\tssh-ed25519\t" ONE "\r\n", "h", 22, KNOWN_HOSTS_MATCH },
		{ "H.EXAMPLE x " ONE, "h.example", 22, KNOWN_HOSTS_MATCH },
		{ "h x " ONE, "h", 2222, KNOWN_HOSTS_UNKNOWN },
		{ "[h]:2222 x " ONE, "h", 2222, KNOWN_HOSTS_MATCH },
		{ "[h]:2222 x " ONE, "h", 22, KNOWN_HOSTS_UNKNOWN },
		{ "h x " TWO, "h", 22, KNOWN_HOSTS_MISMATCH },
		{ "h x " TWO "\nh x " ONE, "h", 22, KNOWN_HOSTS_MATCH },
		{ "g,h,i x " ONE, "h", 22, KNOWN_HOSTS_MATCH },
		{ "*.example.org x " ONE, "git.example.org", 22,
		    KNOWN_HOSTS_MATCH },
		{ "*.example.org,!git.* x " ONE, "git.example.org", 22,
		    KNOWN_HOSTS_UNKNOWN },
		{ "g?t x " ONE, "git", 22, KNOWN_HOSTS_MATCH },
		{ "g?t x " ONE, "gt", 22, KNOWN_HOSTS_UNKNOWN },
		{ "# h x " ONE, "h", 22, KNOWN_HOSTS_UNKNOWN },
		{ "@cert-authority h x " ONE, "h", 22, KNOWN_HOSTS_UNKNOWN },
		{ "h x " ONE "\n@revoked * x " ONE, "h", 22,
		    KNOWN_HOSTS_REVOKED },
		{ "@revoked * x " TWO "\nh x " ONE, "h", 22,
		    KNOWN_HOSTS_MATCH },
		{ "h x", "h", 22, KNOWN_HOSTS_UNKNOWN },
		{ "h x !!!!", "h", 22, KNOWN_HOSTS_MISMATCH },
		{ "h x a2V5LW9uZQ", "h", 22, KNOWN_HOSTS_MISMATCH },
		{ "|1|x|y x " ONE, "h", 22, KNOWN_HOSTS_UNKNOWN },
		{ "|1| x " ONE, "h", 22, KNOWN_HOSTS_UNKNOWN },
		{ "|1|| x " ONE, "h", 22, KNOWN_HOSTS_UNKNOWN },
		{ ", x " ONE, "h", 22, KNOWN_HOSTS_UNKNOWN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(ask(cases[i].text, cases[i].host,
				     cases[i].port, "key-one"),
		    cases[i].answer);
}

/* A file that ssh-keygen itself hashed. */
static void
test_hashed_by_ssh(void **state)
{
	AUTO_BUF b = { 0 };
	struct err e;

	(void)state;
	fixture_start();
	sh("ssh-keygen -q -t ed25519 -N '' -f k; cut -d' ' -f1,2 k.pub > pub\n"
	   "(printf 'h.example '; cat pub; printf '[h.example]:2200 '; cat pub) "
	   "> kh; ssh-keygen -q -H -f kh; ! grep -q h.example kh\n"
	   "cut -d' ' -f2 pub | base64 -d > raw");
	buf_init(&b, KNOWN_HOSTS_MAX);
	{
		AUTO_BUF raw = { 0 };

		buf_init(&raw, 1000);
		assert_int_equal(file_read(&b, fixture_path("kh"), &e), ERR_OK);
		assert_int_equal(file_read(&raw, fixture_path("raw"), &e),
		    ERR_OK);
		assert_int_equal(known_hosts_check(b.data, b.len, "h.example",
				     22, raw.data, raw.len),
		    KNOWN_HOSTS_MATCH);
		assert_int_equal(known_hosts_check(b.data, b.len, "h.example",
				     2200, raw.data, raw.len),
		    KNOWN_HOSTS_MATCH);
		assert_int_equal(known_hosts_check(b.data, b.len, "h.example",
				     2201, raw.data, raw.len),
		    KNOWN_HOSTS_UNKNOWN);
		assert_int_equal(known_hosts_check(b.data, b.len, "h.example",
				     22, "x", 1),
		    KNOWN_HOSTS_MISMATCH);
	}
	fixture_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_hashed_by_ssh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
