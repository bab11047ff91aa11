#ifndef CORE_CANON_H
#define CORE_CANON_H

/* JSON exactly as OPA reads it, numbers keeping their literal text, and the
 * canonical form that OPA hashes (its v1/bundle/hash.go): keys sorted by
 * bytes, no spaces, strings escape only quote, backslash, controls (\b \f \n
 * \r \t, else \u00xx), U+2028 and U+2029. So for data that is stored in this
 * form the plain and the structured hash are the same. RFC 8259; stricter
 * than OPA in refusing duplicate keys, invalid UTF-8, lone surrogates and a
 * byte order mark. Pure, any thread. */

#include "core/value.h"

enum {
	CANON_DEPTH_MAX = 1000,     /* nested arrays and objects */
	CANON_NUMBER_MAX = 4096,    /* bytes of one number */
	CANON_VALUES_MAX = 8 << 20, /* values and keys of one text */
	CANON_SIZE_MAX = 256 << 20  /* bytes of one text */
};

/* Reads one JSON text. Errors are INVALID or LIMIT and say
 * "<name>:<line>:<column>: <what>". The document keeps nothing of text. */
enum err_code canon_read(struct document **out, const char *name,
    const char *text, size_t len, struct err *e) MUST_CHECK;

/* Appends the canonical form; objects are sorted here. What does not fit is
 * found by buf_check, as always. */
void canon_write(struct buf *out, const struct value *v);

/* Appends one JSON string, quoted and escaped as above. text must be UTF-8. */
void canon_write_string(struct buf *out, const char *text, size_t len);

#endif
