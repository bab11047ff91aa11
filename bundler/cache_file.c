#include "bundler/cache_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundler/cache.h"
#include "bundler/data.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"

enum {
	KEY_SIZE = DIGEST_HEX_SIZE - 1,
	CHECK_SIZE = KEY_SIZE,
	RECORD_HEAD = 1 + 4 + CHECK_SIZE,
	ID_SIZE = TREE_ID_SIZE - 1,
	SIZE_ENTRY = ID_SIZE + 4,
	WRITE_AT_ONCE = 1 << 20,
	SIZES_AT_ONCE = SIZE_ENTRY << 14
};

static const char kind_letters[] = {
	[BLOB_POLICY] = 'p',
	[BLOB_JSON] = 'j',
	[BLOB_YAML] = 'y',
};

struct cache_file {
	char *path;
	int64_t size; /* as far as it is good */
	int64_t base; /* after it was written as a whole */
	bool anew;    /* the next save writes it as a whole */
	bool off;     /* given up */
};

struct cache_file *
cache_file_new(const char *path)
{
	struct cache_file *f = mem_zalloc(sizeof *f);

	f->path = mem_strdup(path);
	f->anew = true;
	return f;
}

void
cache_file_free(struct cache_file *f)
{
	if (f == NULL)
		return;
	mem_free(f->path);
	mem_free(f);
}

/* ---- records ---- */

static void
put_number(unsigned char out[4], uint32_t n)
{
	for (int i = 0; i < 4; i++)
		out[i] = (unsigned char)(n >> (8 * i));
}

static uint32_t
get_number(const unsigned char in[4])
{
	return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 |
	    (uint32_t)in[3] << 24;
}

static bool
is_text(char kind)
{
	return kind == 'p' || kind == 'j' || kind == 'y';
}

/* What the check has to be of what follows. */
static void
work_out_check(char check[CHECK_SIZE + 1], char kind, const char *data,
    size_t len)
{
	unsigned char head[5] = { (unsigned char)kind };
	struct digest *d;

	if (is_text(kind)) {
		tree_blob_id(check, data, len);
		memset(check + ID_SIZE, '0', CHECK_SIZE - ID_SIZE);
		return;
	}
	put_number(head + 1, (uint32_t)len);
	d = digest_new();
	digest_add(d, head, sizeof head);
	digest_add(d, data, len);
	digest_end(d, check);
}

/* ---- reading ---- */

struct reading {
	FILE *in;
	int64_t left; /* bytes of the file that were not read yet */
	struct bundle_cache *cache;
	void (*tell)(void *arg, const char *id, int64_t size);
	void *arg;
	size_t blobs, members, sizes;
	char letter;
	char id[TREE_ID_SIZE]; /* of a text */
	struct buf data;
	struct err *e;
};

static bool
take(struct reading *r, void *out, size_t len)
{
	if (r->left < (int64_t)len || fread(out, 1, len, r->in) != len)
		return false;
	r->left -= (int64_t)len;
	return true;
}

static void
load_text(struct reading *r)
{
	const char *found =
	    memchr(kind_letters, r->letter, sizeof kind_letters);
	const struct blob_key key =
	    blob_key(r->id, (enum blob_kind)(found - kind_letters));
	struct blob *b = NULL;
	size_t len = r->data.len;

	/* Not what it was taken for: whoever needs it, says so. */
	if (blob_new(&b, &key, "cache", &r->data, NULL) != ERR_OK)
		return;
	cache_add_blob(r->cache, b);
	blob_unref(b);
	if (r->tell != NULL)
		r->tell(r->arg, r->id, (int64_t)len);
	r->blobs++;
}

static void
load_member(struct reading *r)
{
	char key[DIGEST_HEX_SIZE] = "";

	memcpy(key, r->data.data, KEY_SIZE);
	cache_add_member(r->cache, key, r->data.data + KEY_SIZE,
	    r->data.len - KEY_SIZE);
	r->members++;
}

static void
load_sizes(struct reading *r)
{
	const unsigned char *at = (const unsigned char *)r->data.data;

	for (size_t n = r->data.len / SIZE_ENTRY; n > 0; n--) {
		char id[TREE_ID_SIZE] = "";

		memcpy(id, at, ID_SIZE);
		if (r->tell != NULL && text_is_hex(id, ID_SIZE))
			r->tell(r->arg, id, get_number(at + ID_SIZE));
		at += SIZE_ENTRY;
		r->sizes++;
	}
}

static void
file_blob(void *arg, struct blob *b)
{
	(void)arg;
	b->filed = true;
}

static void
file_member(void *arg, struct cache_member *m, bool resting)
{
	(void)arg;
	(void)resting;
	m->filed = true;
}

static bool
is_sound(char kind, size_t len)
{
	if (len > CACHE_FILE_PART_MAX)
		return false;
	return is_text(kind) || (kind == 'm' && len > KEY_SIZE) ||
	    (kind == 's' && len % SIZE_ENTRY == 0);
}

static enum err_code
read_record(struct reading *r)
{
	unsigned char head[RECORD_HEAD];
	char check[CHECK_SIZE + 1];
	size_t len;
	char *room;

	if (!take(r, head, sizeof head))
		return err_set(r->e, ERR_CORRUPT, "it ends within a record");
	r->letter = (char)head[0];
	len = get_number(head + 1);
	if (!is_sound(r->letter, len))
		return err_set(r->e, ERR_CORRUPT,
		    "a record of kind %u with %zu bytes", head[0], len);
	if (r->left < (int64_t)len)
		return err_set(r->e, ERR_CORRUPT, "it ends within a record");
	buf_clear(&r->data);
	buf_init(&r->data, CACHE_FILE_PART_MAX);
	room = buf_reserve(&r->data, len);
	if (room == NULL || !take(r, room, len))
		return err_set(r->e, ERR_CORRUPT, "it cannot be read");
	buf_commit(&r->data, len);
	work_out_check(check, r->letter, r->data.data, len);
	if (memcmp(check, head + 5, CHECK_SIZE) != 0)
		return err_set(r->e, ERR_CORRUPT, "a record was changed");
	memcpy(r->id, check, ID_SIZE);
	return ERR_OK;
}

/* *good: bytes up to the first fault. */
static enum err_code
read_records(struct reading *r, int64_t *good)
{
	int64_t size = r->left;
	char head[sizeof CACHE_FILE_HEAD - 1];

	*good = 0;
	if (size > CACHE_FILE_MAX)
		return err_set(r->e, ERR_LIMIT, "it has more than %d bytes",
		    (int)CACHE_FILE_MAX);
	if (!take(r, head, sizeof head) ||
	    memcmp(head, CACHE_FILE_HEAD, sizeof head) != 0)
		return err_set(r->e, ERR_CORRUPT, "it is of another format");
	*good = size - r->left;
	while (r->left > 0) {
		TRY(read_record(r));
		*good = size - r->left;
		if (r->letter == 'm')
			load_member(r);
		else if (r->letter == 's')
			load_sizes(r);
		else
			load_text(r);
	}
	return ERR_OK;
}

enum err_code
cache_file_read(struct bundle_cache *c, int fd, int64_t *good,
    void (*tell)(void *arg, const char *id, int64_t size), void *arg,
    struct err *e)
{
	struct reading r = { .cache = c, .tell = tell, .arg = arg, .e = e };
	enum err_code code;
	struct stat st;

	*good = 0;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, ERR_CORRUPT, "it is no file");
	}
	r.left = st.st_size;
	r.in = fdopen(fd, "r");
	if (r.in == NULL) {
		code = err_errno(e, "open");
		close(fd);
		return code;
	}
	code = read_records(&r, good);
	(void)fclose(r.in);
	buf_clear(&r.data);
	log_info("cache.read", "blobs=%zu members=%zu sizes=%zu bytes=%" PRId64,
	    r.blobs, r.members, r.sizes, *good);
	return code;
}

void
cache_file_load(struct cache_file *f, struct bundle_cache *c,
    void (*tell)(void *arg, const char *id, int64_t size), void *arg)
{
	int fd = open(f->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct err e = { 0 };
	enum err_code code;

	if (fd < 0 && errno == ENOENT)
		return;
	code = fd < 0 ? err_errno(&e, "open")
		      : cache_file_read(c, fd, &f->size, tell, arg, &e);
	cache_each(c, file_blob, file_member, NULL);
	f->base = f->size;
	f->anew = code != ERR_OK;
	if (code != ERR_OK)
		log_warn("cache.discarded",
		    "path=%s good=%" PRId64 " error=\"%s\"", f->path, f->size,
		    e.text);
}

/* ---- writing ---- */

struct writing {
	struct cache_file *file;
	struct bundle_cache *cache;
	const struct tree *tree;
	int fd;
	int64_t size; /* of the file, with what is written now */
	bool whole;   /* everything, not just what is new */
	bool news;    /* there are blobs that are not in the file */
	struct buf out;
	struct buf sizes;
	struct err *e;
	enum err_code code;
};

static void
flush(struct writing *w)
{
	if (w->code == ERR_OK)
		w->code = file_write_all(w->fd, w->out.data, w->out.len, w->e);
	buf_reset(&w->out);
}

/* What finds no room any more is left out. A file that is written anew is half
 * full at most, so that it is not written anew at every turn. */
static void
put_record(struct writing *w, char kind, const char *first, size_t first_len,
    const void *data, size_t len)
{
	unsigned char head[5] = { (unsigned char)kind };
	char check[CHECK_SIZE + 1] = "";
	size_t at;

	if (first_len + len > CACHE_FILE_PART_MAX ||
	    w->size + (int64_t)(RECORD_HEAD + first_len + len) >
		(w->whole ? CACHE_FILE_MAX / 2 : CACHE_FILE_MAX))
		return;
	put_number(head + 1, (uint32_t)(first_len + len));
	at = w->out.len;
	buf_add(&w->out, head, sizeof head);
	buf_add(&w->out, check, CHECK_SIZE);
	buf_add(&w->out, first, first_len);
	buf_add(&w->out, data, len);
	work_out_check(check, kind, w->out.data + at + RECORD_HEAD,
	    first_len + len);
	memcpy(w->out.data + at + sizeof head, check, CHECK_SIZE);
	w->size += (int64_t)(w->out.len - at);
	if (w->out.len >= WRITE_AT_ONCE)
		flush(w);
}

static void
put_sizes(struct writing *w)
{
	if (w->sizes.len > 0)
		put_record(w, 's', "", 0, w->sizes.data, w->sizes.len);
	buf_reset(&w->sizes);
}

static void
add_size(struct writing *w, const struct tree_entry *entry)
{
	unsigned char number[4];

	buf_add(&w->sizes, entry->id, ID_SIZE);
	put_number(number, (uint32_t)entry->size);
	buf_add(&w->sizes, number, sizeof number);
	if (w->sizes.len >= SIZES_AT_ONCE)
		put_sizes(w);
}

static struct blob *
blob_of(const struct writing *w, const struct tree_entry *entry)
{
	const char *slash = strrchr(entry->path, '/');
	const char *base = slash != NULL ? slash + 1 : entry->path;
	enum data_kind data = data_kind_of(base);
	struct blob_key key;

	if (data == DATA_NONE && !text_ends_with(base, ".rego"))
		return NULL;
	key = blob_key(entry->id,
	    data == DATA_JSON       ? BLOB_JSON
		: data == DATA_YAML ? BLOB_YAML
				    : BLOB_POLICY);
	return cache_peek(w->cache, &key);
}

/* The text of data is as it was committed: a blob has only what ships. */
static void
put_entry(struct writing *w, const struct tree_entry *entry)
{
	struct blob *b = blob_of(w, entry);
	AUTO_BUF text = { 0 };

	if (b == NULL && w->whole)
		add_size(w, entry);
	if (b == NULL || b->filed)
		return;
	b->filed = true;
	if (b->key.kind == BLOB_POLICY) {
		put_record(w, 'p', "", 0, b->text, b->len);
		return;
	}
	buf_init(&text, TREE_BLOB_MAX);
	if (tree_read(w->tree, entry, &text, NULL) == ERR_OK)
		put_record(w, kind_letters[(int)b->key.kind], "", 0, text.data,
		    text.len);
}

static void
put_blob(void *arg, struct blob *b)
{
	struct writing *w = arg;

	if (w->whole)
		b->filed = false;
	else if (!b->filed)
		w->news = true;
}

static void
put_member(void *arg, struct cache_member *m, bool resting)
{
	struct writing *w = arg;
	bool wanted = w->whole ? !resting : !m->filed;

	m->filed = true;
	if (wanted)
		put_record(w, 'm', m->key, KEY_SIZE, m->data, m->len);
}

static void
put_all(struct writing *w)
{
	cache_each(w->cache, put_blob, put_member, w);
	for (size_t i = 0; (w->whole || w->news) && i < w->tree->count; i++)
		put_entry(w, &w->tree->entries[i]);
	put_sizes(w);
	/* What this tree has no use for is not looked at again; but a tree that
	 * everything was written for may be an old one, and the next is not. */
	if (!w->whole)
		cache_each(w->cache, file_blob, NULL, w);
	flush(w);
}

static char *
temporary(const struct cache_file *f)
{
	return mem_printf("%s.new", f->path);
}

static int
open_out(const struct writing *w)
{
	const int flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC;
	AUTO_STR path = temporary(w->file);

	if (!w->whole)
		return open(w->file->path, flags | O_APPEND);
	(void)unlink(path);
	return open(path, flags | O_CREAT | O_EXCL, 0600);
}

/* Each record is checked when it is read, so nothing needs to be synced. */
static enum err_code
write_file(struct writing *w)
{
	AUTO_STR path = temporary(w->file);

	w->fd = open_out(w);
	if (w->fd < 0)
		return err_errno(w->e, "open");
	if (w->whole) {
		buf_add_str(&w->out, CACHE_FILE_HEAD);
		w->size = (int64_t)w->out.len;
	}
	put_all(w);
	if (close(w->fd) != 0 && w->code == ERR_OK)
		w->code = err_errno(w->e, "close");
	if (w->code == ERR_OK && w->whole && rename(path, w->file->path) != 0)
		w->code = err_errno(w->e, "rename");
	return w->code;
}

static bool
has_grown(const struct cache_file *f)
{
	return f->size > f->base * 2 + CACHE_FILE_SLACK ||
	    f->size > CACHE_FILE_MAX - CACHE_FILE_SLACK;
}

static void
give_up(struct cache_file *f, const struct err *e)
{
	AUTO_STR path = temporary(f);

	f->off = true;
	(void)unlink(path);
	(void)unlink(f->path);
	log_warn("cache.given-up",
	    "path=%s error=\"%s\": the next start will read all files again",
	    f->path, e->text);
}

void
cache_file_save(struct cache_file *f, struct bundle_cache *c,
    const struct tree *t)
{
	struct err e = { 0 };
	struct writing w = { .file = f,
		.cache = c,
		.tree = t,
		.size = f->size,
		.whole = f->anew || has_grown(f),
		.e = &e };

	if (f->off)
		return;
	buf_init(&w.out, (size_t)CACHE_FILE_PART_MAX + WRITE_AT_ONCE * 2);
	buf_init(&w.sizes, SIZES_AT_ONCE + SIZE_ENTRY);
	if (write_file(&w) == ERR_OK) {
		f->size = w.size;
		f->base = w.whole ? w.size : f->base;
		f->anew = false;
	} else {
		give_up(f, &e);
	}
	buf_clear(&w.out);
	buf_clear(&w.sizes);
}
