#include "server/http/count.h"

#include <string.h>

static enum counter
of_status(unsigned int status)
{
	static const struct {
		unsigned int status;
		enum counter counter;
	} polls[] = {
		{ 200, COUNTER_POLLS_200 },
		{ 304, COUNTER_POLLS_304 },
		{ 401, COUNTER_POLLS_401 },
		{ 403, COUNTER_POLLS_403 },
		{ 404, COUNTER_POLLS_404 },
		{ 429, COUNTER_POLLS_429 },
		{ 503, COUNTER_POLLS_503 },
	};

	for (size_t i = 0; i < sizeof polls / sizeof *polls; i++)
		if (polls[i].status == status)
			return polls[i].counter;
	return COUNTER_POLLS_OTHER;
}

static enum counter
of_kind(const struct request *r)
{
	switch (r->status) {
	case 200:
		return r->waited ? COUNTER_ANSWERS_HELD_SENT
				 : COUNTER_ANSWERS_SENT;
	case 304:
		return r->waited ? COUNTER_ANSWERS_HELD_UNCHANGED
				 : COUNTER_ANSWERS_UNCHANGED;
	default:
		if (r->status == 503 && r->full)
			return COUNTER_ANSWERS_FULL;
		return r->waited ? COUNTER_ANSWERS_HELD_OTHER
				 : COUNTER_ANSWERS_REFUSED;
	}
}

void
count_answer(const struct request *r, enum route_right right)
{
	struct counters *c = r->service->counters;

	if (r->suspended || right == ROUTE_ANYONE ||
	    (right == ROUTE_ENGINE && strcmp(r->method, "POST") == 0))
		return;
	if (right >= ROUTE_VIEWER) {
		counters_add(c, COUNTER_API, 1);
		return;
	}
	counters_add(c, of_status(r->status), 1);
	if (!r->gone)
		counters_add(c, of_kind(r), 1);
}

void
count_gone(struct request *r)
{
	r->gone = true;
	if (r->counted) /* a poll, and no question to the ledger */
		counters_add(r->service->counters, COUNTER_ANSWERS_HELD_GONE,
		    1);
}
