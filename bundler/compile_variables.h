#ifndef BUNDLER_COMPILE_VARIABLES_H
#define BUNDLER_COMPILE_VARIABLES_H

/* Variables of a rule that opa's optimizer made, counted anew: for
 * compile_order.c. What it numbered is a word that ends in a digit or looks like
 * __local3__12, is not called, is no rule's name, and stands behind no dot;
 * strings are never looked into. All of a rule's that are called alike stay
 * called alike, and no two become one. Pure, any thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

enum { COMPILE_VARIABLES_MAX = 1 << 20 }; /* of one rule */

/* Appends the rule, its variables called __local0__ and on, counted from
 * `first`. LIMIT or INVALID names the module. */
enum err_code compile_count_variables(struct buf *out, const char *rule,
    size_t len, uint64_t first, const char *name, struct err *e) MUST_CHECK;

/* Raises *first past the number of a name like __local7__ that a policy chose by
 * itself: a variable called so would be taken for it. All words of the text, or
 * (one_word) only the one at its start. */
void compile_pass_names(uint64_t *first, const char *text, size_t len,
    bool one_word);

/* Behind `default`: has the rule's name passed before this word? */
bool compile_pass_head(bool *headed, const char *word, size_t len);

#endif
