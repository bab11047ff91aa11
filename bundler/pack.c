#include "bundler/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "bundler/cache.h"
#include "bundler/crew.h"
#include "core/mem.h"
#include "core/names.h"
#include "signing/digest.h"

enum { TAR_BLOCK = 512, TAR_END = 2 * TAR_BLOCK };

/* Read from disk once and kept: a confined process cannot read it later. */
static pthread_once_t locale_once = PTHREAD_ONCE_INIT;
static locale_t locale_utf8;

static void
locale_load(void)
{
	locale_utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

enum err_code
bundle_get_ready(struct err *e)
{
	if (pthread_once(&locale_once, locale_load) != 0)
		assert(0 && "pthread_once");
	if (locale_utf8 == (locale_t)0)
		return err_set(e, ERR_UNSUPPORTED,
		    "this system has no locale C.UTF-8, which archives need");
	return ERR_OK;
}

enum err_code
pack_locale_enter(struct pack_locale *l, struct err *e)
{
	TRY(bundle_get_ready(e));
	l->before = uselocale(locale_utf8);
	return ERR_OK;
}

void
pack_locale_leave(struct pack_locale *l)
{
	(void)uselocale(l->before);
}

static la_ssize_t
take(struct archive *a, void *arg, const void *data, size_t len)
{
	struct buf *out = arg;

	buf_add(out, data, len);
	if (out->overflow) {
		archive_set_error(a, EFBIG, "too large");
		return -1;
	}
	return (la_ssize_t)len;
}

static int
start(struct archive *a, struct buf *out)
{
	int worst = archive_write_set_format_pax_restricted(a);

	if (worst == ARCHIVE_OK)
		worst = archive_write_add_filter_none(a);
	/* No padding after the end blocks. */
	if (worst == ARCHIVE_OK)
		worst = archive_write_set_bytes_per_block(a, 64 * 1024);
	if (worst == ARCHIVE_OK)
		worst = archive_write_set_bytes_in_last_block(a, 1);
	if (worst == ARCHIVE_OK)
		worst = archive_write_open(a, out, NULL, take, NULL);
	return worst;
}

static int
add_file(struct archive *a, struct archive_entry *entry,
    const struct bundle_file *file)
{
	int worst;

	archive_entry_clear(entry);
	archive_entry_set_pathname(entry, file->path);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_size(entry, (la_int64_t)file->len);
	archive_entry_set_mtime(entry, 0, 0);
	archive_entry_set_uid(entry, 0);
	archive_entry_set_gid(entry, 0);
	worst = archive_write_header(a, entry);
	if (worst != ARCHIVE_OK)
		return worst;
	if (file->len > 0 &&
	    archive_write_data(a, file->data, file->len) !=
		(la_ssize_t)file->len)
		return ARCHIVE_FATAL;
	return ARCHIVE_OK;
}

static int
add_files(struct archive *a, const struct bundle_file *const *files,
    size_t count)
{
	struct archive_entry *entry = archive_entry_new();
	int worst = ARCHIVE_OK;

	for (size_t i = 0; i < count && worst == ARCHIVE_OK; i++)
		worst = add_file(a, entry, files[i]);
	archive_entry_free(entry);
	return worst;
}

static void
cut_end(struct buf *out)
{
	static const char zeros[TAR_END];

	assert(out->len >= TAR_END &&
	    memcmp(out->data + out->len - TAR_END, zeros, TAR_END) == 0);
	out->len -= TAR_END;
	out->data[out->len] = '\0';
}

static enum err_code
write_tar(struct buf *out, const struct bundle_file *const *files, size_t count,
    struct err *e)
{
	struct archive *a = archive_write_new();
	enum err_code code = ERR_OK;
	int worst;

	if (a == NULL)
		return err_set(e, ERR_IO, "archive: cannot start");
	worst = start(a, out);
	if (worst == ARCHIVE_OK)
		worst = add_files(a, files, count);
	if (worst == ARCHIVE_OK)
		worst = archive_write_close(a);
	if (worst != ARCHIVE_OK)
		code = err_set(e, out->overflow ? ERR_LIMIT : ERR_IO,
		    "archive: %s",
		    archive_error_string(a) != NULL ? archive_error_string(a)
						    : "cannot be written");
	/* What a failed write left behind must not reach a freed buffer. */
	if (worst != ARCHIVE_OK)
		archive_write_fail(a);
	archive_write_free(a);
	return code;
}

/* -- what needs no library ------------------------------------------------ */

/* POSIX.1-1988 ustar. */
struct header {
	char name[100];
	char mode[8], uid[8], gid[8];
	char size[12], mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6], version[2];
	char user[32], group[32];
	char major[8], minor[8];
	char prefix[155];
	char padding[12];
};
static_assert(sizeof(struct header) == TAR_BLOCK, "a header is one block");

/* Digits to the field's end but for one byte, which is `last`. */
static void
put_octal(char *field, size_t digits, uint64_t n, char last)
{
	field[digits] = last;
	while (digits-- > 0) {
		field[digits] = (char)('0' + (n & 7));
		n >>= 3;
	}
}

static bool
is_simple(const struct bundle_file *file)
{
	size_t len = strlen(file->path);

	for (size_t i = 0; i < len; i++) {
		if (file->path[i] <= ' ' || file->path[i] >= 0x7f)
			return false;
	}
	return len <= sizeof((struct header *)0)->name &&
	    file->len < (UINT64_C(1) << 33);
}

/* The same bytes as libarchive writes. */
static void
fill_header(struct header *h, const struct bundle_file *file)
{
	const unsigned char *bytes = (const unsigned char *)h;
	uint64_t sum = 0;

	memset(h, 0, sizeof *h);
	memcpy(h->name, file->path, strlen(file->path));
	put_octal(h->mode, 6, 0644, ' ');
	put_octal(h->uid, 6, 0, ' ');
	put_octal(h->gid, 6, 0, ' ');
	put_octal(h->size, 11, file->len, ' ');
	put_octal(h->mtime, 11, 0, ' ');
	memset(h->checksum, ' ', sizeof h->checksum);
	h->type = '0';
	memcpy(h->magic, "ustar", sizeof h->magic);
	memset(h->version, '0', sizeof h->version);
	put_octal(h->major, 6, 0, ' ');
	put_octal(h->minor, 6, 0, ' ');
	for (size_t i = 0; i < sizeof *h; i++)
		sum += bytes[i];
	put_octal(h->checksum, 6, sum, '\0');
}

static size_t
tar_size(const struct bundle_file *file)
{
	return TAR_BLOCK + (file->len + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

static void
add_simple(struct buf *out, const struct bundle_file *file)
{
	size_t size = tar_size(file);
	char *room = buf_reserve(out, size);
	struct header h;

	if (room == NULL)
		return;
	fill_header(&h, file);
	memcpy(room, &h, sizeof h);
	if (file->len > 0)
		memcpy(room + sizeof h, file->data, file->len);
	memset(room + sizeof h + file->len, 0, size - sizeof h - file->len);
	buf_commit(out, size);
}

static enum err_code
add_odd(struct buf *out, const struct bundle_file *file, struct err *e)
{
	struct pack_locale locale;
	enum err_code code;

	TRY(pack_locale_enter(&locale, e));
	code = write_tar(out, &file, 1, e);
	pack_locale_leave(&locale);
	if (code == ERR_OK)
		cut_end(out);
	return code;
}

enum err_code
pack_tar(struct buf *out, const struct bundle_file *const *files, size_t count,
    bool end, struct err *e)
{
	static const char zeros[TAR_END];

	for (size_t i = 0; i < count; i++) {
		if (is_simple(files[i]))
			add_simple(out, files[i]);
		else
			TRY(add_odd(out, files[i], e));
	}
	if (end)
		buf_add(out, zeros, sizeof zeros);
	return buf_check(out, "archive", e);
}

static enum err_code
compress(struct libdeflate_compressor *c, struct buf *out, const void *data,
    size_t len, struct err *e)
{
	size_t bound = libdeflate_gzip_compress_bound(c, len), written;
	char *room = buf_reserve(out, bound);

	if (room == NULL)
		return err_set(e, ERR_LIMIT, "gzip: larger than %zu bytes",
		    out->max);
	written = libdeflate_gzip_compress(c, data, len, room, bound);
	assert(written > 0);
	buf_commit(out, written);
	return ERR_OK;
}

static enum err_code
gzip(struct buf *out, const void *data, size_t len, int level, struct err *e)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);
	enum err_code code;

	if (c == NULL)
		return err_set(e, ERR_IO, "gzip: cannot start");
	code = compress(c, out, data, len, e);
	libdeflate_free_compressor(c);
	return code;
}

enum err_code
pack_gzip(struct buf *out, const void *data, size_t len, struct err *e)
{
	return gzip(out, data, len, PACK_LEVEL, e);
}

/* -- parts ---------------------------------------------------------------- */

/* FNV-1a, and its high bits, which are spread best. */
static bool
chosen(const char *path)
{
	uint32_t h = 2166136261u;

	for (; *path != '\0'; path++)
		h = (uint32_t)((uint64_t)(h ^ (unsigned char)*path) *
		    16777619u);
	return (h >> 16) % PACK_PART_ODDS == 0;
}

size_t
pack_part(const struct bundle_file *const *files, size_t count)
{
	size_t size = 0, n = 0;

	while (n < count) {
		size += tar_size(files[n++]);
		if (size >= PACK_PART_MAX ||
		    (n < count && size >= PACK_PART_MIN &&
			chosen(files[n]->path)))
			break;
	}
	return n;
}

struct part {
	const struct bundle_file *const *files;
	size_t count;
	bool end;  /* of the tar */
	bool kept; /* in the cache, under this key */
	char key[DIGEST_HEX_SIZE];
	const struct cache_member *known; /* from there */
	struct buf bytes;                 /* else: compressed now */
	enum err_code code;
	struct err error;
};

struct packing {
	const struct bundle_means *means;
	const struct bundle_file **order;
	struct part *parts;
	size_t count;
	size_t unknown; /* to be compressed */
	atomic_size_t next;
};

/* The manifest goes first, so that a reader sees it before all else. */
static const struct bundle_file **
in_order(const struct bundle *b)
{
	const struct bundle_file **order =
	    mem_array(b->count + 1, sizeof *order);
	size_t filled = 0;

	for (int first = 1; first >= 0; first--) {
		for (size_t i = 0; i < b->count; i++) {
			bool manifest =
			    strcmp(b->files[i].path, MANIFEST_FILE) == 0;

			if (manifest == (first == 1))
				order[filled++] = &b->files[i];
		}
	}
	return order;
}

static void
add_part(struct packing *p, size_t first, size_t count, bool kept)
{
	p->parts[p->count++] = (struct part){ .files = &p->order[first],
		.count = count,
		.end = count == 0,
		.kept = kept };
}

static void
divide(struct packing *p, const struct bundle *b)
{
	size_t at = 0, count;

	p->order = in_order(b);
	p->parts = mem_array(b->count + 2, sizeof *p->parts);
	if (b->count > 0 && strcmp(p->order[0]->path, MANIFEST_FILE) == 0)
		add_part(p, at++, 1, false);
	for (; at < b->count; at += count) {
		count = pack_part(&p->order[at], b->count - at);
		add_part(p, at, count, p->means->cache != NULL);
	}
	add_part(p, at, 0, false);
}

static void
find_part(struct packing *p, struct part *part)
{
	struct digest *d = digest_new();

	for (size_t i = 0; i < part->count; i++) {
		const struct bundle_file *f = part->files[i];

		digest_add(d, f->hash, sizeof f->hash);
		digest_add(d, f->path, strlen(f->path) + 1);
	}
	digest_end(d, part->key);
	part->known = cache_member(p->means->cache, part->key);
}

static void
find_parts(struct packing *p)
{
	if (p->means->cache != NULL)
		cache_begin(p->means->cache);
	for (size_t i = 0; i < p->count; i++) {
		if (p->parts[i].kept)
			find_part(p, &p->parts[i]);
		p->unknown += p->parts[i].known == NULL;
	}
}

static enum err_code
write_part(struct part *part, struct libdeflate_compressor *c, struct buf *tar)
{
	struct buf *out = &part->bytes;

	if (c == NULL)
		return err_set(&part->error, ERR_IO, "gzip: cannot start");
	buf_reset(tar);
	TRY(pack_tar(tar, part->files, part->count, part->end, &part->error));
	buf_init(out, PACK_SIZE_MAX);
	TRY(compress(c, out, tar->data, tar->len, &part->error));
	/* Room was made for the worst case; hold what it takes. */
	out->cap = out->len + 1;
	out->data = mem_grow(out->data, out->cap, 1);
	return ERR_OK;
}

static void
write_share(void *arg, unsigned int who)
{
	struct packing *p = arg;
	struct libdeflate_compressor *c =
	    libdeflate_alloc_compressor(PACK_LEVEL);
	AUTO_BUF tar = { 0 };
	size_t i;

	(void)who;
	buf_init(&tar, PACK_TAR_MAX);
	while ((i = atomic_fetch_add(&p->next, 1)) < p->count) {
		if (p->parts[i].known == NULL)
			p->parts[i].code = write_part(&p->parts[i], c, &tar);
	}
	libdeflate_free_compressor(c);
}

static enum err_code
join(struct packing *p, struct buf *out, struct err *e)
{
	size_t len = 0;
	char *room;

	for (size_t i = 0; i < p->count; i++) {
		if (p->parts[i].code != ERR_OK)
			return err_set(e, p->parts[i].code, "%s",
			    p->parts[i].error.text);
		len += p->parts[i].known != NULL ? p->parts[i].known->len
						 : p->parts[i].bytes.len;
	}
	room = buf_reserve(out, len);
	if (room == NULL)
		return err_set(e, ERR_LIMIT, "larger than %zu bytes", out->max);
	for (size_t i = 0; i < p->count; i++) {
		const struct part *part = &p->parts[i];

		if (part->known != NULL)
			buf_add(out, part->known->data, part->known->len);
		else
			buf_add(out, part->bytes.data, part->bytes.len);
	}
	return ERR_OK;
}

static void
keep_parts(struct packing *p)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct part *part = &p->parts[i];

		if (part->kept && part->known == NULL)
			cache_add_member(p->means->cache, part->key,
			    part->bytes.data, part->bytes.len);
	}
}

static void
packing_clear(struct packing *p)
{
	for (size_t i = 0; i < p->count; i++)
		buf_clear(&p->parts[i].bytes);
	mem_free(p->parts);
	mem_free(p->order);
}

/* Below this number a thread costs more than it saves. */
enum { SHARED_PARTS = 5 };

enum err_code
bundle_pack_with(struct buf *out, const struct bundle *b,
    const struct bundle_means *means, struct err *e)
{
	struct packing p = { .means = means };
	enum err_code code;

	divide(&p, b);
	find_parts(&p);
	crew_run(p.unknown >= SHARED_PARTS ? means->threads : 1, write_share,
	    &p);
	code = join(&p, out, e);
	if (code == ERR_OK)
		keep_parts(&p);
	else
		err_add(e, "bundle %s", b->name);
	packing_clear(&p);
	return code;
}

enum err_code
bundle_pack(struct buf *out, const struct bundle *b, struct err *e)
{
	static const struct bundle_means alone = { .threads = 1 };

	return bundle_pack_with(out, b, &alone, e);
}

enum err_code
bundle_sign_pack(struct buf *out, const void *content, size_t content_len,
    const char *jws, size_t jws_len, struct err *e)
{
	static char name[] = SIGNATURES_FILE;
	struct bundle_file file = { .path = name };
	const struct bundle_file *only = &file;
	AUTO_BUF json, tar;

	buf_init(&json, (size_t)JWS_SIZE_MAX + 64);
	buf_init(&tar, PACK_TAR_MAX);
	jws_wrap(&json, jws, jws_len);
	TRY(buf_check(&json, name, e));
	file.data = json.data;
	file.len = json.len;
	TRY(pack_tar(&tar, &only, 1, false, e));
	TRY(gzip(out, tar.data, tar.len, PACK_LEVEL_SIGNATURES, e));
	buf_add(out, content, content_len);
	return buf_check(out, "signed bundle", e);
}
