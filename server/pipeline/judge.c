#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bundler/cache_file.h"
#include "clusters/ledger.h"
#include "clusters/payload.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/pipeline/judge_steps.h"
#include "server/pipeline/set_check.h"
#include "signing/digest.h"

static void
judging_clear(struct judging *j)
{
	struct err e = { 0 };

	if (j->work != NULL && file_remove_tree(j->work, &e) != ERR_OK)
		log_warn("work.remove", "repo=%s error=\"%s\"",
		    j->w->conf->name, e.text);
	mem_free(j->work);
	tree_free(j->tree);
	definition_free(j->definition);
	verdict_free(j->verdict);
	json_decref(j->bundles);
}

/* Whose fault is it: the commit's, or ours? The engine's, the keeper's and our
 * files' troubles never are the commit's, whatever their code. */
static enum gate_state
blame(const char *stage, enum err_code code)
{
	if (strcmp(stage, "engine") == 0)
		return GATE_COULD_NOT_RUN;
	if (strcmp(stage, "compile") == 0 && code == ERR_TIMEOUT)
		return GATE_TIMED_OUT;
	if (strcmp(stage, "compile") == 0 && code == ERR_UNSUPPORTED)
		return GATE_CRASHED;
	return code == ERR_INVALID || code == ERR_LIMIT || code == ERR_CONFLICT
	    ? GATE_FAILED
	    : GATE_COULD_NOT_RUN;
}

void
judge_refuse(struct judging *j, const char *stage, const struct err *reason)
{
	struct verdict *v =
	    gate_refuse(blame(stage, reason->code), stage, reason);

	/* What the tests said stays in the report. */
	if (j->verdict != NULL) {
		v->tests = STEAL(j->verdict->tests);
		v->test_count = j->verdict->test_count;
		v->passed = j->verdict->passed;
		v->failed = j->verdict->failed;
		v->errors = j->verdict->errors;
		v->skipped = j->verdict->skipped;
		v->coverage = j->verdict->coverage;
		v->started_ms = j->verdict->started_ms;
		v->duration_ms = j->verdict->duration_ms;
		v->attempts = j->verdict->attempts;
		(void)snprintf(v->identity, sizeof v->identity, "%s",
		    j->verdict->identity);
		j->verdict->test_count = 0;
		verdict_free(j->verdict);
	}
	mem_free(v->engine);
	v->engine = mem_strdup(j->w->engine.version);
	mem_free(v->sandbox);
	v->sandbox = mem_strdup(j->w->sandbox);
	j->verdict = v;
}

/* ---- the engine ---- */

/* Asked again when its program changed on disk, so that an upgrade of opa is
 * seen in the next verdict's identity. */
static enum err_code
know_engine(struct judging *j, struct err *e)
{
	struct worker *w = j->w;
	const char *path = w->conf->engine.items[0];
	struct stat st;

	if (path[0] != '/')
		return err_set(e, ERR_UNAVAILABLE,
		    "engine %s was not found when the server started; install "
		    "opa 1.0 or newer, or name it with --opa FILE, and start "
		    "the server again",
		    path);
	if (stat(path, &st) != 0) {
		w->engine_changed = (struct timespec){ 0 };
		(void)err_errno(e, "engine %s", path);
		e->code = ERR_UNAVAILABLE;
		return ERR_UNAVAILABLE;
	}
	if (w->engine_changed.tv_sec == st.st_mtim.tv_sec &&
	    w->engine_changed.tv_nsec == st.st_mtim.tv_nsec)
		return ERR_OK;
	TRY(gate_ask_engine(&w->engine, path, j->job.runner, j->work, e));
	w->engine_changed = st.st_mtim;
	log_info("engine.known", "repo=%s version=%s digest=%.12s",
	    w->conf->name, w->engine.version, w->engine.digest);
	return worker_report(w, e);
}

/* ---- before the tests ---- */

static bool
may_define(const struct conf_repository *c, const char *bundle)
{
	if (c->bundles.count == 0)
		return true;
	for (size_t i = 0; i < c->bundles.count; i++)
		if (definition_glob(c->bundles.items[i], bundle))
			return true;
	return false;
}

static const struct conf_repository *
repositories(const struct judging *j, size_t *count)
{
	*count = j->w->desk->conf->repositories.count;
	return j->w->desk->conf->repositories.items;
}

/* May another repository define this bundle, for a cluster of this one? */
static bool
is_elsewhere(const void *arg, const char *bundle)
{
	const struct judging *j = arg;
	size_t count;
	const struct conf_repository *all = repositories(j, &count);

	for (size_t i = 0; i < count; i++)
		if (&all[i] != j->w->conf && may_define(&all[i], bundle))
			return true;
	return false;
}

static const char *
owner_of_clusters(const struct judging *j)
{
	size_t count;
	const struct conf_repository *all = repositories(j, &count);

	while (count > 1 && !all->clusters) {
		all++;
		count--;
	}
	return all->name;
}

static enum err_code
check_ownership(const struct judging *j, struct err *e)
{
	const struct conf_repository *c = j->w->conf;
	const struct definition *d = j->definition;
	const struct definition_bundle *b = d->bundles.items;
	const struct definition_cluster *k = d->clusters.items;

	for (size_t i = 0; i < d->bundles.count; i++)
		if (!may_define(c, b[i].name))
			return err_set(e, ERR_INVALID,
			    DEFINITION_FILE
			    ": bundles.%s: the server's "
			    "configuration does not let repository %s define "
			    "this bundle",
			    b[i].name, c->name);
	for (size_t i = 0; i < d->clusters.count; i++)
		if (k[i].follow != NULL && *j->w->branch != '\0' &&
		    strcmp(k[i].follow, j->w->branch) != 0)
			return err_set(e, ERR_INVALID,
			    DEFINITION_FILE
			    ": clusters.%s.follow: only the tracked branch, "
			    "%s, can be followed",
			    k[i].name, j->w->branch);
	if (!c->clusters && d->from_file && d->clusters.count > 0 &&
	    strcmp(((const struct definition_cluster *)d->clusters.items)->name,
		"default") != 0)
		return err_set(e, ERR_INVALID,
		    DEFINITION_FILE
		    ": clusters: repository %s defines the clusters, repository "
		    "%s cannot: remove them here",
		    owner_of_clusters(j), c->name);
	return ERR_OK;
}

static enum err_code
read_commit(struct judging *j, struct err *e)
{
	const struct definition_elsewhere elsewhere = { is_elsewhere, j };
	enum err_code code =
	    repo_tree(j->w->mirror, j->request->commit, &j->tree, e);

	if (code != ERR_OK) {
		judge_refuse(j, "hygiene", e);
		return code;
	}
	code = definition_read_with(&j->definition, j->tree, &elsewhere, e);
	if (code == ERR_OK)
		code = check_ownership(j, e);
	if (code != ERR_OK)
		judge_refuse(j, "definition", e);
	return code;
}

/* ---- the tests ---- */

/* What passed, and then the keeper or the disk failed: the store has only that
 * it could not run, and the tests need not be run again for it. */
static bool
passed_before(struct judging *j, const char *identity)
{
	struct verdict *v = NULL;

	if (j->w->passed == NULL ||
	    verdict_parse(&v, j->w->passed, NULL) != ERR_OK)
		return false;
	if (strcmp(v->identity, identity) != 0) {
		verdict_free(v);
		return false;
	}
	j->verdict = v;
	return true;
}

static void
keep_passed(struct judging *j)
{
	json_decref(j->w->passed);
	j->w->passed = verdict_json(j->verdict);
}

/* The same question is never asked twice, but for an operator who asks again;
 * a time-out or a crash is no answer. */
static bool
answered(struct judging *j)
{
	char identity[65];
	json_t *known = NULL;
	struct verdict *v = NULL;
	struct err e = { 0 };

	if (j->request->again)
		return false;
	gate_identity(identity, &j->job, j->definition);
	if (passed_before(j, identity))
		return true;
	if (store_verdict_by_identity(j->w->store, identity, &known, &e) !=
	    ERR_OK)
		return false;
	if (verdict_parse(&v, known, &e) != ERR_OK)
		log_warn("verdict.reuse", "repo=%s error=\"%s\"",
		    j->w->conf->name, e.text);
	json_decref(known);
	if (v == NULL ||
	    (v->state != GATE_PASSED && v->state != GATE_FAILED &&
		v->state != GATE_NO_TESTS)) {
		verdict_free(v);
		return false;
	}
	j->verdict = v;
	return true;
}

/* Once more, alone on the machine, before a commit is blamed for a time-out or
 * a crash that its neighbours may have caused. */
static void
wait_alone(void *arg)
{
	struct judging *j = arg;
	struct desk *d = j->w->desk;

	log_warn("gate.retry", "repo=%s commit=%s", j->w->conf->name,
	    j->request->commit);
	desk_gate_leave(d, false);
	j->alone = desk_gate_enter(d, true);
	j->entered = j->alone;
}

static enum err_code
run_tests(struct judging *j, struct err *e)
{
	struct desk *d = j->w->desk;
	enum err_code code;

	j->entered = desk_gate_enter(d, false);
	if (!j->entered)
		return err_set(e, ERR_UNAVAILABLE, "the server is stopping");
	j->job.before_retry = wait_alone;
	j->job.arg = j;
	code = gate_decide(&j->verdict, &j->job, j->definition, e);
	if (j->entered)
		desk_gate_leave(d, j->alone);
	return code;
}

/* ---- telling the ledger ---- */

static enum err_code
store_verdict(struct judging *j, struct err *e)
{
	const struct verdict *v = j->verdict;

	counters_add(j->w->desk->counters,
	    (enum counter)(COUNTER_VERDICTS_PASSED + (int)v->state), 1);
	log_write(v->state == GATE_PASSED ? LOG_INFO : LOG_WARN,
	    v->state == GATE_PASSED ? "gate.passed" : "gate.rejected",
	    "repo=%s commit=%s state=%s stage=%s passed=%zu failed=%zu "
	    "errors=%zu ms=%" PRId64,
	    j->w->conf->name, j->request->commit, gate_state_name(v->state),
	    v->stage != NULL ? v->stage : "-", v->passed, v->failed, v->errors,
	    v->duration_ms);
	return desk_tell(j->w->desk, LEDGER_VERDICT,
	    json_pack("{s:s,s:s,s:o}", "repository", j->w->conf->name, "commit",
		j->request->commit, "verdict", verdict_json(v)),
	    NULL, e);
}

static json_t *
clusters_json(const struct definition *d)
{
	const struct definition_cluster *c = d->clusters.items;
	json_t *list = json_array();

	for (size_t i = 0; i < d->clusters.count; i++) {
		const struct definition_label *l = c[i].labels.items;
		json_t *labels = json_object();

		for (size_t k = 0; k < c[i].labels.count; k++)
			(void)json_object_set_new(labels, l[k].key,
			    json_string(l[k].value));
		(void)json_array_append_new(list,
		    json_pack("{s:s,s:o,s:o}", "name", c[i].name, "labels",
			labels, "bundles",
			judge_strings(c[i].bundles.items, c[i].bundles.count)));
	}
	return list;
}

/* Commits that an assignment names must outlive a rewritten branch. */
static void
keep_assigned(struct worker *w)
{
	struct store_ids ids = { 0 };
	struct err e = { 0 };

	if (store_assigned_commits(w->store, w->conf->name, &ids, &e) !=
	    ERR_OK) {
		log_warn("commit.keep", "repo=%s error=\"%s\"", w->conf->name,
		    e.text);
		return;
	}
	for (size_t i = 0; i < ids.count; i++) {
		AUTO_STR name = mem_printf("kept/%s", ids.ids[i]);

		if (repo_set_ref(w->mirror, name, ids.ids[i], &e) != ERR_OK)
			log_warn("commit.keep",
			    "repo=%s commit=%s error=\"%s\"", w->conf->name,
			    ids.ids[i], e.text);
	}
	store_ids_clear(&ids);
}

static enum err_code
publish(struct judging *j, struct err *e)
{
	struct worker *w = j->w;
	json_t *reply = NULL;
	AUTO_JSON payload = json_pack("{s:s,s:s,s:s,s:b,s:I,s:O,s:o,s:b}",
	    "repository", w->conf->name, "commit", j->request->commit,
	    "identity", j->verdict->identity, "owns_clusters",
	    w->conf->clusters, "operation", (json_int_t)j->request->operation,
	    "bundles", j->bundles, "clusters", clusters_json(j->definition),
	    "forced", j->verdict->state != GATE_PASSED);

	TRY(set_check_publication(w->desk, &j->job, payload, e));
	TRY(desk_tell(w->desk, LEDGER_PUBLISH, json_incref(payload), &reply,
	    e));
	log_info("commit.published",
	    "repo=%s commit=%s bundles=%zu planned=%zu assigned=%zu",
	    w->conf->name, j->request->commit, json_array_size(j->bundles),
	    j->planned, json_array_size(json_object_get(reply, "assigned")));
	json_decref(reply);
	keep_assigned(w);
	return ERR_OK;
}

/* An admin wants it though it did not pass: signed and loaded by the engine all
 * the same, or not at all. */
static enum err_code
force(struct judging *j, struct err *e)
{
	const char *reason = j->verdict->reason;

	if (j->tree == NULL || j->definition == NULL || j->bundles != NULL)
		return err_set(e, ERR_CONFLICT,
		    "commit %.12s cannot be forced: there is nothing of it "
		    "that engines could load: %s",
		    j->request->commit, reason != NULL ? reason : "");
	log_warn("commit.forced", "repo=%s commit=%s operation=%" PRId64,
	    j->w->conf->name, j->request->commit, j->request->operation);
	j->only = j->request->only;
	TRY(judge_build(j, e));
	return publish(j, e);
}

/* ---- all of it ---- */

/* Leaves a verdict in j whenever one could be made; an error without one means
 * that it is no fault of the commit and nothing to keep. */
static enum err_code
find_verdict(struct judging *j, struct err *e)
{
	enum err_code code = know_engine(j, e);

	if (code != ERR_OK) {
		judge_refuse(j, "engine", e);
		return code;
	}
	TRY(read_commit(j, e));
	j->job.tree = j->tree;
	if (!answered(j))
		TRY(run_tests(j, e));
	if (j->verdict->state != GATE_PASSED)
		return ERR_OK;
	keep_passed(j);
	return judge_build(j, e);
}

/* One row says that it could not run, not one per attempt. */
static bool
is_old_news(struct judging *j)
{
	struct store_verdict known;

	return j->verdict->state == GATE_COULD_NOT_RUN &&
	    store_newest_verdict(j->w->store, j->w->conf->name,
		j->request->commit, &known, NULL) == ERR_OK &&
	    strcmp(known.state, "could_not_run") == 0;
}

static enum err_code
judge(struct judging *j, struct err *e)
{
	enum err_code code;

	TRY(file_make_dirs(j->work, e));
	code = find_verdict(j, e);
	if (j->verdict == NULL || atomic_load(&j->w->desk->stopping))
		return code != ERR_OK
		    ? code
		    : err_set(e, ERR_UNAVAILABLE, "the server is stopping");
	/* What is the commit's own fault is answered by the store. */
	if (j->verdict->state != GATE_PASSED &&
	    j->verdict->state != GATE_COULD_NOT_RUN)
		json_decref(STEAL(j->w->passed));
	if (!is_old_news(j))
		TRY(store_verdict(j, e));
	if (j->verdict->state != GATE_PASSED)
		return j->request->force ? force(j, e) : ERR_OK;
	code = publish(j, e);
	if (code == ERR_OK)
		json_decref(STEAL(j->w->passed));
	if (code != ERR_CONFLICT && code != ERR_INVALID)
		return code;
	/* Another repository has a bundle or cluster of this name. That is
	 * this commit's fault and not an answer for others like it. */
	judge_refuse(j, "publish", e);
	j->verdict->identity[0] = '\0';
	return store_verdict(j, e);
}

enum err_code
judge_commit(struct worker *w, const struct judge_request *r,
    enum gate_state *state, char reason[GATE_REASON_MAX], struct err *e)
{
	struct gate_runner runner = { .run = desk_run, .ctx = &w->runner };
	struct judging j = { .w = w, .request = r };
	char folder[24];
	enum err_code code;

	desk_folder(w->desk, folder);
	j.work = mem_printf("%s/work/%s", w->desk->conf->data_dir, folder);
	j.minimum.strict = w->desk->conf->gate.minimum.strict;
	j.minimum.coverage = w->desk->conf->gate.minimum.coverage;
	j.job = (struct gate_job){ .repository = w->conf->name,
		.work = j.work,
		.engine = &w->engine,
		.minimum = &j.minimum,
		.sandbox = w->sandbox,
		.commands = w->desk->commands,
		.runner = &runner };
	judge_open_cache(w);
	code = judge(&j, e);
	if (code == ERR_OK && j.verdict->state == GATE_PASSED)
		cache_file_save(w->cache_file, w->cache, j.tree);
	if (code == ERR_OK) {
		*state = j.verdict->state;
		(void)snprintf(reason, GATE_REASON_MAX, "%s",
		    j.verdict->reason != NULL ? j.verdict->reason : "");
	}
	judging_clear(&j);
	return code;
}
