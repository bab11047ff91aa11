#include "policies/gate_private.h"

#include <string.h>

#include "core/mem.h"

/* `opa check` in two steps, all of them run and all errors gathered, so that
 * one push shows all that is wrong.
 *
 * First each bundle by itself: its policies, without tests, and nothing else.
 * So a bundle that calls a function of a library it does not take along is
 * found here, with file and line, and not by the engine that loads it. Tests
 * are left out since they may use helpers from anywhere in the repository.
 *
 * Then, where tests run over the whole repository, all that they load, tests
 * included; `opa test` would find what does not compile, but without --strict,
 * and it says so in prose where `opa check` says it in JSON. Where tests run
 * bundle by bundle, the first step takes the bundle's tests in.
 *
 * Files are passed as folders, not by name: thousands of names do not fit an
 * argument list. */

static void
add_flags(struct gate_args *args, const struct gate_run *r, int version,
    const char *capabilities)
{
	gate_args_add(args, "check");
	gate_args_add(args, "--format=json");
	gate_args_add(args, "--max-errors=%d", REPORT_ERRORS_MAX);
	if (r->strict)
		gate_args_add(args, "--strict");
	if (version == 0)
		gate_args_add(args, "--v0-compatible");
	/* Every folder of the gate stands beside src. */
	if (r->d->gate.schemas != NULL)
		gate_args_add(args, "--schema=../src/%s", r->d->gate.schemas);
	gate_add_capabilities(args, capabilities);
}

/* Runs one check; errors go to *errors and are no end yet. */
static enum gate_state
run_check(struct gate_run *r, struct buf *errors, const char *dir,
    const struct gate_args *args)
{
	struct child_result c = { 0 };
	enum gate_state state;

	state = gate_opa(r, &c, dir, args, gate_timeout_ms(r));
	if (state == GATE_PASSED && c.status != 0) {
		if (c.status == 1 && c.err.len > 0)
			report_errors(errors, c.err.data, c.err.len);
		else
			state = gate_died(r, "opa check", &c);
	}
	child_result_clear(&c);
	return state;
}

/* Are all policies of the repository, tests aside, in this bundle? Then they
 * need no copy of their own. */
static bool
is_whole(const struct gate_run *r, const struct definition_bundle *b)
{
	const struct tree *t = r->job->tree;

	for (size_t i = 0; i < t->count; i++) {
		const char *path = t->entries[i].path;
		char placed[TREE_PATH_MAX];

		if (gate_is_policy(path) && !gate_is_test(path) &&
		    !definition_hidden(path) &&
		    !definition_place(b, path, placed))
			return false;
	}
	return true;
}

static enum gate_state
check_bundle(struct gate_run *r, struct buf *errors,
    const struct definition_bundle *b)
{
	bool tests = r->d->gate.scope == SCOPE_BUNDLE;
	bool whole = !tests && is_whole(r, b) &&
	    !gate_has_file_versions(r->job->tree, b);
	bool mixed = false;
	struct gate_args args;
	AUTO_STR dir = NULL;
	enum gate_state state;
	struct err e;

	if (whole)
		dir = mem_strdup(r->src);
	else if (gate_copy_policies(&dir, r->job, b, tests, &e) != ERR_OK ||
	    gate_write_versions(&mixed, dir, r->job->tree, b, false, &e) !=
		ERR_OK)
		return gate_trouble(r, &e);
	gate_args_init(&args);
	add_flags(&args, r, gate_rego_version(r->job->tree, b),
	    definition_capabilities(r->d, b));
	if (whole)
		gate_args_add(&args, "--ignore=*_test.rego");
	if (mixed)
		gate_args_add(&args, "--bundle");
	gate_args_add(&args, "--");
	gate_args_add(&args, ".");
	state = run_check(r, errors, dir, &args);
	gate_args_clear(&args);
	return state;
}

/* One run over everything cannot read some files as version 0 and others as
 * version 1. */
static enum gate_state
one_version(struct gate_run *r, int *version)
{
	const struct definition_bundle *b = r->d->bundles.items;

	*version = gate_rego_version(r->job->tree, &b[0]);
	for (size_t i = 1; i < r->d->bundles.count; i++) {
		if (gate_rego_version(r->job->tree, &b[i]) != *version)
			return gate_end(r, GATE_FAILED,
			    "bundles %s and %s have different rego versions, "
			    "so their tests cannot run together: set "
			    "gate.test.scope: bundle in %s",
			    b[0].name, b[i].name, DEFINITION_FILE);
	}
	return GATE_PASSED;
}

/* Nor does it know versions of single files. */
static void
explain_versions(const struct gate_run *r, struct buf *errors)
{
	const struct definition_bundle *b = r->d->bundles.items;

	for (size_t i = 0; i < r->d->bundles.count; i++) {
		if (!gate_has_file_versions(r->job->tree, &b[i]))
			continue;
		buf_printf(errors,
		    "\nfile_rego_versions of bundle %s hold where its tests run "
		    "by themselves: set gate.test.scope: bundle in %s",
		    b[i].name, DEFINITION_FILE);
		return;
	}
}

static enum gate_state
check_tests(struct gate_run *r, struct buf *errors)
{
	const struct definition_gate *g = &r->d->gate;
	size_t before = errors->len;
	struct gate_args args;
	enum gate_state state;
	int version;

	state = one_version(r, &version);
	if (state != GATE_PASSED)
		return state;
	gate_args_init(&args);
	add_flags(&args, r, version, g->capabilities);
	if (g->mode == MODE_BUNDLE)
		gate_args_add(&args, "--bundle");
	for (size_t i = 0; i < g->ignore.count; i++)
		gate_args_add(&args, "--ignore=%s", g->ignore.items[i]);
	gate_args_add(&args, "--");
	for (size_t i = 0; i < g->test_paths.count; i++)
		gate_args_add(&args, "%s", g->test_paths.items[i]);
	if (g->test_paths.count == 0)
		gate_args_add(&args, ".");
	state = run_check(r, errors, r->src, &args);
	gate_args_clear(&args);
	if (errors->len > before)
		explain_versions(r, errors);
	return state;
}

static enum gate_state
check_all(struct gate_run *r, struct buf *errors)
{
	const struct definition_bundle *bundles = r->d->bundles.items;
	enum gate_state state = GATE_PASSED;

	for (size_t i = 0; i < r->d->bundles.count && state == GATE_PASSED; i++)
		state = check_bundle(r, errors, &bundles[i]);
	if (state == GATE_PASSED && r->d->gate.scope == SCOPE_REPOSITORY)
		state = check_tests(r, errors);
	return state;
}

enum gate_state
gate_stage_check(struct gate_run *r)
{
	enum gate_state state;
	struct buf errors;

	buf_init(&errors, GATE_OUTPUT_MAX);
	state = check_all(r, &errors);
	if (state == GATE_PASSED && errors.len > 0)
		state = gate_end(r, GATE_FAILED, "%s", errors.data);
	buf_clear(&errors);
	return state;
}
