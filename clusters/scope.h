#ifndef CLUSTERS_SCOPE_H
#define CLUSTERS_SCOPE_H

/* What a credential may do, by its role, and what it is limited to: clusters and bundles, as lists of names in
 * which * stands for any run of characters and ? for any one. A list that is
 * empty or NULL limits nothing. The lists are borrowed. Pure; any thread. */

#include <jansson.h>
#include <stdbool.h>

#include "core/err.h"

/* Each of the last three may do what the one before may. */
enum scope_role {
	SCOPE_ENGINE,
	SCOPE_VIEWER,   /* reads */
	SCOPE_RELEASER, /* and says who gets what */
	SCOPE_ADMIN     /* and who may do so */
};
enum { SCOPE_ROLES = SCOPE_ADMIN + 1 };
extern const char *const scope_role_names[SCOPE_ROLES];

/* False: no role is called that. */
bool scope_role_parse(enum scope_role *out, const char *name);

enum { SCOPE_PATTERNS_MAX = 32, SCOPE_PATTERN_MAX = 63 };

struct scope {
	const json_t *clusters, *bundles;
};

bool scope_is_limited(const struct scope *s);
bool scope_cluster(const struct scope *s, const char *cluster);
bool scope_bundle(const struct scope *s, const char *bundle);

/* The name, when the list is just one name without * and ?; else NULL. */
const char *scope_only(const json_t *list);

/* A list from outside, or NULL: INVALID or LIMIT says what is wrong with it. */
enum err_code scope_check(const json_t *list, const char *what, struct err *e)
    MUST_CHECK;

#endif
