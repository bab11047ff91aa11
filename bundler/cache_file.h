#ifndef BUNDLER_CACHE_FILE_H
#define BUNDLER_CACHE_FILE_H

/* What a repository's cache holds, kept in a file, so that a server that was
 * started again need not ask Git for every blob and compress every part anew.
 *
 * What is believed of it: the text of a blob, when Git's id for these bytes is
 * the one it is filed under; all else about a blob is worked out from the text,
 * as if Git had given it. Compressed parts and sizes of files, when the SHA-256
 * over the record is right: that finds accidents, not forgeries. Who can write
 * to data_dir can do worse; and no artifact is served before every file in it was
 * checked against what was signed, by the engine or, with a shared secret, by the
 * server. A file that is damaged, cut
 * short, or none of ours is read up to where it goes wrong, which is logged, and
 * written anew.
 *
 * Grows by what is new after each save, and is written anew, without what no
 * longer counts, when it has doubled. Nothing here fails: without the file there
 * is just no head start. A disk that is full is told once, and the file given
 * up. One thread at a time. */

#include "bundler/bundle.h"

/* Format: CACHE_FILE_HEAD, then records of a kind (one byte), the length of
 * what follows the check (four bytes, lowest first), the check (64 hex digits),
 * and
 * - p, j, y: the text of a policy, of JSON, of YAML; the check is the blob's id
 *   and zeros;
 * - m: a key of 64 hex digits and a compressed part;
 * - s: ids in 40 hex digits, each with a size in four bytes; for both the check
 *   is the SHA-256 of kind, length and this. */
#define CACHE_FILE_HEAD "edict cache 1\n"
enum {
	CACHE_FILE_MAX = 256 << 20,    /* bytes, all in all */
	CACHE_FILE_SLACK = 4 << 20,    /* that it may always grow by */
	CACHE_FILE_PART_MAX = 64 << 20 /* of one record */
};

struct cache_file;

/* Nothing is opened yet. */
struct cache_file *cache_file_new(const char *path);
void cache_file_free(struct cache_file *f);
AUTO_FREE(cache_file)

/* Puts what is there into c, and tells the size of every file that it knows
 * (tell may be NULL). */
void cache_file_load(struct cache_file *f, struct bundle_cache *c,
    void (*tell)(void *arg, const char *id, int64_t size), void *arg);

/* The same from a descriptor, which is closed. *good says how far it is. */
enum err_code cache_file_read(struct bundle_cache *c, int fd, int64_t *good,
    void (*tell)(void *arg, const char *id, int64_t size), void *arg,
    struct err *e) MUST_CHECK;

/* Adds what c has learned since, from this tree and those before. Writes what
 * is new, seldom everything; for a moment when nobody waits. */
void cache_file_save(struct cache_file *f, struct bundle_cache *c,
    const struct tree *t);

#endif
