#ifndef SERVER_HTTP_ENGINE_LOG_H
#define SERVER_HTTP_ENGINE_LOG_H

/* The table of engines over time: those who stay away are forgotten, what
 * changed is handed to the ledger in batches, and at the start the table gets
 * back what was known. In the control thread of http; nothing that is served
 * waits for it. */

#include "clusters/store.h"
#include "server/http/service.h"

enum {
	ENGINE_LOG_MS = 5000,        /* between two batches */
	ENGINE_LOG_RETRY_MS = 60000, /* after one was refused */
	ENGINE_LOG_BATCHES = 8       /* at once */
};

struct engine_log {
	struct service *service;
	int64_t next_ms;
	bool refused; /* said already */
};

void engine_log_init(struct engine_log *l, struct service *s);

/* Once per table, when the store can be read. */
void engine_log_restore(struct engine_log *l, struct store *s);

/* Call about once a second. */
void engine_log_tick(struct engine_log *l);

/* The last of it; nobody waits for the ledger's answer. */
void engine_log_end(struct engine_log *l);

/* The ledger answered LEDGER_ENGINES, or will not answer any more (NULL). */
void engine_log_reply(struct engine_log *l, const struct message *m);

#endif
