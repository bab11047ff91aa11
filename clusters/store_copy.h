#ifndef CLUSTERS_STORE_COPY_H
#define CLUSTERS_STORE_COPY_H

/* The database as a whole: copied while others write it, and brought back to
 * life from such a copy. For commands that work on a folder, not for the
 * server. One thread.
 *
 * A folder that comes from a backup is behind what engines and operators have
 * seen. So that no serial is ever given twice, all of them begin a new epoch:
 * the next multiple of STORE_EPOCH. */

#include "clusters/chain.h"
#include "clusters/store.h"

enum { STORE_EPOCH = 1000000 };

/* Writes the database of data_dir, as of one moment, into the file `to`, which
 * must not exist. */
enum err_code store_copy(const char *data_dir, const char *to, struct err *e)
    MUST_CHECK;

/* The files that rows name, sorted and without doubles. */
struct store_file {
	char sha256[STORE_DIGEST_SIZE];
	bool is_content; /* below contents, else below artifacts */
};
struct store_files {
	struct store_file *items;
	size_t count;
};
enum err_code store_files(struct store *s, struct store_files *out,
    struct err *e) MUST_CHECK;
/* Of a statement that gives a SHA-256 and 1 for a content. */
struct rows;
enum err_code store_take_files(struct rows *r, struct store_files *out,
    struct err *e) MUST_CHECK;
void store_files_clear(struct store_files *f);
bool store_files_has(const struct store_files *f, const char *sha256,
    bool is_content);

/* What is told of a copy. */
struct store_facts {
	struct chain_head head; /* of the audit */
	int64_t schema, serial; /* the highest */
	int64_t assignments, artifacts;
};
enum err_code store_facts(struct store *s, struct store_facts *out,
    struct err *e) MUST_CHECK;

/* For a folder whose database came from a backup, before anybody serves it:
 * brings it up to date, verifies the audit, begins an epoch, ends operations
 * that were under way, and says so in the audit. CORRUPT when something does not
 * fit; then the folder is not to be used. */
struct store_restore {
	const char *who;
	const char *backup_at;       /* when the backup was made */
	const char *manifest_sha256; /* which it is */
};
enum err_code store_restore(const char *data_dir, const struct store_restore *r,
    int64_t *epoch, struct err *e) MUST_CHECK;

/* The lowest serial that a new assignment may not have; 0 before any restore. */
enum err_code store_serial_floor(struct store *s, int64_t *out, struct err *e)
    MUST_CHECK;

#endif
