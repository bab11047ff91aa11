#ifndef SERVER_BACKUP_FORMAT_H
#define SERVER_BACKUP_FORMAT_H

/* What a backup looks like: a tar that any tar can list, of plain files below
 * edict-backup/. First manifest.json, which gives the path, size and SHA-256 of
 * each file; then those files, sorted by path; last `end`, the SHA-256 of every
 * byte before it. Nothing in it is free to choose: the header of a file follows
 * from its path and size, so a reader makes the header it expects and compares.
 * No tar of foreign make is ever parsed, and neither a link nor a path that
 * leads elsewhere can be in one. Pure. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/err.h"
#include "signing/digest.h"

enum {
	BACKUP_FORMAT = 1,
	BACKUP_BLOCK = 512,
	BACKUP_TAIL = 2 * BACKUP_BLOCK,    /* zeros after `end` */
	BACKUP_END_SIZE = DIGEST_HEX_SIZE, /* hex and a newline */
	BACKUP_FILES_MAX = 300000,
	BACKUP_MANIFEST_MAX = 64 << 20,
	BACKUP_KEY_MAX = 64 * 1024,
	BACKUP_ARTIFACT_MAX = 1 << 30
};
/* What the size field of a header holds. */
#define BACKUP_DATABASE_MAX ((INT64_C(1) << 33) - 1)

#define BACKUP_MANIFEST "manifest.json"
#define BACKUP_DATABASE "store/edict.db"
#define BACKUP_END "end"

struct backup_entry {
	char *path; /* below data_dir */
	int64_t size;
	char sha256[DIGEST_HEX_SIZE];
};

struct backup_manifest {
	char created_at[CLOCK_TEXT_SIZE];
	bool private_keys;
	char *audit_head;
	struct backup_entry *entries; /* sorted by path */
	size_t count;
	json_t *missing; /* paths */
};
void backup_manifest_clear(struct backup_manifest *m);

/* Adds one; the caller sorts. LIMIT. */
enum err_code backup_manifest_add(struct backup_manifest *m, const char *path,
    int64_t size, const char *sha256, struct err *e) MUST_CHECK;
void backup_manifest_sort(struct backup_manifest *m);

/* The text and back. What is read holds only paths that a backup may have, each
 * once, in order, within their limits; the database is among them. */
enum err_code backup_manifest_write(struct buf *out,
    const struct backup_manifest *m, struct err *e) MUST_CHECK;
enum err_code backup_manifest_read(struct backup_manifest *out,
    const char *text, size_t len, struct err *e) MUST_CHECK;

bool backup_is_private(const char *path); /* keys/ID.key */
/* keys/current, keys/ID.key, .pub or .json */
bool backup_is_key(const char *path);

void backup_header(char out[BACKUP_BLOCK], const char *path, int64_t size);
/* The size that the header of a manifest states; -1: it is none. */
int64_t backup_manifest_size(const char header[BACKUP_BLOCK]);

/* With the zeros up to the next block. */
int64_t backup_padded(int64_t size);
/* Of the whole file. */
int64_t backup_total(const struct backup_manifest *m, size_t manifest_len);

#endif
