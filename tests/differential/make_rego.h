#ifndef TESTS_DIFFERENTIAL_MAKE_REGO_H
#define TESTS_DIFFERENTIAL_MAKE_REGO_H

/* Modules in the syntax of 1.0 that the engine takes, whatever they mean. What
 * they say and how they are laid out come from dice of their own, so that one
 * text can be had in many layouts. Kept out is what rule.h lists as other
 * tokens with the same meaning. */

#include "core/buf.h"
#include "dice.h"

enum { MAKE_REGO_RULES = 14 };

/* Rule number i is made of content[i]. */
void make_rego(struct buf *out, struct dice content[MAKE_REGO_RULES],
    struct dice *layout);

#endif
