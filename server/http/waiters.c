#include "server/http/waiters.h"

#include <assert.h>
#include <string.h>

#include "core/mem.h"

void
waiters_clear(struct waiters *w)
{
	assert(w->count == 0);
	mem_free(w->heap);
	memset(w, 0, sizeof *w);
}

static void
put(struct waiters *w, size_t i, struct waiter *waiter)
{
	w->heap[i] = waiter;
	waiter->place = i + 1;
}

static void
rise(struct waiters *w, size_t i, struct waiter *waiter)
{
	while (i > 0) {
		size_t parent = (i - 1) / 2;

		if (w->heap[parent]->deadline_ms <= waiter->deadline_ms)
			break;
		put(w, i, w->heap[parent]);
		i = parent;
	}
	put(w, i, waiter);
}

static void
sink(struct waiters *w, size_t i, struct waiter *waiter)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= w->count)
			break;
		if (child + 1 < w->count &&
		    w->heap[child + 1]->deadline_ms <
			w->heap[child]->deadline_ms)
			child++;
		if (waiter->deadline_ms <= w->heap[child]->deadline_ms)
			break;
		put(w, i, w->heap[child]);
		i = child;
	}
	put(w, i, waiter);
}

void
waiters_add(struct waiters *w, struct waiter *waiter, int64_t deadline_ms)
{
	assert(waiter->place == 0);
	if (w->count == w->cap) {
		w->cap = w->cap > 0 ? 2 * w->cap : 64;
		w->heap = mem_grow(w->heap, w->cap, sizeof(struct waiter *));
	}
	waiter->deadline_ms = deadline_ms;
	w->count++;
	rise(w, w->count - 1, waiter);
}

void
waiters_remove(struct waiters *w, struct waiter *waiter)
{
	size_t i = waiter->place - 1;
	struct waiter *last;

	assert(waiter->place > 0 && w->heap[i] == waiter);
	waiter->place = 0;
	last = w->heap[--w->count];
	if (last == waiter)
		return;
	if (i > 0 && w->heap[(i - 1) / 2]->deadline_ms > last->deadline_ms)
		rise(w, i, last);
	else
		sink(w, i, last);
}

bool
waiter_waits(const struct waiter *waiter)
{
	return waiter->place > 0;
}

int64_t
waiters_next(const struct waiters *w, int64_t now_ms)
{
	int64_t at;

	if (w->count == 0)
		return -1;
	at = w->heap[0]->deadline_ms;
	if (at < w->batch_ms + WAITERS_BATCH_MS)
		at = w->batch_ms + WAITERS_BATCH_MS;
	return at > now_ms ? at - now_ms : 0;
}

struct waiter *
waiters_due(struct waiters *w, int64_t now_ms)
{
	struct waiter *first;

	if (w->count == 0 || w->heap[0]->deadline_ms > now_ms)
		return NULL;
	if (now_ms != w->batch_ms && now_ms < w->batch_ms + WAITERS_BATCH_MS)
		return NULL;
	w->batch_ms = now_ms;
	first = w->heap[0];
	waiters_remove(w, first);
	return first;
}

struct waiter *
waiters_at(const struct waiters *w, size_t i)
{
	assert(i < w->count);
	return w->heap[i];
}
