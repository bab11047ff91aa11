#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

/* What somebody could push to a repository to harm whoever builds it. */

#include <stddef.h>

struct hostile {
	const char *name;
	/* Shell that prints the id of a tree. It has $P (a policy), $D (data),
	 * blob TEXT (printf escapes), tree MODE NAME ID..., deep N ID (ID below
	 * N folders called d), and repeat N TEXT. */
	const char *script;
	/* What the refusal says; NULL: it is built, and holds these files: */
	const char *says;
	const char *holds;
};

extern const struct hostile hostile_cases[];
extern const size_t hostile_case_count;

#endif
