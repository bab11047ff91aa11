#ifndef TESTS_UNIT_CORE_CONFINE_ATTEMPTS_H
#define TESTS_UNIT_CORE_CONFINE_ATTEMPTS_H

/* Escape attempts, each by a process that has just been confined. To show that
 * it is a real one, it is first made without confinement, and there it must get
 * through. */

#include <stdbool.h>
#include <stddef.h>

/* Not free: what cannot get through even unconfined in some places (another
 * file system, a container); then only the refusal is shown. */
struct attempt {
	const char *name;
	bool (*make)(void);
	unsigned int granted_by; /* bits of which one makes it legitimate */
	bool not_free;
};

extern const struct attempt attempts[];
extern const size_t attempt_count;

/* By name, which must be there. */
const struct attempt *attempt_find(const char *name);

#endif
