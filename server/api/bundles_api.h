#ifndef SERVER_API_BUNDLES_API_H
#define SERVER_API_BUNDLES_API_H

/* /v1/bundles: bundles, their revisions and artifacts. */

struct request;

void bundles_api_list(struct request *r);
void bundles_api_get(struct request *r);
void bundles_api_revisions(struct request *r);
void bundles_api_revision(struct request *r);
void bundles_api_artifact(struct request *r);

#endif
