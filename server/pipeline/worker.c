#include "server/pipeline/worker.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "bundler/cache_file.h"
#include "clusters/ledger.h"
#include "clusters/reserve.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/pipeline/judge.h"

enum {
	WORKER_LINE_MAX = 10000, /* commits of history made known */
	WORKER_RETRY_MIN_MS = 1000,
	WORKER_RETRY_MAX_MS = 300000,
	WORKER_IDLE_MS = 1000
};

/* ---- what the ledger is told ---- */

enum err_code
worker_report(struct worker *w, struct err *e)
{
	json_t *payload = json_pack(
	    "{s:s,s:s,s:s,s:s,s:O?,s:s,s:s,s:I,s:I,s:I,s:s?,s:s?,s:s}", "name",
	    w->conf->name, "url", w->conf->url, "branch", w->branch, "state",
	    w->state, "alarm", w->alarm, "head", w->tip, "followed",
	    w->followed, "line", (json_int_t)w->line, "last_fetch_ms",
	    (json_int_t)w->last_fetch_ms, "last_success_ms",
	    (json_int_t)w->last_success_ms, "last_error",
	    *w->last_error != '\0' ? w->last_error : NULL, "engine",
	    *w->engine.version != '\0' ? w->engine.version : NULL, "sandbox",
	    w->sandbox);

	return desk_tell(w->desk, LEDGER_REPOSITORY, payload, NULL, e);
}

static json_t *
commit_json(const struct tree_commit *c, int64_t depth)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:s,s:I}", "id", c->id,
	    "parent", c->parent, "tree", c->tree, "author", c->author,
	    "author_ms", (json_int_t)c->author_time * 1000, "commit_ms",
	    (json_int_t)c->commit_time * 1000, "subject", c->subject, "depth",
	    (json_int_t)depth);
}

static enum err_code
record(struct worker *w, int64_t line, json_t *commits, struct err *e)
{
	return desk_tell(w->desk, LEDGER_COMMITS,
	    json_pack("{s:s,s:I,s:o}", "repository", w->conf->name, "line",
		(json_int_t)line, "commits", commits),
	    NULL, e);
}

static enum err_code
record_steps(struct worker *w, const struct repo_line *line, struct err *e)
{
	/* Oldest first, so that a crash in between leaves no gap behind the
	 * newest that is known. */
	for (size_t left = line->count; left > 0;) {
		json_t *commits = json_array();

		for (size_t n = 0; left > 0 && n < LEDGER_COMMITS_MAX; n++) {
			const struct repo_step *s = &line->steps[--left];
			json_t *j = commit_json(&s->commit, s->depth);

			assert(j != NULL);
			(void)json_array_append_new(commits, j);
		}
		TRY(record(w, w->line, commits, e));
	}
	return ERR_OK;
}

enum err_code
worker_record_line(struct worker *w, const char *tip, const char *until,
    struct err *e)
{
	struct repo_line line = { 0 };
	enum err_code code;

	TRY(repo_line(w->mirror, tip, until, WORKER_LINE_MAX, &line, e));
	code = record_steps(w, &line, e);
	repo_line_clear(&line);
	return code;
}

enum err_code
worker_record_one(struct worker *w, const char *commit, struct err *e)
{
	struct repo_line line = { 0 };
	json_t *commits;
	int64_t known_line, depth;

	if (store_commit_place(w->store, w->conf->name, commit, &known_line,
		&depth, NULL) == ERR_OK)
		return ERR_OK;
	TRY(repo_line(w->mirror, commit, NULL, 1, &line, e));
	assert(line.count == 1);
	commits = json_array();
	(void)json_array_append_new(commits,
	    commit_json(&line.steps[0].commit, line.steps[0].depth));
	repo_line_clear(&line);
	/* Beside every line that was followed: it never counts as newer. */
	return record(w, 0, commits, e);
}

/* ---- the beginning ---- */

static void
remember(struct worker *w, const struct store_repository *r)
{
	(void)snprintf(w->followed, sizeof w->followed, "%s", r->followed);
	(void)snprintf(w->branch, sizeof w->branch, "%s", r->branch);
	if (*w->branch != '\0')
		watch_settle(w->watch, w->branch);
	w->line = r->line;
	w->last_fetch_ms = r->last_fetch_ms;
	w->last_success_ms = r->last_success_ms;
	if (r->last_success_ms > 0)
		counters_set_success(w->desk->counters, w->conf->name,
		    r->last_success_ms);
	if (r->alarm != NULL)
		w->alarm = json_incref(r->alarm);
	if (w->alarm != NULL)
		w->state = "alarm";
}

static int64_t
depth_of_base(struct worker *w)
{
	char base[TREE_ID_SIZE];
	int64_t line, depth;

	if (repo_get_ref(w->mirror, "base", base, NULL) == ERR_OK &&
	    store_commit_place(w->store, w->conf->name, base, &line, &depth,
		NULL) == ERR_OK &&
	    line == w->line)
		return depth;
	/* A mirror that was lost: what was followed is as good a beginning. */
	if (store_commit_place(w->store, w->conf->name, w->followed, &line,
		&depth, NULL) == ERR_OK)
		return depth;
	return 0;
}

static enum err_code
open_parts(struct worker *w, struct err *e)
{
	const char *data_dir = w->desk->conf->data_dir;
	AUTO_STR dir = mem_printf("%s/repos/%s/git", data_dir, w->conf->name);
	struct store_repository r;

	if (w->store == NULL)
		TRY(store_open_read(&w->store, data_dir, e));
	if (w->mirror == NULL)
		TRY(repo_open(&w->mirror, dir, true, e));
	if (store_repository_state(w->store, w->conf->name, &r, NULL) ==
	    ERR_OK) {
		remember(w, &r);
		store_repository_clear(&r);
	}
	if (repo_get_ref(w->mirror, "tip", w->tip, NULL) != ERR_OK)
		*w->tip = '\0';
	/* A lost mirror is fetched again, and has to name its branch anew. What
	 * was followed stays known: another history is an alarm all the same. */
	if (*w->tip == '\0')
		*w->branch = '\0';
	w->base = depth_of_base(w);
	return worker_report(w, e);
}

static bool
begin(struct worker *w)
{
	int64_t wait = WORKER_RETRY_MIN_MS;
	struct err e = { 0 };

	while (!atomic_load(&w->desk->stopping)) {
		if (open_parts(w, &e) == ERR_OK)
			return true;
		log_error("repository.open", "repo=%s error=\"%s\"",
		    w->conf->name, e.text);
		desk_wait(w->desk, &w->seen, wait);
		wait = wait * 2 < WORKER_RETRY_MAX_MS ? wait * 2
						      : WORKER_RETRY_MAX_MS;
	}
	return false;
}

/* ---- judging ---- */

static void
back_off(struct worker *w)
{
	w->again_wait_ms = w->again_wait_ms == 0 ? WORKER_RETRY_MIN_MS
						 : w->again_wait_ms * 2;
	if (w->again_wait_ms > WORKER_RETRY_MAX_MS)
		w->again_wait_ms = WORKER_RETRY_MAX_MS;
	w->again_ms = clock_mono_ms() + w->again_wait_ms;
}

static void
judge(struct worker *w, const char *commit)
{
	struct judge_request r = { .commit = commit };
	char reason[GATE_REASON_MAX];
	enum gate_state state;
	struct err e = { 0 };

	if (judge_commit(w, &r, &state, reason, &e) != ERR_OK) {
		log_error("commit.judge", "repo=%s commit=%s error=\"%s\"",
		    w->conf->name, commit, e.text);
		back_off(w);
	} else if (state == GATE_COULD_NOT_RUN) {
		back_off(w);
	} else {
		w->again_wait_ms = 0;
	}
}

/* Never judged, or only by a server that could not. */
static bool
is_open(struct worker *w, const char *commit)
{
	struct store_verdict v;
	enum err_code code =
	    store_newest_verdict(w->store, w->conf->name, commit, &v, NULL);

	return code == ERR_NOT_FOUND ||
	    (code == ERR_OK && strcmp(v.state, "could_not_run") == 0);
}

static bool
first_id(struct store_ids *ids, char out[TREE_ID_SIZE])
{
	bool any = ids->count > 0;

	if (any)
		(void)snprintf(out, TREE_ID_SIZE, "%s", ids->ids[0]);
	store_ids_clear(ids);
	return any;
}

/* The head first; then what a crash left between verdict and publication; then
 * what a push skipped over. One at a time: a newer head goes before the rest. */
static bool
next_commit(struct worker *w, char out[TREE_ID_SIZE])
{
	struct store_ids ids = { 0 };

	if (*w->followed == '\0' || clock_mono_ms() < w->again_ms)
		return false;
	if (is_open(w, w->followed)) {
		(void)snprintf(out, TREE_ID_SIZE, "%s", w->followed);
		return true;
	}
	if (store_commits_unpublished(w->store, w->conf->name, w->line, 1, &ids,
		NULL) == ERR_OK &&
	    first_id(&ids, out))
		return true;
	return store_commits_without_verdict(w->store, w->conf->name, w->line,
		   w->base, 1, &ids, NULL) == ERR_OK &&
	    first_id(&ids, out);
}

/* ---- the loop ---- */

static bool
is_suspended(struct worker *w)
{
	struct store_repository r;
	bool suspended;

	if (store_repository_state(w->store, w->conf->name, &r, NULL) != ERR_OK)
		return false;
	suspended = r.suspended;
	store_repository_clear(&r);
	return suspended;
}

static bool
do_operation(struct worker *w)
{
	struct store_operation op;

	if (clock_mono_ms() < w->operations_ms)
		return false;
	if (store_next_operation(w->store, w->conf->name, &op, NULL) != ERR_OK)
		return false;
	worker_operation(w, &op);
	store_operation_clear(&op);
	return true;
}

/* Has an operator asked for something meanwhile? Looked at when the ledger
 * says that there is news, so that this costs nothing. */
static bool
is_wanted(void *arg)
{
	struct worker *w = arg;
	struct store_operation op;

	if (desk_seen(w->desk) == w->seen_wanted)
		return false;
	w->seen_wanted = desk_seen(w->desk);
	if (store_next_operation(w->store, w->conf->name, &op, NULL) != ERR_OK)
		return false;
	store_operation_clear(&op);
	w->given_up = true;
	return true;
}

static void
do_fetch(struct worker *w)
{
	struct desk_patience patience = { .over = is_wanted, .arg = w };
	struct err e = { 0 };

	if (worker_fetch(w, &patience, &e) != ERR_OK)
		log_warn("fetch.failed", "repo=%s error=\"%s\"", w->conf->name,
		    e.text);
}

static int64_t
idle_ms(struct worker *w, bool suspended)
{
	int64_t due = watch_due_ms(w->watch, clock_mono_ms());
	int64_t wait = fetch_is_local(w->conf->url) ? WATCH_LOCAL_EVERY_MS
						    : WORKER_IDLE_MS;

	if (suspended || due > wait)
		return wait;
	return due;
}

/* What is left on a full disk is for the ledger: nothing is fetched or built
 * with it. */
static bool
is_short_of_room(struct worker *w)
{
	struct err e = { 0 };
	bool before = w->short_of_room;

	w->short_of_room = reserve_check(w->desk->conf->data_dir,
			       RESERVE_COMMITS, &e) != ERR_OK;
	if (w->short_of_room && !before)
		log_error("disk.full", "repo=%s error=\"%s\"", w->conf->name,
		    e.text);
	else if (before && !w->short_of_room)
		log_info("disk.free", "repo=%s", w->conf->name);
	return w->short_of_room;
}

static void
step(struct worker *w)
{
	bool suspended = is_suspended(w);
	char commit[TREE_ID_SIZE];

	if (desk_place_replaced(&w->place))
		atomic_store(&w->desk->renew, true);
	if (do_operation(w))
		return;
	if (is_short_of_room(w)) {
		desk_wait(w->desk, &w->seen, WORKER_IDLE_MS);
		return;
	}
	if (!suspended && watch_local_changed(w->watch))
		watch_ask(w->watch);
	if (!suspended && watch_due_ms(w->watch, clock_mono_ms()) == 0)
		do_fetch(w);
	if (!suspended && next_commit(w, commit)) {
		judge(w, commit);
		return;
	}
	worker_join(w);
	desk_wait(w->desk, &w->seen, idle_ms(w, suspended));
}

void
worker_run(struct worker *w)
{
	w->state = "starting";
	w->line = 1;
	w->join_due = true;
	w->watch = watch_new(w->conf->url, w->conf->branch,
	    w->conf->poll_interval * 1000, (uint32_t)clock_now_ms());
	if (begin(w))
		while (!atomic_load(&w->desk->stopping))
			step(w);
	worker_join_end(w);
	worker_fetch_end(w);
	watch_free(w->watch);
	cache_file_free(w->cache_file);
	json_decref(w->passed);
	bundle_cache_free(w->cache);
	repo_free(w->mirror);
	store_free(w->store);
	json_decref(w->alarm);
}
