#ifndef TESTS_DIFFERENTIAL_DICE_H
#define TESTS_DIFFERENTIAL_DICE_H

/* Numbers that look random and are the same for the same seed, on every
 * machine (splitmix64). One thread at a time per struct dice. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

struct dice {
	uint64_t state;
};

/* A row of its own for each case, so that one case can be made alone. */
struct dice dice_for(uint64_t seed, uint64_t number);

/* From 0 to sides - 1. */
size_t dice_roll(struct dice *d, size_t sides);
/* True in percent of 100 throws. */
bool dice_often(struct dice *d, unsigned int percent);
const char *dice_pick(struct dice *d, const char *const *list, size_t count);
#define DICE_PICK(d, list) dice_pick(d, list, sizeof(list) / sizeof *(list))

/* Breaks a text in one to three places: bytes lost, doubled, changed, or put
 * in from `odd`. */
void dice_break(struct dice *d, struct buf *text, const char *const *odd,
    size_t count);

#endif
