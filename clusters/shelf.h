#ifndef CLUSTERS_SHELF_H
#define CLUSTERS_SHELF_H

/* The bytes of the artifacts that one process serves: each once, however many
 * clusters, catalogs and threads share it. Up to a budget they are in memory;
 * when there is no room for another, what was least recently used goes, and is
 * served from a read-only map of its file from then on. What is used again comes
 * back when it is worth it: something has to have lain unused for a while.
 *
 * Every artifact is checked against its SHA-256 before it is an item, and its
 * file is mapped then. So one that is removed later is no trouble, in memory or
 * not. What would be: a file that becomes shorter or is written over. Nobody
 * does: a file in artifacts/ is made under another name, synced, renamed, and
 * only ever unlinked; http may only read it. If a disk fails under a map, the
 * kernel's send fails and that connection ends; where TLS has to read the bytes
 * itself, the process gets SIGBUS, is started anew, and does not find a good
 * file: the entry is missing, all others are served. Bytes that changed under
 * the map do not verify in an engine.
 *
 * Loading, and bringing back, read the disk: one thread does both. Everything
 * else is for any thread; the lock is held for looking up and counting, never
 * while something is read, copied or released. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum {
	/* What was used so lately does not make room for anything. */
	SHELF_CALM_MS = 10000,
	/* What one tick brings back: it holds up the thread. */
	SHELF_TICK_BYTES = 32 << 20
};
#define SHELF_ARTIFACT_MAX (INT64_C(1) << 30)

struct shelf;
struct shelf_item;

/* Some memory, or a map: it stays as it is until it was given back. */
struct shelf_bytes;

struct shelf *shelf_new(const char *data_dir, int64_t memory_max);
/* Everything was given back before. NULL is fine. */
void shelf_free(struct shelf *s);

/* The artifact, from its file if it is not here yet; *out is one reference.
 * CORRUPT when the file is not what it is called, NOT_FOUND, LIMIT, IO. */
enum err_code shelf_take(struct shelf_item **out, struct shelf *s,
    const char *sha256, int64_t size, struct err *e) MUST_CHECK;
/* Called by who loads, for every piece that was read: loading takes long where
 * there is much. NULL: nobody wants to know. */
void shelf_on_piece(struct shelf *s, void (*read)(void *arg), void *arg);
struct shelf_item *shelf_item_ref(struct shelf_item *item);
void shelf_item_unref(struct shelf_item *item);

const char *shelf_sha256(const struct shelf_item *item);
const char *shelf_etag(const struct shelf_item *item); /* with its quotes */
size_t shelf_size(const struct shelf_item *item);

/* It is being sent. Costs two loads, and a store once per tick. */
void shelf_use(struct shelf_item *item);

/* Its bytes as they are now: a reference of the caller's. */
struct shelf_bytes *shelf_borrow(struct shelf_item *item);
struct shelf_bytes *shelf_bytes_ref(struct shelf_bytes *b);
void shelf_return(struct shelf_bytes *b); /* NULL is fine */
const void *shelf_data(const struct shelf_bytes *b);
bool shelf_is_mapped(const struct shelf_bytes *b);
/* Would shelf_borrow give the same? */
bool shelf_is_current(struct shelf_item *item, const struct shelf_bytes *b);
/* Changes whenever that changes for any item: whoever keeps borrowed bytes looks
 * then what to give back, or memory is not released. */
uint64_t shelf_generation(const struct shelf *s);

/* Once a second or so: the time (monotonic) by which use is told apart, and
 * what was used comes back into memory. */
void shelf_tick(struct shelf *s, int64_t now_ms);

struct shelf_figures {
	uint64_t memory; /* bytes, with those that were evicted and are still
	                  * being sent */
	uint64_t mapped; /* bytes of items that are not in memory */
	uint64_t evicted, promoted; /* items, since the beginning */
};
void shelf_figures(struct shelf *s, struct shelf_figures *out);

#endif
