#ifndef BUNDLER_COMPILE_ORDER_H
#define BUNDLER_COMPILE_ORDER_H

/* Modules that opa's optimizer made, in one form for all runs. With the same
 * input it numbers variables, calls helper rules and orders rules as its hash
 * tables have it (v1/topdown/save.go, v1/compile/compile.go), which means the
 * same each time and is never the same text. So here variables that it numbered
 * are counted anew within each rule (compile_variables.h), helper rules are
 * called by a digest of what they say, `not` statements that follow each other
 * and rules stand sorted, and what is there twice stands once. Only for modules
 * as the optimizer writes them: there every other rule is named in full
 * (data.a.b), and a helper, which none but it has in the package that is its
 * namespace, as data.NAMESPACE.__not1_2_3__. Pure, any thread.
 */

#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

/* What new names of helpers begin with. */
#define COMPILE_HELPER_PREFIX "__made_"

enum compile_kind {
	COMPILE_MADE,    /* by the optimizer */
	COMPILE_HELPERS, /* the same, and its package is the namespace */
	COMPILE_SOURCE   /* stays as it is; its names are taken */
};

struct compile_module {
	const char *name; /* for messages */
	const char *text;
	size_t len;
	int version; /* rego version */
	enum compile_kind kind;
	struct buf out; /* the same in order; the caller clears it */
};

/* All that one run wrote, since they refer to each other. */
enum err_code compile_order(struct compile_module *modules, size_t count,
    const char *namespace, struct err *e) MUST_CHECK;

#endif
