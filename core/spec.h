#ifndef CORE_SPEC_H
#define CORE_SPEC_H

/* Settings described once, in tables: reading, checking, defaults and the
 * reference page follow from them. A table describes the members of one
 * object and where they go in a struct. Unknown keys are errors. All faults
 * are reported, not just the first. A key with nothing behind it (null) is as
 * one that was left out. Pure; a struct spec_faults belongs to one thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/value.h"

enum spec_kind {
	SPEC_STRING,  /* char *, mem_ memory; min and max are bytes */
	SPEC_NAME,    /* char *, must match [a-z0-9][a-z0-9._-]{0,62} */
	SPEC_BOOL,    /* bool */
	SPEC_INT,     /* int64_t */
	SPEC_SIZE,    /* int64_t bytes: 4096, 16KiB, 512MiB, 1GiB */
	SPEC_SECONDS, /* int64_t seconds: 90, 90s, 2m, 1h, 30d */
	SPEC_ENUM,    /* int: the index in choices */
	SPEC_STRINGS, /* struct spec_strings; a single string counts as one */
	SPEC_OBJECT,  /* an embedded struct described by sub */
	SPEC_LIST,    /* struct spec_list of structs described by sub */
	SPEC_MAP,     /* struct spec_list of structs described by sub, whose
	               * first entry (named "") takes the key: SPEC_NAME */
	SPEC_VALUE,   /* const struct value *, as it stands in the document */
	SPEC_CUSTOM   /* the entry's read function decides */
};

struct spec_strings {
	char **items; /* mem_ memory, as are the strings */
	size_t count;
};

struct spec_list {
	void *items; /* mem_ memory: count structs, one after the other */
	size_t count;
};

struct spec;
struct spec_faults;

struct spec {
	const char *key; /* NULL ends the table */
	enum spec_kind kind;
	size_t offset;
	int64_t min, max, fallback; /* in the unit of the kind, both included;
	                             * for lists, maps and strings in lists
	                             * the number of items. max 0: no limit
	                             * for numbers (if min is 0 as well), else
	                             * SPEC_TEXT_MAX or SPEC_ITEMS_MAX. The
	                             * fallback may lie outside */
	const char *help;           /* one sentence for the reference page */
	const char *text;           /* default of strings, NULL: none; of
	                             * SPEC_STRINGS: a list of one */
	const char *const *choices; /* SPEC_ENUM: NULL-terminated */
	const struct spec *sub;
	size_t size; /* of one item of a list or map */
	bool required;
	/* SPEC_CUSTOM: read fills the field, which is zeroed, and is not called
	 * for a key that was left out; clear releases it (NULL: nothing to). */
	void (*read)(void *field, const struct value *v, const struct spec *s,
	    struct spec_faults *faults);
	void (*clear)(void *field);
};

enum {
	SPEC_FAULTS_MAX = 20,  /* kept; the rest are counted */
	SPEC_TEXT_MAX = 4096,  /* bytes of a string, if max does not say */
	SPEC_ITEMS_MAX = 1000, /* of lists and maps, if max does not say */
	SPEC_NAME_MAX = 63
};

/* Faults gathered while reading: "<name>:<line>:<column>: <path>: <what>". */
struct spec_faults {
	const char *name; /* the file, for messages */
	struct buf text;  /* one fault per line */
	size_t count;
	char path[512]; /* where reading is now: gate.test.timeout */
};

void spec_faults_init(struct spec_faults *f, const char *name);
void spec_faults_clear(struct spec_faults *f);
void spec_fault(struct spec_faults *f, const struct value *at, const char *fmt,
    ...) PRINTF_LIKE(3, 4);

/* ERR_INVALID with all faults as text (newline between them; what does not
 * fit into a struct err is counted at the end, f->text has it), or ERR_OK. */
enum err_code spec_verdict(const struct spec_faults *f, struct err *e)
    MUST_CHECK;

/* Fills the struct at `into`, which must be zeroed: first the defaults, then
 * what v says. v NULL: defaults only. After faults the struct still has to be
 * released with spec_clear. */
void spec_read(void *into, const struct spec *table, const struct value *v,
    struct spec_faults *faults);

/* Releases all that spec_read allocated and zeroes the fields. */
void spec_clear(void *from, const struct spec *table);

/* Appends a reference in Markdown: one table row per key, sub-tables below. */
void spec_describe(struct buf *out, const struct spec *table,
    const char *title);

/* Does this text match [a-z0-9][a-z0-9._-]{0,62}? */
bool spec_is_name(const char *text);

#endif
