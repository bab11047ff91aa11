#ifndef SERVER_API_STATUS_API_H
#define SERVER_API_STATUS_API_H

/* What engines send of their own accord. Status reports say why a bundle was
 * not activated, which version it is and how its plugins are: that is added to
 * the engine that polls under the same name, in the credential's cluster.
 * Decision logs are counted per cluster, revision and error, and dropped: no
 * part of a decision is kept or logged. Unknown fields are looked over. */

#include <stdbool.h>
#include <stddef.h>

struct request;

enum {
	STATUS_BODY_MAX = 1 << 20,   /* of one report or upload, as sent */
	LOGS_INFLATED_MAX = 4 << 20, /* of an upload that came as gzip */
	STATUS_BODIES_MAX = 64 << 20 /* of all that are under way */
};

void status_api_status(struct request *r);
void status_api_logs(struct request *r);

#endif
