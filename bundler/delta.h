#ifndef BUNDLER_DELTA_H
#define BUNDLER_DELTA_H

/* What is different between two bundles, for people: files, packages, rules,
 * data paths, the manifest. As docs/api.md describes it, so that commands and
 * the HTTP API show one thing. Everything is sorted; the same two bundles give
 * the same answer. Values of policy data are in it: it is for terminals and
 * operators, never for a log. Pure, any thread. */

#include <jansson.h>

#include "bundler/bundle.h"
#include "signing/digest.h"

enum {
	DELTA_LIST_MAX = 1000,      /* entries listed of a kind; the rest is
	                            * counted */
	DELTA_VALUE_MAX = 160,      /* bytes of a value, about */
	DELTA_TEXT_MAX = 60,        /* bytes of a string within it */
	DELTA_PATH_MAX = 1024,      /* bytes of a data path; more is cut */
	DELTA_RULES_MAX = 1000000,  /* definitions in one package */
	DELTA_STEPS_MAX = 64 << 20, /* values looked at */
	DELTA_VALUES_MAX = 64 << 20 /* values read; each takes some 70 bytes of
	                             * memory */
};

/* The caller owns *out. Modules and data that cannot be read are listed in it,
 * and no error. INVALID: a manifest that cannot be read. LIMIT: more than the
 * numbers above allow, or data files that differ with more values than
 * values_max, before they are read. */
enum err_code delta_make(json_t **out, const struct bundle_archive *from,
    const struct bundle_archive *to, size_t values_max, struct err *e)
    MUST_CHECK;

/* The content digest of bundle.h, of a bundle that was read. */
enum err_code delta_content(char out[DIGEST_HEX_SIZE],
    const struct bundle_archive *a, struct err *e) MUST_CHECK;

/* A planned bundle as if it had been read. Everything is borrowed from b: do
 * not clear it. */
struct bundle_archive delta_view(const struct bundle *b);

#endif
