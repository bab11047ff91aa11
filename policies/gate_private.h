#ifndef POLICIES_GATE_PRIVATE_H
#define POLICIES_GATE_PRIVATE_H

/* What the files of the gate share. A stage looks at one thing and either lets
 * the run go on (GATE_PASSED) or ends it, with its reason said. */

#include "policies/gate.h"
#include "policies/report.h"

struct gate_run {
	const struct gate_job *job;
	const struct definition *d;
	bool strict;
	int64_t coverage_min;
	char *src; /* job->work/src: what opa sees of the repository */
	struct buf reason;
	struct report report;
	struct coverage coverage;
};

/* Ends a stage: sets the reason, returns the state. */
enum gate_state gate_end(struct gate_run *r, enum gate_state state,
    const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same for trouble of the server's. */
enum gate_state gate_trouble(struct gate_run *r, const struct err *e);

/* Arguments of a program; strings are copied. */
struct gate_args {
	char **items; /* NULL-terminated */
	size_t count;
};
void gate_args_init(struct gate_args *a);
void gate_args_add(struct gate_args *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void gate_args_clear(struct gate_args *a);

/* Runs the engine in dir. GATE_PASSED: it exited by itself, with out->status;
 * else the run has ended. The caller clears out in any case. */
enum gate_state gate_opa(struct gate_run *r, struct child_result *out,
    const char *dir, const struct gate_args *args, int64_t timeout_ms);
/* "opa died: …" */
enum gate_state gate_died(struct gate_run *r, const char *what,
    const struct child_result *c);
/* A Go program that ran out of memory or threads, or had a bug: exit status 2,
 * which is a failed test's as well, but without any results. */
bool gate_panicked(const struct child_result *c);
int64_t gate_load_ms(const struct gate_job *job);

int64_t gate_timeout_ms(const struct gate_run *r);

/* Rego version of a bundle: as defined, else its .manifest's, else 1. */
int gate_rego_version(const struct tree *t, const struct definition_bundle *d);

/* Does its .manifest tell versions of single files? */
bool gate_has_file_versions(const struct tree *t,
    const struct definition_bundle *d);

/* Puts a .manifest into the folder that tells opa the versions of the bundle's
 * files where they differ; *written: there is one, and opa has to be given
 * --bundle to read it. placed: files lie there as in the bundle, else as in the
 * repository. */
enum err_code gate_write_versions(bool *written, const char *dir,
    const struct tree *t, const struct definition_bundle *d, bool placed,
    struct err *e) MUST_CHECK;

/* Folders below job->work, made anew: "src" without hidden files and
 * edict.yaml, "all" with everything, "check" with the policies of one bundle at
 * their own paths, "bundle" with one bundle's files and tests as OPA gets them.
 * *dir is the caller's. */
enum err_code gate_copy_source(char **dir, const struct gate_job *job,
    struct err *e) MUST_CHECK;
enum err_code gate_copy_all(char **dir, const struct gate_job *job,
    struct err *e) MUST_CHECK;
enum err_code gate_copy_policies(char **dir, const struct gate_job *job,
    const struct definition_bundle *d, bool tests, struct err *e) MUST_CHECK;

/* Which file of the repository is where in a bundle, sorted by placed. */
struct gate_placed {
	char *placed;
	const char *path; /* the tree's */
};
struct gate_places {
	struct gate_placed *items;
	size_t count;
};
void gate_places_clear(struct gate_places *p);
/* The file's path in the repository, or placed itself. */
const char *gate_places_find(const struct gate_places *p, const char *placed);
/* CONFLICT: two files would be at one path. */
enum err_code gate_copy_bundle(char **dir, struct gate_places *places,
    const struct gate_job *job, const struct definition_bundle *d,
    struct err *e) MUST_CHECK;

bool gate_is_policy(const char *path);
bool gate_is_test(const char *path); /* a policy that is a test */

/* Runs the engine to its end, which was good when this says ERR_OK: INVALID with
 * opa's own words, LIMIT for too much of them, TIMEOUT, or UNAVAILABLE. The
 * caller clears c in any case. */
enum err_code gate_engine_run(const struct gate_runner *runner,
    struct child_result *c, const struct gate_tool *tool, struct err *e)
    MUST_CHECK;

/* "--capabilities=…" for a child that runs in a folder beside src; NULL means
 * none. */
void gate_add_capabilities(struct gate_args *args, const char *capabilities);

/* Stages, in gate_check.c and gate_test.c. */
enum gate_state gate_stage_check(struct gate_run *r);
enum gate_state gate_stage_test(struct gate_run *r);
enum gate_state gate_stage_coverage(struct gate_run *r);
enum gate_state gate_stage_commands(struct gate_run *r);

#endif
