#ifndef CORE_BUF_H
#define CORE_BUF_H

/* A growing byte buffer with a maximum given at birth. Data may hold NUL
 * bytes; one NUL that is not counted in len always follows it, so text can be
 * read in place. Adding past the maximum adds nothing and marks the buffer as
 * overflowed; buf_check turns that into an error at the end, so that writers
 * need not test every step. One thread at a time. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct buf {
	char *data; /* never NULL after buf_init */
	size_t len;
	size_t cap;
	size_t max; /* bytes of data at most */
	bool overflow;
};

void buf_init(struct buf *b, size_t max);
void buf_clear(struct buf *b); /* releases; a zeroed buf is fine */
void buf_reset(struct buf *b); /* empties, keeps the memory */

void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Room for len more bytes at the end, to be filled by the caller, who then
 * says with buf_commit how many of them count. NULL on overflow. */
char *buf_reserve(struct buf *b, size_t len) MUST_CHECK;
void buf_commit(struct buf *b, size_t len);

/* Hands the data over to the caller (mem_free) and leaves b empty. */
char *buf_steal(struct buf *b, size_t *len);

/* ERR_LIMIT when something did not fit: "<what>: larger than <max> bytes". */
enum err_code buf_check(const struct buf *b, const char *what, struct err *e)
    MUST_CHECK;

#define AUTO_BUF __attribute__((cleanup(buf_clear))) struct buf

#endif
