/* ledger, keeper and pipeline at work under confinement: see role.h. */

#include "core/confine.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <git2.h>
#include <libdeflate.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/channel.h"
#include "core/file.h"
#include "core/mem.h"
#include "tests/unit/core/role.h"

/* ledger: the writer of an SQLite database in WAL mode. */

static int
write_database(void *arg)
{
	sqlite3 *db;
	AUTO_STR path = file_path(arg, "db");

	NEED(sqlite3_open_v2(path, &db,
		 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
		 NULL) == SQLITE_OK);
	NEED(sqlite3_exec(db,
		 "PRAGMA journal_mode = wal; PRAGMA synchronous = full;"
		 "CREATE TABLE t (n INTEGER PRIMARY KEY, x TEXT);",
		 NULL, NULL, NULL) == SQLITE_OK);
	for (int i = 0; i < 20; i++)
		NEED(sqlite3_exec(db,
			 "BEGIN IMMEDIATE; INSERT INTO t (x) VALUES "
			 "(hex(randomblob(5000))); COMMIT",
			 NULL, NULL, NULL) == SQLITE_OK);
	NEED(sqlite3_exec(db,
		 "PRAGMA wal_checkpoint(TRUNCATE); DELETE FROM t WHERE n < 5;"
		 "PRAGMA integrity_check; PRAGMA optimize;",
		 NULL, NULL, NULL) == SQLITE_OK);
	/* Sorting spills into a temporary file unless told not to. */
	NEED(sqlite3_exec(db,
		 "PRAGMA temp_store = memory; PRAGMA cache_size = 10;"
		 "SELECT * FROM t ORDER BY x; VACUUM;",
		 NULL, NULL, NULL) == SQLITE_OK);
	NEED(sqlite3_close(db) == SQLITE_OK);
	return 0;
}

static void
test_ledger(void **state)
{
	const struct confine_path paths[] = {
		{ role_folder, CONFINE_PATH_READ | CONFINE_PATH_WRITE, false },
	};
	struct child_spec spec = role_of("ledger", write_database,
	    CONFINE_READ_FILES | CONFINE_WRITE_FILES | CONFINE_LOCK_FILES |
		CONFINE_MESSAGES,
	    paths, 1);

	(void)state;
	spec.arg = role_folder;
	role_run(&spec);
}

/* A reader of that database without any write access: opened with mode=ro
 * while the writer keeps its -wal and -shm files. It follows the writer step
 * by step over two pipes, through checkpoints and a restart of the writer. */

struct reading {
	const char *folder;
	int go[2];   /* to the reader: the number of rows to be seen, or 0 */
	int done[2]; /* from the reader */
};

static int
rows_seen(sqlite3 *db)
{
	sqlite3_stmt *s = NULL;
	int rows = -1;

	if (sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &s, NULL) ==
		SQLITE_OK &&
	    sqlite3_step(s) == SQLITE_ROW)
		rows = sqlite3_column_int(s, 0);
	else
		dprintf(STDERR_FILENO, "sqlite: %s (%d)\n", sqlite3_errmsg(db),
		    sqlite3_extended_errcode(db));
	sqlite3_finalize(s);
	return rows;
}

static int
read_database(void *arg)
{
	const struct reading *r = arg;
	AUTO_STR uri = mem_printf("file:%s/db?mode=ro", r->folder);
	sqlite3 *db;
	int want;

	NEED(sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
		 NULL) == SQLITE_OK);
	NEED(sqlite3_exec(db, "PRAGMA temp_store = memory", NULL, NULL, NULL) ==
	    SQLITE_OK);
	while (read(r->go[0], &want, sizeof want) == sizeof want && want > 0) {
		NEED(rows_seen(db) == want);
		NEED(write(r->done[1], "k", 1) == 1);
	}
	NEED(sqlite3_exec(db, "DELETE FROM t", NULL, NULL, NULL) ==
	    SQLITE_READONLY);
	NEED(sqlite3_close(db) == SQLITE_OK);
	return 0;
}

static sqlite3 *
open_writer(void)
{
	AUTO_STR path = file_path(role_folder, "db");
	int keep = 1;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	/* Readers cannot make these files, so they must not be removed. */
	assert_int_equal(sqlite3_file_control(db, "main",
			     SQLITE_FCNTL_PERSIST_WAL, &keep),
	    SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
			     "PRAGMA journal_mode = wal;"
			     "CREATE TABLE IF NOT EXISTS t (x TEXT)",
			     NULL, NULL, NULL),
	    SQLITE_OK);
	return db;
}

/* Waits for the reader, but not for ever if it has died. */
static void
expect_rows(const struct reading *r, int rows)
{
	struct pollfd p = { .fd = r->done[0], .events = POLLIN };
	char c;

	assert_int_equal(write(r->go[1], &rows, sizeof rows), sizeof rows);
	assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
	assert_int_equal(read(r->done[0], &c, 1), 1);
}

static void
insert_rows(sqlite3 *db, int count)
{
	while (count-- > 0)
		assert_int_equal(sqlite3_exec(db,
				     "INSERT INTO t VALUES "
				     "(hex(randomblob(3000)))",
				     NULL, NULL, NULL),
		    SQLITE_OK);
}

static void
drive_reader(const struct reading *r)
{
	sqlite3 *db = open_writer();
	const int stop = 0;

	insert_rows(db, 1);
	expect_rows(r, 1);
	insert_rows(db, 9);
	expect_rows(r, 10);
	assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)",
			     NULL, NULL, NULL),
	    SQLITE_OK);
	expect_rows(r, 10);
	/* Enough for automatic checkpoints in between. */
	for (int i = 1; i <= 10; i++) {
		insert_rows(db, 100);
		expect_rows(r, 10 + 100 * i);
	}
	/* The writer goes, the reader still reads; it comes back. */
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	expect_rows(r, 1010);
	db = open_writer();
	expect_rows(r, 1010);
	insert_rows(db, 5);
	expect_rows(r, 1015);
	assert_int_equal(write(r->go[1], &stop, sizeof stop), sizeof stop);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
test_reader(void **state)
{
	const struct confine_path paths[] = {
		{ role_folder, CONFINE_PATH_READ, false },
	};
	struct child_spec spec = role_of("reader", read_database,
	    CONFINE_READ_FILES | CONFINE_LOCK_FILES, paths, 1);
	struct reading r = { .folder = role_folder };
	int keep[2];
	int status;
	pid_t pid;
	struct err e;

	(void)state;
	assert_int_equal(sqlite3_close(open_writer()), SQLITE_OK);
	assert_int_equal(pipe2(r.go, O_CLOEXEC), 0);
	assert_int_equal(pipe2(r.done, O_CLOEXEC), 0);
	keep[0] = r.go[0];
	keep[1] = r.done[1];
	spec.keep = keep;
	spec.keep_count = 2;
	spec.arg = &r;
	spec.stdout_fd = -1;
	spec.stderr_fd = -1;
	assert_int_equal(child_start(&pid, &spec, &e), ERR_OK);
	close(r.done[1]);
	drive_reader(&r);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(r.go[0]);
	close(r.go[1]);
	close(r.done[0]);
}

/* keeper: no files at all; makes keys, signs, takes a large message and a
 * memory file. */

static int
sign_with(EVP_PKEY *key)
{
	static const unsigned char text[] = "what is signed";
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned char signature[1024];
	size_t len = sizeof signature;
	int ok;

	ok = c != NULL &&
	    EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestSign(c, signature, &len, text, sizeof text) == 1;
	EVP_MD_CTX_free(c);
	c = EVP_MD_CTX_new();
	ok = ok && c != NULL &&
	    EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestVerify(c, signature, len, text, sizeof text) == 1;
	EVP_MD_CTX_free(c);
	return ok;
}

static int
keep_keys(void *arg)
{
	static const uint32_t accepts[] = { 1, 0 };
	AUTO(channel, c) = channel_new(*(const int *)arg, "pipeline");
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	EVP_PKEY *ec = EVP_EC_gen("P-256");
	struct message m;
	struct err e;
	char *map;
	char text[8] = "";

	NEED(rsa != NULL && ec != NULL);
	NEED(sign_with(rsa) && sign_with(ec));
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
	NEED(channel_receive(c, &m, accepts, -1, &e) == ERR_OK);
	NEED(m.fd_count == 1);
	NEED(pread(m.fds[0], text, 7, 0) == 7);
	map = mmap(NULL, 7, PROT_READ, MAP_SHARED, m.fds[0], 0);
	NEED(map != MAP_FAILED && memcmp(map, text, 7) == 0);
	NEED(munmap(map, 7) == 0);
	/* As large as it came: through a memory file of its own. */
	NEED(channel_reply(c, &m, m.payload, &e) == ERR_OK);
	message_clear(&m);
	return 0;
}

static void
test_keeper(void **state)
{
	struct child_spec spec =
	    role_of("keeper", keep_keys, CONFINE_MESSAGES, NULL, 0);
	AUTO_STR large = mem_zalloc(CHANNEL_INLINE_MAX + 1);
	static const uint32_t none[] = { 0 };
	struct message reply;
	json_t *payload;
	int fds[2];
	int memory;
	struct err e;

	(void)state;
	memset(large, 'x', CHANNEL_INLINE_MAX);
	payload = json_pack("{s:s}", "large", large);
	assert_int_equal(channel_pair(fds, &e), ERR_OK);
	AUTO(channel, c) = channel_new(fds[0], "keeper");
	assert_int_equal(file_memory(&memory, "file", "content", 7, &e),
	    ERR_OK);
	assert_int_equal(channel_send(c, 1, 1, 0, payload, &memory, 1, 0, &e),
	    ERR_OK);
	spec.arg = &fds[1];
	spec.keep = &fds[1];
	spec.keep_count = 1;
	role_run(&spec);
	assert_int_equal(channel_receive(c, &reply, none, 0, &e), ERR_OK);
	assert_true(json_equal(reply.payload, payload));
	message_clear(&reply);
	json_decref(payload);
	close(memory);
	close(fds[0]);
	close(fds[1]);
}

/* pipeline: reads and writes Git objects in threads, packs, writes files. */

static int
commit_file(git_repository *repo, const char *text)
{
	git_oid blob;
	git_oid tree_id;
	git_oid commit;
	git_treebuilder *builder = NULL;
	git_tree *tree = NULL;
	git_signature *who = NULL;

	NEED(git_blob_create_from_buffer(&blob, repo, text, strlen(text)) == 0);
	NEED(git_treebuilder_new(&builder, repo, NULL) == 0);
	NEED(git_treebuilder_insert(NULL, builder, "file", &blob,
		 GIT_FILEMODE_BLOB) == 0);
	NEED(git_treebuilder_write(&tree_id, builder) == 0);
	NEED(git_tree_lookup(&tree, repo, &tree_id) == 0);
	NEED(git_signature_new(&who, "a", "a@b", 0, 0) == 0);
	NEED(git_commit_create(&commit, repo, "refs/edict/test", who, who, NULL,
		 "m", tree, 0, NULL) == 0);
	git_signature_free(who);
	git_tree_free(tree);
	git_treebuilder_free(builder);
	return 0;
}

static int
read_commit(git_repository *repo)
{
	git_object *object = NULL;
	git_revwalk *walk = NULL;
	git_oid id;

	NEED(git_revparse_single(&object, repo, "refs/heads/main:file") == 0);
	NEED(git_object_type(object) == GIT_OBJECT_BLOB);
	git_object_free(object);
	NEED(git_revwalk_new(&walk, repo) == 0);
	NEED(git_revwalk_push_ref(walk, "refs/heads/main") == 0);
	NEED(git_revwalk_next(&id, walk) == 0);
	git_revwalk_free(walk);
	return 0;
}

static int
pack_something(const char *to)
{
	enum { SIZE = 65536 };
	AUTO_STR tar = mem_alloc(SIZE);
	AUTO_STR gz = mem_alloc(SIZE);
	struct archive *a = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
	size_t used = 0;
	size_t len;
	struct err e;

	NEED(a != NULL && entry != NULL && c != NULL);
	NEED(archive_write_set_format_ustar(a) == ARCHIVE_OK);
	NEED(archive_write_open_memory(a, tar, SIZE, &used) == ARCHIVE_OK);
	archive_entry_set_pathname(entry, "a/b.rego");
	archive_entry_set_filetype(entry, S_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_size(entry, 4);
	NEED(archive_write_header(a, entry) == ARCHIVE_OK);
	NEED(archive_write_data(a, "text", 4) == 4);
	NEED(archive_write_close(a) == ARCHIVE_OK);
	archive_entry_free(entry);
	archive_write_free(a);
	len = libdeflate_gzip_compress(c, tar, used, gz, SIZE);
	libdeflate_free_compressor(c);
	NEED(len > 0);
	NEED(file_replace(to, gz, len, 0644, &e) == ERR_OK);
	return 0;
}

static void *
work_on_repository(void *arg)
{
	AUTO_STR path = file_path(arg, "repo");
	AUTO_STR artifact = mem_printf("%s/artifact-%lx", (char *)arg,
	    (unsigned long)pthread_self());
	git_repository *repo = NULL;
	int bad = git_repository_open_bare(&repo, path) != 0 ||
	    read_commit(repo) != 0 || pack_something(artifact) != 0;

	if (bad && git_error_last() != NULL)
		dprintf(STDERR_FILENO, "git: %s\n", git_error_last()->message);
	git_repository_free(repo);
	return bad ? arg : NULL;
}

static int
run_pipeline(void *arg)
{
	AUTO_STR path = file_path(arg, "repo");
	AUTO_STR old = file_path(arg, "old");
	AUTO_STR new = file_path(arg, "sub/new");
	AUTO_STR sub = file_path(arg, "sub");
	pthread_t threads[3];
	git_repository *repo = NULL;
	struct err e;

	for (int i = 0; i < 3; i++)
		NEED(pthread_create(&threads[i], NULL, work_on_repository,
			 arg) == 0);
	for (int i = 0; i < 3; i++) {
		void *bad = arg;

		NEED(pthread_join(threads[i], &bad) == 0 && bad == NULL);
	}
	NEED(git_repository_open_bare(&repo, path) == 0);
	if (commit_file(repo, "written under confinement") != 0) {
		dprintf(STDERR_FILENO, "git: %s\n", git_error_last()->message);
		return 1;
	}
	git_repository_free(repo);
	/* Across folders, as a quarantine is moved in. */
	NEED(file_make_dirs(sub, &e) == ERR_OK);
	NEED(file_replace(old, "x", 1, 0600, &e) == ERR_OK);
	NEED(rename(old, new) == 0);
	NEED(link(new, old) == 0);
	NEED(file_remove_tree(sub, &e) == ERR_OK);
	return 0;
}

static void
test_pipeline(void **state)
{
	const struct confine_path paths[] = {
		{ role_folder, CONFINE_PATH_READ | CONFINE_PATH_WRITE, false },
		{ "/dev/null", CONFINE_PATH_READ | CONFINE_PATH_WRITE, false },
	};
	struct child_spec spec = role_of("pipeline", run_pipeline,
	    CONFINE_READ_FILES | CONFINE_WRITE_FILES | CONFINE_LOCK_FILES |
		CONFINE_MESSAGES | CONFINE_THREADS,
	    paths, 2);
	AUTO_STR path = file_path(role_folder, "repo");
	git_repository *repo = NULL;
	git_reference *ref = NULL;
	git_oid id;

	(void)state;
	assert_int_equal(role_no_global_git(NULL), 0);
	assert_int_equal(git_repository_init(&repo, path, 1), 0);
	assert_int_equal(commit_file(repo, "hello"), 0);
	assert_int_equal(git_reference_name_to_id(&id, repo, "refs/edict/test"),
	    0);
	assert_int_equal(git_reference_create(&ref, repo, "refs/heads/main",
			     &id, 0, NULL),
	    0);
	git_reference_free(ref);
	assert_int_equal(git_reference_remove(repo, "refs/edict/test"), 0);
	git_repository_free(repo);
	spec.prepare = role_no_global_git;
	spec.arg = role_folder;
	role_run(&spec);
	git_libgit2_shutdown();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_ledger),
		CASE(test_reader),
		CASE(test_keeper),
		CASE(test_pipeline),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
