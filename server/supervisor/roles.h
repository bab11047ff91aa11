#ifndef SERVER_SUPERVISOR_ROLES_H
#define SERVER_SUPERVISOR_ROLES_H

/* What each of the long-lived processes is: its code, the sockets and the ends
 * of pairs that it holds, and what it lets go of. All pairs are made before the
 * first fork and both ends stay open here, so that one that is started again
 * finds its peers, and they find it. Each http process has pairs of its own for
 * each of its two places (processes.h), so the old one and its successor are
 * heard side by side.
 *
 * Belongs to the supervisor's one thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clusters/counters.h"
#include "clusters/engines.h"
#include "core/channel.h"
#include "server/conf/conf.h"
#include "server/conf/conf_state.h"
#include "server/supervisor/listeners.h"
#include "server/supervisor/processes.h"

/* A pair between two processes: [0] is the end of the one named first. Those of
 * http follow: PAIR_HTTP + 2n of the n-th place with the ledger, + 2n + 1 with
 * the supervisor. */
enum {
	PAIR_PIPELINE_LEDGER,
	PAIR_PIPELINE_KEEPER,
	PAIR_PIPELINE_SUPERVISOR,
	PAIR_HTTP,
	PAIRS_MAX = PAIR_HTTP + 2 * (PROCESSES_MAX - PROCESS_HTTP)
};

enum { ROLES_OWN = 5 };

/* A configuration, by number as far as http sees it: one that http does not have
 * to begin anew for has the number of the one before. */
struct roles_conf {
	const struct conf *conf;
	int64_t generation; /* from 1 */
};

struct roles {
	/* What the next to be started gets, and what http is started again with
	 * when one of it dies: the last that one of it has served with. */
	struct roles_conf newest, served;
	int64_t has[PROCESSES_MAX]; /* generation, of http */
	size_t http_count;          /* processes, with their sockets */
	size_t threads;             /* of each */
	struct listeners listeners;
	struct counters *counters;
	struct engines *engines;
	struct conf_state *state;
	int lead; /* server/http/lead.h */
	int pairs[PAIRS_MAX][2];
	size_t pair_count;
	int own[ROLES_OWN]; /* descriptors that are nobody else's business */
};

/* Makes all of it, but what is the supervisor's own. */
enum err_code roles_open(struct roles *r, const struct conf *c, struct err *e)
    MUST_CHECK;
void roles_close(struct roles *r);

/* The supervisor's end of its pair with that process: pipeline, or one of
 * http. */
int roles_end(const struct roles *r, size_t id);

/* What is started from now on gets this one; another generation of it when http
 * has to begin anew for it. */
void roles_adopt(struct roles *r, const struct conf *c, bool renews_http);

/* This http process serves: what it has may be served from now on. */
void roles_serves(struct roles *r, size_t id);
/* Does this one have the newest? */
bool roles_is_newest(const struct roles *r, size_t id);

/* What a process that had this place before did not read goes. */
void roles_starting(struct roles *r, size_t id, bool successor);

/* The process, in the child of parent. */
void roles_run(struct roles *r, size_t id, bool successor, pid_t parent)
    __attribute__((noreturn));

#endif
