#ifndef BENCH_OPERATOR_H
#define BENCH_OPERATOR_H

/* Who asks for rollbacks, and looks what the server knows. Waits for each
 * answer; what is not a good one ends the program. One thread. */

#include <jansson.h>
#include <stddef.h>

#include "bench/crowd.h"

struct operator
{
	const char *url, *token; /* https: nobody is verified */
};

/* POST with a body (JSON), else GET; the answer is the caller's. */
json_t *operator_ask(const struct operator* o, const char *path,
    const char *body);
void operator_roll_back(const struct operator* o, const char *bundle,
    const char *revision);
/* Engines that run what they should, as the server knows from their polls. */
size_t operator_converged(const struct operator* o);
/* Until those are all of the crowd, whose processes are looked after meanwhile. */
void operator_wait_converged(const struct operator* o, struct crowd *c);

#endif
