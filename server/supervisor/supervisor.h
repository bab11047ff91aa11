#ifndef SERVER_SUPERVISOR_H
#define SERVER_SUPERVISOR_H

/* The process that `edict serve` is: single-threaded, it makes the listening
 * sockets, the pairs and the shared counters, forks the others, restarts them
 * with back-off, and starts short-lived children for the pipeline. It parses
 * typed messages of the pipeline and nothing else.
 *
 * SIGTERM and SIGINT end it. SIGHUP has server.yaml and files of credentials read
 * anew: what changed is applied by exchanging the processes that need it
 * (reload.h). SIGUSR2 has every http process replaced without a failed request
 * (processes.h). */

#include "core/err.h"
#include "server/conf/conf.h"

enum supervisor_kind {
	/* From the pipeline, with one descriptor (stdout) or two (stdout,
	 * stderr). The reply comes at once; WAIT's when the child has ended.
	 *
	 * RUN: the engine of a repository, or a command the server allows, in
	 * data_dir/work/WORK[/sub], confined.
	 * {"repository","command":null|name,"args":[…],"work":"12","sub":"src",
	 *  "timeout_ms"} → {"child": n} */
	SUPERVISOR_RUN = 300,
	/* FETCH: {"repository","incoming":"3","known":"<rev>"|"","branch":""}
	 * → {"child": n} */
	SUPERVISOR_FETCH = 301,
	/* JOIN: {"repository","incoming":"3"} → {"child": n}: the list of what
	 * is joined is in that folder already (policies/join.h). */
	SUPERVISOR_JOIN = 304,
	/* CALL: {"target":"events/ops","headers":{…}}, with a second descriptor
	 * for the body where the target takes one → {"child": n}
	 * (server/supervisor/call.h) */
	SUPERVISOR_CALL = 305,
	/* {"child"} → {"end","status","wall_ms","cpu_ms","rss_max"} */
	SUPERVISOR_WAIT = 302,
	/* {"child"} → {}: kills its group. */
	SUPERVISOR_STOP = 303,

	/* From http, {}, of which nothing is read but the kind: it serves; it
	 * does not yet, and gets on with what it does before that. */
	SUPERVISOR_SERVING = 310,
	SUPERVISOR_GETS_ON = 311,

	/* To http and pipeline: {"process"}: its replies will not come. */
	SUPERVISOR_RESTARTED = 320,
	/* To http, with a descriptor for each part or one for the keys:
	 * {"what":"tls","parts":["certificate",…],"generation"} or
	 * {"what":"keys","issuer":0,"at_ms","generation"}
	 * (server/supervisor/handover.h) */
	SUPERVISOR_HANDOVER = 321,
};

enum {
	SUPERVISOR_CHILDREN_MAX = 64,
	SUPERVISOR_ARGS_MAX = 4096 /* of one run */
};

/* Runs the server until SIGTERM or SIGINT; SIGHUP has c read again by flags. Both
 * outlive the call. Returns the exit status. */
int supervisor_main(const struct conf *c, const struct conf_flags *flags);

#endif
