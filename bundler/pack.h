#ifndef BUNDLER_PACK_H
#define BUNDLER_PACK_H

/* Bytes of an archive that depend on names and contents alone: tar (ustar; a
 * pax header only where a name needs one) with zero times, mode 0644 and owner
 * 0, compressed into gzip members whose headers say neither time nor system.
 *
 * An archive is several gzip members, one after the other (RFC 1952 2.2): the
 * manifest, which every commit changes; then parts of some hundred files each;
 * then the end of the tar. Where a part ends depends on nothing but names and
 * sizes near its end, so that a change to one file leaves all other parts as
 * they were, and they need not be compressed again. Pure, any thread. */

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>

#include "bundler/bundle.h"

/* Room for headers and padding beside BUNDLE_SIZE_MAX bytes of files. */
#define PACK_TAR_MAX ((size_t)BUNDLE_SIZE_MAX + (size_t)BUNDLE_FILES_MAX * 3072)
#define PACK_SIZE_MAX ((size_t)BUNDLE_SIZE_MAX * 2)
enum {
	PACK_LEVEL = 5,
	/* Most of a list of hashes cannot be made smaller. */
	PACK_LEVEL_SIGNATURES = 1,
	/* So many bytes of its tar make a member: a hash that changes leaves
	 * the others as they were. */
	PACK_SIGNATURE_PART = 64 << 10,
	/* A part has at least PART_MIN bytes of tar and then ends before a file
	 * whose name the dice choose, one in PART_ODDS; or once it has
	 * PART_MAX. */
	PACK_PART_MIN = 192 << 10,
	PACK_PART_MAX = 1 << 20,
	PACK_PART_ODDS = 96
};

/* Appends the files in this order; end: followed by the two empty blocks that
 * end an archive. */
enum err_code pack_tar(struct buf *out, const struct bundle_file *const *files,
    size_t count, bool end, struct err *e) MUST_CHECK;

/* In pieces, for one file of a short plain ASCII name whose data the caller
 * adds: its header, and what fills the last block of len bytes. */
void pack_tar_header(struct buf *out, const struct bundle_file *file);
void pack_tar_fill(struct buf *out, size_t len);
size_t pack_tar_size(const struct bundle_file *file);

/* Appends data as one gzip member. */
enum err_code pack_gzip(struct buf *out, const void *data, size_t len,
    struct err *e) MUST_CHECK;

/* How many of these files the next part takes. */
size_t pack_part(const struct bundle_file *const *files, size_t count);

/* libarchive converts names by the thread's locale, which must not matter:
 * between these two calls it is UTF-8. */
struct pack_locale {
	locale_t before;
};
enum err_code pack_locale_enter(struct pack_locale *l, struct err *e)
    MUST_CHECK;
void pack_locale_leave(struct pack_locale *l);

#endif
