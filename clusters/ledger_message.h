#ifndef CLUSTERS_LEDGER_MESSAGE_H
#define CLUSTERS_LEDGER_MESSAGE_H

/* What each kind of message does, inside the transaction of one message. Each
 * reads its payload strictly, changes the store, and sets *reply (the caller's
 * then) or leaves it NULL for {}. After an error the caller rolls back. */

#include <jansson.h>

#include "clusters/ledger.h"
#include "clusters/store_gc.h"
#include "clusters/store_write.h"

enum {
	LEDGER_TEXT_MAX = 4096 /* url, author, subject, messages */
};

struct ledger_context {
	struct store *store;
	int64_t repositories_left; /* new ones that may still come; they are
	                            * only ever added while this runs */
	int64_t engines_max;
	struct store_keep keep;
	int64_t handover_ms; /* for engines to let go of a root */
	const char *folder;  /* whose disk may be full; NULL: not asked */
};

typedef enum err_code ledger_fn(struct ledger_context *c, const json_t *payload,
    json_t **reply, struct err *e);

ledger_fn ledger_repository;
ledger_fn ledger_commits;
ledger_fn ledger_verdict;
ledger_fn ledger_publish;
ledger_fn ledger_operation;
ledger_fn ledger_collect;
ledger_fn ledger_discovery;
ledger_fn ledger_head;
ledger_fn ledger_keys;
ledger_fn ledger_variant;
ledger_fn ledger_targets;
ledger_fn ledger_delivery;
ledger_fn ledger_alarms;
ledger_fn ledger_http_alarms;
ledger_fn ledger_sets;
ledger_fn ledger_set;
ledger_fn ledger_acked;
ledger_fn ledger_tick; /* without a message: when time passed */
ledger_fn ledger_action;
ledger_fn ledger_engines;

#endif
