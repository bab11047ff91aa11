#ifndef SERVER_BUNDLE_API_H
#define SERVER_BUNDLE_API_H

/* What engines ask for: the bundle that is assigned to them, at once or when
 * there is a newer one. Everything is in memory; no request waits for a lock,
 * the database or the disk. */

struct request;

void bundle_api_get(struct request *r);
void bundle_api_get_of_cluster(struct request *r);

#endif
