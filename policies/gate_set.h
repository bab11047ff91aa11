#ifndef POLICIES_GATE_SET_H
#define POLICIES_GATE_SET_H

/* Several bundles loaded together, as the engines of one cluster would have
 * them: roots, rules and data, and one module's calls into another's. */

#include "policies/gate.h"

struct gate_set_part {
	const char *bundle; /* its name */
	const char *path;   /* of the unsigned file; absolute */
};

/* Copies them to job->work/set and loads them by `opa build -b … -b …`. Of job,
 * work, engine and runner are needed. INVALID with opa's own words when it
 * refuses them; CORRUPT or NOT_FOUND when a file is not there as it was; TIMEOUT,
 * UNAVAILABLE and others when it could not be told. WebAssembly modules are
 * read, but not started. */
enum err_code gate_load_set(const struct gate_job *job,
    const struct gate_set_part *parts, size_t count, struct err *e) MUST_CHECK;

#endif
