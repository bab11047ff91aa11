#include "bundler/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <libdeflate.h>
#include <pthread.h>
#include <string.h>

#include "core/mem.h"

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

enum err_code
pack_tar(struct buf *out, const struct bundle_file *const *files, size_t count,
    bool end, struct err *e)
{
	struct pack_locale locale;
	enum err_code code;

	TRY(pack_locale_enter(&locale, e));
	code = write_tar(out, files, count, e);
	pack_locale_leave(&locale);
	if (code == ERR_OK && !end)
		cut_end(out);
	return code;
}

enum err_code
pack_gzip(struct buf *out, const void *data, size_t len, struct err *e)
{
	struct libdeflate_compressor *c =
	    libdeflate_alloc_compressor(PACK_LEVEL);
	size_t bound, written;
	char *room;

	if (c == NULL)
		return err_set(e, ERR_IO, "gzip: cannot start");
	bound = libdeflate_gzip_compress_bound(c, len);
	room = buf_reserve(out, bound);
	written = room != NULL
	    ? libdeflate_gzip_compress(c, data, len, room, bound)
	    : 0;
	libdeflate_free_compressor(c);
	if (room == NULL)
		return err_set(e, ERR_LIMIT, "gzip: larger than %zu bytes",
		    out->max);
	assert(written > 0);
	buf_commit(out, written);
	return ERR_OK;
}

/* The manifest goes first, so that a reader sees it before all else. */
static const struct bundle_file **
in_order(const struct bundle *b)
{
	const struct bundle_file **order =
	    mem_array(b->count + 1, sizeof *order);
	size_t filled = 0;

	for (int first = 1; first >= 0; first--) {
		for (size_t i = 0; i < b->count; i++) {
			bool manifest = strcmp(b->files[i].path, ".manifest") ==
			    0;

			if (manifest == (first == 1))
				order[filled++] = &b->files[i];
		}
	}
	return order;
}

enum err_code
bundle_pack(struct buf *out, const struct bundle *b, struct err *e)
{
	const struct bundle_file **order = in_order(b);
	enum err_code code;
	AUTO_BUF tar = { 0 };

	buf_init(&tar, PACK_TAR_MAX);
	code = pack_tar(&tar, order, b->count, true, e);
	mem_free(order);
	if (code == ERR_OK)
		code = pack_gzip(out, tar.data, tar.len, e);
	if (code != ERR_OK)
		err_add(e, "bundle %s", b->name);
	return code;
}

enum err_code
bundle_sign_pack(struct buf *out, const void *content, size_t content_len,
    const char *jws, size_t jws_len, struct err *e)
{
	static char name[] = ".signatures.json";
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
	TRY(pack_gzip(out, tar.data, tar.len, e));
	buf_add(out, content, content_len);
	return buf_check(out, "signed bundle", e);
}
