#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusters/view.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "world.h"

static const struct world *current;

/* Runs SQL behind the store's back. */
static void
tamper(const struct world *w, const char *sql)
{
	AUTO_STR path = mem_printf("%s/store/edict.db", w->dir);
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static enum err_code
try_open(const struct world *w, struct err *e)
{
	struct store *s = NULL;
	enum err_code code = store_open(&s, w->dir, e);

	store_free(s);
	return code;
}

static void
test_newer_schema_is_refused(void **state)
{
	struct world w;
	struct store *reader = NULL;
	struct err e;

	(void)state;
	world_open(&w);
	tamper(&w, "PRAGMA user_version = 99");
	assert_int_equal(try_open(&w, &e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "made by a newer edict"));
	assert_int_equal(store_open_read(&reader, w.dir, &e), ERR_UNSUPPORTED);
	tamper(&w, "PRAGMA user_version = 5");
	assert_int_equal(try_open(&w, &e), ERR_OK);
	/* An older one is brought up to date, for writers; readers wait. */
	tamper(&w,
	    "DROP INDEX verdicts_whole;"
	    "DROP INDEX revisions_artifact;"
	    "DROP INDEX assignments_artifact;"
	    "ALTER TABLE verdicts DROP COLUMN cut_ms;"
	    "ALTER TABLE artifacts DROP COLUMN used_ms;"
	    "ALTER TABLE operations DROP COLUMN result;"
	    "DROP TABLE discoveries;"
	    "DROP TABLE outbox;"
	    "DROP TABLE outbox_targets;"
	    "DROP TABLE alarms;"
	    "DROP TABLE removed;"
	    "DROP TABLE sets;"
	    "DROP TABLE sets_wanted;"
	    "DROP TABLE given_roots;"
	    "ALTER TABLE operations DROP COLUMN waits;"
	    "DROP TABLE audit_heads;"
	    "DROP TABLE signing_keys;"
	    "DROP TABLE cluster_keys;"
	    "DROP TABLE variants_wanted;"
	    "ALTER TABLE assignments DROP COLUMN until;"
	    "ALTER TABLE assignments DROP COLUMN forced;"
	    "ALTER TABLE operations DROP COLUMN bundles;"
	    "ALTER TABLE operations DROP COLUMN until_next;"
	    "ALTER TABLE operations DROP COLUMN forced;"
	    "ALTER TABLE tokens DROP COLUMN clusters;"
	    "ALTER TABLE tokens DROP COLUMN bundles;"
	    "ALTER TABLE tokens DROP COLUMN created_by;"
	    "DROP TABLE engines;"
	    "ALTER TABLE operations DROP COLUMN after_event;"
	    "PRAGMA user_version = 1");
	assert_int_equal(store_open_read(&reader, w.dir, &e), ERR_NOT_FOUND);
	world_reopen(&w);
	assert_int_equal(store_get_operation(w.context.store, 1, NULL, &e),
	    ERR_NOT_FOUND);
	assert_non_null(strstr(e.text, "no operation 1"));
	world_close(&w);
}

static void
test_foreign_database_is_left_alone(void **state)
{
	struct world w;
	struct err e;

	(void)state;
	world_open(&w);
	tamper(&w, "PRAGMA application_id = 7");
	assert_int_equal(try_open(&w, &e), ERR_CORRUPT);
	assert_non_null(strstr(e.text, "not one of edict's"));
	world_close(&w);
}

static void
overwrite(const struct world *w, off_t at, size_t len)
{
	AUTO_STR path = mem_printf("%s/store/edict.db", w->dir);
	char *junk = mem_alloc(len);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	memset(junk, 0x5a, len);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, junk, len, at), len);
	close(fd);
	mem_free(junk);
}

static void
test_damage_is_told(void **state)
{
	struct world w;
	struct err e;

	(void)state;
	for (int i = 0; i < 2; i++) {
		world_open(&w);
		world_repository(&w, "policies", 1, 0);
		store_free(w.context.store);
		w.context.store = NULL;
		tamper(&w, "PRAGMA wal_checkpoint(TRUNCATE)");
		if (i == 0)
			overwrite(&w, 0, 64);
		else
			overwrite(&w, 4096, 3 * 4096);
		assert_int_equal(try_open(&w, &e), ERR_CORRUPT);
		assert_non_null(strstr(e.text, "damaged"));
		assert_non_null(strstr(e.text, "backup"));
		world_close(&w);
	}
}

static void
test_no_database_yet(void **state)
{
	struct store *s = NULL;
	struct err e;

	(void)state;
	assert_int_equal(store_open_read(&s, "/tmp/edict-nowhere", &e),
	    ERR_NOT_FOUND);
}

static void
test_reader_sees_changes(void **state)
{
	struct world w;
	struct store *reader;
	struct store_repository r;
	int64_t before, after;
	struct err e;

	(void)state;
	world_open(&w);
	assert_int_equal(store_open_read(&reader, w.dir, &e), ERR_OK);
	assert_int_equal(store_data_version(reader, &before, &e), ERR_OK);
	assert_int_equal(store_repository_state(reader, "policies", &r, &e),
	    ERR_NOT_FOUND);
	world_repository(&w, "policies", 1, 0);
	assert_int_equal(store_data_version(reader, &after, &e), ERR_OK);
	assert_int_not_equal(before, after);
	assert_int_equal(store_repository_state(reader, "policies", &r, &e),
	    ERR_OK);
	assert_string_equal(r.branch, "main");
	assert_int_equal(r.line, 1);
	store_repository_clear(&r);
	assert_int_equal(store_data_version(reader, &before, &e), ERR_OK);
	assert_int_equal(before, after);
	/* It has no right to write, whatever the folder allows. */
	assert_int_not_equal(
	    store_add_event(reader,
		&(struct store_event){ "x", "", "x", "x", NULL }, &e),
	    ERR_OK);
	store_free(reader);
	world_close(&w);
}

static void
test_snapshot_stands_still(void **state)
{
	struct world w;
	struct store *reader;
	struct store_repository r;
	struct err e;

	(void)state;
	world_open(&w);
	assert_int_equal(store_open_read(&reader, w.dir, &e), ERR_OK);
	assert_int_equal(store_snapshot_begin(reader, &e), ERR_OK);
	assert_int_equal(store_repository_state(reader, "policies", &r, &e),
	    ERR_NOT_FOUND);
	world_repository(&w, "policies", 1, 0);
	assert_int_equal(store_repository_state(reader, "policies", &r, &e),
	    ERR_NOT_FOUND);
	store_snapshot_end(reader);
	assert_int_equal(store_repository_state(reader, "policies", &r, &e),
	    ERR_OK);
	store_repository_clear(&r);
	store_free(reader);
	world_close(&w);
}

/* A process that writes when it is told to, and has to exist before the reader:
 * SQLite shares what it knows of a file within a process. */
static pid_t
start_writer(int *go)
{
	int fds[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0) {
		close(fds[0]);
		*go = fds[1];
		return pid;
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) == 1) {
		struct world w = *current;

		world_begin(&w);
		world_repository(&w, "rules", 1, 0);
		world_end(&w);
		_exit(0);
	}
	_exit(1);
}

static void
test_reader_while_the_writer_is_away(void **state)
{
	struct world w;
	struct store *reader;
	struct store_repository r;
	struct err e;
	int go, status;
	pid_t writer;

	(void)state;
	world_open(&w);
	world_repository(&w, "policies", 1, 0);
	world_end(&w);
	current = &w;
	writer = start_writer(&go);
	assert_int_equal(store_open_read(&reader, w.dir, &e), ERR_OK);
	assert_int_equal(store_repository_state(reader, "policies", &r, &e),
	    ERR_OK);
	store_repository_clear(&r);
	assert_int_equal(write(go, "x", 1), 1);
	assert_int_equal(waitpid(writer, &status, 0), writer);
	assert_int_equal(status, 0);
	close(go);
	assert_int_equal(store_repository_state(reader, "rules", &r, &e),
	    ERR_OK);
	store_repository_clear(&r);
	store_free(reader);
	world_begin(&w);
	world_close(&w);
}

/* Tokens. */

static void
token_file(const struct world *w, const char *name, char out[128])
{
	AUTO_STR path = file_path(w->dir, name);
	char *text;
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(file_read_secret(&text, path, NULL), ERR_OK);
	(void)snprintf(out, 128, "%s", text);
	mem_free_secret(text, strlen(text));
}

static enum err_code
check(struct world *w, const char *token)
{
	struct store_token t;

	return store_check_token(w->context.store, token, &t, &w->e);
}

static void
test_tokens_are_made_once(void **state)
{
	struct world w;
	char admin[128], engine[128], again[128];
	struct store_token t;

	(void)state;
	world_open(&w);
	token_file(&w, "admin-token", admin);
	token_file(&w, "engine-token", engine);
	assert_int_equal(strlen(admin), 6 + 43); /* 256 bits in base64url */
	assert_memory_equal(admin, "edict_", 6);
	assert_string_not_equal(admin, engine);
	world_reopen(&w);
	token_file(&w, "admin-token", again);
	assert_string_equal(admin, again);
	assert_int_equal(store_check_token(w.context.store, admin, &t, &w.e),
	    ERR_OK);
	assert_true(t.admin);
	assert_string_equal(t.name, "admin");
	assert_int_equal(store_check_token(w.context.store, engine, &t, &w.e),
	    ERR_OK);
	assert_false(t.admin);
	world_close(&w);
}

static void
test_wrong_tokens(void **state)
{
	struct world w;
	char admin[128], digest[DIGEST_HEX_SIZE];

	(void)state;
	world_open(&w);
	token_file(&w, "admin-token", admin);
	digest_hex(digest, admin, strlen(admin));
	assert_int_equal(check(&w, ""), ERR_DENIED);
	assert_int_equal(check(&w, "edict_"), ERR_DENIED);
	assert_int_equal(check(&w, digest), ERR_DENIED);
	admin[10] ^= 1;
	assert_int_equal(check(&w, admin), ERR_DENIED);
	world_close(&w);
}

/* A lost file takes nothing from those who have the token; an empty one does. */
static void
test_lost_token(void **state)
{
	static const struct {
		const char *text;
		enum err_code before;
	} rows[] = {
		{ NULL, ERR_OK },
		{ "edict_forged\n", ERR_OK },
		{ "", ERR_DENIED },
		{ "\n", ERR_DENIED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct world w;
		char before[128], after[128], engine[128], same[128];
		AUTO_STR path = NULL;

		world_open(&w);
		path = file_path(w.dir, "admin-token");
		token_file(&w, "admin-token", before);
		token_file(&w, "engine-token", engine);
		if (rows[i].text == NULL)
			assert_int_equal(unlink(path), 0);
		else
			assert_int_equal(file_replace(path, rows[i].text,
					     strlen(rows[i].text), 0600, NULL),
			    ERR_OK);
		world_reopen(&w);
		token_file(&w, "admin-token", after);
		assert_string_not_equal(before, after);
		assert_int_equal(check(&w, before), rows[i].before);
		assert_int_equal(check(&w, after), ERR_OK);
		token_file(&w, "engine-token", same);
		assert_string_equal(engine, same);
		assert_int_equal(check(&w, engine), ERR_OK);
		world_close(&w);
	}
}

static void
test_engine_token_does_not_pass_for_admin(void **state)
{
	struct world w;
	char engine[128], after[128];
	AUTO_STR path = NULL;

	(void)state;
	world_open(&w);
	path = file_path(w.dir, "admin-token");
	token_file(&w, "engine-token", engine);
	assert_int_equal(file_replace(path, engine, strlen(engine), 0600, NULL),
	    ERR_OK);
	world_reopen(&w);
	token_file(&w, "admin-token", after);
	assert_string_not_equal(engine, after);
	world_close(&w);
}

static void
test_readable_token_is_refused(void **state)
{
	struct world w;
	struct store *s;
	struct err e;
	AUTO_STR path = NULL;

	(void)state;
	world_open(&w);
	path = file_path(w.dir, "admin-token");
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(store_open(&s, w.dir, &e), ERR_OK);
	assert_int_equal(store_make_tokens(s, w.dir, &e), ERR_DENIED);
	assert_non_null(strstr(e.text, "chmod 600"));
	store_free(s);
	world_close(&w);
}

/* The chain. */

static void
add_events(struct world *w, int count)
{
	assert_int_equal(store_begin(w->context.store, &w->e), ERR_OK);
	for (int i = 0; i < count; i++)
		assert_int_equal(store_add_event(w->context.store,
				     &(struct store_event){ "admin", "peer",
					 "pin", "prod/authz", NULL },
				     &w->e),
		    ERR_OK);
	assert_int_equal(store_commit(w->context.store, &w->e), ERR_OK);
}

static void
test_audit_chain(void **state)
{
	static const char *const attacks[] = {
		"UPDATE audit SET who = 'nobody' WHERE seq = 4",
		"UPDATE audit SET subject = 'x' WHERE seq = 4",
		"UPDATE audit SET detail = '{\"a\":1}' WHERE seq = 4",
		"UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 4",
		"DELETE FROM audit WHERE seq = 4",
		"DELETE FROM audit WHERE seq = 1",
		"UPDATE audit SET hash = previous WHERE seq = 4",
	};

	(void)state;
	for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
		struct world w;

		world_open(&w);
		add_events(&w, 5);
		assert_int_equal(store_verify_audit(w.context.store, &w.e),
		    ERR_OK);
		tamper(&w, attacks[i]);
		assert_int_equal(store_verify_audit(w.context.store, &w.e),
		    ERR_CORRUPT);
		world_close(&w);
	}
}

/* What the pipeline asks. */

static void
test_work_that_is_left(void **state)
{
	struct world w;
	struct store_ids ids;
	char id[STORE_ID_SIZE];
	int64_t line, depth;

	(void)state;
	world_open(&w);
	world_repository(&w, "policies", 1, 5);
	world_line(&w, "policies", 1, 1, 5);
	world_verdict(&w, "policies", 4, "passed");
	world_verdict(&w, "policies", 2, "failed");
	assert_int_equal(store_commits_without_verdict(w.context.store,
			     "policies", 1, -1, 10, &ids, &w.e),
	    ERR_OK);
	assert_int_equal(ids.count, 3);
	world_id(id, 5);
	assert_string_equal(ids.ids[0], id);
	store_ids_clear(&ids);
	assert_int_equal(store_commits_without_verdict(w.context.store,
			     "policies", 1, 3, 10, &ids, &w.e),
	    ERR_OK);
	assert_int_equal(ids.count, 1);
	store_ids_clear(&ids);
	/* One that could not run is tried again, after all others. */
	world_verdict(&w, "policies", 3, "could_not_run");
	assert_int_equal(store_commits_without_verdict(w.context.store,
			     "policies", 1, -1, 10, &ids, &w.e),
	    ERR_OK);
	assert_int_equal(ids.count, 3);
	world_id(id, 1);
	assert_string_equal(ids.ids[1], id);
	world_id(id, 3);
	assert_string_equal(ids.ids[2], id);
	store_ids_clear(&ids);
	assert_int_equal(store_commits_unpublished(w.context.store, "policies",
			     1, 10, &ids, &w.e),
	    ERR_OK);
	assert_int_equal(ids.count, 1);
	world_id(id, 4);
	assert_string_equal(ids.ids[0], id);
	store_ids_clear(&ids);
	world_pass(&w, 4, 'a');
	assert_int_equal(store_commits_unpublished(w.context.store, "policies",
			     1, 10, &ids, &w.e),
	    ERR_OK);
	assert_int_equal(ids.count, 0);
	store_ids_clear(&ids);
	assert_int_equal(store_assigned_commits(w.context.store, "policies",
			     &ids, &w.e),
	    ERR_OK);
	assert_int_equal(ids.count, 1);
	store_ids_clear(&ids);
	assert_int_equal(store_commit_place(w.context.store, "policies", id,
			     &line, &depth, &w.e),
	    ERR_OK);
	assert_int_equal(line, 1);
	assert_int_equal(depth, 4);
	world_close(&w);
}

static void
test_verdicts_are_kept_and_reused(void **state)
{
	struct world w;
	struct store_verdict v;
	char id[STORE_ID_SIZE];
	json_t *report, *first, *second;

	(void)state;
	world_open(&w);
	world_repository(&w, "policies", 1, 1);
	world_line(&w, "policies", 1, 1, 1);
	world_id(id, 1);
	assert_int_equal(store_newest_verdict(w.context.store, "policies", id,
			     &v, &w.e),
	    ERR_NOT_FOUND);
	/* The same report twice is one verdict; another one is a second. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(world_run(&w, ledger_verdict,
				     world_verdict_payload("policies", 1,
					 "failed", 7),
				     i == 0 ? &first : &second),
		    ERR_OK);
	assert_true(json_equal(first, second));
	json_decref(first);
	json_decref(second);
	world_verdict(&w, "policies", 1, "passed");
	assert_int_equal(store_newest_verdict(w.context.store, "policies", id,
			     &v, &w.e),
	    ERR_OK);
	assert_string_equal(v.state, "passed");
	assert_int_equal(v.id, 2);
	/* That it could not run is kept, and takes nothing back. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(world_run(&w, ledger_verdict,
				     world_verdict_payload("policies", 1,
					 "could_not_run", 8),
				     i == 0 ? &first : &second),
		    ERR_OK);
	assert_true(json_equal(first, second));
	json_decref(first);
	json_decref(second);
	assert_int_equal(store_newest_verdict(w.context.store, "policies", id,
			     &v, &w.e),
	    ERR_OK);
	assert_string_equal(v.state, "passed");
	assert_int_equal(v.id, 2);
	assert_int_equal(store_verdict_by_identity(w.context.store, v.identity,
			     &report, &w.e),
	    ERR_OK);
	assert_string_equal(json_string_value(json_object_get(report, "state")),
	    "passed");
	assert_true(json_is_array(json_object_get(report, "results")));
	json_decref(report);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newer_schema_is_refused),
		cmocka_unit_test(test_foreign_database_is_left_alone),
		cmocka_unit_test(test_damage_is_told),
		cmocka_unit_test(test_no_database_yet),
		cmocka_unit_test(test_reader_sees_changes),
		cmocka_unit_test(test_snapshot_stands_still),
		cmocka_unit_test(test_reader_while_the_writer_is_away),
		cmocka_unit_test(test_tokens_are_made_once),
		cmocka_unit_test(test_wrong_tokens),
		cmocka_unit_test(test_lost_token),
		cmocka_unit_test(test_engine_token_does_not_pass_for_admin),
		cmocka_unit_test(test_readable_token_is_refused),
		cmocka_unit_test(test_audit_chain),
		cmocka_unit_test(test_work_that_is_left),
		cmocka_unit_test(test_verdicts_are_kept_and_reused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
