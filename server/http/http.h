#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

/* A process that talks to the network: engines and operators. It reads the
 * database and the artifacts, and hands what operators want to the ledger with
 * the connection suspended until that answers. It writes nothing, cannot reach
 * the keeper, and sees neither signing keys nor Git credentials.
 *
 * A thread per listening socket runs one libmicrohttpd daemon inside our own
 * epoll loop; one more thread reads the ledger's and the supervisor's messages,
 * builds the next catalog and swaps it as a whole. */

#include "clusters/counters.h"
#include "clusters/engines.h"
#include "server/conf/conf.h"
#include "server/conf/conf_state.h"

struct http_setup {
	const struct conf *conf;
	int64_t generation;   /* of conf: what is handed over says the same */
	size_t place;         /* where it counts for itself (counters.h) */
	size_t processes;     /* of http; 0 is 1 */
	bool successor;       /* another serves still, until this one does */
	int lead_fd;          /* lead.h; 0: it is alone */
	const int *listeners; /* bound, listening, SO_REUSEPORT */
	size_t listener_count;
	int ledger_fd, supervisor_fd;
	struct counters *counters;
	struct engines *engines;
	const struct conf_state *state; /* NULL: nobody reads it again */
};

/* Serves until SIGTERM: then no new connections, waiting engines answered,
 * open ones finished within a few seconds. SIGUSR2 comes when a successor serves
 * on the same sockets: no new connections, waiting engines answered, so that they
 * ask the successor, and each open connection ended with the answer to its next
 * request, or when it is idle. Returns the exit status.
 *
 * There may be several. One of them at a time leads: it alone hands what is
 * remembered of engines to the ledger, and looks for alarms and for roots that
 * move. */
int http_main(const struct http_setup *setup);

#endif
