#ifndef BUNDLER_KNOWN_H
#define BUNDLER_KNOWN_H

/* What a bundle came to, known by what went in: of a commit that touches
 * nothing of a bundle, its digest, roots and versions are those of before, and
 * nothing of it is looked at again. What went in is the blob of edict.yaml and
 * the ids of the folders and files that the bundle's paths name, so this is for
 * trees from Git. A file there that is no part of the bundle counts too: it is
 * then worked out again, for nothing. Bundles that opa compiles depend on more
 * and are never known. */

#include "bundler/bundle.h"
#include "signing/digest.h"

/* False: it cannot be told. */
bool known_key(char out[DIGEST_HEX_SIZE], const struct tree *t,
    const struct definition_bundle *d) MUST_CHECK;

/* As bundle_plan_all_with, but what is known from an earlier tree comes bare:
 * all facts, no files. `planned` counts the others. */
enum err_code known_plan_all(struct bundle_set *out, size_t *planned,
    const struct tree *t, const struct definition *d,
    const struct bundle_means *means, struct err *e) MUST_CHECK;

/* Without files: to be planned by itself before anything is made of it. */
bool known_is_bare(const struct bundle *b);

#endif
