#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/pipeline/worker.h"

/* ---- alarms ---- */

static void
alarm_set(struct worker *w, const char *kind, const char *tip,
    const char *message)
{
	const char *before =
	    json_string_value(json_object_get(w->alarm, "kind"));
	const char *before_tip =
	    json_string_value(json_object_get(w->alarm, "tip"));

	w->state = "alarm";
	/* The same alarm keeps the time when it began. */
	if (before != NULL && strcmp(before, kind) == 0 && before_tip != NULL &&
	    strcmp(before_tip, tip) == 0)
		return;
	log_error("repository.alarm", "repo=%s kind=%s tip=%s message=\"%s\"",
	    w->conf->name, kind, tip, message);
	json_decref(w->alarm);
	w->alarm = json_pack("{s:s,s:s,s:s,s:I}", "kind", kind, "message",
	    message, "tip", tip, "since_ms", (json_int_t)clock_now_ms());
}

static void
alarm_clear(struct worker *w)
{
	if (w->alarm != NULL)
		log_info("repository.alarm_over", "repo=%s", w->conf->name);
	json_decref(w->alarm);
	w->alarm = NULL;
	w->state = "ok";
}

/* ---- following ---- */

/* The first-parent line may leave the followed commit out even though the tip
 * descends from it (a merge the other way round): depths are then counted on
 * another line, so it gets another number. */
static enum err_code
begin_line(struct worker *w, const char *tip, bool anew, struct err *e)
{
	int64_t line, depth;

	if (anew)
		w->line++;
	TRY(worker_record_line(w, tip, NULL, e));
	TRY(repo_set_ref(w->mirror, "base", tip, e));
	TRY(store_commit_place(w->store, w->conf->name, tip, &line, &depth, e));
	w->base = depth;
	return ERR_OK;
}

/* A ref of its own: the tip may move on to another history. */
static enum err_code
go_along(struct worker *w, const char *tip, struct err *e)
{
	TRY(repo_set_ref(w->mirror, "followed", tip, e));
	(void)snprintf(w->followed, sizeof w->followed, "%s", tip);
	w->again_ms = 0;
	return ERR_OK;
}

static enum err_code
is_on_line(struct worker *w, const char *tip, bool *out, struct err *e)
{
	struct repo_line line = { 0 };

	/* Up to and without what is followed: its parent's step says whether
	 * the walk met it or ran on to the root. */
	TRY(repo_line(w->mirror, tip, w->followed, SIZE_MAX, &line, e));
	*out = line.count > 0 &&
	    strcmp(line.steps[line.count - 1].commit.parent, w->followed) == 0;
	repo_line_clear(&line);
	return ERR_OK;
}

static enum err_code
follow(struct worker *w, const char *tip, struct err *e)
{
	bool on_line;

	if (*w->followed == '\0') {
		TRY(begin_line(w, tip, false, e));
	} else {
		TRY(is_on_line(w, tip, &on_line, e));
		if (on_line)
			TRY(worker_record_line(w, tip, w->followed, e));
		else
			TRY(begin_line(w, tip, true, e));
	}
	TRY(go_along(w, tip, e));
	log_info("repository.followed", "repo=%s commit=%s", w->conf->name,
	    tip);
	return ERR_OK;
}

static enum err_code
consider(struct worker *w, const char *tip, struct err *e)
{
	enum watch_step step = WATCH_FOLLOW;
	char known[TREE_ID_SIZE];

	/* What was followed may be gone with a mirror that was lost: a history
	 * that does not bring it back is another one. */
	if (*w->followed != '\0' &&
	    repo_resolve(w->mirror, w->followed, known, NULL) != ERR_OK)
		step = WATCH_UNRELATED;
	else if (*w->followed != '\0')
		TRY(watch_classify(w->mirror, w->followed, tip, &step, e));
	switch (step) {
	case WATCH_SAME:
		alarm_clear(w);
		return ERR_OK;
	case WATCH_FOLLOW:
		TRY(follow(w, tip, e));
		alarm_clear(w);
		return ERR_OK;
	case WATCH_REWRITTEN:
		alarm_set(w, "rewritten", tip,
		    "the branch was rewritten: what was followed is not in its "
		    "history; look at it, then run: edict accept");
		return ERR_OK;
	case WATCH_UNRELATED:
		alarm_set(w, "unrelated", tip,
		    "the branch has another history, with nothing in common; "
		    "look at it, then run: edict accept");
		return ERR_OK;
	}
	return ERR_OK;
}

/* ---- one fetch ---- */

static enum err_code
take_in(struct worker *w, const char *incoming, const char *tip, struct err *e)
{
	TRY(repo_take_in(w->mirror, incoming, tip, e));
	w->join_due = true;
	TRY(repo_set_ref(w->mirror, "tip", tip, e));
	(void)snprintf(w->tip, sizeof w->tip, "%s", tip);
	return ERR_OK;
}

/* The branch's name becomes one that the mirror knows too. */
static enum err_code
note_branch(struct worker *w, const struct fetch_result *r, struct err *e)
{
	if (*r->branch == '\0' || strcmp(w->branch, r->branch) == 0)
		return ERR_OK;
	TRY(repo_name_branch(w->mirror, r->branch, e));
	(void)snprintf(w->branch, sizeof w->branch, "%s", r->branch);
	watch_settle(w->watch, w->branch);
	return ERR_OK;
}

static enum err_code
conclude(struct worker *w, const struct fetch_result *r, const char *incoming,
    struct err *e)
{
	switch (r->outcome) {
	case FETCH_OK:
		TRY(note_branch(w, r, e));
		TRY(take_in(w, incoming, r->tip, e));
		return consider(w, r->tip, e);
	case FETCH_UNCHANGED:
		TRY(note_branch(w, r, e));
		return consider(w, w->tip, e);
	case FETCH_BRANCH_MISSING:
		alarm_set(w, "branch_missing", "", r->message);
		return ERR_OK;
	case FETCH_EMPTY:
		alarm_set(w, "empty", "", r->message);
		return ERR_OK;
	case FETCH_DENIED:
	case FETCH_UNREACHABLE:
	case FETCH_TIMED_OUT:
	case FETCH_TOO_LARGE:
	case FETCH_FAILED:
		break;
	}
	return err_set(e, ERR_UNAVAILABLE, "%s: %s",
	    fetch_outcome_name(r->outcome), r->message);
}

static bool
reached(enum fetch_outcome o)
{
	return o == FETCH_OK || o == FETCH_UNCHANGED ||
	    o == FETCH_BRANCH_MISSING || o == FETCH_EMPTY;
}

/* The host was asked: what came of it goes into the repository's row. */
static enum err_code
settle(struct worker *w, const struct fetch_result *r, const char *incoming,
    struct err *e)
{
	enum err_code code = conclude(w, r, incoming, e);
	enum fetch_outcome o = r->outcome;
	struct err telling = { 0 };

	if (code != ERR_OK && reached(o))
		o = FETCH_FAILED;
	watch_done(w->watch, o, clock_mono_ms());
	w->last_fetch_ms = clock_now_ms();
	counters_add(w->desk->counters,
	    reached(o) ? COUNTER_FETCHES_OK : COUNTER_FETCHES_FAILED, 1);
	if (reached(o)) {
		w->last_success_ms = w->last_fetch_ms;
		counters_set_success(w->desk->counters, w->conf->name,
		    w->last_fetch_ms);
		*w->last_error = '\0';
	} else {
		err_copy(w->last_error, sizeof w->last_error, e->text);
		/* An alarm about history does not end because of a host. */
		if (w->alarm == NULL)
			w->state = "unreachable";
	}
	if (worker_report(w, &telling) != ERR_OK)
		log_warn("repository.report", "repo=%s error=\"%s\"",
		    w->conf->name, telling.text);
	return code;
}

/* ---- the folder ----
 * Making and removing one takes as long as all else that a poll which finds
 * nothing does here, so one that stayed empty is for the next fetch; its child
 * refuses a folder that is not empty. */

static char *
incoming_path(const struct worker *w, const char *folder)
{
	return mem_printf("%s/repos/%s/incoming/%s", w->desk->conf->data_dir,
	    w->conf->name, folder);
}

static bool
is_empty(const char *dir)
{
	struct file_names list = { 0 };
	struct err e;
	bool empty = file_list(&list, dir, 1, &e) == ERR_OK && list.count == 0;

	file_names_clear(&list);
	return empty;
}

static void
remove_folder(const struct worker *w, const char *incoming)
{
	struct err e = { 0 };

	if (file_remove_tree(incoming, &e) != ERR_OK)
		log_warn("fetch.remove", "repo=%s error=\"%s\"", w->conf->name,
		    e.text);
}

static void
take_folder(struct worker *w, char folder[24])
{
	memcpy(folder, w->spare, sizeof w->spare);
	*w->spare = '\0';
	if (*folder == '\0')
		desk_folder(w->desk, folder);
}

static void
leave_folder(struct worker *w, const char folder[24], const char *incoming,
    enum fetch_outcome o)
{
	if (o == FETCH_UNCHANGED && is_empty(incoming))
		memcpy(w->spare, folder, sizeof w->spare);
	else
		remove_folder(w, incoming);
}

void
worker_fetch_end(struct worker *w)
{
	AUTO_STR incoming = incoming_path(w, w->spare);

	if (*w->spare != '\0')
		remove_folder(w, incoming);
	*w->spare = '\0';
}

enum err_code
worker_fetch(struct worker *w, const struct desk_patience *patience,
    struct err *e)
{
	char folder[24];
	struct fetch_result r = { .outcome = FETCH_FAILED };
	enum err_code code;

	w->given_up = false;
	take_folder(w, folder);
	AUTO_STR incoming = incoming_path(w, folder);
	code = file_make_dirs(incoming, e);
	if (code == ERR_OK)
		code = desk_fetch(w->desk, w->conf, folder, w->tip, w->branch,
		    patience, &r, e);
	if (code != ERR_OK)
		err_copy(r.message, sizeof r.message, e->text);
	if (patience != NULL && w->given_up) {
		watch_ask(w->watch);
		code = ERR_OK;
	} else {
		code = settle(w, &r, incoming, e);
	}
	leave_folder(w, folder, incoming, r.outcome);
	return code;
}

enum err_code
worker_accept(struct worker *w, const char *seen, struct err *e)
{
	const char *tip = json_string_value(json_object_get(w->alarm, "tip"));
	char accepted[TREE_ID_SIZE];

	if (tip == NULL || *tip == '\0')
		return err_set(e, ERR_CONFLICT,
		    "repository %s: there is no other history to accept",
		    w->conf->name);
	if (*seen != '\0' && strcmp(seen, tip) != 0)
		return err_set(e, ERR_CONFLICT,
		    "repository %s: the branch moved on to %.12s meanwhile; look "
		    "at that, and accept it then",
		    w->conf->name, tip);
	(void)snprintf(accepted, sizeof accepted, "%s", tip);
	TRY(begin_line(w, accepted, true, e));
	TRY(go_along(w, accepted, e));
	log_info("repository.accepted", "repo=%s commit=%s line=%" PRId64,
	    w->conf->name, accepted, w->line);
	alarm_clear(w);
	return worker_report(w, e);
}
