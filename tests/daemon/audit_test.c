/* The audit: who did what, when, from where and why, and that nobody changed
 * it afterwards without being found out. */

#include "fixture.h"

#include <sqlite3.h>
#include <string.h>

/* What --verify prints behind "head". */
static const char *
head_of(const char *text)
{
	const char *at = strstr(text, "head ");

	assert_non_null(at);
	return daemon_printf("%.*s", (int)strcspn(at + 5, "\n"), at + 5);
}

static void
tamper(const char *folder, const char *sql)
{
	const char *path =
	    daemon_path(daemon_printf("%s/store/edict.db", folder));
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
assert_bad(const char *what, const char *command)
{
	struct shell s = daemon_try("%s", command);

	assert_int_equal(s.status, 1);
	if (strstr(s.text, what) == NULL)
		fail_msg("no \"%s\" in: %s", what, s.text);
}

/* Two commits, a rollback and a token. */
static void
live(void)
{
	const char *one = daemon_level(1);
	const char *two;

	daemon_start(NULL);
	daemon_wait_served(one);
	two = daemon_level(2);
	daemon_wait_served(two);
	daemon_sh("edict rollback main --to HEAD~1 --reason 'it broke'");
	daemon_wait_served(one);
	daemon_sh("edict token create ada --role viewer --reason 'on call'");
}

/* Every event, with who, when, from where and why. */
SCENARIO(it_says_who_when_from_where_and_why)
{
	static const char *const kinds[] = { "verdict", "publish", "assign",
		"rollback", "token.create", "key.add", "key.use" };
	const char *lines;
	const char *first;
	json_t *event;

	live();
	event =
	    daemon_api("GET", "/audit?kind=rollback&subject=main", NULL, 200);
	assert_string_equal(daemon_text(event, "items.0.who"), "admin");
	assert_string_equal(daemon_text(event, "items.0.peer"), "127.0.0.1");
	assert_string_equal(daemon_text(event, "items.0.subject"),
	    "default/main");
	assert_string_equal(daemon_text(event, "items.0.detail.reason"),
	    "it broke");
	assert_non_null(strchr(daemon_text(event, "items.0.at"), 'T'));
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		event = daemon_api("GET",
		    daemon_printf("/audit?kind=%s", kinds[i]), NULL, 200);
		if (daemon_at(event, "items.0") == NULL)
			fail_msg("no event of kind %s", kinds[i]);
	}
	lines = daemon_sh("edict audit --kind token --since 1h");
	assert_non_null(strstr(lines, "viewer, on call"));
	assert_null(strstr(lines, "rollback"));
	/* JSON lines, oldest first. */
	lines = daemon_sh("edict audit --export");
	first = daemon_printf("%.*s", (int)strcspn(lines, "\n"), lines);
	event = json_loads(first, 0, NULL);
	assert_int_equal(daemon_number(event, "seq"), 1);
	json_decref(event);
	daemon_api("GET", "/audit?since=yesterday", NULL, 400);
	assert_int_equal(daemon_try("edict audit --head 1:2").status, 2);
	assert_int_equal(daemon_try("edict audit --since ever").status, 1);
}

/* An edit, a removal and a cut end, with a server and without one. */
SCENARIO(what_was_changed_is_found)
{
	const char *head;

	live();
	head = head_of(daemon_sh("edict audit --verify"));
	daemon_sh("edict audit --verify --head %s", head);
	daemon_stop();
	daemon_sh("cp -r data copy && edict audit --verify --copy copy"
		  " --head %s",
	    head);
	tamper("copy", "UPDATE audit SET who = 'eve' WHERE seq = 3");
	assert_bad("event 3 was changed", "edict audit --verify --copy copy");
	daemon_sh("rm -r copy && cp -r data copy");
	tamper("copy", "DELETE FROM audit WHERE seq = 3");
	assert_bad("event 3 is missing", "edict audit --verify --copy copy");
	daemon_sh("rm -r copy && cp -r data copy");
	tamper("copy",
	    "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)");
	daemon_sh("edict audit --verify --copy copy");
	assert_bad("its end was cut off",
	    daemon_printf("edict audit --verify --copy copy --head %s", head));
	/* A server that was given such a database. */
	tamper("data",
	    "UPDATE audit SET detail = '{}' WHERE kind = 'rollback'");
	daemon_restart();
	assert_bad("was changed", "edict audit --verify");
	assert_bad("\"good\": false", "edict audit --verify --json");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(it_says_who_when_from_where_and_why),
		PLAY(what_was_changed_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
