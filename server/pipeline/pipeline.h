#ifndef SERVER_PIPELINE_H
#define SERVER_PIPELINE_H

/* The process that knows the whole way of a commit: fetch, gate, bundle, sign,
 * verify, publish; a thread per repository. It may not listen, execute, hold
 * signing keys, or see credentials of Git hosts: it asks the supervisor, the
 * keeper and the ledger. */

#include "clusters/counters.h"
#include "server/conf/conf.h"

struct pipeline_setup {
	const struct conf *conf;
	int ledger_fd, keeper_fd, supervisor_fd;
	struct counters *counters;
};

/* Serves until SIGTERM. Returns the exit status. */
int pipeline_main(const struct pipeline_setup *setup);

#endif
