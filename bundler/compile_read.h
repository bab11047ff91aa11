#ifndef BUNDLER_COMPILE_READ_H
#define BUNDLER_COMPILE_READ_H

/* What `opa build` wrote becomes a bundle of ours. Pure, any thread. */

#include "bundler/bundle.h"

struct compile_reading {
	const struct bundle *from; /* what opa read */
	const struct tree_commit *commit;
	const char *engine;    /* version */
	const char *namespace; /* of rules that the optimizer made, or NULL */
	size_t
	    turn; /* of the optimizer, from 0: what it made before is input */
};

/* INVALID when there is anything that is not understood: another file, a
 * package outside the roots and the namespace, two files with one name. */
enum err_code compile_read(struct bundle **out, const struct compile_reading *r,
    const void *data, size_t len, struct err *e) MUST_CHECK;

/* Appends this manifest without `wasm`. */
enum err_code compile_strip_manifest(struct buf *out,
    const struct bundle_file *manifest, struct err *e) MUST_CHECK;

#endif
