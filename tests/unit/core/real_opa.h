#ifndef TESTS_UNIT_CORE_REAL_OPA_H
#define TESTS_UNIT_CORE_REAL_OPA_H

/* What the real engine makes of documents, many in one run. Everything that
 * cannot be done fails the test that asked. */

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

/* A folder of one document per sub-folder: d0, d1, … */
struct real_opa {
	char dir[64];
	const char *file; /* name of each document's file */
	size_t count;
};

void real_opa_init(struct real_opa *o, const char *file);
void real_opa_add(struct real_opa *o, const char *text, size_t len);
void real_opa_clear(struct real_opa *o);

/* Runs `opa eval <flag> <dir> data`; out gets all that it prints. */
void real_opa_eval(const struct real_opa *o, const char *flag, struct buf *out);

/* The canonical form of document number index in what was printed. */
void real_opa_value(struct buf *out, const struct buf *printed, size_t index);

/* Does what was printed complain about this document? */
bool real_opa_refused(const struct real_opa *o, const struct buf *printed,
    size_t index);

#endif
