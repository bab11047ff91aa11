#ifndef SERVER_API_BUNDLE_API_H
#define SERVER_API_BUNDLE_API_H

/* What engines ask for: the bundle that is assigned to them, at once or when
 * there is a newer one. Everything is in memory; no request waits for a lock,
 * the database or the disk. */

#include <stdbool.h>

struct catalog_entry;
struct request;

/* Is this one of the cluster's engines, or an admin? */
bool bundle_api_serves(const struct request *r, const char *cluster);
/* 200 with its bytes, or a 304. */
void bundle_api_answer(struct request *r, unsigned int status,
    const struct catalog_entry *entry);

void bundle_api_get(struct request *r);
void bundle_api_get_of_cluster(struct request *r);

#endif
