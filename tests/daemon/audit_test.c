/* The audit: who did what, when, from where and why, and that nobody changed
 * it afterwards without being found out. */

#include "fixture.h"

#include <sqlite3.h>
#include <string.h>
#include <time.h>

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
	/* So that the last event is one of those below. */
	daemon_wait_settled("default");
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

/* ---- signed heads ---- */

/* An EC public key as jose wants it: the last 64 bytes of its DER form. */
static void
write_jwk(void)
{
	daemon_sh("der() { openssl pkey -pubin -in data/keys/audit-*.pub"
		  " -outform DER | tail -c 64; };"
		  "x=$(der | head -c 32 | jose b64 enc -I-);"
		  "y=$(der | tail -c 32 | jose b64 enc -I-);"
		  "printf '{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%%s\","
		  "\"y\":\"%%s\"}' \"$x\" \"$y\" >audit.jwk");
}

static json_t *
heads(void)
{
	return daemon_api("GET", "/audit/heads", NULL, 200);
}

/* Somebody who knows nothing of edict sees whose it is, and what it says. */
SCENARIO(a_head_can_be_checked_by_others)
{
	json_t *payload;
	json_t *event;
	const json_t *newest;
	int64_t before_ms;

	live();
	before_ms = (int64_t)time(NULL) * 1000;
	daemon_sh("edict audit sign --reason 'end of quarter' | tr -d '\n'"
		  " >head.jws");
	newest = daemon_at(heads(), "items.0");
	assert_string_equal(daemon_read("head.jws"),
	    daemon_text(newest, "jws"));
	write_jwk();
	daemon_sh("jose jws ver -i head.jws -k audit.jwk -O payload.json");
	payload = json_loads(daemon_read("payload.json"), 0, NULL);
	event = daemon_api("GET", "/audit?kind=audit.sign", NULL, 200);
	assert_int_equal(daemon_number(payload, "seq"),
	    daemon_number(event, "items.0.seq"));
	assert_string_equal(daemon_text(payload, "hash"),
	    daemon_text(event, "items.0.hash"));
	assert_in_range(daemon_number(payload, "at_ms"), before_ms,
	    ((int64_t)time(NULL) + 1) * 1000);
	assert_string_equal(daemon_text(event, "items.0.detail.reason"),
	    "end of quarter");
	json_decref(payload);
	daemon_sh("sed 's/..$/AA/' head.jws >bad.jws");
	assert_int_not_equal(
	    daemon_try("jose jws ver -i bad.jws -k audit.jwk").status, 0);
}

SCENARIO(heads_hold_the_chain)
{
	const char *text;

	live();
	daemon_sh("edict audit sign && cp data/keys/audit-*.pub audit.pub");
	text = daemon_sh("edict audit verify --key audit.pub");
	assert_non_null(strstr(text, "signed head"));
	assert_null(strstr(text, "proves less"));
	text = daemon_sh("edict audit verify");
	assert_non_null(strstr(text, "proves less"));
	/* Another key than that of the audit, even one of the server's. */
	daemon_sh("edict keygen other --signing-alg ES256");
	assert_bad("does not hold", "edict audit verify --key other.pub");
	assert_bad("does not hold",
	    "edict audit verify --key data/keys/discovery-*.pub "
	    "--signing-alg RS256");
	daemon_sh("edict audit --export >audit.jsonl");
	assert_non_null(strstr(daemon_read("audit.jsonl"), "{\"head\":{"));
	daemon_sh("edict audit verify --key audit.pub,other.pub"
		  " --heads audit.jsonl");
	assert_bad("does not hold", "edict audit verify --heads audit.pub");
	daemon_sh("grep -v jws audit.jsonl >events.jsonl");
	assert_bad("no signed head in it",
	    "edict audit verify --heads events.jsonl");
	assert_int_equal(daemon_try("edict audit --heads x").status, 2);
	assert_int_equal(daemon_try("edict audit sign --kind x").status, 2);
	assert_int_equal(daemon_try("edict audit look").status, 2);
}

/* What is done to a copy of the database, and how that is found. */
SCENARIO(what_was_done_behind_a_head_is_found)
{
	static const struct {
		const char *sql, *found;
	} rows[] = {
		{ "DELETE FROM audit WHERE seq > 3", "its end was cut off" },
		{ "DELETE FROM audit WHERE seq >= (SELECT max(seq) FROM"
		  " audit_heads)",
		    "its end was cut off" },
		{ "DELETE FROM audit WHERE seq > (SELECT max(seq) FROM"
		  " audit_heads)",
		    "cut off" },
		{ "DELETE FROM audit_heads", "is missing" },
		{ "DELETE FROM audit_heads WHERE id = 1", "is missing" },
		{ "UPDATE audit_heads SET at_ms = at_ms + 1 WHERE id = 1",
		    "not of what its row says" },
		{ "UPDATE audit_heads SET seq = seq + 1 WHERE id = 2",
		    "not of what its row says" },
		{ "UPDATE audit_heads SET hash = 'x' || substr(hash, 2)",
		    "not of what its row says" },
		{ "UPDATE audit_heads SET key_id = 'audit-x'",
		    "not of what its row says" },
		{ "UPDATE audit_heads SET jws = (SELECT jws FROM audit_heads"
		  " WHERE id = 2) WHERE id = 1",
		    "not of what its row says" },
		{ "UPDATE audit_heads SET jws = substr(jws, 1, length(jws) - 4)"
		  " || 'AAAA'",
		    "does not hold" },
		{ "INSERT INTO audit_heads (seq, hash, at_ms, key_id, jws)"
		  " SELECT seq, hash, at_ms, key_id, jws FROM audit_heads"
		  " WHERE id = 1",
		    "no event tells of" },
	};

	live();
	daemon_sh("edict audit sign && edict audit sign"
		  " && edict audit --export >kept.jsonl");
	daemon_stop();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		daemon_sh("rm -rf copy && cp -r data copy"
			  " && edict audit verify --copy copy"
			  " --key copy/keys/audit-*.pub");
		tamper("copy", rows[i].sql);
		assert_bad(rows[i].found, "edict audit verify --copy copy");
	}
	/* All of it, heads as well: only who kept one sees that. */
	daemon_sh("rm -rf copy && cp -r data copy");
	tamper("copy",
	    "DELETE FROM audit WHERE seq > 3;"
	    "DELETE FROM audit_heads");
	daemon_sh("edict audit verify --copy copy");
	assert_bad("its end was cut off",
	    "edict audit verify --copy copy --heads kept.jsonl");
}

static bool
has_heads(void *arg)
{
	return json_array_size(daemon_at(heads(), "items")) ==
	    (size_t) * (int *)arg;
}

/* At the start, and never twice a day by itself. */
SCENARIO(a_day_that_was_missed_is_caught_up)
{
	int wanted = 1;

	live();
	daemon_wait("a first head", has_heads, &wanted, DAEMON_DEADLINE_MS);
	daemon_stop();
	daemon_restart();
	daemon_sh("edict audit sign");
	wanted = 2;
	assert_true(has_heads(&wanted));
	daemon_stop();
	tamper("data", "UPDATE audit_heads SET at_ms = at_ms - 86400000 * 2");
	daemon_restart();
	wanted = 3;
	daemon_wait("a head of today", has_heads, &wanted, DAEMON_DEADLINE_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PLAY(it_says_who_when_from_where_and_why),
		PLAY(what_was_changed_is_found),
		PLAY(a_head_can_be_checked_by_others),
		PLAY(heads_hold_the_chain),
		PLAY(what_was_done_behind_a_head_is_found),
		PLAY(a_day_that_was_missed_is_caught_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
