#ifndef CLUSTERS_CHAIN_HEADS_H
#define CLUSTERS_CHAIN_HEADS_H

/* The signed heads that a chain (clusters/chain.h) is held against: the event of
 * each has to be there, and the same. Those of the store's own list are told of
 * by an event each (audit.head), so that none can be taken out of the list or
 * put into it; those that somebody kept elsewhere need not be in it. Whether
 * their signatures are good was looked at before. No I/O, one thread. */

#include <stdbool.h>
#include <stddef.h>

#include "clusters/chain.h"

struct chain_mark;

/* {0} to start with; chain_heads_clear. */
struct chain_heads {
	struct chain_mark *items;
	size_t count;
	size_t next; /* all before were met */
};

/* listed: it is of the store's own list. Copies what it is given. All of them
 * before the first event. */
void chain_heads_add(struct chain_heads *h, const struct chain_head *at,
    const char *jws, bool listed);
void chain_heads_clear(struct chain_heads *h);

/* For clusters/chain.c: after each event that is good, and after the last.
 * CORRUPT. */
enum err_code chain_heads_meet(struct chain_heads *h,
    const struct chain_event *v, struct err *e) MUST_CHECK;
enum err_code chain_heads_finish(const struct chain_heads *h,
    const struct chain_head *end, struct err *e) MUST_CHECK;

#endif
