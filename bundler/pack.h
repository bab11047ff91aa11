#ifndef BUNDLER_PACK_H
#define BUNDLER_PACK_H

/* Bytes of an archive that depend on names and contents alone: tar (ustar; a
 * pax header only where a name needs one) with zero times, mode 0644 and owner
 * 0, compressed into one gzip member whose header says neither time nor
 * system. Pure, any thread. */

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>

#include "bundler/bundle.h"

/* Room for headers and padding beside BUNDLE_SIZE_MAX bytes of files. */
#define PACK_TAR_MAX ((size_t)BUNDLE_SIZE_MAX + (size_t)BUNDLE_FILES_MAX * 3072)
#define PACK_SIZE_MAX ((size_t)BUNDLE_SIZE_MAX * 2)
enum { PACK_LEVEL = 6 };

/* Appends the files in this order; end: followed by the two empty blocks that
 * end an archive. */
enum err_code pack_tar(struct buf *out, const struct bundle_file *const *files,
    size_t count, bool end, struct err *e) MUST_CHECK;

/* Appends data as one gzip member. */
enum err_code pack_gzip(struct buf *out, const void *data, size_t len,
    struct err *e) MUST_CHECK;

/* libarchive converts names by the thread's locale, which must not matter:
 * between these two calls it is UTF-8. */
struct pack_locale {
	locale_t before;
};
enum err_code pack_locale_enter(struct pack_locale *l, struct err *e)
    MUST_CHECK;
void pack_locale_leave(struct pack_locale *l);

#endif
