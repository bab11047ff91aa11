/* What is done behind, or to, a signed head of the audit is found. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "clusters/chain_heads.h"
#include "clusters/payload.h"
#include "clusters/store_audit.h"
#include "clusters/store_head.h"
#include "clusters/view.h"
#include "core/clock.h"
#include "core/mem.h"
#include "signing/head.h"
#include "world.h"

enum { HEADS = 3 };

static struct world w;
static sqlite3 *db; /* the attacker's */
static struct key *key;
static int length;        /* of the chain */
static int covers[HEADS]; /* the event that each head is of */

static void
run_sql(const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static struct chain_head
end_now(void)
{
	struct chain_head end;

	assert_int_equal(store_audit_head(w.context.store, &end, &w.e), ERR_OK);
	return end;
}

static json_t *
payload_of(const struct chain_head *at, const char *jws)
{
	return json_pack("{s:I, s:s, s:I, s:s, s:s}", "seq",
	    (json_int_t)at->seq, "hash", at->hash, "at_ms",
	    (json_int_t)clock_now_ms(), "key", "audit-1", "jws", jws);
}

static void
sign(int n)
{
	struct chain_head end = end_now();
	struct head h = { .seq = end.seq, .at_ms = clock_now_ms() };
	AUTO_BUF jws = { 0 };

	memcpy(h.hash, end.hash, sizeof h.hash);
	buf_init(&jws, HEAD_JWS_MAX);
	assert_int_equal(head_sign(&jws, key, &h, &w.e), ERR_OK);
	if (world_run(&w, ledger_head, payload_of(&end, jws.data), NULL) !=
	    ERR_OK)
		fail_msg("%s", w.e.text);
	covers[n] = (int)end.seq;
}

static int
setup(void **state)
{
	AUTO_STR path = NULL;

	(void)state;
	assert_int_equal(key_generate(&key, "audit-1", KEY_ES256, &w.e),
	    ERR_OK);
	world_open(&w);
	world_repository(&w, "policies", 1, 4);
	world_line(&w, "policies", 1, 1, 4);
	world_pass(&w, 1, 'a');
	sign(0);
	world_pass(&w, 2, 'b');
	sign(1);
	world_verdict(&w, "policies", 3, "failed");
	sign(2);
	world_verdict(&w, "policies", 4, "failed");
	length = (int)end_now().seq;
	path = mem_printf("%s/store/edict.db", w.dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	run_sql("PRAGMA synchronous = OFF;"
		"CREATE TABLE good AS SELECT * FROM audit;"
		"CREATE TABLE good_heads AS SELECT * FROM audit_heads");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	world_close(&w);
	key_free(key);
	return 0;
}

static void
mend(void)
{
	run_sql("BEGIN; DELETE FROM audit; DELETE FROM audit_heads;"
		" INSERT INTO audit SELECT * FROM good;"
		" INSERT INTO audit_heads SELECT * FROM good_heads; COMMIT");
}

/* As edict audit verify does it. */
static enum err_code
add_all(struct chain_heads *heads, struct err *e)
{
	struct view_page page = { .limit = VIEW_LIMIT_MAX };
	AUTO_JSON shown = NULL;
	json_t *row;
	size_t i;

	TRY(view_heads(w.context.store, &page, &shown, e));
	json_array_foreach(json_object_get(shown, "items"), i, row) {
		const char *jws = payload_text(row, "jws");
		struct chain_head at = { 0 };
		struct head h;

		TRY(head_verify(&h, jws, strlen(jws), key, e));
		at.seq = h.seq;
		memcpy(at.hash, h.hash, sizeof at.hash);
		chain_heads_add(heads, &at, jws, true);
	}
	return ERR_OK;
}

static enum err_code
walk(struct err *e)
{
	struct chain_heads heads = { 0 };
	struct chain c = { .heads = &heads };
	enum err_code code = add_all(&heads, e);

	if (code == ERR_OK)
		code = store_walk_audit(w.context.store, &c, e);
	chain_heads_clear(&heads);
	return code;
}

static void
assert_found(const char *attack, const char *text)
{
	struct err e = { 0 };
	enum err_code code;

	run_sql(attack);
	code = walk(&e);
	if (code != ERR_CORRUPT && code != ERR_CRYPTO && code != ERR_INVALID)
		fail_msg("not found: %s", attack);
	if (text != NULL && strstr(e.text, text) == NULL)
		fail_msg("%s: no \"%s\" in: %s", attack, text, e.text);
	mend();
}

static void
test_what_was_signed_is_good(void **state)
{
	struct store_head_need need;
	struct err e = { 0 };

	(void)state;
	if (walk(&e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_int_equal(store_head_need(w.context.store, &need, &e), ERR_OK);
	assert_false(need.asked);
	assert_in_range(need.last_ms, clock_now_ms() - 60000, clock_now_ms());
}

static void
test_every_cut_behind_a_head_is_found(void **state)
{
	(void)state;
	/* The last head is told of by the event after its own. */
	for (int left = 0; left <= covers[HEADS - 1]; left++) {
		AUTO_STR sql =
		    mem_printf("DELETE FROM audit WHERE seq > %d", left);

		assert_found(sql, "cut off");
	}
}

/* Together with the heads: then only one that was kept elsewhere tells. */
static void
test_a_kept_head_finds_what_the_list_does_not(void **state)
{
	struct chain_heads heads = { 0 };
	struct chain c = { .heads = &heads };
	struct chain_head kept = end_now();
	struct err e = { 0 };

	(void)state;
	run_sql("DELETE FROM audit; DELETE FROM audit_heads");
	assert_int_equal(walk(&e), ERR_OK);
	chain_heads_add(&heads, &kept, "a.b.c", false);
	assert_int_equal(store_walk_audit(w.context.store, &c, &e),
	    ERR_CORRUPT);
	assert_non_null(strstr(e.text, "cut off"));
	chain_heads_clear(&heads);
	mend();
}

/* Another event under the right number: the chain before was made anew. */
static void
test_another_event_is_found(void **state)
{
	struct chain_heads heads = { 0 };
	struct chain c = { .heads = &heads };
	struct chain_head other = { .seq = 2 };
	struct err e = { 0 };

	(void)state;
	memset(other.hash, 'a', sizeof other.hash - 1);
	chain_heads_add(&heads, &other, "a.b.c", false);
	assert_int_equal(store_walk_audit(w.context.store, &c, &e),
	    ERR_CORRUPT);
	assert_non_null(strstr(e.text, "event 2 is another one"));
	chain_heads_clear(&heads);
}

static void
test_every_removal_of_a_head_is_found(void **state)
{
	(void)state;
	for (int i = 1; i <= HEADS; i++) {
		AUTO_STR sql =
		    mem_printf("DELETE FROM audit_heads WHERE id = %d", i);
		AUTO_STR event =
		    mem_printf("signed head, of event %d,", covers[i - 1]);

		assert_found(sql, event);
	}
	assert_found("DELETE FROM audit_heads", "that is missing");
}

static void
test_every_change_of_a_head_is_found(void **state)
{
	(void)state;
	for (int i = 1; i <= HEADS; i++)
		for (int k = 1; k <= HEADS; k++) {
			AUTO_STR put_in = mem_printf(
			    "INSERT INTO audit_heads (seq, hash, at_ms,"
			    " key_id, jws) SELECT seq, hash, at_ms, key_id,"
			    " jws FROM audit_heads WHERE id = %d",
			    i);
			AUTO_STR swapped = mem_printf(
			    "UPDATE audit_heads SET jws = (SELECT jws FROM"
			    " good_heads WHERE id = %d) WHERE id = %d",
			    k, i);
			AUTO_STR edited = mem_printf("UPDATE audit_heads SET"
						     " jws = substr(jws, %d)"
						     " WHERE id = %d",
			    k + 1, i);

			assert_found(put_in, "no event tells");
			if (i != k)
				assert_found(swapped, NULL);
			assert_found(edited, NULL);
		}
}

static void
test_the_ledger_takes_true_heads_only(void **state)
{
	static const struct {
		int seq;
		char fill;
		const char *jws;
		enum err_code code;
	} rows[] = {
		{ 1, 'a', "a.b.c", ERR_CONFLICT },
		{ 100000, 'a', "a.b.c", ERR_CONFLICT },
		{ 0, 'a', "a.b.c", ERR_INVALID },
		{ 1, 'x', "a.b.c", ERR_INVALID },
		{ 1, 'a', "", ERR_INVALID },
		{ 1, 'a', "a b", ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct chain_head at = { .seq = rows[i].seq };

		memset(at.hash, rows[i].fill, sizeof at.hash - 1);
		assert_int_equal(world_run(&w, ledger_head,
				     payload_of(&at, rows[i].jws), NULL),
		    rows[i].code);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_signed_is_good),
		cmocka_unit_test(test_every_cut_behind_a_head_is_found),
		cmocka_unit_test(test_a_kept_head_finds_what_the_list_does_not),
		cmocka_unit_test(test_another_event_is_found),
		cmocka_unit_test(test_every_removal_of_a_head_is_found),
		cmocka_unit_test(test_every_change_of_a_head_is_found),
		cmocka_unit_test(test_the_ledger_takes_true_heads_only),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
