#ifndef TESTS_UNIT_CORE_READING_H
#define TESTS_UNIT_CORE_READING_H

/* What every reader of documents has to show by a table of texts, to itself and
 * against the real engine. What fails, fails the test. */

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/value.h"

struct reading {
	enum err_code (*read)(struct document **out, const char *name,
	    const char *text, size_t len, struct err *e);
	const char *name; /* what the engine calls such a file: data.json */
};

/* What is read, and what is written again. */
struct pair {
	const char *in;
	size_t in_len;
	const char *out;
};

struct refusal {
	const char *in;
	size_t in_len;
	const char *text; /* how the error begins behind the name and ":" */
	bool taken;       /* the engine takes it, and loses something */
};

#define TEXT(s) s, sizeof(s) - 1

/* The canonical form of a text that has to be good. */
void reading_write(struct buf *out, const struct reading *r, const char *text,
    size_t len);

void reading_writes(const struct reading *r, const struct pair *pairs,
    size_t count);
void reading_agrees(const struct reading *r, const struct pair *pairs,
    size_t count);
void reading_refuses(const struct reading *r, const struct refusal *refusals,
    size_t count);
void reading_refusals_agree(const struct reading *r,
    const struct refusal *refusals, size_t count);

#endif
