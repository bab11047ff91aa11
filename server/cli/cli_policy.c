/* init, check: what authors of policies run in their own repository. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundler/compile.h"
#include "core/file.h"
#include "core/mem.h"
#include "policies/repo.h"
#include "server/cli/cli.h"
#include "server/cli/cli_client.h"
#include "server/cli/cli_local.h"
#include "server/cli/cli_table.h"

/* ---- init ---- */

static const struct cli_option init_options[] = { { 0 } };

static const struct {
	const char *path;
	const char *text;
} starter[] = {
	{ "edict.yaml",
	    "# What is built from this repository, and who gets it.\n"
	    "bundles:\n"
	    "  authz:\n"
	    "    paths: [policies/authz, {from: data/roles, to: roles}]\n"
	    "clusters:\n"
	    "  default:\n"
	    "    labels: {env: dev}\n"
	    "    bundles: [authz]\n"
	    "gate:\n"
	    "  test: {coverage: 80}\n" },
	{ "policies/authz/authz.rego",
	    "# Who may do what: roles come from data/roles/data.json.\n"
	    "package authz\n"
	    "\n"
	    "default allow := false\n"
	    "\n"
	    "allow if {\n"
	    "\tsome role in data.roles[input.user]\n"
	    "\tpermits(role, input.method)\n"
	    "}\n"
	    "\n"
	    "permits(\"admin\", _)\n"
	    "\n"
	    "permits(\"reader\", \"GET\")\n" },
	{ "policies/authz/authz_test.rego",
	    "package authz_test\n"
	    "\n"
	    "import data.authz\n"
	    "\n"
	    "roles := {\"ann\": [\"admin\"], \"bob\": [\"reader\"]}\n"
	    "\n"
	    "test_admin_may_write if {\n"
	    "\tauthz.allow with input as {\"user\": \"ann\", \"method\": "
	    "\"POST\"} with data.roles as roles\n"
	    "}\n"
	    "\n"
	    "test_reader_may_read if {\n"
	    "\tauthz.allow with input as {\"user\": \"bob\", \"method\": "
	    "\"GET\"} with data.roles as roles\n"
	    "}\n"
	    "\n"
	    "test_reader_may_not_write if {\n"
	    "\tnot authz.allow with input as {\"user\": \"bob\", \"method\": "
	    "\"POST\"} with data.roles as roles\n"
	    "}\n"
	    "\n"
	    "test_stranger_may_nothing if {\n"
	    "\tnot authz.allow with input as {\"user\": \"eve\", \"method\": "
	    "\"GET\"} with data.roles as roles\n"
	    "}\n" },
	{ "data/roles/data.json",
	    "{\n"
	    "  \"ann\": [\"admin\"],\n"
	    "  \"bob\": [\"reader\"]\n"
	    "}\n" },
};

static enum err_code
put_starter(const char *dir, size_t i, struct err *e)
{
	AUTO_STR path = file_path(dir, starter[i].path);
	char *slash = strrchr(path, '/');
	enum err_code code;

	*slash = '\0';
	code = file_make_dirs(path, e);
	*slash = '/';
	if (code != ERR_OK)
		return code;
	return file_replace(path, starter[i].text, strlen(starter[i].text),
	    0644, e);
}

static enum err_code
refuse_existing(const char *dir, struct err *e)
{
	for (size_t i = 0; i < sizeof starter / sizeof *starter; i++) {
		AUTO_STR path = file_path(dir, starter[i].path);

		if (access(path, F_OK) == 0)
			return err_set(e, ERR_CONFLICT,
			    "%s exists already; nothing was written", path);
	}
	return ERR_OK;
}

static int
init(int argc, char **argv)
{
	struct cli_args a;
	struct err e = { 0 };
	const char *dir;
	enum err_code code;
	int n = cli_parse(&a, &cli_init, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count > 1)
		return cli_usage(&cli_init, "name one folder");
	dir = a.rest_count == 1 ? a.rest[0] : ".";
	code = refuse_existing(dir, &e);
	for (size_t i = 0;
	     code == ERR_OK && i < sizeof starter / sizeof *starter; i++)
		code = put_starter(dir, i, &e);
	if (code != ERR_OK)
		return client_fail(&a, &e);
	(void)printf("Written to %s:\n", dir);
	for (size_t i = 0; i < sizeof starter / sizeof *starter; i++)
		(void)printf("  %s\n", starter[i].path);
	(void)printf("\nWhat next:\n"
		     "  cd %s\n"
		     "  edict check\n"
		     "  git init -b main && git add -A && git commit -m 'First "
		     "policy'\n"
		     "  edict serve --repo . --data-dir ../edict-data\n",
	    dir);
	return 0;
}

const struct cli_command cli_init = {
	.name = "init",
	.group = "Policies",
	.usage = "[DIR]",
	.summary = "write a starter policy repository",
	.help =
	    "Writes a first policy, its tests, its data and an edict.yaml into\n"
	    "DIR (default: here). Nothing that exists is overwritten.\n"
	    "\n"
	    "  edict init policies && cd policies && edict check",
	.options = init_options,
	.run = init,
};

/* ---- check ---- */

static const struct cli_option check_options[] = {
	{ "rev", 0, "REV", "a commit instead of the files as they are" },
	{ "opa", 0, "FILE", "the engine; default: EDICT_OPA, else from PATH" },
	{ "best-effort", 0, NULL, "run even where the sandbox is incomplete" },
	{ "tests", 0, NULL, "print every test" },
	{ "json", 0, NULL, "print the verdict for machines" },
	{ 0 },
};

struct check {
	struct cli_local local;
	struct tree *tree;
	struct definition *definition;
	struct verdict *verdict;
};

static void
check_clear(struct check *k)
{
	cli_local_close(&k->local);
	tree_free(k->tree);
	definition_free(k->definition);
	verdict_free(k->verdict);
}

static enum err_code
read_tree(struct check *k, const char *dir, const char *rev, struct err *e)
{
	AUTO(repo, r) = NULL;
	char commit[TREE_ID_SIZE];

	if (rev == NULL)
		return tree_from_folder(&k->tree, dir, e);
	TRY(repo_discover(&r, dir, e));
	TRY(repo_resolve(r, rev, commit, e));
	return repo_tree(r, commit, &k->tree, e);
}

static enum err_code
run_gate(struct check *k, struct err *e)
{
	k->local.job.tree = k->tree;
	TRY(cli_local_ask(&k->local, e));
	return gate_decide(&k->verdict, &k->local.job, k->definition, e);
}

static void
refuse(struct check *k, const char *stage, const struct err *reason)
{
	enum gate_state state = reason->code == ERR_INVALID ||
		reason->code == ERR_LIMIT || reason->code == ERR_CONFLICT
	    ? GATE_FAILED
	    : reason->code == ERR_TIMEOUT ? GATE_TIMED_OUT
	    : reason->code == ERR_UNSUPPORTED && strcmp(stage, "compile") == 0
	    ? GATE_CRASHED
	    : GATE_COULD_NOT_RUN;

	verdict_free(k->verdict);
	k->verdict = gate_refuse(state, stage, reason);
}

static void
build_bundles(struct check *k)
{
	const struct bundle_means means = {
		.threads = bundle_threads(BUNDLE_THREADS_MAX)
	};
	struct compile_means how = { .job = &k->local.job, .pack = &means };
	struct bundle_set set = { 0 };
	struct err e = { 0 };

	if (bundle_plan_all_with(&set, k->tree, k->definition, &means, &e) !=
	    ERR_OK)
		refuse(k, "bundle", &e);
	else if (compile_all(&set, k->definition, &how, &e) != ERR_OK)
		refuse(k, "compile", &e);
	bundle_set_clear(&set);
}

static void
note_excludes(struct check *k)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, GATE_REASON_MAX);
	definition_idle_excludes(&text, k->definition, k->tree);
	if (text.len == 0)
		return;
	mem_free(k->verdict->note);
	k->verdict->note = mem_strdup(text.data);
}

/* Every stage that a server has but signing; ends at the first that fails. */
static void
run_stages(struct check *k, const char *dir, const struct cli_args *a)
{
	struct err e = { 0 };

	if (read_tree(k, dir, cli_value(a, "rev"), &e) != ERR_OK) {
		refuse(k, "hygiene", &e);
		return;
	}
	if (definition_read(&k->definition, k->tree, &e) != ERR_OK) {
		refuse(k, "definition", &e);
		return;
	}
	if (run_gate(k, &e) != ERR_OK) {
		refuse(k, "engine", &e);
		return;
	}
	if (k->verdict->state == GATE_PASSED)
		build_bundles(k);
	note_excludes(k);
}

static void
print_tests(const struct verdict *v, bool all)
{
	static const char *const outcomes[] = { "passed", "failed", "error",
		"skipped" };
	static const char *const headings[] = { "OUTCOME", "WHERE", "TEST",
		NULL };
	struct table *t = table_new(headings);

	table_states(t, 0);
	table_ends(t, 1);
	table_ends(t, 2);
	for (size_t i = 0; i < v->test_count; i++) {
		const struct gate_test *test = &v->tests[i];
		AUTO_STR name = mem_printf("%s.%s", test->package, test->name);
		AUTO_STR place =
		    mem_printf("%s:%lld", test->file, (long long)test->line);

		if (all || test->outcome != TEST_PASSED)
			table_row(t,
			    (const char *const[]){ outcomes[test->outcome],
				place, name });
	}
	if (table_rows(t) > 0)
		table_print(t);
	else
		table_free(t);
}

/* Nothing where the engine was not asked. */
static void
print_means(const struct verdict *v)
{
	bool sandbox = v->sandbox != NULL && v->sandbox[0] != '\0';

	if (v->engine == NULL || v->engine[0] == '\0')
		return;
	AUTO_STR text = mem_printf("engine %s%s%s; settings: a server's "
				   "defaults",
	    v->engine, sandbox ? ", sandbox " : "", sandbox ? v->sandbox : "");
	(void)printf("\n");
	table_text(text, 0, 1);
}

static void
print_verdict(const struct verdict *v, bool all)
{
	enum screen_tint tint = screen_tint_of(gate_state_name(v->state));

	(void)printf("%s%s%s", screen_tint(tint), gate_state_name(v->state),
	    screen_plain(tint));
	if (v->stage != NULL && v->state != GATE_PASSED)
		(void)printf(" (%s)", v->stage);
	if (v->test_count > 0)
		(void)printf(": %zu of %zu tests passed", v->passed,
		    v->test_count);
	if (v->coverage >= 0)
		(void)printf(", coverage %.1f %%", v->coverage);
	(void)printf("\n");
	table_text(v->reason, 2, 60);
	print_tests(v, all);
	table_text(v->note, 0, 20);
	print_means(v);
}

static int
check(int argc, char **argv)
{
	struct check k = { 0 };
	struct cli_args a;
	struct err e = { 0 };
	int n = cli_parse(&a, &cli_check, argc, argv);

	if (n != 0)
		return n - 1;
	if (a.rest_count > 1)
		return cli_usage(&cli_check, "name one folder");
	if (cli_local_open(&k.local, cli_value(&a, "opa"),
		cli_given(&a, "best-effort"), &e) != ERR_OK) {
		check_clear(&k);
		return client_fail(&a, &e);
	}
	run_stages(&k, a.rest_count == 1 ? a.rest[0] : ".", &a);
	if (cli_given(&a, "json")) {
		json_t *j = verdict_json(k.verdict);

		(void)client_print_json(j);
		json_decref(j);
	} else {
		print_verdict(k.verdict, cli_given(&a, "tests"));
	}
	n = k.verdict->state == GATE_PASSED ? 0 : 1;
	check_clear(&k);
	return n;
}

const struct cli_command cli_check = {
	.name = "check",
	.group = "Policies",
	.usage = "[DIR] [options]",
	.summary = "run the gate here, before you push",
	.help =
	    "Does what a server does with a commit, but for signing: hygiene,\n"
	    "edict.yaml, `opa check --strict`, all tests, coverage where it is\n"
	    "asked for, and whether bundles can be built and compiled. Takes the\n"
	    "files as they are, committed or not; --rev takes a commit. Ends\n"
	    "with status 0 when it passes.\n"
	    "\n"
	    "  edict check\n"
	    "  edict check --rev HEAD~1 --tests",
	.options = check_options,
	.run = check,
};
