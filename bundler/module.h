#ifndef BUNDLER_MODULE_H
#define BUNDLER_MODULE_H

/* Which package a .rego file is of. Reads no further than the package line, as
 * OPA's scanner does (v1/ast/parser.go, parsePackage): comments and blanks
 * before it, then `package a.b["c-d"]`. What follows is the engine's to judge.
 * Pure, any thread. */

#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

enum {
	MODULE_SEGMENTS_MAX = 128,
	MODULE_NAME_MAX = 4096 /* bytes of all segments */
};

struct module_package {
	char **segments; /* without "data"; at least one; no NUL in any */
	size_t count;
	uint32_t line; /* of the keyword */
};
void module_package_clear(struct module_package *p);

/* INVALID or LIMIT: "<name>:<line>: <what>". */
enum err_code module_package_read(struct module_package *out, const char *name,
    const char *text, size_t len, struct err *e) MUST_CHECK;

/* Appends a path as Rego writes it: data.a["c-d"]. */
void module_path_write(struct buf *out, char *const *segments, size_t count);

#endif
