#ifndef CLUSTERS_STORE_H
#define CLUSTERS_STORE_H

/* The database: data_dir/store/edict.db, SQLite in WAL mode. One process, the
 * ledger, opens it for writing; all others open it read-only, and can do so
 * without any right to write in the folder. Every SQL statement of the project
 * lives in clusters/store*.c, in a dialect that PostgreSQL shares.
 *
 * What is written goes through clusters/store_write.h; this header is what
 * readers need. One thread at a time per struct store; open one per thread.
 * A process opens it either for writing or for reading, never both: SQLite
 * shares what it knows of a file within a process.
 *
 * Errors: NOT_FOUND when there is no such row, CORRUPT when the file is not
 * what was written, UNSUPPORTED when a newer edict made it, IO for the rest. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

enum {
	STORE_VERSION = 5,  /* of the schema */
	STORE_ID_SIZE = 41, /* a commit id and NUL */
	STORE_DIGEST_SIZE = 65,
	STORE_NAME_SIZE = 64,
	STORE_KEY_SIZE = 65, /* a signing key's id and NUL */
	STORE_STATE_SIZE = 16,
	STORE_BUSY_MS = 10000
};

struct store;

/* For the supervisor, before it starts anybody: makes or migrates the database
 * and the two tokens (store_make_tokens), checks it, and closes it again. So
 * readers may open it at once. Only here: what becomes of a token's file while
 * the server runs changes nothing. */
enum err_code store_prepare(const char *data_dir, struct err *e) MUST_CHECK;

/* For the ledger: makes the folder and the database where missing, checks its
 * integrity, migrates an older schema. */
enum err_code store_open(struct store **out, const char *data_dir,
    struct err *e) MUST_CHECK;

/* For everybody else. NOT_FOUND until store_prepare or store_open made it. */
enum err_code store_open_read(struct store **out, const char *data_dir,
    struct err *e) MUST_CHECK;

/* For a folder that nobody serves: the same, but edict.db may have come without
 * the files beside it. */
enum err_code store_open_copy(struct store **out, const char *data_dir,
    struct err *e) MUST_CHECK;

void store_free(struct store *s);
AUTO_FREE(store)

/* A number that differs from the last answer when another process has
 * committed something since. Cheap: no disk. */
enum err_code store_data_version(struct store *s, int64_t *out, struct err *e)
    MUST_CHECK;

/* Several reads as of one moment: begin, read, end. Do not stay inside for
 * long; end is also what releases after a failure. */
enum err_code store_snapshot_begin(struct store *s, struct err *e) MUST_CHECK;
void store_snapshot_end(struct store *s);
/* Is a transaction or a snapshot open? Then it is as of one moment already. */
bool store_is_inside(const struct store *s);

/* Where the files are: data_dir/artifacts/aa/SHA256.tar.gz (signed) and
 * data_dir/contents/aa/SHA256.tar.gz (unsigned); mem_ memory. */
char *store_artifact_path(const char *data_dir, const char *sha256);
char *store_content_path(const char *data_dir, const char *sha256);

/* A list of ids, newest first where that means something. */
struct store_ids {
	char (*ids)[STORE_ID_SIZE]; /* mem_ memory */
	size_t count;
};
void store_ids_clear(struct store_ids *ids);

/* What the ledger was told of a repository. followed and head are "" when
 * there was none yet. Clear with store_repository_clear. */
struct store_repository {
	char name[STORE_NAME_SIZE];
	char *url;
	char *branch;
	char *state;    /* as the pipeline said; suspended not among them */
	bool suspended; /* an operator's; look at it before each fetch */
	json_t *alarm;  /* {"kind","message","tip","since_ms"} or NULL */
	char head[STORE_ID_SIZE];
	char followed[STORE_ID_SIZE];
	int64_t line;
	int64_t last_fetch_ms; /* 0: never */
	int64_t last_success_ms;
	char *last_error; /* NULL: none */
};
enum err_code store_repository_state(struct store *s, const char *name,
    struct store_repository *out, struct err *e) MUST_CHECK;
void store_repository_clear(struct store_repository *r);

/* The verdict that counts for a commit: the newest, but could_not_run only while
 * there is no other. NOT_FOUND: never judged. */
struct store_verdict {
	int64_t id;
	char state[STORE_STATE_SIZE];     /* "passed" */
	char identity[STORE_DIGEST_SIZE]; /* or "" */
};
enum err_code store_newest_verdict(struct store *s, const char *repository,
    const char *commit, struct store_verdict *out, struct err *e) MUST_CHECK;

/* The newest answer to the same question, whoever asked it, as it came in
 * LEDGER_VERDICT, for reuse. could_not_run is no answer. NOT_FOUND: none. The
 * caller owns *out. */
enum err_code store_verdict_by_identity(struct store *s, const char *identity,
    json_t **out, struct err *e) MUST_CHECK;

/* The newest artifact of a bundle with this content. NOT_FOUND: none. */
struct store_artifact {
	char sha256[STORE_DIGEST_SIZE];
	char bundle[STORE_NAME_SIZE];
	char revision[STORE_ID_SIZE]; /* as its manifest says */
	char content[STORE_DIGEST_SIZE];
	char content_sha256[STORE_DIGEST_SIZE];
	char key[STORE_KEY_SIZE];
	int64_t size;
};
enum err_code store_has_content(struct store *s, const char *bundle,
    const char *content, struct store_artifact *out, struct err *e) MUST_CHECK;

/* What engines get for this revision of the bundle: its own artifact, or the
 * one with equal content. NOT_FOUND: no such revision, or nothing stored. */
enum err_code store_artifact_of(struct store *s, const char *bundle,
    const char *commit, struct store_artifact *out, struct err *e) MUST_CHECK;

/* The bytes that an artifact's files have, unpacked. */
enum err_code store_unpacked_size(struct store *s,
    const struct store_artifact *a, int64_t *out, struct err *e) MUST_CHECK;

/* An operation. It outlives restarts: one that is found running after a start
 * is begun again. */
struct store_operation {
	int64_t id;
	char kind[STORE_STATE_SIZE]; /* rollback, retest, fetch, accept */
	char state[STORE_STATE_SIZE];
	char bundle[STORE_NAME_SIZE]; /* rollback of one, else "" */
	bool forced; /* an admin's rollback to what need not have passed */
	char *to; /* as it was asked for, without REPO@; NULL: fetch, accept */
	char resolved[STORE_ID_SIZE]; /* the commit if known, else ""; accept:
	                                * the alarm's tip when it was asked for */
};

/* The oldest that is pending or running; NOT_FOUND: none. Clear *out by
 * store_operation_clear. */
enum err_code store_next_operation(struct store *s, const char *repository,
    struct store_operation *out, struct err *e) MUST_CHECK;
void store_operation_clear(struct store_operation *o);

/* Commits of this line deeper than after_depth (-1: all) that have no answer
 * yet: those never judged, newest first, then those that could not run. */
enum err_code store_commits_without_verdict(struct store *s,
    const char *repository, int64_t line, int64_t after_depth, size_t limit,
    struct store_ids *out, struct err *e) MUST_CHECK;

/* Commits of this line that passed but were not published: what a crash left
 * between the two, newest first. */
enum err_code store_commits_unpublished(struct store *s, const char *repository,
    int64_t line, size_t limit, struct store_ids *out, struct err *e)
    MUST_CHECK;

/* Is this commit known, and where? depth from the root; line -1: it is on no
 * followed line. NOT_FOUND. */
enum err_code store_commit_place(struct store *s, const char *repository,
    const char *commit, int64_t *line, int64_t *depth, struct err *e)
    MUST_CHECK;

/* Every commit that an assignment names, for keeping refs. */
enum err_code store_assigned_commits(struct store *s, const char *repository,
    struct store_ids *out, struct err *e) MUST_CHECK;

#endif
