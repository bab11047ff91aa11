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
	GATE_START_MS = 15000, /* for opa version and check */
	/* To load one bundle alone: a minute for ten thousand policies. */
	GATE_LOAD_MS = 900000,
	GATE_COMPILE_MS = 300000,
	GATE_COMPILED_MAX = 256 << 20 /* bytes that opa build may write */
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
	TEST_SKIPPED, /* todo_test_…: shown, refuses nothing */
	TEST_OUTCOMES
};

struct gate_test {
	char *package; /* data.infra.s3_test */
	char *name;    /* test_public_denied */
	char *file;
	int64_t line;
	int64_t duration_ns;
	enum gate_outcome outcome;
	char *text; /* failure and print output, or NULL */
};
const char *gate_outcome_name(enum gate_outcome o); /* "passed" */

struct verdict {
	enum gate_state state;
	char identity[65]; /* of the question: gate_identity */
	char *stage;       /* where it ended: hygiene, definition, check, test,
	                     * coverage, command; from the server besides
	                     * engine, bundle, load, publish */
	char *reason; /* for people: what, where, what to do; NULL: passed */
	int64_t started_ms; /* wall clock */
	int64_t duration_ms;
	double coverage;         /* percent, -1: not measured */
	struct gate_test *tests; /* sorted by package, name */
	size_t test_count;
	size_t passed, failed, errors, skipped;
	int attempts;  /* 2 after a retry */
	char *note;    /* for people: what was not looked at, or NULL */
	char *engine;  /* "1.20.2" */
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
	const char *command;     /* NULL: the engine */
	const char *const *args; /* NULL-terminated, without argv[0] */
	const char *dir;         /* absolute, below the work folder */
	int64_t timeout_ms;
	size_t out_max;
};

/* Runs one tool to its end, as child_run does. Its programs' own limits are the
 * runner's: a command's time may be shorter than asked for. NOT_FOUND or DENIED
 * when the command is not one that is allowed here: that is the commit's fault.
 * Any other error is the server's. */
struct gate_runner {
	enum err_code (*run)(void *ctx, struct child_result *out,
	    const struct gate_tool *tool, struct err *e);
	void *ctx;
};

/* Which engine: asked once, `opa version`; refuses what is older than 1.0. */
struct gate_engine {
	char version[64];
	char digest[65]; /* SHA-256 of the program's file */
	bool wasm;       /* can load wasm */
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
	const char *sandbox;  /* as confine_describe says */
	const char *commands; /* digest of the programs that commands name here,
	                       * for the identity; NULL: none are allowed */
	const struct gate_runner *runner;
	/* gate_decide and gate_compile call it before the second try: to wait
	 * until nothing else runs on this machine. May be NULL. */
	void (*before_retry)(void *arg);
	void *arg;
	int64_t load_ms; /* for loading one bundle; 0: GATE_LOAD_MS */
};

/* path is the program's file, dir where the question is asked (it exists and is
 * below the runner's work folder). */
enum err_code gate_ask_engine(struct gate_engine *out, const char *path,
    const struct gate_runner *runner, const char *dir, struct err *e)
    MUST_CHECK;

/* The identity of a verdict: SHA-256 over tree, gate settings, minimum, engine
 * version and digest, commands and sandbox. The settings are in the tree. Equal
 * identity: the same question. */
void gate_identity(char out[65], const struct gate_job *job,
    const struct definition *d);

/* Runs it all. A failed commit is a verdict, not an error, and so is trouble of
 * the server's (GATE_COULD_NOT_RUN): this returns an error only when even a
 * verdict could not be made. definition is read by the caller from the same
 * tree. Timed-out and crashed runs are returned as they are; gate_decide retries
 * them once. The copies in job->work are left for the caller to remove; another
 * run in the same folder starts anew. */
enum err_code gate_run(struct verdict **out, const struct gate_job *job,
    const struct definition *d, struct err *e) MUST_CHECK;

/* gate_run, and once more after a time-out or a crash; then attempts is 2 and
 * the second verdict is the one. This is what servers and commands call. */
enum err_code gate_decide(struct verdict **out, const struct gate_job *job,
    const struct definition *d, struct err *e) MUST_CHECK;

/* A verdict for what failed before or after the run: stage and reason. */
struct verdict *gate_refuse(enum gate_state state, const char *stage,
    const struct err *reason);

/* The finished artifact: written to job->work/load, verified with the public key
 * and loaded alone by `opa build -b`. The verdict's tree is not needed: job->work
 * and job->runner are. For HS* public_pem is NULL: keeper has verified it, and
 * since opa refuses a signed bundle without a key, data is then the unsigned
 * content. INVALID with opa's own words when it is refused; TIMEOUT and
 * UNAVAILABLE when opa did not come to an end. All is borrowed. */
struct gate_artifact {
	const void *data;
	size_t len;
	const char *bundle, *key_id, *algorithm;
	const char *public_pem; /* or NULL */
};
enum err_code gate_load(const struct gate_job *job,
    const struct gate_artifact *a, struct err *e) MUST_CHECK;

/* One run of `opa build` over a packed bundle. All is borrowed. */
struct gate_compile {
	const void *bundle; /* unsigned, as bundle_pack writes it */
	size_t len;
	const struct definition_compile *settings;
	const char *partial_namespace; /* for optimize */
	const char *capabilities; /* as in struct definition_gate, or NULL */
	int rego_version;         /* 0 or 1 */
};
/* The name of the input, by which its files are called in what is written:
 * "/bundle.tar.gz/authz/a.rego". */
#define GATE_COMPILE_INPUT "bundle.tar.gz"

/* Runs it in job->work/compile, which is removed again; what it wrote to its
 * standard output goes to *out (buf_clear in any case). INVALID with opa's own
 * words when it refuses; LIMIT above GATE_COMPILED_MAX; TIMEOUT after
 * GATE_COMPILE_MS, and UNSUPPORTED when opa died, each twice, the second time
 * after job->before_retry. */
enum err_code gate_compile(struct buf *out, const struct gate_job *job,
    const struct gate_compile *c, struct err *e) MUST_CHECK;

/* An unsigned bundle is loaded alone, as an engine would activate it, by `opa
 * eval -b`: a WebAssembly module too, which `opa build` does not start. */
enum err_code gate_activate(const struct gate_job *job, const void *bundle,
    size_t len, struct err *e) MUST_CHECK;

/* The same, and what this query gives there is appended to out, as JSON; at most
 * GATE_OUTPUT_MAX bytes of it. */
enum err_code gate_evaluate(struct buf *out, const struct gate_job *job,
    const char *query, const void *bundle, size_t len, struct err *e)
    MUST_CHECK;

#endif
