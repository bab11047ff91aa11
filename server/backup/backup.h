#ifndef SERVER_BACKUP_H
#define SERVER_BACKUP_H

/* A copy of a data folder in one file, and a data folder from such a file. For
 * commands on the server's own machine; a server may be serving the folder that
 * is copied. One thread.
 *
 * In it: the database as of one moment, the artifacts and contents that it
 * names, public keys, and private ones only where that is asked for. Not in it:
 * mirrors, which are fetched anew, what is kept to be faster, the tokens' files
 * (the database has what checks them), server.yaml. Its format:
 * server/backup/backup_format.h. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

/* Told now and then, for people who wait; tell may be NULL. */
struct backup_watch {
	void (*tell)(void *arg, int64_t done, int64_t all);
	void *arg;
};

/* Writes `to`, or a file named by the time in it if it is a folder; there is all
 * of it or nothing. *out, the caller's, becomes {"file","created_at","bytes",
 * "files","private_keys","audit_head","missing":[paths]}; missing are files that
 * the database names and that are gone or damaged. CONFLICT: there is a file of
 * that name, and it is not to be replaced. */
enum err_code backup_write(json_t **out, const char *data_dir, const char *to,
    bool with_keys, bool replace, const struct backup_watch *watch,
    struct err *e) MUST_CHECK;

/* Makes data_dir, which must not exist or be empty: all of it or nothing. Every
 * byte of the file is checked, the audit's chain too; serials begin a new epoch
 * (clusters/store_copy.h). Private keys only with_keys; without them engines have
 * to learn new ones, unless they are put into data_dir/keys before a start. *out
 * becomes {"data_dir","backup_at","bytes","files","private_keys","epoch",
 * "missing"}. CONFLICT: the folder holds something. CORRUPT, INVALID, LIMIT: the
 * file is not a whole backup; the text names what is wrong with it. */
enum err_code backup_restore(json_t **out, const char *file,
    const char *data_dir, bool with_keys, const struct backup_watch *watch,
    struct err *e) MUST_CHECK;

#endif
