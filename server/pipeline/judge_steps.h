#ifndef SERVER_PIPELINE_JUDGE_STEPS_H
#define SERVER_PIPELINE_JUDGE_STEPS_H

/* What the steps of judging a commit share: judge.c asks the engine, runs the
 * tests and tells the ledger; judge_build.c makes the bundles. The repository's
 * own thread. */

#include "server/pipeline/judge.h"

/* One commit on its way. */
struct judging {
	struct worker *w;
	const struct judge_request *request;
	char *work; /* this commit's folder */
	struct tree *tree;
	struct definition *definition;
	struct verdict *verdict;
	json_t *bundles; /* for LEDGER_PUBLISH */
	size_t planned;  /* of them, that were not known before */
	struct gate_minimum minimum;
	struct gate_job job;
	bool entered, alone;       /* the gate slot that is held */
	struct gate_runner builds; /* after the tests: a slot for each run */
	bool next_alone;           /* its next one */
	const char *only;          /* this bundle alone is built; NULL: all */
};

/* Puts a verdict that says so in place of what there is; what the tests said
 * stays in it. Who is to blame follows from the stage and the code. */
void judge_refuse(struct judging *j, const char *stage,
    const struct err *reason);

/* What the bundles of earlier commits were made from, before the server was
 * started again too. Once for each worker. */
void judge_open_cache(struct worker *w);

/* Plans, compiles, packs, signs and verifies what is not stored, into
 * j->bundles. After an error j has a verdict that refuses. */
enum err_code judge_build(struct judging *j, struct err *e) MUST_CHECK;

/* A list of strings; the caller's. */
json_t *judge_strings(char *const *items, size_t count);

#endif
