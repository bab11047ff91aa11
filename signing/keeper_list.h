#ifndef SIGNING_KEEPER_LIST_H
#define SIGNING_KEEPER_LIST_H

/* The files of a bundle on their way to the keeper: a sealed memory file of
 * lines as sha256sum prints them, HASH "  " NAME "\n". A bundle of ten thousand
 * files is a MiB of this; as JSON it took both ends ten times as long as
 * signing. Any thread. */

#include "core/err.h"
#include "signing/jws.h"

enum { KEEPER_LIST_MAX = 64 << 20 }; /* bytes */

/* Writes it into a memory file, which the caller closes. INVALID for a name or
 * a hash that does not fit a line; LIMIT. */
enum err_code keeper_list_send(int *fd, const struct jws_file *files,
    size_t count, struct err *e) MUST_CHECK;

/* What is read from one. */
struct keeper_list {
	char *text; /* owned; names and hashes point in */
	struct jws_file *files;
	size_t count;
};
void keeper_list_clear(struct keeper_list *l);

/* From whoever may ask, so nothing is taken for granted: fd is memory that is
 * sealed against changes; hashes are 64 lower-case hex digits; names are UTF-8
 * without control characters and empty, "." or ".." segments, sorted, distinct,
 * none of them a signature file; `.manifest` is among them. *out is cleared by
 * the caller, also after an error. */
enum err_code keeper_list_read(struct keeper_list *out, int fd, struct err *e)
    MUST_CHECK;

#endif
