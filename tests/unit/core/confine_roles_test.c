/* Each kind of process does its real work under its own confinement: the
 * rights that core/confine.h offers are enough, with the libraries as they
 * are. What must not be possible is shown by confine_test.c. */

#include "core/confine.h"

#include <archive.h>
#include <archive_entry.h>
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <libdeflate.h>
#include <microhttpd.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
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
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/channel.h"
#include "core/child.h"
#include "core/file.h"
#include "core/mem.h"

enum { TIMEOUT_MS = 120000, OUT_MAX = 1 << 20 };

static char *folder;

static int
set_up(void **state)
{
	char path[] = "/tmp/edict-roles-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(path));
	folder = mem_strdup(path);
	return 0;
}

static int
tear_down(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(file_remove_tree(folder, &e), ERR_OK);
	mem_free(STEAL(folder));
	return 0;
}

/* In a child: says where it went wrong. */
#define NEED(condition)                                                  \
	do {                                                             \
		if (!(condition)) {                                      \
			dprintf(STDERR_FILENO, "%s:%d: %s (errno %d)\n", \
			    __FILE__, __LINE__, #condition, errno);      \
			return 1;                                        \
		}                                                        \
	} while (0)

static void
run(const struct child_spec *spec)
{
	struct child_result r;
	struct err e = { 0 };

	if (child_run(&r, spec, TIMEOUT_MS, OUT_MAX, &e) != ERR_OK)
		fail_msg("%s", e.text);
	if (r.end != CHILD_EXITED || r.status != 0)
		fail_msg("%s %s %d: %s", spec->name, child_end_name(r.end),
		    r.status, r.err.data);
	child_result_clear(&r);
}

static struct child_spec
role(const char *name, int (*body)(void *), unsigned int calls,
    const struct confine_path *paths, size_t path_count)
{
	return (struct child_spec){
		.name = name,
		.main = body,
		.stdin_fd = -1,
		.rules = { .calls = calls,
		    .paths = paths,
		    .path_count = path_count },
	};
}

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
		{ folder, CONFINE_PATH_READ | CONFINE_PATH_WRITE, false },
	};
	struct child_spec spec = role("ledger", write_database,
	    CONFINE_READ_FILES | CONFINE_WRITE_FILES | CONFINE_LOCK_FILES |
		CONFINE_MESSAGES,
	    paths, 1);

	(void)state;
	spec.arg = folder;
	run(&spec);
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
	AUTO_STR path = file_path(folder, "db");
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
		{ folder, CONFINE_PATH_READ, false },
	};
	struct child_spec spec = role("reader", read_database,
	    CONFINE_READ_FILES | CONFINE_LOCK_FILES, paths, 1);
	struct reading r = { .folder = folder };
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
	    role("keeper", keep_keys, CONFINE_MESSAGES, NULL, 0);
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
	run(&spec);
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
no_global_git(void *arg)
{
	(void)arg;
	git_libgit2_init();
	for (int level = GIT_CONFIG_LEVEL_PROGRAMDATA;
	     level <= GIT_CONFIG_LEVEL_GLOBAL; level++)
		(void)git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
	return 0;
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
		{ folder, CONFINE_PATH_READ | CONFINE_PATH_WRITE, false },
		{ "/dev/null", CONFINE_PATH_READ | CONFINE_PATH_WRITE, false },
	};
	struct child_spec spec = role("pipeline", run_pipeline,
	    CONFINE_READ_FILES | CONFINE_WRITE_FILES | CONFINE_LOCK_FILES |
		CONFINE_MESSAGES | CONFINE_THREADS,
	    paths, 2);
	AUTO_STR path = file_path(folder, "repo");
	git_repository *repo = NULL;
	git_reference *ref = NULL;
	git_oid id;

	(void)state;
	assert_int_equal(no_global_git(NULL), 0);
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
	spec.prepare = no_global_git;
	spec.arg = folder;
	run(&spec);
	git_libgit2_shutdown();
}

/* http: libmicrohttpd with TLS in two threads on a listening socket that was
 * inherited; answers from a mapped file, from a file descriptor, and after a
 * suspension. And fetch: a client outside that looks up names, speaks TLS and
 * Git, and writes what it gets. The two are tested against each other. */

struct site {
	const char *folder;
	int listener;
	int stop[2];
	uint16_t port;
	char *key;
	char *certificate;
};

enum { FILE_SIZE = 100000 };

struct server {
	struct MHD_Daemon *daemon;
	struct site *site;
	char *map;
	struct MHD_Connection *suspended; /* until the loop has run once */
};

static enum MHD_Result
answer(void *arg, struct MHD_Connection *c, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **seen)
{
	struct server *s = arg;
	struct MHD_Response *r;
	enum MHD_Result result;
	AUTO_STR path = NULL;
	static int first;
	static int second;

	(void)method;
	(void)version;
	(void)upload;
	*upload_size = 0;
	if (*seen == NULL) {
		*seen = &first;
		return MHD_YES;
	}
	if (strcmp(url, "/wait") == 0 && *seen == &first &&
	    s->suspended == NULL) {
		*seen = &second;
		MHD_suspend_connection(c);
		s->suspended = c;
		return MHD_YES;
	}
	if (strcmp(url, "/file") == 0) {
		path = file_path(s->site->folder, "file");
		r = MHD_create_response_from_fd(FILE_SIZE,
		    open(path, O_RDONLY | O_CLOEXEC));
	} else {
		r = MHD_create_response_from_buffer(FILE_SIZE, s->map,
		    MHD_RESPMEM_PERSISTENT);
	}
	if (r == NULL)
		return MHD_NO;
	result = MHD_queue_response(c,
	    strncmp(url, "/git", 4) == 0 ? MHD_HTTP_NOT_FOUND : MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	return result;
}

static int
start_server(struct server *s)
{
	AUTO_STR path = file_path(s->site->folder, "file");
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	NEED(fd >= 0);
	s->map = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	NEED(s->map != MAP_FAILED);
	s->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_TLS |
		MHD_ALLOW_SUSPEND_RESUME,
	    0, NULL, NULL, answer, s, MHD_OPTION_LISTEN_SOCKET,
	    s->site->listener, MHD_OPTION_HTTPS_MEM_KEY, s->site->key,
	    MHD_OPTION_HTTPS_MEM_CERT, s->site->certificate,
	    MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
	NEED(s->daemon != NULL);
	return 0;
}

/* Our own event loop around the daemon's epoll descriptor. */
static int
serve_until_stopped(struct server *s)
{
	const union MHD_DaemonInfo *info =
	    MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int loop = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };

	NEED(info != NULL && loop >= 0);
	NEED(epoll_ctl(loop, EPOLL_CTL_ADD, info->epoll_fd, &event) == 0);
	event.data.u32 = 1;
	NEED(epoll_ctl(loop, EPOLL_CTL_ADD, s->site->stop[0], &event) == 0);
	for (;;) {
		MHD_UNSIGNED_LONG_LONG wait = 0;
		int timeout = MHD_get_timeout(s->daemon, &wait) == MHD_YES
		    ? (int)wait
		    : -1;
		int n = epoll_wait(loop, &event, 1, timeout);

		NEED(n >= 0 || errno == EINTR);
		if (n == 1 && event.data.u32 == 1)
			break;
		NEED(MHD_run(s->daemon) == MHD_YES);
		if (s->suspended == NULL)
			continue;
		/* Nothing in its epoll tells of this. */
		MHD_resume_connection(STEAL(s->suspended));
		NEED(MHD_run(s->daemon) == MHD_YES);
	}
	close(loop);
	return 0;
}

static void *
serve(void *arg)
{
	struct server s = { .site = arg };
	int bad = start_server(&s) != 0 || serve_until_stopped(&s) != 0;

	if (s.daemon != NULL) {
		(void)MHD_quiesce_daemon(s.daemon);
		MHD_stop_daemon(s.daemon);
	}
	return bad ? arg : NULL;
}

static int
run_http(void *arg)
{
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		NEED(pthread_create(&threads[i], NULL, serve, arg) == 0);
	for (int i = 0; i < 2; i++) {
		void *bad = arg;

		NEED(pthread_join(threads[i], &bad) == 0 && bad == NULL);
	}
	return 0;
}

struct received {
	size_t len;
};

static size_t
receive(char *data, size_t size, size_t count, void *arg)
{
	struct received *r = arg;

	(void)data;
	r->len += size * count;
	return size * count;
}

static int
get_url(const struct site *site, const char *path, const char *ca)
{
	AUTO_STR url = mem_printf("https://localhost:%u%s", site->port, path);
	struct received r = { 0 };
	CURL *c = curl_easy_init();
	CURLcode code;

	NEED(c != NULL);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_CAINFO, ca);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 60L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &r);
	code = curl_easy_perform(c);
	curl_easy_cleanup(c);
	if (code != CURLE_OK)
		dprintf(STDERR_FILENO, "%s: %s\n", url,
		    curl_easy_strerror(code));
	NEED(code == CURLE_OK && r.len == FILE_SIZE);
	return 0;
}

static int
trust_any(git_cert *cert, int valid, const char *host, void *payload)
{
	(void)cert;
	(void)valid;
	(void)host;
	(void)payload;
	return 0;
}

/* No Git server here: that it answers 404 shows that libgit2 got there. */
static int
ask_git(const struct site *site)
{
	AUTO_STR url = mem_printf("https://localhost:%u/git", site->port);
	AUTO_STR path = file_path(site->folder, "clone/repo");
	git_remote_callbacks callbacks;
	git_repository *repo = NULL;
	git_remote *remote = NULL;

	NEED(git_remote_init_callbacks(&callbacks,
		 GIT_REMOTE_CALLBACKS_VERSION) == 0);
	callbacks.certificate_check = trust_any;
	NEED(git_repository_init(&repo, path, 1) == 0);
	NEED(git_remote_create_anonymous(&remote, repo, url) == 0);
	NEED(git_remote_connect(remote, GIT_DIRECTION_FETCH, &callbacks, NULL,
		 NULL) != 0);
	if (strstr(git_error_last()->message, "404") == NULL)
		dprintf(STDERR_FILENO, "git: %s\n", git_error_last()->message);
	NEED(strstr(git_error_last()->message, "404") != NULL);
	git_remote_free(remote);
	git_repository_free(repo);
	return 0;
}

static int
run_fetch(void *arg)
{
	const struct site *site = arg;
	AUTO_STR ca = file_path(site->folder, "ca.pem");
	struct addrinfo *found = NULL;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

	NEED(getaddrinfo("localhost", "443", &hints, &found) == 0);
	freeaddrinfo(found);
	/* Nobody answers, or somebody says no; it must only not hang or die. */
	NEED(getaddrinfo("edict.invalid", "443", &hints, &found) != 0);
	NEED(get_url(site, "/buffer", ca) == 0);
	NEED(get_url(site, "/file", ca) == 0);
	for (int i = 0; i < 4; i++)
		NEED(get_url(site, "/wait", ca) == 0);
	NEED(ask_git(site) == 0);
	return 0;
}

static int
prepare_fetch(void *arg)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
	return no_global_git(arg);
}

static char *
pem_of(EVP_PKEY *key, X509 *certificate)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *data;
	char *text;
	long len;

	assert_non_null(out);
	if (certificate != NULL)
		assert_int_equal(PEM_write_bio_X509(out, certificate), 1);
	else
		assert_int_equal(PEM_write_bio_PrivateKey(out, key, NULL, NULL,
				     0, NULL, NULL),
		    1);
	len = BIO_get_mem_data(out, &data);
	text = mem_strndup(data, (size_t)len);
	BIO_free(out);
	return text;
}

static void
make_certificate(struct site *site)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name;

	assert_non_null(key);
	assert_non_null(x);
	assert_int_equal(X509_set_version(x, 2), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	name = X509_get_subject_name(x);
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
			     (const unsigned char *)"localhost", -1, -1, 0),
	    1);
	assert_int_equal(X509_set_issuer_name(x, name), 1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	site->key = pem_of(key, NULL);
	site->certificate = pem_of(NULL, x);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void
make_site(struct site *site)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof at;
	AUTO_STR file = file_path(folder, "file");
	AUTO_STR ca = file_path(folder, "ca.pem");
	AUTO_STR clone = file_path(folder, "clone");
	AUTO_STR text = mem_zalloc(FILE_SIZE);
	struct err e;

	site->folder = folder;
	make_certificate(site);
	assert_int_equal(file_replace(file, text, FILE_SIZE, 0600, &e), ERR_OK);
	assert_int_equal(file_replace(ca, site->certificate,
			     strlen(site->certificate), 0600, &e),
	    ERR_OK);
	assert_int_equal(file_make_dirs(clone, &e), ERR_OK);
	site->listener =
	    socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(site->listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(site->listener, 64), 0);
	assert_int_equal(getsockname(site->listener, (struct sockaddr *)&at,
			     &len),
	    0);
	site->port = ntohs(at.sin_port);
	assert_int_equal(pipe2(site->stop, O_CLOEXEC), 0);
}

static void
start_http(pid_t *pid, struct site *site)
{
	const struct confine_path paths[] = {
		{ folder, CONFINE_PATH_READ, false },
	};
	int keep[] = { site->listener, site->stop[0] };
	struct child_spec spec = role("http", run_http,
	    CONFINE_READ_FILES | CONFINE_LOCK_FILES | CONFINE_MESSAGES |
		CONFINE_THREADS | CONFINE_ACCEPT,
	    paths, 1);
	struct err e = { 0 };

	spec.arg = site;
	spec.keep = keep;
	spec.keep_count = 2;
	spec.stdout_fd = -1;
	spec.stderr_fd = -1;
	if (child_start(pid, &spec, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static void
run_fetch_confined(struct site *site)
{
	AUTO_STR clone = file_path(folder, "clone");
	AUTO_STR ca = file_path(folder, "ca.pem");
	struct confine_path paths[CONFINE_NETWORK_PATHS + 2];
	struct child_spec spec = role("fetch", run_fetch,
	    CONFINE_READ_FILES | CONFINE_WRITE_FILES | CONFINE_CONNECT |
		CONFINE_THREADS,
	    paths, CONFINE_NETWORK_PATHS + 2);

	memcpy(paths, confine_network_paths, sizeof confine_network_paths);
	paths[CONFINE_NETWORK_PATHS] =
	    (struct confine_path){ ca, CONFINE_PATH_READ, false };
	paths[CONFINE_NETWORK_PATHS + 1] = (struct confine_path){ clone,
		CONFINE_PATH_READ | CONFINE_PATH_WRITE, false };
	spec.prepare = prepare_fetch;
	spec.arg = site;
	run(&spec);
}

static void
test_http_and_fetch(void **state)
{
	struct site site = { 0 };
	int status;
	pid_t pid;

	(void)state;
	make_site(&site);
	start_http(&pid, &site);
	run_fetch_confined(&site);
	assert_int_equal(write(site.stop[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(site.listener);
	close(site.stop[0]);
	close(site.stop[1]);
	mem_free(site.key);
	mem_free(site.certificate);
}

/* gate: the real engine, under the limits that gates are run with. */

struct engine {
	struct confine_program program;
	struct confine_path paths[CONFINE_PROGRAM_PATHS + 1];
	struct child_spec spec;
};

static const char *const engine_env[] = { "GOMEMLIMIT=429496729",
	"GOMAXPROCS=2", NULL };

static void
engine_init(struct engine *g, const char *const *argv)
{
	const char *path = getenv("EDICT_OPA");
	struct err e = { 0 };

	if (path == NULL)
		path = "build/tools/opa";
	AUTO_STR whole = realpath(path, NULL);
	if (whole == NULL)
		fail_msg("no opa at %s; scripts/build makes it", path);
	if (confine_program_paths(&g->program, whole, &e) != ERR_OK)
		fail_msg("%s", e.text);
	memcpy(g->paths, g->program.paths, sizeof g->program.paths);
	g->paths[0].path = mem_strdup(whole);
	g->paths[g->program.count] =
	    (struct confine_path){ folder, CONFINE_PATH_READ, false };
	g->spec = (struct child_spec){
		.name = "opa",
		.path = g->paths[0].path,
		.argv = argv,
		.envp = engine_env,
		.cwd = folder,
		.stdin_fd = -1,
		.rules = {
			.calls = CONFINE_READ_FILES | CONFINE_EXEC |
			    CONFINE_GO,
			.paths = g->paths,
			.path_count = g->program.count + 1,
			.data_max = 512 << 20,
			.cpu_seconds = 121,
			.files_max = 64,
			.threads_extra = 64,
			.no_file_growth = true,
		},
	};
}

static void
run_engine(struct child_result *r, const char *const *argv)
{
	struct engine g;
	struct err e = { 0 };

	engine_init(&g, argv);
	if (child_run(r, &g.spec, TIMEOUT_MS, OUT_MAX, &e) != ERR_OK)
		fail_msg("%s", e.text);
	mem_free((char *)(uintptr_t)g.spec.path);
}

static void
put(const char *name, const char *text)
{
	AUTO_STR path = file_path(folder, name);
	struct err e;

	assert_int_equal(file_replace(path, text, strlen(text), 0600, &e),
	    ERR_OK);
}

static void
put_policies(int tests)
{
	AUTO_BUF b = { 0 };

	buf_init(&b, 1 << 20);
	put("p.rego", "package p\n\nallow if input.user == data.admins[_]\n");
	put("data.json", "{\"admins\": [\"ann\"]}");
	buf_add_str(&b, "package p_test\n\nimport data.p\n\n");
	for (int i = 0; i < tests; i++)
		buf_printf(&b,
		    "test_%d if {\n\tcount([x | some x in numbers.range(1, "
		    "200); x %% 7 == %d]) > 0\n\tp.allow with input as "
		    "{\"user\": \"ann\"}\n}\n\n",
		    i, i % 7);
	put("p_test.rego", b.data);
}

static void
expect_engine(const char *const *argv, const char *text)
{
	struct child_result r;

	run_engine(&r, argv);
	if (r.end != CHILD_EXITED || r.status != 0)
		fail_msg("opa %s: %s %d: %s", argv[1], child_end_name(r.end),
		    r.status, r.err.data);
	if (strstr(r.out.data, text) == NULL)
		fail_msg("opa %s: %s", argv[1], r.out.data);
	child_result_clear(&r);
}

static void
test_gate(void **state)
{
	const char *const version[] = { "opa", "version", NULL };
	const char *const check[] = { "opa", "check", "--strict", ".", NULL };
	const char *const test[] = { "opa", "test", "--parallel", "8", ".",
		NULL };
	const char *const json[] = { "opa", "test", "--format", "json", ".",
		NULL };
	const char *const coverage[] = { "opa", "test", "--coverage", ".",
		NULL };

	(void)state;
	put_policies(60);
	expect_engine(version, "Version: 1.");
	expect_engine(check, "");
	expect_engine(test, "PASS: 60/60");
	expect_engine(json, "\"test_59\"");
	expect_engine(coverage, "\"coverage\"");
}

static void
test_gate_build(void **state)
{
	const char *const build[] = { "opa", "build", "-b", ".", "-o",
		"/dev/stdout", NULL };
	const char *const build_file[] = { "opa", "build", "-b", ".", "-o",
		"bundle.tar.gz", NULL };
	struct child_result r;

	(void)state;
	put_policies(1);
	run_engine(&r, build);
	if (r.status != 0)
		fail_msg("%s", r.err.data);
	assert_true(r.out.len > 100);
	assert_memory_equal(r.out.data, "\x1f\x8b", 2);
	child_result_clear(&r);
	/* And not anywhere else. */
	run_engine(&r, build_file);
	assert_int_not_equal(r.status, 0);
	child_result_clear(&r);
}

/* Rego that wants out: no network, no environment, no end. */
static void
test_gate_hostile(void **state)
{
	const char *const test[] = { "opa", "test", ".", NULL };
	struct child_result r;
	struct engine g;
	struct err e;

	(void)state;
	put("a_test.rego",
	    "package a_test\n\n"
	    "test_http if {\n\tr := http.send({\"method\": \"get\", \"url\": "
	    "\"http://127.0.0.1:1/\", \"raise_error\": false})\n"
	    "\tcontains(r.error.message, \"operation not permitted\")\n}\n");
	expect_engine(test, "PASS: 1/1");

	put("a_test.rego",
	    "package a_test\n\n"
	    "test_env if count(opa.runtime().env) == 2\n");
	expect_engine(test, "PASS: 1/1");

	put("a_test.rego",
	    "package a_test\n\n"
	    "test_long if count([1 | some x in numbers.range(1, 100000); some "
	    "y in numbers.range(1, 100000); x < y]) == 0\n");
	engine_init(&g, test);
	assert_int_equal(child_run(&r, &g.spec, 2000, OUT_MAX, &e), ERR_OK);
	mem_free((char *)(uintptr_t)g.spec.path);
	assert_int_not_equal(r.end, CHILD_EXITED);
	child_result_clear(&r);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_ledger),
		CASE(test_reader),
		CASE(test_keeper),
		CASE(test_pipeline),
		CASE(test_http_and_fetch),
		CASE(test_gate),
		CASE(test_gate_build),
		CASE(test_gate_hostile),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
