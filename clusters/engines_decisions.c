/* Decisions that engines log, counted per cluster and revision. Without locks:
 * a row is taken by its key once and for all, its text is the same whoever
 * writes it, and the rest are numbers. */

#include <string.h>

#include "clusters/engines_table.h"

enum { TRIES = 32 };
static const char other[] = "other";

/* The row of this cluster and revision; taken if it is none's and may be. */
static struct engines_decisions *
find_row(struct engines *t, uint64_t cluster, const char *revision, bool *added)
{
	uint64_t key = (engines_hash(t, revision) * 31 + cluster) | 1;

	*added = false;
	for (size_t i = 0; i < TRIES; i++) {
		struct engines_decisions *row =
		    &t->decisions[(key + i) % ENGINES_DECISIONS_ROWS];
		uint64_t have = 0;

		if (atomic_compare_exchange_strong(&row->key, &have, key)) {
			*added = true;
			return row;
		}
		if (have == key)
			return row;
	}
	return NULL;
}

static void
write_text(struct engines_decisions *row, uint64_t cluster,
    const char *revision)
{
	uint64_t words[ENGINES_REVISION_WORDS] = { 0 };

	memcpy(words, revision, strnlen(revision, sizeof words - 1));
	atomic_store_explicit(&row->cluster, cluster, memory_order_relaxed);
	for (size_t i = 0; i < ENGINES_REVISION_WORDS; i++)
		atomic_store_explicit(&row->revision[i], words[i],
		    memory_order_relaxed);
	atomic_store_explicit(&row->ready, 1, memory_order_release);
}

static bool
is_revision(const char *text)
{
	size_t len = strspn(text,
	    "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return len > 0 && len < ENGINES_REVISION_SIZE && text[len] == '\0';
}

/* What a cluster has besides "other", so that none takes all the room. */
static struct engines_decisions *
row_of(struct engines *t, uint64_t cluster, const char *revision)
{
	bool added;
	struct engines_decisions *rest = find_row(t, cluster, other, &added);
	struct engines_decisions *row;

	if (rest == NULL)
		return NULL;
	if (atomic_load_explicit(&rest->ready, memory_order_acquire) == 0)
		write_text(rest, cluster, other);
	if (!is_revision(revision) ||
	    atomic_load_explicit(&rest->count, memory_order_relaxed) >=
		ENGINES_REVISIONS_MAX)
		return rest;
	row = find_row(t, cluster, revision, &added);
	if (row == NULL)
		return rest;
	if (added)
		atomic_fetch_add_explicit(&rest->count, 1,
		    memory_order_relaxed);
	if (atomic_load_explicit(&row->ready, memory_order_acquire) == 0)
		write_text(row, cluster, revision);
	return row;
}

void
engines_decided(struct engines *t, const char *cluster, const char *revision,
    uint64_t ok, uint64_t errors)
{
	struct engines_decisions *row =
	    row_of(t, engines_hash(t, cluster), revision);

	if (row == NULL)
		return;
	atomic_fetch_add_explicit(&row->ok, ok, memory_order_relaxed);
	atomic_fetch_add_explicit(&row->errors, errors, memory_order_relaxed);
}

void
engines_each_decided(struct engines *t, const char *cluster,
    void (*fn)(const char *revision, uint64_t ok, uint64_t errors, void *arg),
    void *arg)
{
	uint64_t hash = engines_hash(t, cluster);

	for (size_t i = 0; i < ENGINES_DECISIONS_ROWS; i++) {
		struct engines_decisions *row = &t->decisions[i];
		uint64_t words[ENGINES_REVISION_WORDS + 1] = { 0 };
		uint64_t ok, errors;

		if (atomic_load_explicit(&row->ready, memory_order_acquire) ==
			0 ||
		    atomic_load_explicit(&row->cluster, memory_order_relaxed) !=
			hash)
			continue;
		for (size_t k = 0; k < ENGINES_REVISION_WORDS; k++)
			words[k] = atomic_load_explicit(&row->revision[k],
			    memory_order_relaxed);
		ok = atomic_load_explicit(&row->ok, memory_order_relaxed);
		errors =
		    atomic_load_explicit(&row->errors, memory_order_relaxed);
		if (ok + errors > 0 && is_revision((const char *)words))
			fn((const char *)words, ok, errors, arg);
	}
}
