#ifndef SERVER_PIPELINE_JWKS_REFRESH_H
#define SERVER_PIPELINE_JWKS_REFRESH_H

/* The keys of issuers that have access.jwt.jwks_url: asked for at the start,
 * every `refresh`, and soon after a token came that was signed by an unknown
 * key, for which there is a counter; that at most once a minute, so that nobody
 * can make us press the issuer. A set that can be used is put into
 * data_dir/jwks, from where the supervisor hands it to http; the one before stays
 * there while the issuer gives none, over restarts too. A thread of the
 * pipeline. */

#include "server/pipeline/desk.h"

enum {
	JWKS_REFRESH_ASKED_MS = 60000,     /* between two for unknown keys */
	JWKS_REFRESH_RETRY_MIN_MS = 5000,  /* after a failure */
	JWKS_REFRESH_RETRY_MAX_MS = 300000 /* or `refresh`, if that is sooner */
};

/* Is there anything to do? */
bool jwks_refresh_needed(const struct conf *c);

/* Until the desk is stopping. */
void jwks_refresh_run(struct desk *d);

#endif
