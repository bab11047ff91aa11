#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

/* What every target has in common. A target is one function that is given
 * bytes from outside and returns; what must never happen is an assert, a
 * sanitizer's report, or a time-out. libFuzzer calls it with what it makes up
 * (scripts/fuzz), replay.c with the files of the corpus (ctest). */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No lines at all: a refusal a thousand times a second is no event. */
static inline void
fuzz_quiet(void)
{
	log_init("fuzz", (enum log_level)(LOG_ERROR + 1));
}

/* A refusal has the code that was returned and says something. */
static inline void
fuzz_refused(enum err_code code, const struct err *e)
{
	assert(code != ERR_OK && code < ERR_CODES);
	assert(e->code == code && e->text[0] != '\0');
	assert(memchr(e->text, '\0', sizeof e->text) != NULL);
}

/* UTF-8, and without control characters other than these. */
static inline bool
fuzz_is_text(const char *text, size_t len, const char *allowed)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_size(text + i, len - i);

		if (n == 0 || text[i] == 0x7f ||
		    ((unsigned char)text[i] < 0x20 &&
			(text[i] == '\0' || strchr(allowed, text[i]) == NULL)))
			return false;
		i += n;
	}
	return true;
}

/* Cuts the input at each NUL: pieces of text, one after the other. False when
 * there is none left. The piece is not NUL-terminated. */
struct fuzz_pieces {
	const char *at;
	size_t left;
};
static inline bool
fuzz_piece(struct fuzz_pieces *p, const char **text, size_t *len)
{
	const char *end;

	if (p->left == 0)
		return false;
	end = memchr(p->at, '\0', p->left);
	*text = p->at;
	*len = end != NULL ? (size_t)(end - p->at) : p->left;
	p->at += end != NULL ? *len + 1 : *len;
	p->left -= end != NULL ? *len + 1 : *len;
	return true;
}

#endif
