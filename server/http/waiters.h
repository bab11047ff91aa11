#ifndef SERVER_HTTP_WAITERS_H
#define SERVER_HTTP_WAITERS_H

/* Requests that wait, each until a moment of its own: a heap by deadline, the
 * nodes embedded in what waits. libmicrohttpd looks through all suspended
 * connections when one is resumed, but not when many are together, so what is
 * due comes in batches: at most one per WAITERS_BATCH_MS. One thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WAITERS_BATCH_MS = 50 };

/* Zeroed: waits for nothing. */
struct waiter {
	size_t place;        /* 1 + its index in the heap; 0: not in it */
	int64_t deadline_ms; /* clock_mono_ms */
};

struct waiters {
	struct waiter **heap;
	size_t count;
	size_t cap;
	int64_t batch_ms; /* when the last batch was */
};

/* Zeroed is fine. */
void waiters_clear(struct waiters *w);

void waiters_add(struct waiters *w, struct waiter *waiter, int64_t deadline_ms);
void waiters_remove(struct waiters *w, struct waiter *waiter);
bool waiter_waits(const struct waiter *waiter);

/* Milliseconds until waiters_due has something, or -1. */
int64_t waiters_next(const struct waiters *w, int64_t now_ms);

/* The one that is due next, taken out, or NULL. Call until NULL. */
struct waiter *waiters_due(struct waiters *w, int64_t now_ms);

/* Any of them, for looking through all: i below count. Adding and removing
 * changes the order. */
struct waiter *waiters_at(const struct waiters *w, size_t i);

#endif
