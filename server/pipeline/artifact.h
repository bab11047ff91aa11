#ifndef SERVER_PIPELINE_ARTIFACT_H
#define SERVER_PIPELINE_ARTIFACT_H

/* From a planned bundle to files that may be served: packed, signed by the
 * keeper, looked at by the real engine with the public key, and only then put
 * where the store's rows point to. A file that fails is deleted. */

#include "bundler/bundle.h"
#include "clusters/store.h"
#include "server/pipeline/desk.h"

/* *out becomes {"sha256","size","key","content_sha256"}. INVALID with the
 * engine's own words when it refuses the bundle. */
enum err_code artifact_build(json_t **out, struct desk *d,
    const struct gate_job *job, const struct bundle *b,
    const struct bundle_means *means, struct err *e) MUST_CHECK;

/* Writes a file that is named by the SHA-256 of its bytes, and its folder,
 * durably; one that is there only becomes young. path is left as it was. */
enum err_code artifact_put(char *path, const char *sha256,
    const struct buf *data, struct err *e) MUST_CHECK;

/* Removes such a file, which nobody names, if it was not put down again in the
 * last young_ms. True: it is gone. Any thread; both take turns. */
bool artifact_remove(const char *path, int64_t young_ms);

/* The file that engines get for it is there, and is what was stored. */
bool artifact_is_whole(const struct desk *d,
    const struct store_artifact *stored);

#endif
