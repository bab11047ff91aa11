#ifndef SERVER_PIPELINE_JUDGE_H
#define SERVER_PIPELINE_JUDGE_H

/* From a commit to its verdict, and from a passing verdict to published
 * bundles. The order is the promise: tests, bundles, signatures, a look by the
 * real engine, files durable, verdict stored, one transaction that publishes. */

#include "server/pipeline/worker.h"

struct judge_request {
	const char *commit;
	bool again;        /* run even if the same question was answered */
	int64_t operation; /* a rollback that waits for it, or 0 */
	bool force; /* that is an admin's: published for it even if it fails,
	             * when its bundles can be built, signed and loaded */
	const char *only; /* this bundle alone, when forced; NULL: all */
};

/* The verdict is stored; when it passed (or is forced), its bundles are
 * published. *state says
 * which it was and *reason (a buffer of the caller's) why not. An error means
 * that no verdict could be stored or published: try again later. */
enum err_code judge_commit(struct worker *w, const struct judge_request *r,
    enum gate_state *state, char reason[GATE_REASON_MAX], struct err *e)
    MUST_CHECK;

#endif
