/* The tar of an archive. */

#include "bundler/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

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

size_t
pack_tar_size(const struct bundle_file *file)
{
	return TAR_BLOCK + (file->len + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

void
pack_tar_header(struct buf *out, const struct bundle_file *file)
{
	struct header h;

	assert(is_simple(file));
	fill_header(&h, file);
	buf_add(out, &h, sizeof h);
}

void
pack_tar_fill(struct buf *out, size_t len)
{
	static const char zeros[TAR_BLOCK];

	buf_add(out, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

static void
add_simple(struct buf *out, const struct bundle_file *file)
{
	/* In one piece: rooms of a few bytes would be looked for again. */
	if (buf_reserve(out, pack_tar_size(file)) == NULL)
		return;
	pack_tar_header(out, file);
	buf_add(out, file->data, file->len);
	pack_tar_fill(out, file->len);
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
