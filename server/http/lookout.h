#ifndef SERVER_HTTP_LOOKOUT_H
#define SERVER_HTTP_LOOKOUT_H

/* What http sees going wrong and somebody outside is told of: engines that
 * reject what is assigned, certificates that run out, a server.yaml that is
 * refused or does not hold (clusters/store_outbox.h
 * has the alarms, the ledger knows which are news). In the control thread of
 * http; nothing that is served waits for it. */

#include "core/channel.h"
#include "server/http/service.h"

enum {
	LOOKOUT_MS = 2000,        /* between two looks */
	LOOKOUT_RETRY_MS = 30000, /* after one could not be told */
	LOOKOUT_KINDS = 4
};
#define LOOKOUT_EXPIRY_MS (INT64_C(14) * 24 * 3600 * 1000)

struct lookout {
	struct service *service;
	int64_t next_ms;
	uint64_t rejected;         /* engines that began to, at the last look */
	char *told[LOOKOUT_KINDS]; /* as the ledger knows them; NULL: unknown */
};

void lookout_init(struct lookout *l, struct service *s);
void lookout_clear(struct lookout *l);

/* Call about once a second. */
void lookout_tick(struct lookout *l);

/* The ledger answered LEDGER_HTTP_ALARMS, or will not answer any more (NULL). */
void lookout_reply(struct lookout *l, const struct message *m);

#endif
