#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

/* What somebody could push to a repository to harm whoever builds it. */

#include <stddef.h>

#define BY_HEADER "by its header"

struct hostile {
	const char *name;
	/* Shell that prints the id of a tree. It has $P (a policy), $D (data),
	 * blob TEXT (printf escapes), tree MODE NAME ID..., deep N ID (ID below
	 * N folders called d), repeat N TEXT, zeros N, and bomb (512 MiB made
	 * by a delta of some bytes). */
	const char *script;
	/* What the refusal says; NULL: it is built, and holds these files.
	 * BY_HEADER: it is refused for a size that no blob is unpacked for. */
	const char *says;
	const char *holds;
};

extern const struct hostile hostile_cases[];
extern const size_t hostile_case_count;

#endif
