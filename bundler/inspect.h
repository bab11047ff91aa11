#ifndef BUNDLER_INSPECT_H
#define BUNDLER_INSPECT_H

/* What a finished bundle says of itself, and whether it holds together: for
 * `verify` and `diff`. Pure, any thread. */

#include "bundler/bundle.h"

/* metadata.edict of the manifest, as manifest_write writes it. NULL and 0:
 * not said, as in what others built. */
struct inspect_origin {
	char *bundle;
	char *commit;
	char *author;
	char *date;
	char *opa; /* the version that compiled it */
	int format;
};
enum err_code inspect_origin_read(struct inspect_origin *out,
    const struct bundle_archive *a, struct err *e) MUST_CHECK;
void inspect_origin_clear(struct inspect_origin *o);

/* Do all packages and all data lie under the manifest's roots, and get on with
 * each other, as layout.h says? INVALID names file and rule. */
enum err_code inspect_layout(const struct bundle_archive *a, struct err *e)
    MUST_CHECK;

#endif
