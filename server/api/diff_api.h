#ifndef SERVER_API_DIFF_API_H
#define SERVER_API_DIFF_API_H

/* GET /v1/bundles/{bundle}/diff?from=&to=: what differs between two revisions
 * whose artifacts are stored, as bundler/delta.h says it. Reading and comparing
 * is done by the study. */

#include "server/http/request.h"

enum {
	DIFF_API_REV_MAX = 256,
	DIFF_API_SIZE_MAX = 64 << 20, /* bytes of each, unpacked */
	DIFF_API_VALUES_MAX = 2 << 20 /* of the data that differs, of both */
};

void diff_api_get(struct request *r);

#endif
