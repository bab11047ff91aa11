#ifndef SERVER_HTTP_SPREAD_H
#define SERVER_HTTP_SPREAD_H

/* When it is an engine's turn for a release (http.release_spread): a fleet that
 * gets one in the same instant compiles, and shakes hands, in the same second.
 * Only what clusters get by following is spread. What an operator decides, and
 * what an engine without a bundle asks for, is not.
 *
 * An engine with a name has the same turn in all threads and processes, and
 * after a restart of theirs: it follows from its name and the time of the
 * release. So it has one turn for all bundles of one release, and another one
 * in the next. Without a name it is random, and within what is left.
 *
 * A release that comes before the turn of another one has it wait no longer:
 * at its turn it gets the newest. Who got the one before already has a new turn.
 * So nobody is later than one spread behind the first release it lacks, however
 * many follow. Belongs to one thread. */

#include <stdint.h>

#include "clusters/catalog.h"

/* Zeroed, but for length_ms: nothing is spread now. */
struct spread {
	int64_t length_ms; /* 0: nothing ever is */
	struct release *list,
	    *renewed; /* of the entries of the newest catalog */
};

/* Another catalog comes into force: begin, then add what was assigned and what
 * is instead, where both are, and is lives on; then end. What is passed to
 * spread_turn_ms from then on is from the new one. */
void spread_begin(struct spread *s);
void spread_add(struct spread *s, const struct catalog_entry *was,
    const struct catalog_entry *is, int64_t now_ms);
void spread_end(struct spread *s);
void spread_clear(struct spread *s);

/* How long it is until the turn of an engine that has something else; 0: now.
 * who is the hash of its name, 0 without one; etags is its If-None-Match; the
 * time is of the wall clock. */
int64_t spread_turn_ms(const struct spread *s,
    const struct catalog_entry *entry, uint64_t who, const char *etags,
    int64_t now_ms);

#endif
