#ifndef BUNDLER_COMPILE_ORDER_H
#define BUNDLER_COMPILE_ORDER_H

/* Modules that opa's optimizer made, in one form for all runs. With the same
 * input it numbers variables, calls helper rules and orders rules as its hash
 * tables have it (v1/topdown/save.go, v1/compile/compile.go), which means the
 * same each time and is never the same text. So here variables that it numbered
 * are counted anew within each rule, helper rules are called by a digest of what
 * they say, `not` statements that follow each other and rules stand sorted.
 * Nothing else changes. Only for modules as
 * the optimizer writes them: there every rule is named in full (data.a.b), so a
 * word that ends in a digit, is not called, is no rule's name and stands behind
 * no dot is a variable, and helper rules are members of data. Pure, any thread.
 */

#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

struct compile_module {
	const char *name; /* for messages */
	const char *text;
	size_t len;
	int version;    /* rego version */
	struct buf out; /* the same in order; the caller clears it */
};

/* All that one run made, since they refer to each other. */
enum err_code compile_order(struct compile_module *modules, size_t count,
    struct err *e) MUST_CHECK;

#endif
