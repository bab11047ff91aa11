#ifndef SERVER_CONF_CHANGE_H
#define SERVER_CONF_CHANGE_H

/* What another server.yaml means for a server that runs: which settings differ,
 * which processes have to begin anew for them, and which need a restart of the
 * server, because sockets and shared maps are made once. Pure. */

#include <stdbool.h>

#include "core/buf.h"
#include "server/conf/conf.h"

/* Who has to begin anew. */
enum {
	CONF_LEDGER = 1 << 0,
	CONF_KEEPER = 1 << 1,
	CONF_PIPELINE = 1 << 2,
	CONF_HTTP = 1 << 3,
	CONF_EVERYBODY = (1 << 4) - 1
};

enum { CONF_CHANGE_NAMES_MAX = 4096 };

struct conf_change {
	unsigned int needs; /* of CONF_LEDGER and so on */
	struct buf applied; /* names, ", " between them; cut at the end */
	struct buf fixed;   /* those that need a restart of the server */
};

void conf_change_find(struct conf_change *out, const struct conf *now,
    const struct conf *next);
void conf_change_clear(struct conf_change *c);

/* What needs a restart of the server stays in next as it is now. */
void conf_change_keep(const struct conf *now, struct conf *next);

#endif
