#include <stdlib.h>
#include <string.h>

#include "tests/daemon/fixture.h"

SCENARIO(from_nothing_to_a_verified_bundle)
{
	const char *text;

	daemon_sh("edict init policies");
	/* Nothing is overwritten. */
	assert_int_equal(daemon_try("edict init policies").status, 1);
	text = daemon_sh("cd policies && edict check --tests");
	assert_non_null(strstr(text, "passed"));
	assert_non_null(strstr(text, "test_admin_may_write"));
	daemon_sh("cd policies && git init -q -b main && git add -A && "
		  "git commit -q -m First");
	daemon_sh("edict check policies --rev HEAD --json > verdict.json");
	assert_non_null(strstr(daemon_read("verdict.json"), "\"passed\""));

	daemon_sh("edict keygen ci");
	assert_string_equal(daemon_sh("stat -c %%a ci.key"), "600");
	assert_int_equal(daemon_try("edict keygen ci").status, 1);
	daemon_sh("edict build policies -o authz.tar.gz --signing-key ci.key "
		  "--key-id ci");
	daemon_sh("edict verify authz.tar.gz --key ci.pub --scope authz");
	daemon_sh("'%s' build -b authz.tar.gz --verification-key ci.pub "
		  "--verification-key-id ci --scope authz -o /dev/null",
	    engine_opa());
	assert_non_null(strstr(daemon_sh("tar tzf authz.tar.gz"),
	    ".signatures.json"));
}

SCENARIO(verify_refuses_what_is_not_right)
{
	static const char *const rows[] = {
		/* for another name, another key, unsigned, not a bundle */
		"edict verify good.tar.gz --key ci.pub --scope other",
		"edict verify good.tar.gz --key other.pub --scope authz",
		"edict verify good.tar.gz --key ci.pub --key-id x --scope authz",
		"edict verify unsigned.tar.gz --key ci.pub --scope authz",
		"edict verify changed.tar.gz --key ci.pub --scope authz",
		"edict verify ci.pub --key ci.pub --scope authz",
		"edict verify none.tar.gz --key ci.pub --scope authz",
	};

	daemon_sh("edict init p && cd p && git init -q && git add -A && "
		  "git commit -qm x && cd .. && edict keygen ci && "
		  "edict keygen other && "
		  "edict build p -o unsigned.tar.gz && "
		  "edict build p -o good.tar.gz --signing-key ci.key "
		  "--key-id ci && mkdir x && tar xzf good.tar.gz -C x && "
		  "echo '{\"eve\":[\"admin\"]}' > x/roles/data.json && "
		  "tar czf changed.tar.gz -C x $(tar tzf good.tar.gz)");
	daemon_sh("edict verify good.tar.gz --key ci.pub --scope authz");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct shell s = daemon_try("%s", rows[i]);

		if (s.status != 1)
			fail_msg("status %d of: %s\n%s", s.status, rows[i],
			    s.text);
		assert_non_null(strstr(s.text, "edict verify: "));
	}
}

SCENARIO(check_says_what_fails_and_where)
{
	struct shell s;

	daemon_sh("edict init p");
	daemon_sh("echo 'test_no if data.authz.allow' >> "
		  "p/policies/authz/authz_test.rego");
	s = daemon_try("edict check p");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "failed"));
	assert_non_null(strstr(s.text, "policies/authz/authz_test.rego:"));
	assert_non_null(strstr(s.text, "test_no"));
	daemon_sh("echo 'bundles: {a: {pathz: x}}' > p/edict.yaml");
	s = daemon_try("edict check p");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "edict.yaml:1:"));
}

static void
check_width(const char *what, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		if (len > 80)
			fail_msg("%s: wider than 80 columns: %.*s", what,
			    (int)len, text);
		text += len + (text[len] == '\n');
	}
}

SCENARIO(every_command_helps)
{
	static const char *const names[] = { "serve", "init", "check", "build",
		"verify", "keygen", "log", "show", "status", "retest",
		"rollback", "pin", "resume", "fetch", "suspend", "unsuspend",
		"accept", "engine-config", "man" };
	const char *overview = daemon_sh("edict --help");

	check_width("edict --help", overview);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *help = daemon_sh("edict %s --help", names[i]);

		assert_non_null(strstr(overview,
		    daemon_printf("\n  %s ", names[i])));
		assert_non_null(strstr(help,
		    daemon_printf("usage: edict %s ", names[i])));
		check_width(names[i], help);
	}
	daemon_sh("edict help && edict --version | grep -q '^edict '");
}

SCENARIO(wrong_usage_ends_with_2)
{
	static const char *const rows[] = { "edict", "edict nothing",
		"edict --nothing", "edict serve", "edict serve --nothing",
		"edict serve --repo", "edict serve --repo a b",
		"edict init a b", "edict check a b",
		"edict build --signing-key x", "edict verify x", "edict diff x",
		"edict keygen", "edict log -n 0", "edict log -n x",
		"edict show", "edict status x", "edict retest",
		"edict rollback", "edict rollback main",
		"edict rollback main --to x", "edict pin main", "edict resume",
		"edict fetch a b", "edict engine-config",
		"edict engine-config a --wait x", "edict man x" };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct shell s = daemon_try("%s", rows[i]);

		if (s.status != 2)
			fail_msg("status %d of: %s\n%s", s.status, rows[i],
			    s.text);
	}
}

SCENARIO(without_a_server_commands_say_how_to_name_one)
{
	struct shell s = daemon_try("edict status --data-dir none");

	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "--server"));
	s = daemon_try("EDICT_TOKEN=x EDICT_SERVER=http://127.0.0.1:%d "
		       "EDICT_DATA_DIR= edict status",
	    daemon_free_port());
	assert_int_equal(s.status, 1);
	s = daemon_try("edict serve --repo ./none --data-dir d");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "none"));
	daemon_write("bad.yaml", "listen: 127.0.0.1:0\nrepositorys: {}\n");
	s = daemon_try("edict serve -c bad.yaml --data-dir d");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "bad.yaml:2:1"));
}

static void
expect_json(const char *command)
{
	json_error_t why;
	json_t *j = json_loads(daemon_sh("%s", command), 0, &why);

	if (j == NULL)
		fail_msg("%s: line %d: %s", command, why.line, why.text);
	json_decref(j);
}

SCENARIO(commands_show_what_there_is)
{
	const char *one = daemon_level(1);
	const char *bad, *text;
	struct shell s;

	daemon_start(NULL);
	daemon_wait_served(one);
	bad = daemon_bad_level(2);
	daemon_wait_verdict(bad, "failed", DAEMON_DEADLINE_MS);
	text = daemon_sh("edict log");
	check_width("edict log", text);
	assert_non_null(strstr(text, daemon_printf("%.12s", one)));
	assert_non_null(strstr(text, "default:main"));
	assert_non_null(strstr(text, "failed"));
	text = daemon_sh("edict status");
	assert_non_null(strstr(text, "following"));
	assert_non_null(strstr(text, daemon_printf("%.12s", bad)));
	text = daemon_sh("edict show HEAD");
	assert_non_null(strstr(text, "test_level"));
	text = daemon_sh("edict show HEAD~1 --tests");
	assert_non_null(strstr(text, "test_allow"));
	assert_int_equal(daemon_try("edict show ffffff").status, 1);
	/* As JSON, each for itself. */
	expect_json("edict log --json");
	expect_json("edict status --json");
	expect_json("edict show HEAD --json");
	/* By URL and token, as from another machine. */
	daemon_sh("EDICT_DATA_DIR= EDICT_SERVER=%s EDICT_TOKEN=%s edict log",
	    daemon_url(), daemon_admin());
	daemon_sh("edict status --server %s --token-file data/admin-token",
	    daemon_url());
	s = daemon_try("EDICT_DATA_DIR= EDICT_SERVER=%s EDICT_TOKEN=%s edict "
		       "log",
	    daemon_url(), daemon_engine());
	assert_int_equal(s.status, 1);
	s = daemon_try("EDICT_TOKEN=x edict log --server http://127.0.0.1:1");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "is edict serve running there?"));
	/* Where opa was not asked, nothing is said of it. */
	s = daemon_try("mkdir odd && printf 'x: [' > odd/edict.yaml && "
		       "edict check odd");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "failed (definition)"));
	assert_null(strstr(s.text, "engine"));
	/* Two servers do not share a folder. */
	s = daemon_try("edict serve --repo remote.git --data-dir data "
		       "--listen 127.0.0.1:0");
	assert_int_equal(s.status, 1);
	assert_non_null(strstr(s.text, "another edict"));
}

SCENARIO(the_manual_is_well_formed)
{
	daemon_sh("edict man > edict.1 && grep -q rollback edict.1");
	daemon_sh("mandoc -T lint -W error edict.1");
	check_width("edict man",
	    daemon_sh("mandoc -T utf8 -O width=78 edict.1 | col -b"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(from_nothing_to_a_verified_bundle),
		PLAY(verify_refuses_what_is_not_right),
		PLAY(check_says_what_fails_and_where),
		PLAY(every_command_helps),
		PLAY(wrong_usage_ends_with_2),
		PLAY(without_a_server_commands_say_how_to_name_one),
		PLAY(commands_show_what_there_is),
		PLAY(the_manual_is_well_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
