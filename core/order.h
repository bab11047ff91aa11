#ifndef CORE_ORDER_H
#define CORE_ORDER_H

/* Sorting what mostly is in order already: a pass to see whether it is costs
 * far less than qsort, which copies all of it. Any thread. */

#include <stddef.h>
#include <stdlib.h>

static inline void
order_sort(void *base, size_t count, size_t size,
    int (*compare)(const void *a, const void *b))
{
	const char *at = base;

	for (size_t i = 1; i < count; i++, at += size) {
		if (compare(at, at + size) > 0) {
			qsort(base, count, size, compare);
			return;
		}
	}
}

#endif
