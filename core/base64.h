#ifndef CORE_BASE64_H
#define CORE_BASE64_H

/* Base64 (RFC 4648): with + / and padding as files have it, and base64url
 * without padding as JWS and tokens have it. Pure, any thread. */

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

/* How many digits base64url makes of that many bytes. */
#define BASE64URL_SIZE(len) (((len)*8 + 5) / 6)

/* Writes BASE64URL_SIZE(len) digits and no NUL. */
void base64url_write(char *out, const void *data, size_t len);
void base64url_add(struct buf *out, const void *data, size_t len);

/* Appends what the text stands for. Strict: no padding, no other character,
 * and no bits set that no byte takes, so that one value has one spelling.
 * ERR_INVALID says "<what>: ...". */
enum err_code base64url_read(struct buf *out, const char *text, size_t len,
    const char *what, struct err *e) MUST_CHECK;

/* Decodes + / with padding into out, which has room for len bytes, as Go's
 * decoder does: line breaks are skipped. False: it is none. */
bool base64_read(char *out, size_t *out_len, const char *text, size_t len)
    MUST_CHECK;

#endif
