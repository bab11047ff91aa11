/* Whatever is done to the audit in the database is found, and named. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_key.h"
#include "clusters/view.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "world.h"

static struct world w;
static sqlite3 *db; /* the attacker's */
static int length;  /* of the chain */
static struct chain_head head;

static void
run_sql(const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static void
act(const char *action, const char *reason)
{
	json_t *body = NULL;
	json_t *fields = strcmp(action, "retest") == 0
	    ? json_pack("{s:s, s:s, s:s}", "action", action, "rev", "HEAD",
		  "reason", reason)
	    : json_pack("{s:s, s:s, s:s}", "action", action,
		  strcmp(action, "pin") == 0 || strcmp(action, "resume") == 0
		      ? "bundle"
		      : "repository",
		  strcmp(action, "pin") == 0 || strcmp(action, "resume") == 0
		      ? "authz"
		      : "policies",
		  "reason", reason);

	if (world_action(&w, fields, &body) != ERR_OK)
		fail_msg("%s: %s", action, w.e.text);
	json_decref(body);
}

static void
change_token(const char *action, const char *role)
{
	json_t *body = NULL;

	if (world_action(&w,
		json_pack("{s:s, s:s, s:s*, s:s}", "action", action, "name",
		    "ada", "role", role, "reason", "on call"),
		&body) != ERR_OK)
		fail_msg("%s: %s", action, w.e.text);
	json_decref(body);
}

static void
go_back(void)
{
	json_t *body = NULL;

	if (world_action(&w,
		json_pack("{s:s, s:s, s:s, s:s}", "action", "rollback",
		    "bundle", "authz", "to", "HEAD~3", "reason", "it broke"),
		&body) != ERR_OK)
		fail_msg("rollback: %s", w.e.text);
	json_decref(body);
}

static void
note_keys(const char *id)
{
	json_t *keys = json_pack("[{s:s, s:s, s:s}]", "id", id, "algorithm",
	    "RS256", "created_at", "2026-10-01T00:00:00.000Z");

	/* One process has it open for writing once. */
	world_end(&w);
	assert_int_equal(store_note_keys(w.dir, keys, id, &w.e), ERR_OK);
	world_begin(&w);
	json_decref(keys);
}

static void
refuse_file(int commit)
{
	json_t *p = world_verdict_payload("policies", commit, "failed", 1);
	json_t *verdict = json_object_get(p, "verdict");

	(void)json_object_set_new(verdict, "stage", json_string("load"));
	(void)json_object_set_new(verdict, "reason",
	    json_string("bundle authz: opa cannot load it"));
	assert_int_equal(world_run(&w, ledger_verdict, p, NULL), ERR_OK);
}

/* One of each kind. */
static void
live(void)
{
	note_keys("2026-10");
	note_keys("k1");
	world_repository(&w, "policies", 1, 4);
	world_line(&w, "policies", 1, 1, 4);
	world_pass(&w, 1, 'a');
	world_pass(&w, 2, 'b');
	go_back();
	act("resume", "mended");
	act("pin", "a freeze");
	act("suspend", "moving house");
	act("unsuspend", "moved");
	act("fetch", "now");
	act("retest", "flaky");
	world_verdict(&w, "policies", 3, "failed");
	refuse_file(4);
	change_token("token.create", "viewer");
	change_token("token.revoke", NULL);
}

static int
setup(void **state)
{
	AUTO_STR path = NULL;

	(void)state;
	world_open(&w);
	live();
	path = mem_printf("%s/store/edict.db", w.dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	run_sql("PRAGMA synchronous = OFF; CREATE TABLE good AS"
		" SELECT * FROM audit");
	assert_int_equal(store_audit_head(w.context.store, &head, &w.e),
	    ERR_OK);
	length = (int)head.seq;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	world_close(&w);
	return 0;
}

static void
mend(void)
{
	run_sql("BEGIN; DELETE FROM audit;"
		" INSERT INTO audit SELECT * FROM good; COMMIT");
}

static enum err_code
walk(const struct chain_head *known, struct err *e)
{
	struct chain c = { 0 };

	*e = (struct err){ 0 };
	if (known != NULL)
		c.known = *known;
	return store_walk_audit(w.context.store, &c, e);
}

/* As who asks a server sees it. */
static enum err_code
walk_shown(const struct chain_head *known, struct err *e)
{
	struct view_page page = { .limit = VIEW_LIMIT_MAX };
	struct store_audit_filter all = { 0 };
	struct chain c = { 0 };
	AUTO_JSON shown = NULL;
	const json_t *items;

	if (known != NULL)
		c.known = *known;
	TRY(view_audit(w.context.store, &all, &page, &shown, e));
	items = json_object_get(shown, "items");
	for (size_t i = json_array_size(items); i > 0; i--)
		TRY(chain_follow_json(&c, json_array_get(items, i - 1), e));
	return chain_finish(&c, e);
}

static void
assert_found(const char *attack, int seq)
{
	AUTO_STR name = mem_printf("event %d ", seq);
	struct err e;

	run_sql(attack);
	if (walk(NULL, &e) != ERR_CORRUPT)
		fail_msg("not found: %s", attack);
	if (strstr(e.text, name) == NULL)
		fail_msg("%s: not at event %d: %s", attack, seq, e.text);
	mend();
}

static void
test_the_real_chain_is_good(void **state)
{
	struct err e;

	(void)state;
	assert_true(length > 20);
	assert_int_equal(walk(NULL, &e), ERR_OK);
	assert_int_equal(walk(&head, &e), ERR_OK);
	if (walk_shown(&head, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

/* ---- one row ---- */

static const char *const texts[] = { "who", "peer", "kind", "subject", "detail",
	"previous", "hash" };
/* Each is another value of the same row; %s is the column. */
static const char *const edits[] = {
	"%s || ' '",
	"%s || 'x'",
	"'x' || %s",
	"'{}' || %s || '{}'",
	"%s || char(0) || 'x'",
	"CAST(%s AS BLOB)",
	"%s || x'00'",
	"substr(%s || 'xx', 2)",
};

static void
test_every_edit_of_a_text_is_found(void **state)
{
	(void)state;
	for (int seq = 1; seq <= length; seq++)
		for (size_t t = 0; t < sizeof texts / sizeof *texts; t++)
			for (size_t i = 0; i < sizeof edits / sizeof *edits;
			     i++) {
				AUTO_BUF sql = { 0 };
				const char *at = strstr(edits[i], "%s");

				buf_init(&sql, 512);
				buf_printf(&sql,
				    "UPDATE audit SET %s = %.*s%s%s"
				    " WHERE seq = %d",
				    texts[t], (int)(at - edits[i]), edits[i],
				    texts[t], at + 2, seq);
				assert_found(sql.data, seq);
			}
}

static void
test_every_edit_of_a_number_is_found(void **state)
{
	static const char *const values[] = { "at_ms + 1", "at_ms - 1", "0",
		"-at_ms", "at_ms + 0.25", "'soon'", "CAST(at_ms AS BLOB)" };

	(void)state;
	for (int seq = 1; seq <= length; seq++)
		for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
			AUTO_STR sql = mem_printf("UPDATE audit SET at_ms = %s"
						  " WHERE seq = %d",
			    values[i], seq);

			assert_found(sql, seq);
		}
}

/* Who shows events to others cannot change them either. */
static void
test_every_edit_is_found_in_what_is_shown(void **state)
{
	struct err e;

	(void)state;
	for (int seq = 1; seq <= length; seq++)
		for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
			const char *value = strcmp(texts[t], "detail") == 0
			    ? "'{\"x\":' || detail || '}'"
			    : NULL;
			AUTO_STR sql = mem_printf(
			    "UPDATE audit SET %s = %s%s WHERE seq = %d",
			    texts[t], value != NULL ? value : texts[t],
			    value != NULL ? "" : " || 'x'", seq);

			run_sql(sql);
			if (walk_shown(NULL, &e) != ERR_CORRUPT)
				fail_msg("not found: %s", sql);
			mend();
		}
}

/* ---- rows taken out, put in, moved ---- */

static void
test_every_removal_is_found(void **state)
{
	(void)state;
	for (int seq = 1; seq < length; seq++) {
		AUTO_STR gap =
		    mem_printf("DELETE FROM audit WHERE seq = %d", seq);
		/* The same, and those after it close the gap. */
		AUTO_STR closed =
		    mem_printf("%s; UPDATE audit SET seq = -seq WHERE seq > %d;"
			       "UPDATE audit SET seq = -seq - 1 WHERE seq < 0",
			gap, seq);

		assert_found(gap, seq);
		assert_found(closed, seq);
	}
}

static void
test_every_insertion_is_found(void **state)
{
	(void)state;
	for (int seq = 1; seq <= length; seq++) {
		AUTO_STR sql = mem_printf(
		    "UPDATE audit SET seq = -seq WHERE seq > %d;"
		    "UPDATE audit SET seq = -seq + 1 WHERE seq < 0;"
		    "INSERT INTO audit SELECT %d, at_ms, who, peer, kind,"
		    " subject, detail, previous, hash FROM audit"
		    " WHERE seq = %d",
		    seq, seq + 1, seq);

		assert_found(sql, seq + 1);
	}
	assert_found("INSERT INTO audit SELECT 0, at_ms, who, peer, kind,"
		     " subject, detail, previous, hash FROM audit"
		     " WHERE seq = 1",
	    0);
}

static void
test_every_swap_is_found(void **state)
{
	(void)state;
	for (int i = 1; i <= length; i++)
		for (int j = i + 1; j <= length; j++) {
			AUTO_STR sql = mem_printf(
			    "UPDATE audit SET seq = -1 WHERE seq = %d;"
			    "UPDATE audit SET seq = %d WHERE seq = %d;"
			    "UPDATE audit SET seq = %d WHERE seq = -1",
			    i, i, j, j);

			assert_found(sql, i);
		}
}

/* ---- what only a head shows ---- */

static void
test_a_cut_end_is_found_by_a_head_alone(void **state)
{
	struct err e;

	(void)state;
	for (int left = 0; left < length; left++) {
		AUTO_STR sql =
		    mem_printf("DELETE FROM audit WHERE seq > %d", left);

		run_sql(sql);
		assert_int_equal(walk(NULL, &e), ERR_OK);
		assert_int_equal(walk(&head, &e), ERR_CORRUPT);
		assert_non_null(strstr(e.text, "its end was cut off"));
		assert_int_equal(walk_shown(&head, &e), ERR_CORRUPT);
		mend();
	}
}

/* Makes the hashes of these events anew, as who has the database can. */
static void
forge(int from, int to)
{
	sqlite3_stmt *read, *write;

	assert_int_equal(sqlite3_prepare_v2(db,
			     "SELECT a.seq, a.at_ms, a.who, a.peer, a.kind,"
			     " a.subject, a.detail, coalesce(b.hash, '')"
			     " FROM audit a LEFT JOIN audit b"
			     " ON b.seq = a.seq - 1 WHERE a.seq = ?",
			     -1, &read, NULL),
	    SQLITE_OK);
	assert_int_equal(
	    sqlite3_prepare_v2(db,
		"UPDATE audit SET previous = ?, hash = ? WHERE seq = ?", -1,
		&write, NULL),
	    SQLITE_OK);
	for (int seq = from; seq <= to; seq++) {
		const char *t[6];
		char hash[DIGEST_HEX_SIZE];

		(void)sqlite3_bind_int(read, 1, seq);
		assert_int_equal(sqlite3_step(read), SQLITE_ROW);
		for (int i = 0; i < 6; i++)
			t[i] = (const char *)sqlite3_column_text(read, i + 2);
		chain_hash(hash,
		    &(struct chain_event){ .seq = seq,
			.at_ms = sqlite3_column_int64(read, 1),
			.who = t[0],
			.peer = t[1],
			.kind = t[2],
			.subject = t[3],
			.detail = t[4],
			.previous = t[5] });
		(void)sqlite3_bind_text(write, 1, t[5], -1, SQLITE_TRANSIENT);
		(void)sqlite3_bind_text(write, 2, hash, -1, SQLITE_TRANSIENT);
		(void)sqlite3_bind_int(write, 3, seq);
		(void)sqlite3_reset(read);
		assert_int_equal(sqlite3_step(write), SQLITE_DONE);
		(void)sqlite3_reset(write);
	}
	(void)sqlite3_finalize(read);
	(void)sqlite3_finalize(write);
}

/* An event with its own hash made anew shows at the next one. */
static void
test_every_edit_with_its_hash_is_found(void **state)
{
	struct err e;

	(void)state;
	for (int seq = 1; seq < length; seq++) {
		AUTO_STR sql =
		    mem_printf("UPDATE audit SET who = 'eve' WHERE seq = %d",
			seq);
		AUTO_STR next = mem_printf("event %d ", seq + 1);

		run_sql(sql);
		forge(seq, seq);
		assert_int_equal(walk(NULL, &e), ERR_CORRUPT);
		assert_non_null(strstr(e.text, next));
		assert_int_equal(walk_shown(NULL, &e), ERR_CORRUPT);
		mend();
	}
}

static void
test_a_chain_made_anew_is_found_by_a_head_alone(void **state)
{
	struct err e;

	(void)state;
	for (int seq = 1; seq <= length; seq++) {
		AUTO_STR sql =
		    mem_printf("UPDATE audit SET who = 'eve' WHERE seq = %d",
			seq);

		run_sql(sql);
		forge(seq, length);
		assert_int_equal(walk(NULL, &e), ERR_OK);
		assert_int_equal(walk(&head, &e), ERR_CORRUPT);
		assert_non_null(strstr(e.text, "made anew"));
		mend();
	}
}

/* ---- copies ---- */

static void
copy_file(const char *to, const char *name)
{
	AUTO_STR from = mem_printf("%s/store/edict.db%s", w.dir, name);
	AUTO_STR path = mem_printf("%s/store/edict.db%s", to, name);
	AUTO_BUF text = { 0 };

	buf_init(&text, 64 << 20);
	assert_int_equal(file_read(&text, from, &w.e), ERR_OK);
	assert_int_equal(file_replace(path, text.data, text.len, 0600, &w.e),
	    ERR_OK);
}

static void
check_copy(const char *const names[])
{
	char dir[] = "/tmp/edict-copy-XXXXXX";
	struct chain c = { .known = head };
	AUTO_STR store = NULL;

	assert_non_null(mkdtemp(dir));
	store = mem_printf("%s/store", dir);
	assert_int_equal(file_make_dirs(store, &w.e), ERR_OK);
	assert_int_equal(store_walk_copy(dir, &c, &w.e), ERR_NOT_FOUND);
	for (size_t i = 0; names[i] != NULL; i++)
		copy_file(dir, names[i]);
	if (store_walk_copy(dir, &c, &w.e) != ERR_OK)
		fail_msg("%s", w.e.text);
	assert_int_equal(c.at.seq, length);
	assert_int_equal(file_remove_tree(dir, NULL), ERR_OK);
}

/* With all that SQLite puts beside it, without its index, or alone. */
static void
test_a_copy_may_be_of_one_file(void **state)
{
	(void)state;
	check_copy((const char *const[]){ "", "-wal", "-shm", NULL });
	check_copy((const char *const[]){ "", "-wal", NULL });
	run_sql("PRAGMA wal_checkpoint(TRUNCATE)");
	check_copy((const char *const[]){ "", NULL });
}

/* ---- heads as text ---- */

static void
test_heads_are_read_back(void **state)
{
	static const char *const bad[] = { "", ":", "4", "4:", "0:%s", "-1:%s",
		"04:%s", "4 :%s", "4:%sa", "4:%s ", "x:%s",
		"9999999999999999999:%s" };
	char text[CHAIN_HEAD_SIZE];
	struct chain_head back;

	(void)state;
	chain_head_text(text, &head);
	assert_int_equal(chain_head_read(&back, text, &w.e), ERR_OK);
	assert_int_equal(back.seq, head.seq);
	assert_string_equal(back.hash, head.hash);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		const char *at = strstr(bad[i], "%s");
		AUTO_STR all = mem_printf("%.*s%s%s",
		    at != NULL ? (int)(at - bad[i]) : (int)strlen(bad[i]),
		    bad[i], at != NULL ? head.hash : "",
		    at != NULL ? at + 2 : "");

		assert_int_equal(chain_head_read(&back, all, &w.e),
		    ERR_INVALID);
	}
}

/* ---- what is written, and finding it again ---- */

static size_t
count(const struct store_audit_filter *f, json_t **last)
{
	struct view_page page = { .limit = VIEW_LIMIT_MAX };
	AUTO_JSON shown = NULL;
	json_t *items;

	assert_int_equal(view_audit(w.context.store, f, &page, &shown, &w.e),
	    ERR_OK);
	items = json_object_get(shown, "items");
	if (last != NULL)
		*last = json_incref(json_array_get(items, 0));
	return json_array_size(items);
}

static void
test_all_that_happens_is_written(void **state)
{
	static const struct {
		const char *kind, *who, *peer, *subject, *reason;
		size_t times;
	} all[] = {
		{ "token.create", "admin", "127.0.0.1", "ada", "on call", 3 },
		{ "token.revoke", "admin", "127.0.0.1", "ada", "on call", 1 },
		{ "key.add", "edict", "", "k1", NULL, 2 },
		{ "key.remove", "edict", "", "2026-10", NULL, 1 },
		{ "key.use", "edict", "", "k1", NULL, 2 },
		{ "verdict", "pipeline", "", NULL, NULL, 3 },
		{ "void", "pipeline", "", NULL,
		    "bundle authz: opa cannot load it", 1 },
		{ "publish", "pipeline", "", NULL, NULL, 2 },
		{ "assign", "pipeline", "", "prod/authz", NULL, 2 },
		{ "rollback", "admin", "127.0.0.1", "prod/authz", "it broke",
		    1 },
		{ "resume", "admin", "127.0.0.1", "prod/authz", "mended", 1 },
		{ "pin", "admin", "127.0.0.1", "prod/authz", "a freeze", 1 },
		{ "suspend", "admin", "127.0.0.1", "policies", "moving house",
		    1 },
		{ "unsuspend", "admin", "127.0.0.1", "policies", "moved", 1 },
		{ "fetch", "admin", "127.0.0.1", "policies", "now", 1 },
		{ "retest", "admin", "127.0.0.1", NULL, "flaky", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		AUTO_JSON v = NULL;
		const char *reason;

		assert_int_equal(
		    count(&(struct store_audit_filter){ .kind = all[i].kind },
			&v),
		    all[i].times);
		assert_string_equal(payload_text(v, "who"), all[i].who);
		assert_string_equal(payload_text(v, "peer"), all[i].peer);
		if (all[i].subject != NULL)
			assert_string_equal(payload_text(v, "subject"),
			    all[i].subject);
		reason = payload_text(json_object_get(v, "detail"), "reason");
		if (all[i].reason != NULL)
			assert_string_equal(reason, all[i].reason);
	}
}

static void
test_filters(void **state)
{
	struct store_audit_filter f = { .kind = "token" };
	size_t all = count(&(struct store_audit_filter){ 0 }, NULL);

	(void)state;
	assert_int_equal(count(&f, NULL), 4);
	f = (struct store_audit_filter){ .kind = "toke" };
	assert_int_equal(count(&f, NULL), 0);
	f = (struct store_audit_filter){ .kind = "token", .subject = "ada" };
	assert_int_equal(count(&f, NULL), 2);
	f = (struct store_audit_filter){ .subject = "prod" };
	assert_int_equal(count(&f, NULL), 5);
	f = (struct store_audit_filter){ .subject = "authz" };
	assert_int_equal(count(&f, NULL), 5);
	f = (struct store_audit_filter){ .subject = "prod/authz" };
	assert_int_equal(count(&f, NULL), 5);
	f = (struct store_audit_filter){ .subject = "uthz" };
	assert_int_equal(count(&f, NULL), 0);
	f = (struct store_audit_filter){ .who = "pipeline" };
	assert_int_equal(count(&f, NULL), 8);
	f = (struct store_audit_filter){ .since_ms = clock_now_ms() + 1000 };
	assert_int_equal(count(&f, NULL), 0);
	f = (struct store_audit_filter){ .since_ms = clock_now_ms() - 3600000 };
	assert_int_equal(count(&f, NULL), all);
}

/* A start that changes no key adds nothing. */
static void
test_keys_are_noted_once(void **state)
{
	struct store_audit_filter f = { .kind = "key" };
	size_t before = count(&f, NULL);

	(void)state;
	note_keys("k1");
	assert_int_equal(count(&f, NULL), before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_real_chain_is_good),
		cmocka_unit_test(test_every_edit_of_a_text_is_found),
		cmocka_unit_test(test_every_edit_of_a_number_is_found),
		cmocka_unit_test(test_every_edit_is_found_in_what_is_shown),
		cmocka_unit_test(test_every_removal_is_found),
		cmocka_unit_test(test_every_insertion_is_found),
		cmocka_unit_test(test_every_swap_is_found),
		cmocka_unit_test(test_a_cut_end_is_found_by_a_head_alone),
		cmocka_unit_test(test_every_edit_with_its_hash_is_found),
		cmocka_unit_test(
		    test_a_chain_made_anew_is_found_by_a_head_alone),
		cmocka_unit_test(test_a_copy_may_be_of_one_file),
		cmocka_unit_test(test_heads_are_read_back),
		cmocka_unit_test(test_all_that_happens_is_written),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_keys_are_noted_once),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
