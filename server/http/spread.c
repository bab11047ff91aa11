#include "server/http/spread.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <uthash.h>

#include "core/mem.h"
#include "server/http/poll.h"

/* One that came while another one was under way. */
struct release {
	const struct catalog_entry *entry;
	int64_t since_ms; /* when the first of them was assigned */
	char before[CATALOG_ETAG_SIZE];
	UT_hash_handle hh;
};

static bool
is_under_way(const struct spread *s, int64_t since_ms, int64_t now_ms)
{
	/* A clock that was set back holds up nobody. */
	return since_ms != 0 && now_ms >= since_ms &&
	    now_ms - since_ms < s->length_ms;
}

static const struct release *
find(const struct release *list, const struct catalog_entry *entry)
{
	const struct release *found;

	HASH_FIND_PTR(list, &entry, found);
	return found;
}

static void
add(struct release **list, const struct catalog_entry *entry, int64_t since_ms,
    const char *before)
{
	struct release *r = mem_zalloc(sizeof *r);

	r->entry = entry;
	r->since_ms = since_ms;
	(void)snprintf(r->before, sizeof r->before, "%s", before);
	HASH_ADD_PTR(*list, entry, r);
}

static void
clear(struct release *list)
{
	struct release *r, *next;

	HASH_ITER(hh, list, r, next) {
		HASH_DEL(list, r);
		mem_free(r);
	}
}

void
spread_begin(struct spread *s)
{
	assert(s->renewed == NULL);
}

/* The same bytes as before are the same release still. */
void
spread_add(struct spread *s, const struct catalog_entry *was,
    const struct catalog_entry *is, int64_t now_ms)
{
	const struct release *r = find(s->list, was);
	int64_t since_ms = r != NULL ? r->since_ms : was->at_ms;

	if (!is_under_way(s, is->at_ms, now_ms))
		return;
	if (!is_under_way(s, since_ms, is->at_ms))
		since_ms = was->at_ms;
	if (strcmp(was->etag, is->etag) == 0) {
		if (r != NULL)
			add(&s->renewed, is, r->since_ms, r->before);
	} else if (is_under_way(s, since_ms, is->at_ms)) {
		add(&s->renewed, is, since_ms, was->etag);
	}
}

void
spread_end(struct spread *s)
{
	clear(s->list);
	s->list = STEAL(s->renewed);
}

void
spread_clear(struct spread *s)
{
	spread_begin(s);
	spread_end(s);
}

/* splitmix64's last step: all bits of both decide. */
static uint64_t
mix(uint64_t who, int64_t since_ms)
{
	uint64_t x = who ^ (uint64_t)since_ms * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static int64_t
random_below(int64_t limit)
{
	uint32_t chance;

	if (getrandom(&chance, sizeof chance, 0) != (ssize_t)sizeof chance)
		chance = 0;
	return (int64_t)(chance % (uint64_t)limit);
}

int64_t
spread_turn_ms(const struct spread *s, const struct catalog_entry *entry,
    uint64_t who, const char *etags, int64_t now_ms)
{
	const struct release *r;
	int64_t since_ms = entry->at_ms;
	int64_t turn_ms;

	if (!is_under_way(s, since_ms, now_ms))
		return 0;
	r = find(s->list, entry);
	if (r != NULL && !poll_has(etags, r->before))
		since_ms = r->since_ms;
	if (!is_under_way(s, since_ms, now_ms))
		return 0;
	if (who == 0)
		return 1 + random_below(since_ms + s->length_ms - now_ms);
	turn_ms =
	    since_ms + (int64_t)(mix(who, since_ms) % (uint64_t)s->length_ms);
	return turn_ms > now_ms ? turn_ms - now_ms : 0;
}
