#ifndef BUNDLER_RULE_H
#define BUNDLER_RULE_H

/* The rules of a .rego file: where each statement at the top begins and ends,
 * whose definition it is, and a digest of what it says. This is no parser: it
 * knows OPA's tokens (v1/ast/internal/scanner) and after which of them a
 * statement can end (v1/ast/parser.go), so a module that the engine takes is
 * cut where the engine cuts it, and for one that it refuses anything may come
 * out. Pure, any thread.
 *
 * The digest covers the tokens alone. Comments, blanks, line breaks, and
 * semicolons where a line break would do are left out of it. Two definitions
 * with equal digests mean the same if their modules' imports are the same. The
 * reverse is not so: these are other tokens with the same meaning:
 *   - a comma after the last item; parentheses that change nothing
 *   - "x" and `x`, other escapes in a string; a.b and a["b"]
 *   - an operator and the call it stands for: a + b, plus(a, b)
 *   - `p if …` and `p := true if …`; a body of one line with or without braces;
 *     several bodies behind one head, and as many rules
 *   - a semicolon before a bracket or a minus, where a line break
 *     would do; a blank between `not` or `some` and a bracket */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "signing/digest.h"

enum {
	RULE_DEPTH_MAX = 1000,     /* open brackets */
	RULE_MODULE_MAX = 1000000, /* definitions and imports of a module */
	RULE_NAME_MAX = 4096       /* bytes */
};

enum rule_kind {
	RULE_VALUE,    /* p := 1 */
	RULE_SET,      /* p contains x */
	RULE_OBJECT,   /* p[x] := y: the part of its name that varies */
	RULE_FUNCTION, /* p(x) := y */
	RULE_IMPORT
};
const char *rule_kind_name(enum rule_kind kind);

/* One definition; several with one name make up a rule. */
struct rule {
	char *name; /* a.b["c-d"]: as far as it is the same in all worlds; of an
	             * import, what follows the keyword */
	enum rule_kind kind;
	bool is_default;
	uint32_t line; /* of its first word */
	size_t start;  /* in the text, and its length */
	size_t len;
	char hash[DIGEST_HEX_SIZE]; /* of its tokens */
};

struct rule_list {
	struct rule *items; /* as they stand in the text */
	size_t count;
};
void rule_list_clear(struct rule_list *l);

/* rego_version 0 or 1: which words are keywords before any import. INVALID or
 * LIMIT: "<name>:<line>: <what>". */
enum err_code rule_read(struct rule_list *out, const char *name,
    const char *text, size_t len, int rego_version, struct err *e) MUST_CHECK;

#endif
