#ifndef CORE_ESCAPE_H
#define CORE_ESCAPE_H

/* The escapes of JSON strings (RFC 8259, section 7), which Rego's are too.
 * Pure, any thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

/* Reads the escape at text, which begins with a backslash: sets *out and
 * returns its length, or 0 when it is none or cut. A surrogate pair is one
 * escape; a half that stands alone comes back as it is. */
size_t escape_read(uint32_t *out, const char *text, size_t len);

/* Is this half of a surrogate pair, which no text can hold? */
bool escape_is_half(uint32_t c);

/* Appends the shortest escape for one ASCII character. */
void escape_write(struct buf *out, unsigned char c);

#endif
