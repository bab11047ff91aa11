#include "clusters/store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/buf.h"
#include "core/file.h"
#include "core/mem.h"

enum {
	STORE_APPLICATION = 0x65646374, /* "edct": whose file this is */
	STORE_PATH_MAX = 16384
};

/* One step per version of the schema: number N leads from N to N + 1. */
static const char *const migrations[STORE_VERSION] = {
	"CREATE TABLE repositories ("
	" name TEXT PRIMARY KEY, url TEXT NOT NULL, branch TEXT NOT NULL,"
	" state TEXT NOT NULL, suspended INTEGER NOT NULL DEFAULT 0,"
	" alarm TEXT, head TEXT, followed TEXT, line INTEGER NOT NULL,"
	" last_fetch_ms INTEGER NOT NULL, last_success_ms INTEGER NOT NULL,"
	" last_error TEXT, engine TEXT, sandbox TEXT);"
	/* verdict and verdict_state repeat those of the verdict that counts:
	 * the newest, but could_not_run only while there is no other. */
	"CREATE TABLE commits ("
	" repository TEXT NOT NULL REFERENCES repositories(name),"
	" id TEXT NOT NULL, line INTEGER NOT NULL, depth INTEGER NOT NULL,"
	" parent TEXT, tree TEXT NOT NULL, author TEXT NOT NULL,"
	" author_ms INTEGER NOT NULL, commit_ms INTEGER NOT NULL,"
	" subject TEXT NOT NULL, verdict INTEGER, verdict_state TEXT,"
	" published_ms INTEGER, PRIMARY KEY (repository, id));"
	"CREATE INDEX commits_place ON commits (repository, line, depth);"
	"CREATE INDEX commits_id ON commits (id);"
	"CREATE TABLE verdicts ("
	" id INTEGER PRIMARY KEY, repository TEXT NOT NULL,"
	" commit_id TEXT NOT NULL, identity TEXT, state TEXT NOT NULL,"
	" at_ms INTEGER NOT NULL, summary TEXT NOT NULL, report TEXT NOT NULL,"
	" FOREIGN KEY (repository, commit_id)"
	"  REFERENCES commits (repository, id));"
	"CREATE INDEX verdicts_commit ON verdicts (repository, commit_id, id);"
	"CREATE INDEX verdicts_identity ON verdicts (identity, id);"
	"CREATE TABLE bundles ("
	" name TEXT PRIMARY KEY,"
	" repository TEXT NOT NULL REFERENCES repositories(name),"
	" orphan INTEGER NOT NULL);"
	"CREATE TABLE artifacts ("
	" sha256 TEXT PRIMARY KEY,"
	" bundle TEXT NOT NULL REFERENCES bundles(name),"
	" commit_id TEXT NOT NULL, content TEXT NOT NULL,"
	" content_sha256 TEXT NOT NULL, key_id TEXT NOT NULL,"
	" size INTEGER NOT NULL, at_ms INTEGER NOT NULL);"
	"CREATE INDEX artifacts_content ON artifacts (bundle, content, at_ms);"
	"CREATE TABLE revisions ("
	" bundle TEXT NOT NULL REFERENCES bundles(name),"
	" repository TEXT NOT NULL, commit_id TEXT NOT NULL,"
	" content TEXT NOT NULL, unpacked INTEGER NOT NULL,"
	" roots TEXT NOT NULL, rego_version INTEGER NOT NULL,"
	" artifact TEXT REFERENCES artifacts(sha256),"
	" published_ms INTEGER NOT NULL, PRIMARY KEY (bundle, commit_id),"
	" FOREIGN KEY (repository, commit_id)"
	"  REFERENCES commits (repository, id));"
	"CREATE INDEX revisions_commit ON revisions (repository, commit_id);"
	"CREATE INDEX revisions_content ON revisions (bundle, content);"
	"CREATE TABLE clusters ("
	" name TEXT PRIMARY KEY,"
	" repository TEXT NOT NULL REFERENCES repositories(name),"
	" labels TEXT NOT NULL, orphan INTEGER NOT NULL);"
	"CREATE TABLE cluster_bundles ("
	" cluster TEXT NOT NULL REFERENCES clusters(name),"
	" bundle TEXT NOT NULL, PRIMARY KEY (cluster, bundle));"
	"CREATE INDEX cluster_bundles_bundle ON cluster_bundles (bundle);"
	"CREATE TABLE assignments ("
	" cluster TEXT NOT NULL REFERENCES clusters(name),"
	" bundle TEXT NOT NULL REFERENCES bundles(name),"
	" commit_id TEXT NOT NULL, current_with TEXT NOT NULL,"
	" content TEXT NOT NULL,"
	" artifact TEXT NOT NULL REFERENCES artifacts(sha256),"
	" mode TEXT NOT NULL, serial INTEGER NOT NULL, who TEXT NOT NULL,"
	" at_ms INTEGER NOT NULL, reason TEXT, blocked TEXT,"
	" PRIMARY KEY (cluster, bundle));"
	"CREATE INDEX assignments_bundle ON assignments (bundle);"
	"CREATE INDEX assignments_commit ON assignments (commit_id);"
	"CREATE INDEX assignments_current ON assignments (current_with);"
	"CREATE TABLE quarantine ("
	" cluster TEXT NOT NULL, bundle TEXT NOT NULL, content TEXT NOT NULL,"
	" PRIMARY KEY (cluster, bundle, content),"
	" FOREIGN KEY (cluster, bundle)"
	"  REFERENCES assignments (cluster, bundle));"
	"CREATE TABLE operations ("
	" id INTEGER PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL,"
	" repository TEXT NOT NULL REFERENCES repositories(name),"
	" bundle TEXT, target TEXT, resolved TEXT, clusters TEXT, expect TEXT,"
	" who TEXT NOT NULL, reason TEXT, created_ms INTEGER NOT NULL,"
	" finished_ms INTEGER, progress TEXT, error TEXT, assignments TEXT);"
	"CREATE INDEX operations_open ON operations (repository, state, id);"
	"CREATE TABLE tokens ("
	" digest TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,"
	" cluster TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	" expires_ms INTEGER NOT NULL, revoked_ms INTEGER NOT NULL);"
	"CREATE TABLE audit ("
	" seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL,"
	" peer TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,"
	" detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL);"
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);",
	/* The last event when the operation was asked for. */
	"ALTER TABLE operations ADD COLUMN after_event INTEGER;",
	/* What http remembers of engines; it alone reads the facts. */
	"CREATE TABLE engines ("
	" cluster TEXT NOT NULL, name TEXT NOT NULL,"
	" seen_ms INTEGER NOT NULL, facts TEXT NOT NULL,"
	" PRIMARY KEY (cluster, name));"
	"CREATE INDEX engines_seen ON engines (seen_ms);",
	/* What a token is limited to: lists of names, empty for no limit. They
	 * stand in for the one cluster, which stays for what wrote it. */
	"ALTER TABLE tokens ADD COLUMN clusters TEXT NOT NULL DEFAULT '[]';"
	"ALTER TABLE tokens ADD COLUMN bundles TEXT NOT NULL DEFAULT '[]';"
	"ALTER TABLE tokens ADD COLUMN created_by TEXT NOT NULL"
	" DEFAULT 'edict';"
	"UPDATE tokens SET clusters = '[\"' || cluster || '\"]'"
	" WHERE cluster <> '';",
	/* Retention: when a verdict's report was cut down to its summary (0:
	 * it is whole), when an artifact was last seen in use, and what came
	 * of an operation. */
	"ALTER TABLE verdicts ADD COLUMN cut_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE artifacts ADD COLUMN used_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE operations ADD COLUMN result TEXT;"
	"CREATE INDEX verdicts_whole ON verdicts"
	" (repository, id, at_ms, commit_id) WHERE cut_ms = 0;"
	"CREATE INDEX revisions_artifact ON revisions (artifact);"
	"CREATE INDEX assignments_artifact ON assignments (artifact);"
	/* The discovery bundle that a cluster's engines get. */
	"CREATE TABLE discoveries ("
	" cluster TEXT PRIMARY KEY REFERENCES clusters(name),"
	" revision TEXT NOT NULL, sha256 TEXT NOT NULL,"
	" content_sha256 TEXT NOT NULL, key_id TEXT NOT NULL,"
	" size INTEGER NOT NULL, at_ms INTEGER NOT NULL);"
	/* until: a held one follows again from the first passing commit after
	 * this one. What is forced has no passing verdict. */
	"ALTER TABLE assignments ADD COLUMN until TEXT;"
	"ALTER TABLE assignments ADD COLUMN forced INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE operations ADD COLUMN bundles TEXT;"
	"ALTER TABLE operations ADD COLUMN until_next INTEGER NOT NULL"
	" DEFAULT 0;"
	"ALTER TABLE operations ADD COLUMN forced INTEGER NOT NULL DEFAULT 0;"
	/* Last serials of what an operator removed: should it come back, it
	 * goes on from there. */
	"CREATE TABLE removed ("
	" cluster TEXT NOT NULL, bundle TEXT NOT NULL, serial INTEGER NOT NULL,"
	" PRIMARY KEY (cluster, bundle));"
	/* Which bundles load together, as the real engine said (the newest
	 * answer counts), and those it is to be asked about. What a bundle
	 * gave up, until engines have noticed. What an operation waits for. */
	"CREATE TABLE sets ("
	" digest TEXT NOT NULL, engine TEXT NOT NULL, state TEXT NOT NULL,"
	" reason TEXT, at_ms INTEGER NOT NULL,"
	" PRIMARY KEY (digest, engine));"
	"CREATE TABLE sets_wanted ("
	" digest TEXT PRIMARY KEY, members TEXT NOT NULL,"
	" state TEXT NOT NULL, reason TEXT, at_ms INTEGER NOT NULL);"
	"CREATE TABLE given_roots ("
	" cluster TEXT NOT NULL, bundle TEXT NOT NULL, root TEXT NOT NULL,"
	" serial INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
	" PRIMARY KEY (cluster, bundle, root));"
	"ALTER TABLE operations ADD COLUMN waits TEXT;"
	/* Signed heads of the audit, in the order of their signing. */
	"CREATE TABLE audit_heads ("
	" id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, hash TEXT NOT NULL,"
	" at_ms INTEGER NOT NULL, key_id TEXT NOT NULL, jws TEXT NOT NULL);"
	/* Signing keys, and which a cluster was given. Signatures that are
	 * needed and not there yet. */
	"CREATE TABLE signing_keys ("
	" id TEXT PRIMARY KEY, kind TEXT NOT NULL, algorithm TEXT NOT NULL,"
	" public TEXT, created_at TEXT NOT NULL, present INTEGER NOT NULL,"
	" is_default INTEGER NOT NULL, retired_ms INTEGER NOT NULL DEFAULT 0,"
	" retired_by TEXT, retired_reason TEXT);"
	"CREATE TABLE cluster_keys ("
	" cluster TEXT PRIMARY KEY, key_id TEXT NOT NULL, who TEXT NOT NULL,"
	" at_ms INTEGER NOT NULL, reason TEXT);"
	"CREATE TABLE variants_wanted ("
	" bundle TEXT NOT NULL, content_sha256 TEXT NOT NULL,"
	" key_id TEXT NOT NULL, artifact TEXT NOT NULL, at_ms INTEGER NOT NULL,"
	" error TEXT, PRIMARY KEY (bundle, content_sha256, key_id));"
	/* Events for those outside, how far each target is with them, and what
	 * is wrong and was told. */
	"CREATE TABLE outbox ("
	" seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL,"
	" subject TEXT NOT NULL, detail TEXT NOT NULL);"
	"CREATE TABLE outbox_targets ("
	" name TEXT PRIMARY KEY, position INTEGER NOT NULL,"
	" failing_ms INTEGER NOT NULL, dropped INTEGER NOT NULL, error TEXT);"
	"CREATE TABLE alarms ("
	" kind TEXT NOT NULL, subject TEXT NOT NULL, since_ms INTEGER NOT NULL,"
	" PRIMARY KEY (kind, subject));",
};

static enum err_code
run_text(struct store *s, const char *sql, struct err *e)
{
	int result = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return result == SQLITE_OK ? ERR_OK : sql_error(s, result, e);
}

static enum err_code
pragma_int(struct store *s, const char *sql, int64_t *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e, sql, ""));
	*out = rows_int(&r, 0);
	return ERR_OK;
}

/* "?", "#" and "%" mean something in a file: URI. */
static void
add_uri_path(struct buf *out, const char *path)
{
	buf_add_str(out, "file:");
	for (const char *p = path; *p != '\0'; p++) {
		if (*p == '?' || *p == '#' || *p == '%')
			buf_printf(out, "%%%02x", (unsigned int)*p);
		else
			buf_add_char(out, *p);
	}
}

/* How a file is opened, behind its name. FOR_READING: a reader that may not
 * write must not depend on being able to change the shared index, so no reader
 * ever does. A copy may have come without the index, which is made then, or as
 * the one file that has all, which is read as it stands. */
#define FOR_WRITING ""
#define FOR_READING "?mode=ro&readonly_shm=1"
#define COPY_WITHOUT_INDEX "?mode=ro"
#define COPY_ALONE "?immutable=1"

static enum err_code
connect(struct store **out, const char *data_dir, const char *how,
    struct err *e)
{
	AUTO(store, s) = mem_zalloc(sizeof *s);
	AUTO_BUF uri = { 0 };
	int flags = SQLITE_OPEN_URI | SQLITE_OPEN_EXRESCODE;
	bool write = *how == '\0';
	int result;

	buf_init(&uri, STORE_PATH_MAX);
	s->path = mem_printf("%s/store/edict.db", data_dir);
	add_uri_path(&uri, s->path);
	buf_add_str(&uri, how);
	TRY(buf_check(&uri, "path of the database", e));
	flags |= write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
		       : SQLITE_OPEN_READONLY;
	if (!write && access(s->path, R_OK) != 0)
		return err_errno(e, "%s", s->path);
	result = sqlite3_open_v2(uri.data, &s->db, flags, NULL);
	if (result != SQLITE_OK)
		return sql_error(s, result, e);
	(void)sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	*out = STEAL(s);
	return ERR_OK;
}

void
store_free(struct store *s)
{
	if (s == NULL)
		return;
	sql_forget(s);
	if (s->db != NULL) {
		int result = sqlite3_close(s->db);

		assert(result == SQLITE_OK);
	}
	mem_free(s->path);
	mem_free(s);
}

static enum err_code
check_version(struct store *s, int64_t version, struct err *e)
{
	if (version > STORE_VERSION)
		return err_set(e, ERR_UNSUPPORTED,
		    "%s: made by a newer edict (schema %lld, this one knows "
		    "%d); run that newer edict",
		    s->path, (long long)version, (int)STORE_VERSION);
	return ERR_OK;
}

static enum err_code
check_integrity(struct store *s, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e, "PRAGMA quick_check(1)", ""));
	if (strcmp(rows_text(&r, 0), "ok") == 0)
		return ERR_OK;
	return err_set(e, ERR_CORRUPT,
	    "%s: the database is damaged (%s); stop the server and restore it "
	    "from a backup",
	    s->path, rows_text(&r, 0));
}

/* A file that is not empty and not ours is left alone. */
static enum err_code
check_owner(struct store *s, int64_t version, struct err *e)
{
	int64_t application, tables;

	TRY(pragma_int(s, "PRAGMA application_id", &application, e));
	TRY(pragma_int(s, "SELECT count(*) FROM sqlite_master", &tables, e));
	if (application == STORE_APPLICATION || (tables == 0 && version == 0))
		return ERR_OK;
	return err_set(e, ERR_CORRUPT,
	    "%s: is a database, but not one of edict's; move it away", s->path);
}

static enum err_code
migrate(struct store *s, int64_t version, struct err *e)
{
	for (; version < STORE_VERSION; version++) {
		char set[128];
		enum err_code code;

		(void)snprintf(set, sizeof set,
		    "PRAGMA application_id=%d; PRAGMA user_version=%d",
		    (int)STORE_APPLICATION, (int)version + 1);
		TRY(run_text(s, "BEGIN IMMEDIATE", e));
		code = run_text(s, migrations[version], e);
		if (code == ERR_OK)
			code = run_text(s, set, e);
		if (code == ERR_OK)
			code = run_text(s, "COMMIT", e);
		if (code != ERR_OK) {
			store_rollback(s);
			return code;
		}
	}
	return ERR_OK;
}

enum err_code
store_open(struct store **out, const char *data_dir, struct err *e)
{
	AUTO_STR dir = mem_printf("%s/store", data_dir);
	struct store *opened = NULL;
	int64_t version;
	int persist = 1;
	int seed;

	TRY(file_make_dirs(dir, e));
	/* Reads its seed now: later the process may be confined. */
	sqlite3_randomness(sizeof seed, &seed);
	TRY(connect(&opened, data_dir, FOR_WRITING, e));
	AUTO(store, s) = opened;
	TRY(pragma_int(s, "PRAGMA user_version", &version, e));
	TRY(check_version(s, version, e));
	TRY(check_owner(s, version, e));
	/* Readers without a right to write need the files to be there. */
	(void)sqlite3_file_control(s->db, "main", SQLITE_FCNTL_PERSIST_WAL,
	    &persist);
	TRY(run_text(s,
	    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
	    "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"
	    "PRAGMA journal_size_limit=16777216",
	    e));
	TRY(check_integrity(s, e));
	TRY(migrate(s, version, e));
	*out = STEAL(s);
	return ERR_OK;
}

static enum err_code
open_read(struct store **out, const char *data_dir, const char *how,
    struct err *e)
{
	struct store *opened = NULL;
	int64_t version;

	TRY(connect(&opened, data_dir, how, e));
	AUTO(store, s) = opened;
	TRY(pragma_int(s, "PRAGMA user_version", &version, e));
	TRY(check_version(s, version, e));
	if (version < STORE_VERSION)
		return err_set(e, ERR_NOT_FOUND,
		    "%s: not brought up to date yet; start the server first",
		    s->path);
	TRY(run_text(s, "PRAGMA temp_store=MEMORY", e));
	*out = STEAL(s);
	return ERR_OK;
}

enum err_code
store_open_read(struct store **out, const char *data_dir, struct err *e)
{
	return open_read(out, data_dir, FOR_READING, e);
}

enum err_code
store_open_copy(struct store **out, const char *data_dir, struct err *e)
{
	AUTO_STR wal = mem_printf("%s/store/edict.db-wal", data_dir);
	AUTO_STR shm = mem_printf("%s/store/edict.db-shm", data_dir);

	if (access(wal, F_OK) != 0)
		return open_read(out, data_dir, COPY_ALONE, e);
	return open_read(out, data_dir,
	    access(shm, F_OK) == 0 ? FOR_READING : COPY_WITHOUT_INDEX, e);
}

enum err_code
store_prepare(const char *data_dir, struct err *e)
{
	struct store *opened = NULL;

	TRY(store_open(&opened, data_dir, e));
	AUTO(store, s) = opened;
	return store_make_tokens(s, data_dir, e);
}

enum err_code
store_data_version(struct store *s, int64_t *out, struct err *e)
{
	return pragma_int(s, "PRAGMA data_version", out, e);
}

enum err_code
store_snapshot_begin(struct store *s, struct err *e)
{
	assert(!s->snapshot);
	TRY(run_text(s, "BEGIN", e));
	s->snapshot = true;
	return ERR_OK;
}

bool
store_is_inside(const struct store *s)
{
	return sqlite3_get_autocommit(s->db) == 0;
}

void
store_snapshot_end(struct store *s)
{
	if (s->snapshot)
		store_rollback(s);
	s->snapshot = false;
}

enum err_code
store_begin(struct store *s, struct err *e)
{
	return run_text(s, "BEGIN IMMEDIATE", e);
}

enum err_code
store_commit(struct store *s, struct err *e)
{
	enum err_code code = run_text(s, "COMMIT", e);

	if (code != ERR_OK)
		store_rollback(s);
	return code;
}

void
store_rollback(struct store *s)
{
	if (sqlite3_get_autocommit(s->db) == 0)
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

enum err_code
store_savepoint(struct store *s, struct err *e)
{
	return run_text(s, "SAVEPOINT part", e);
}

enum err_code
store_savepoint_keep(struct store *s, struct err *e)
{
	return run_text(s, "RELEASE SAVEPOINT part", e);
}

enum err_code
store_savepoint_undo(struct store *s, struct err *e)
{
	TRY(run_text(s, "ROLLBACK TO SAVEPOINT part", e));
	return store_savepoint_keep(s, e);
}

int64_t
store_changes(struct store *s)
{
	return sqlite3_total_changes64(s->db);
}

static char *
digest_path(const char *data_dir, const char *folder, const char *sha256)
{
	return mem_printf("%s/%s/%.2s/%s.tar.gz", data_dir, folder, sha256,
	    sha256);
}

char *
store_artifact_path(const char *data_dir, const char *sha256)
{
	return digest_path(data_dir, "artifacts", sha256);
}

char *
store_content_path(const char *data_dir, const char *sha256)
{
	return digest_path(data_dir, "contents", sha256);
}

void
store_ids_clear(struct store_ids *ids)
{
	mem_free(ids->ids);
	*ids = (struct store_ids){ 0 };
}
