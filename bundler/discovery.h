#ifndef BUNDLER_DISCOVERY_H
#define BUNDLER_DISCOVERY_H

/* A discovery bundle: one document that tells an engine its configuration, at
 * data.discovery. Like every bundle a pure function of what goes in: the same
 * document gives the same bytes. Its revision is its content digest. Any
 * thread. */

#include "bundler/bundle.h"
#include "core/names.h"

/* As discovery.decision in an engine's own configuration, and as a query. */
#define DISCOVERY_DECISION DISCOVERY_NAME
#define DISCOVERY_QUERY "data." DISCOVERY_NAME

enum { DISCOVERY_SIZE_MAX = 8 << 20 }; /* bytes of the document */

/* text is the document, a JSON object in any form; cluster stands in the
 * manifest's metadata. name is for messages and files: bundle->name. */
enum err_code discovery_bundle(struct bundle **out, const char *cluster,
    const char *text, size_t len, struct err *e) MUST_CHECK;

#endif
