#ifndef SERVER_HTTP_COUNT_H
#define SERVER_HTTP_COUNT_H

/* What /metrics tells of answers: how many with which status, and of engines'
 * polls which kind of answer each was (clusters/counters.c). In the loop's own
 * thread; some additions, no lock. */

#include "server/http/request.h"

/* A handler has run; right is what its route needs. A request that waits is
 * counted when it is answered. */
void count_answer(const struct request *r, enum route_right right);

/* Its client went away while it waited. */
void count_gone(struct request *r);

#endif
