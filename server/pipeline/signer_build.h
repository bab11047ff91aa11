#ifndef SERVER_PIPELINE_SIGNER_BUILD_H
#define SERVER_PIPELINE_SIGNER_BUILD_H

/* From stored content to a file signed by another key: neither Git nor opa is
 * needed. In the thread of server/pipeline/signer.c. */

#include "clusters/store.h"
#include "server/pipeline/desk.h"

struct signer_build {
	struct desk *desk;
	const struct store_artifact *source; /* whose content it is */
	const char *repository; /* whose engine looks at it; NULL: none */
	const char *key;
	const json_t *keys; /* of KEEPER_KEYS */
};

/* The content's file has the digest it was stored with, the keeper has signed
 * the files in it, the finished file has that signature, scope, and those files
 * with those hashes (bundler/bundle.h, or the keeper for HS), and opa, where it
 * answers, agrees; then it is durable. sha256 and size are the finished file's.
 * CORRUPT: the stored content is not what it was. */
enum err_code signer_build(char sha256[STORE_DIGEST_SIZE], int64_t *size,
    const struct signer_build *b, struct err *e) MUST_CHECK;

#endif
