#ifndef BUNDLER_COMPILE_NOTS_H
#define BUNDLER_COMPILE_NOTS_H

/* Runs of `not …` in the body of a rule that opa's optimizer made: it turns a
 * negation into all combinations of negations, in an order of its hash tables.
 * All of a run have to hold, so their order means nothing. Pure, any thread. */

#include <stdbool.h>
#include <stddef.h>

/* Sorts each run in place, text being laid out as opa does it: by what stands
 * there, or (shapes) as if all words that the optimizer chose were equal. Empty
 * lines are taken out. Text with a raw string is left alone. */
void compile_sort_nots(char *text, bool shapes);

#endif
