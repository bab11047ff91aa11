#ifndef POLICIES_GATE_H
#define POLICIES_GATE_H

/* The gate: what a commit has to pass before anything is built from it. On a
 * throw-away copy, in confined children: `opa check`, per bundle, with its rego
 * version; `opa test`; a second run for coverage where a threshold is set, both
 * in agreement; then the repository's commands. Children are run by whoever may
 * start them (struct gate_runner): the supervisor for the server, the process
 * itself for the command line. One thread per gate_run. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/child.h"
#include "policies/definition.h"
#include "policies/tree.h"

enum {
	GATE_OUTPUT_MAX = 16 << 20, /* of one child, each stream */
	GATE_TESTS_MAX = 200000,
	GATE_TEXT_MAX = 4096, /* of one test's failure output */
	GATE_REASON_MAX = 4096,
	GATE_START_MS = 15000 /* for opa version, check, build */
};

enum gate_state {
	GATE_PASSED,
	GATE_FAILED, /* hygiene, definition, check, tests, coverage, … */
	GATE_TIMED_OUT,
	GATE_CRASHED, /* opa died: a signal, out of memory */
	GATE_NO_TESTS,
	GATE_COULD_NOT_RUN, /* the server's trouble, not the commit's */
	GATE_STATES
};
const char *gate_state_name(enum gate_state s); /* "timed_out" */

enum gate_outcome {
	TEST_PASSED,
	TEST_FAILED,
	TEST_ERROR,
	TEST_SKIPPED
};

struct gate_test {
	char *package; /* data.infra.s3_test */
	char *name; /* test_public_denied */
	char *file;
	int64_t line;
	int64_t duration_ns;
	enum gate_outcome outcome;
	char *text; /* failure and print output, or NULL */
};

struct verdict {
	enum gate_state state;
	char identity[65]; /* of the question; see the design */
	char *stage; /* hygiene, definition, check, test, coverage,
	                     * command, bundle, load: where it ended */
	char *reason; /* for people: what, where, what to do; NULL: passed */
	int64_t started_ms; /* wall clock */
	int64_t duration_ms;
	double coverage; /* percent, -1: not measured */
	struct gate_test *tests; /* sorted by package, name */
	size_t test_count;
	size_t passed, failed, errors, skipped;
	int attempts; /* 2 after a retry */
	char *engine; /* "1.20.2" */
	char *sandbox; /* "landlock-7,seccomp,rlimits" or "none" */
};
void verdict_free(struct verdict *v);
AUTO_FREE(verdict)

/* For the store and the API: the object as docs/api.md shows it, and back. */
json_t *verdict_json(const struct verdict *v);
enum err_code verdict_parse(struct verdict **out, const json_t *j,
    struct err *e) MUST_CHECK;

/* One program to run: the engine, or a command of the repository's that the
 * server allows. dir is the copy; a runner never runs anything elsewhere. */
struct gate_tool {
	const char *command; /* NULL: the engine */
	const char *const *args; /* NULL-terminated, without argv[0] */
	const char *dir; /* absolute, below the work folder */
	int64_t timeout_ms;
	size_t out_max;
};

struct gate_runner {
	enum err_code (*run)(void *ctx, struct child_result *out,
	    const struct gate_tool *tool, struct err *e);
	void *ctx;
};

/* Which engine: asked once, `opa version`; refuses what is older than 1.0. */
struct gate_engine {
	char version[64];
	char digest[65]; /* SHA-256 of the program's file */
	bool wasm; /* can load wasm */
};

struct gate_minimum { /* what no repository may go below */
	bool strict;
	int64_t coverage;
};

struct gate_job {
	const char *repository;
	const struct tree *tree;
	const char *work; /* an empty folder for the copy */
	const struct gate_engine *engine;
	const struct gate_minimum *minimum;
	const char *sandbox; /* as confine_describe says */
	const struct gate_runner *runner;
};

enum err_code gate_ask_engine(struct gate_engine *out, const char *path,
    const struct gate_runner *runner, const char *dir,
    struct err *e) MUST_CHECK;

/* The identity of a verdict: SHA-256 over tree, gate settings, minimum, engine
 * version and digest, and sandbox. Equal identity: the same question. */
void gate_identity(char out[65], const struct gate_job *job,
    const struct definition *d);

/* Runs it all. A failed commit is a verdict, not an error: this returns an error
 * only when even a verdict could not be made. definition is read by the caller
 * from the same tree. Timed-out and crashed runs are returned as they are;
 * gate_decide retries them once. The copy in job->work is left for the caller to remove. */
enum err_code gate_run(struct verdict **out, const struct gate_job *job,
    const struct definition *d, struct err *e) MUST_CHECK;

/* A verdict for what failed before or after the run: stage and reason. */
struct verdict *gate_refuse(enum gate_state state, const char *stage,
    const struct err *reason);

/* The finished artifact: written to dir, verified with the public key and
 * loaded alone by `opa build -b`. public_pem NULL (HS): loaded only, keeper has
 * verified it. INVALID with opa's own words when it is refused. */
enum err_code gate_load(const struct gate_job *job, const char *file,
    const char *bundle, const char *key_id, const char *algorithm,
    const char *public_pem, struct err *e) MUST_CHECK;

#endif
