#include "clusters/shelf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "clusters/store.h"
#include "core/log.h"
#include "core/mem.h"
#include "signing/digest.h"

enum {
	SHELF_PIECE = 256 * 1024, /* of a file, when it is only hashed */
	SHELF_TRIED_MAX = 16,     /* items, in one tick */
	SHELF_ETAG_SIZE = 80
};

struct shelf_bytes {
	_Atomic size_t refs;
	struct shelf *shelf;
	void *data;
	size_t size;
	bool mapped;
};

struct shelf_item {
	struct shelf *shelf;
	char sha256[DIGEST_HEX_SIZE];
	char etag[SHELF_ETAG_SIZE];
	size_t size;
	struct shelf_bytes *map; /* NULL: it could not be; stays in memory */
	_Atomic int64_t used_ms;
	UT_hash_handle hh;

	/* Under the shelf's lock. */
	size_t refs;
	struct shelf_bytes *memory; /* or NULL */
	bool lost;                  /* its file, for bringing it back */
	uint64_t tried;             /* the tick when it was last */
};

struct shelf {
	char *data_dir;
	size_t memory_max;
	_Atomic int64_t now_ms;
	_Atomic uint64_t generation;
	_Atomic size_t live;         /* bytes of memory that are not released */
	void (*on_piece)(void *arg); /* or NULL; of who loads */
	void *on_piece_arg;

	pthread_mutex_t lock;     /* guards all below, and parts of the items */
	struct shelf_item *items; /* uthash by sha256 */
	size_t resident;          /* bytes of memory that items have */
	size_t total;             /* bytes of items */
	uint64_t ticks, evicted, promoted;
};

struct shelf *
shelf_new(const char *data_dir, int64_t memory_max)
{
	struct shelf *s = mem_zalloc(sizeof *s);
	int result = pthread_mutex_init(&s->lock, NULL);

	assert(result == 0 && memory_max >= 0);
	s->data_dir = mem_strdup(data_dir);
	s->memory_max = (size_t)memory_max;
	return s;
}

void
shelf_free(struct shelf *s)
{
	if (s == NULL)
		return;
	assert(s->items == NULL && atomic_load(&s->live) == 0);
	pthread_mutex_destroy(&s->lock);
	mem_free(s->data_dir);
	mem_free(s);
}

void
shelf_on_piece(struct shelf *s, void (*read)(void *arg), void *arg)
{
	s->on_piece = read;
	s->on_piece_arg = arg;
}

/* ---- bytes ---- */

static struct shelf_bytes *
bytes_new(struct shelf *s, void *data, size_t size, bool mapped)
{
	struct shelf_bytes *b = mem_zalloc(sizeof *b);

	atomic_init(&b->refs, 1);
	b->shelf = s;
	b->data = data;
	b->size = size;
	b->mapped = mapped;
	if (!mapped)
		atomic_fetch_add(&s->live, size);
	return b;
}

struct shelf_bytes *
shelf_bytes_ref(struct shelf_bytes *b)
{
	atomic_fetch_add(&b->refs, 1);
	return b;
}

void
shelf_return(struct shelf_bytes *b)
{
	if (b == NULL || atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	if (b->mapped) {
		(void)munmap(b->data, b->size);
	} else {
		mem_free(b->data);
		atomic_fetch_sub(&b->shelf->live, b->size);
	}
	mem_free(b);
}

const void *
shelf_data(const struct shelf_bytes *b)
{
	return b->data;
}

bool
shelf_is_mapped(const struct shelf_bytes *b)
{
	return b->mapped;
}

/* Under the lock. */
static struct shelf_bytes *
best_of(const struct shelf_item *item)
{
	return item->memory != NULL ? item->memory : item->map;
}

struct shelf_bytes *
shelf_borrow(struct shelf_item *item)
{
	struct shelf_bytes *b;

	pthread_mutex_lock(&item->shelf->lock);
	b = best_of(item);
	atomic_fetch_add(&b->refs, 1);
	pthread_mutex_unlock(&item->shelf->lock);
	return b;
}

bool
shelf_is_current(struct shelf_item *item, const struct shelf_bytes *b)
{
	bool same;

	pthread_mutex_lock(&item->shelf->lock);
	same = best_of(item) == b;
	pthread_mutex_unlock(&item->shelf->lock);
	return same;
}

uint64_t
shelf_generation(const struct shelf *s)
{
	return atomic_load_explicit(&s->generation, memory_order_acquire);
}

static void
note_change(struct shelf *s)
{
	(void)atomic_fetch_add_explicit(&s->generation, 1,
	    memory_order_release);
}

/* ---- room ---- */

/* Under the lock: may it leave memory for something that was used then? */
static bool
may_leave(const struct shelf_item *item, int64_t used_ms)
{
	int64_t used =
	    atomic_load_explicit(&item->used_ms, memory_order_relaxed);

	return item->memory != NULL && item->map != NULL && used < used_ms &&
	    used <= atomic_load(&item->shelf->now_ms) - SHELF_CALM_MS;
}

static struct shelf_item *
oldest_that_may_leave(struct shelf *s, int64_t used_ms)
{
	struct shelf_item *oldest = NULL;

	for (struct shelf_item *i = s->items; i != NULL; i = i->hh.next)
		if (may_leave(i, used_ms) &&
		    (oldest == NULL || i->used_ms < oldest->used_ms))
			oldest = i;
	return oldest;
}

/* Would there be room if all went that may? */
static bool
can_make_room(const struct shelf *s, size_t size, int64_t used_ms)
{
	size_t stays = s->resident;

	if (size > s->memory_max)
		return false;
	for (struct shelf_item *i = s->items; i != NULL; i = i->hh.next)
		if (may_leave(i, used_ms))
			stays -= i->size;
	return stays <= s->memory_max - size;
}

/* What goes is released after the lock. */
static struct shelf_bytes *
evict(struct shelf_item *item)
{
	struct shelf *s = item->shelf;

	s->resident -= item->size;
	s->evicted++;
	note_change(s);
	return STEAL(item->memory);
}

/* Under the lock, which it leaves for a moment after each that goes. False: no
 * room, or somebody still sends what has left. */
static bool
make_room(struct shelf *s, size_t size, int64_t used_ms)
{
	if (!can_make_room(s, size, used_ms))
		return false;
	while (s->resident + size > s->memory_max) {
		struct shelf_item *item = oldest_that_may_leave(s, used_ms);
		struct shelf_bytes *gone;

		if (item == NULL) /* it was used just now */
			return false;
		gone = evict(item);
		pthread_mutex_unlock(&s->lock);
		shelf_return(gone);
		pthread_mutex_lock(&s->lock);
	}
	return atomic_load(&s->live) + size <= s->memory_max;
}

/* ---- reading ---- */

static enum err_code
read_piece(int fd, char *data, size_t len, const char *path, struct err *e)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, "%s", path);
		if (n == 0)
			return err_set(e, ERR_CORRUPT,
			    "%s: it became shorter while it was read", path);
		done += (size_t)n;
	}
	return ERR_OK;
}

/* All of it into data, or (NULL) only through the digest. */
static enum err_code
read_through(const struct shelf *s, int fd, char *data, size_t size,
    const char *path, char digest[DIGEST_HEX_SIZE], struct err *e)
{
	size_t piece = size < SHELF_PIECE ? size : SHELF_PIECE;
	AUTO_STR spare = data == NULL ? mem_alloc(piece) : NULL;
	struct digest *d = digest_new();
	enum err_code code = ERR_OK;

	for (size_t at = 0; code == ERR_OK && at < size; at += piece) {
		char *to = data != NULL ? data + at : spare;
		size_t len = size - at < piece ? size - at : piece;

		code = read_piece(fd, to, len, path, e);
		if (code == ERR_OK)
			digest_add(d, to, len);
		if (s->on_piece != NULL)
			s->on_piece(s->on_piece_arg);
	}
	digest_end(d, digest);
	return code;
}

static enum err_code
open_file(int *out, const char *path, size_t size, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return err_errno(e, "%s", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != size) {
		close(fd);
		return err_set(e, ERR_CORRUPT,
		    "%s: it is not a file of %zu bytes; it is not served", path,
		    size);
	}
	*out = fd;
	return ERR_OK;
}

/* *memory is only read into when it is not NULL; *map may stay NULL then. */
static enum err_code
read_checked(int fd, const char *path, const struct shelf_item *item,
    char *memory, void **map, struct err *e)
{
	char digest[DIGEST_HEX_SIZE];
	void *at;

	TRY(read_through(item->shelf, fd, memory, item->size, path, digest, e));
	if (strcmp(digest, item->sha256) != 0)
		return err_set(e, ERR_CORRUPT,
		    "%s: its SHA-256 is %s; it is not served", path, digest);
	if (map == NULL)
		return ERR_OK;
	at = mmap(NULL, item->size, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED && memory == NULL)
		return err_errno(e, "%s: mapping it", path);
	*map = at != MAP_FAILED ? at : NULL;
	return ERR_OK;
}

/* Fills what the item has bytes of: a map if there is none, memory if it may. */
static enum err_code
read_item(struct shelf_item *item, bool into_memory, struct shelf_bytes **out,
    struct err *e)
{
	struct shelf *s = item->shelf;
	AUTO_STR path = store_artifact_path(s->data_dir, item->sha256);
	AUTO_STR memory = NULL;
	void *map = NULL;
	enum err_code code;
	int fd;

	TRY(open_file(&fd, path, item->size, e));
	memory = into_memory ? mem_alloc(item->size) : NULL;
	code = read_checked(fd, path, item, memory,
	    item->map == NULL ? &map : NULL, e);
	close(fd);
	if (code != ERR_OK)
		return code;
	if (map != NULL)
		item->map = bytes_new(s, map, item->size, true);
	*out = into_memory ? bytes_new(s, STEAL(memory), item->size, false)
			   : NULL;
	return ERR_OK;
}

/* ---- items ---- */

/* Under the lock. */
static struct shelf_item *
find(struct shelf *s, const char *sha256)
{
	struct shelf_item *item;

	HASH_FIND(hh, s->items, sha256, DIGEST_HEX_SIZE - 1, item);
	if (item != NULL)
		item->refs++;
	return item;
}

static struct shelf_item *
item_new(struct shelf *s, const char *sha256, size_t size)
{
	struct shelf_item *item = mem_zalloc(sizeof *item);

	item->shelf = s;
	item->refs = 1;
	item->size = size;
	atomic_init(&item->used_ms, atomic_load(&s->now_ms));
	(void)snprintf(item->sha256, sizeof item->sha256, "%s", sha256);
	(void)snprintf(item->etag, sizeof item->etag, "\"sha256:%s\"", sha256);
	return item;
}

static void
add(struct shelf *s, struct shelf_item *item, struct shelf_bytes *memory)
{
	item->memory = memory;
	if (memory != NULL)
		s->resident += item->size;
	s->total += item->size;
	HASH_ADD_KEYPTR(hh, s->items, item->sha256, DIGEST_HEX_SIZE - 1, item);
}

enum err_code
shelf_take(struct shelf_item **out, struct shelf *s, const char *sha256,
    int64_t size, struct err *e)
{
	struct shelf_bytes *memory = NULL;
	struct shelf_item *item;
	enum err_code code;
	bool room;

	if (!digest_is_hex(sha256) || size <= 0 || size > SHELF_ARTIFACT_MAX)
		return err_set(e, ERR_CORRUPT,
		    "artifact %.64s of %" PRId64 " bytes: there is no such",
		    sha256, size);
	pthread_mutex_lock(&s->lock);
	item = find(s, sha256);
	room = item == NULL && make_room(s, (size_t)size, INT64_MAX);
	pthread_mutex_unlock(&s->lock);
	if (item != NULL) {
		*out = item;
		return ERR_OK;
	}
	item = item_new(s, sha256, (size_t)size);
	code = read_item(item, room, &memory, e);
	if (code != ERR_OK) {
		mem_free(item);
		return code;
	}
	pthread_mutex_lock(&s->lock);
	add(s, item, memory);
	pthread_mutex_unlock(&s->lock);
	*out = item;
	return ERR_OK;
}

struct shelf_item *
shelf_item_ref(struct shelf_item *item)
{
	pthread_mutex_lock(&item->shelf->lock);
	item->refs++;
	pthread_mutex_unlock(&item->shelf->lock);
	return item;
}

void
shelf_item_unref(struct shelf_item *item)
{
	struct shelf *s = item->shelf;
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --item->refs == 0;
	if (last) {
		HASH_DEL(s->items, item);
		s->total -= item->size;
		if (item->memory != NULL)
			s->resident -= item->size;
	}
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	shelf_return(item->memory);
	shelf_return(item->map);
	mem_free(item);
}

const char *
shelf_sha256(const struct shelf_item *item)
{
	return item->sha256;
}

const char *
shelf_etag(const struct shelf_item *item)
{
	return item->etag;
}

size_t
shelf_size(const struct shelf_item *item)
{
	return item->size;
}

void
shelf_use(struct shelf_item *item)
{
	int64_t now =
	    atomic_load_explicit(&item->shelf->now_ms, memory_order_relaxed);

	if (atomic_load_explicit(&item->used_ms, memory_order_relaxed) != now)
		atomic_store_explicit(&item->used_ms, now,
		    memory_order_relaxed);
}

/* ---- coming back ---- */

/* The one that was used last of those that could come back, with a reference
 * and with room for it, or NULL. */
static struct shelf_item *
next_to_promote(struct shelf *s, bool *room)
{
	struct shelf_item *best = NULL;

	for (struct shelf_item *i = s->items; i != NULL; i = i->hh.next)
		if (i->memory == NULL && !i->lost && i->tried != s->ticks &&
		    i->size <= s->memory_max &&
		    (best == NULL || i->used_ms > best->used_ms))
			best = i;
	if (best == NULL)
		return NULL;
	best->tried = s->ticks;
	best->refs++;
	*room = make_room(s, best->size, best->used_ms);
	return best;
}

static bool
promote(struct shelf *s, struct shelf_item *item)
{
	struct shelf_bytes *memory = NULL;
	struct err e = { 0 };
	enum err_code code = read_item(item, true, &memory, &e);

	pthread_mutex_lock(&s->lock);
	if (code == ERR_OK) {
		item->memory = memory;
		s->resident += item->size;
		s->promoted++;
		note_change(s);
	} else {
		item->lost = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (code != ERR_OK)
		log_warn("artifact.mapped_only", "error=\"%s\"", e.text);
	return code == ERR_OK;
}

void
shelf_tick(struct shelf *s, int64_t now_ms)
{
	size_t brought = 0;

	atomic_store(&s->now_ms, now_ms);
	pthread_mutex_lock(&s->lock);
	s->ticks++;
	pthread_mutex_unlock(&s->lock);
	for (int i = 0; i < SHELF_TRIED_MAX && brought < SHELF_TICK_BYTES;
	     i++) {
		struct shelf_item *item;
		bool room = false;

		pthread_mutex_lock(&s->lock);
		item = next_to_promote(s, &room);
		pthread_mutex_unlock(&s->lock);
		if (item == NULL)
			return;
		if (room && promote(s, item))
			brought += item->size;
		shelf_item_unref(item);
	}
}

void
shelf_figures(struct shelf *s, struct shelf_figures *out)
{
	pthread_mutex_lock(&s->lock);
	out->memory = atomic_load(&s->live);
	out->mapped = s->total - s->resident;
	out->evicted = s->evicted;
	out->promoted = s->promoted;
	pthread_mutex_unlock(&s->lock);
}
