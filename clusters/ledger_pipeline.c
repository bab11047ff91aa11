/* What the pipeline tells: repositories, commits, verdicts, publications, and
 * how operations go on. */

#include <stdio.h>
#include <string.h>

#include "clusters/cluster.h"
#include "clusters/ledger_message.h"
#include "clusters/payload.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/spec.h"
#include "core/text.h"
#include "signing/digest.h"

static enum err_code
check_text(const char *what, const char *text, struct err *e)
{
	if (text != NULL && strlen(text) > LEDGER_TEXT_MAX)
		return err_set(e, ERR_LIMIT, "%s: longer than %d bytes", what,
		    (int)LEDGER_TEXT_MAX);
	return ERR_OK;
}

static enum err_code
check_id(const char *what, const char *text, bool empty, struct err *e)
{
	if (empty && (text == NULL || *text == '\0'))
		return ERR_OK;
	if (text == NULL || !text_is_hex(text, STORE_ID_SIZE - 1))
		return err_set(e, ERR_INVALID,
		    "%s: not a commit id of 40 lower-case digits", what);
	return ERR_OK;
}

/* A text or null. */
static enum err_code
nullable(const char *what, const json_t *value, const char **out, struct err *e)
{
	*out = json_string_value(value);
	if (!json_is_string(value) && !json_is_null(value))
		return err_set(e, ERR_INVALID, "%s: has to be a text or null",
		    what);
	return check_text(what, *out, e);
}

static bool
is_one_of(const char *text, const char *const *names)
{
	for (; *names != NULL; names++)
		if (strcmp(text, *names) == 0)
			return true;
	return false;
}

static enum err_code
check_alarm(const json_t *alarm, struct err *e)
{
	const char *kind, *message, *tip;
	json_int_t since_ms;
	json_error_t why;

	if (json_is_null(alarm))
		return ERR_OK;
	if (json_unpack_ex(payload_unconst(alarm), &why, 0,
		"{s:s, s:s, s:s, s:I !}", "kind", &kind, "message", &message,
		"tip", &tip, "since_ms", &since_ms) != 0)
		return payload_error(&why, "alarm", e);
	TRY(check_text("alarm", message, e));
	return check_id("alarm: tip", tip, true, e);
}

static enum err_code
check_repository(const struct store_repository_row *r, struct err *e)
{
	static const char *const states[] = { "starting", "ok", "alarm",
		"unreachable", NULL };

	if (!spec_is_name(r->name))
		return err_set(e, ERR_INVALID, "repository: bad name");
	if (!is_one_of(r->state, states))
		return err_set(e, ERR_INVALID, "repository %s: unknown state",
		    r->name);
	if (r->line < 0)
		return err_set(e, ERR_INVALID, "repository %s: line below 0",
		    r->name);
	TRY(check_text("url", r->url, e));
	TRY(check_text("branch", r->branch, e));
	TRY(check_id("head", r->head, true, e));
	return check_id("followed", r->followed, true, e);
}

/* Rows of repositories that are configured no more stay, and do not count. */
static enum err_code
take_room(struct ledger_context *c, const char *name, struct err *e)
{
	struct store_repository known;
	enum err_code code = store_repository_state(c->store, name, &known, e);

	if (code == ERR_OK)
		store_repository_clear(&known);
	if (code != ERR_NOT_FOUND)
		return code;
	if (c->repositories_left <= 0)
		return err_set(e, ERR_LIMIT,
		    "repository %s: more repositories than are configured",
		    name);
	c->repositories_left--;
	return ERR_OK;
}

enum err_code
ledger_repository(struct ledger_context *c, const json_t *payload,
    json_t **reply, struct err *e)
{
	struct store_repository_row r = { 0 };
	const json_t *alarm, *last_error, *engine, *sandbox, *head, *followed;
	json_int_t line, fetch_ms, success_ms;
	json_error_t why;

	(void)reply;
	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:I,s:I,s:I,s:o,s:o,s:o !}",
		"name", &r.name, "url", &r.url, "branch", &r.branch, "state",
		&r.state, "alarm", &alarm, "head", &head, "followed", &followed,
		"line", &line, "last_fetch_ms", &fetch_ms, "last_success_ms",
		&success_ms, "last_error", &last_error, "engine", &engine,
		"sandbox", &sandbox) != 0)
		return payload_error(&why, "repository", e);
	TRY(nullable("head", head, &r.head, e));
	TRY(nullable("followed", followed, &r.followed, e));
	TRY(nullable("last_error", last_error, &r.last_error, e));
	TRY(nullable("engine", engine, &r.engine, e));
	TRY(nullable("sandbox", sandbox, &r.sandbox, e));
	TRY(check_alarm(alarm, e));
	r.alarm = json_is_null(alarm) ? NULL : alarm;
	r.line = line;
	r.last_fetch_ms = fetch_ms;
	r.last_success_ms = success_ms;
	TRY(check_repository(&r, e));
	TRY(take_room(c, r.name, e));
	return store_put_repository(c->store, &r, e);
}

static enum err_code
put_commit(struct store *s, const char *repository, int64_t line,
    const json_t *item, struct err *e)
{
	struct store_commit_row row = { .repository = repository,
		.line = line };
	json_int_t author_ms, commit_ms, depth;
	const json_t *parent;
	json_error_t why;

	if (json_unpack_ex(payload_unconst(item), &why, 0,
		"{s:s, s:o, s:s, s:s, s:I, s:I, s:s, s:I !}", "id", &row.id,
		"parent", &parent, "tree", &row.tree, "author", &row.author,
		"author_ms", &author_ms, "commit_ms", &commit_ms, "subject",
		&row.subject, "depth", &depth) != 0)
		return payload_error(&why, "commit", e);
	TRY(nullable("commit: parent", parent, &row.parent, e));
	TRY(check_id("commit: id", row.id, false, e));
	TRY(check_id("commit: parent", row.parent, true, e));
	TRY(check_id("commit: tree", row.tree, false, e));
	TRY(check_text("commit: author", row.author, e));
	TRY(check_text("commit: subject", row.subject, e));
	if (depth < 0)
		return err_set(e, ERR_INVALID, "commit %s: depth below 0",
		    row.id);
	row.author_ms = author_ms;
	row.commit_ms = commit_ms;
	row.depth = depth;
	return store_put_commit(s, &row, e);
}

static enum err_code
check_known(struct store *s, const char *repository, struct err *e)
{
	struct store_repository known;

	TRY(store_repository_state(s, repository, &known, e));
	store_repository_clear(&known);
	return ERR_OK;
}

enum err_code
ledger_commits(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	const char *repository;
	const json_t *commits;
	json_int_t line;
	json_error_t why;
	json_t *item;
	size_t i;

	(void)reply;
	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s, s:I, s:o !}", "repository", &repository, "line", &line,
		"commits", &commits) != 0)
		return payload_error(&why, "commits", e);
	if (!json_is_array(commits) || line < -1)
		return err_set(e, ERR_INVALID,
		    "commits: has to be a list, with a line");
	if (json_array_size(commits) > LEDGER_COMMITS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d commits at once",
		    (int)LEDGER_COMMITS_MAX);
	TRY(check_known(c->store, repository, e));
	TRY(store_raise_line(c->store, repository, line, e));
	json_array_foreach(commits, i, item)
		TRY(put_commit(c->store, repository, line, item, e));
	return ERR_OK;
}

/* Lists show a verdict without its tests' results. */
static json_t *
summarize(const json_t *verdict)
{
	json_t *summary = json_copy(payload_unconst(verdict));

	json_object_del(summary, "results");
	json_object_del(summary, "identity");
	return summary;
}

static enum err_code
audit_verdict(struct store *s, const char *repository, const char *commit,
    const json_t *verdict, struct err *e)
{
	AUTO_STR subject = mem_printf("%s@%s", repository, commit);
	const char *stage =
	    json_string_value(json_object_get(verdict, "stage"));
	const char *state =
	    json_string_value(json_object_get(verdict, "state"));
	const char *reason =
	    json_string_value(json_object_get(verdict, "reason"));
	json_t *detail = json_pack("{s:s, s:s?, s:s?}", "state", state, "stage",
	    stage, "reason", reason);
	/* The finished file was refused: deleted, never known. Where nobody
	 * could look at it, it was not. */
	bool is_void = stage != NULL && strcmp(stage, "load") == 0 &&
	    strcmp(state, "could_not_run") != 0;
	enum err_code code = store_add_event(s,
	    &(struct store_event){ "pipeline", "", is_void ? "void" : "verdict",
		subject, detail },
	    e);

	json_decref(detail);
	return code;
}

static enum err_code
check_verdict(const char *state, const char *identity, struct err *e)
{
	static const char *const states[] = { "passed", "failed", "timed_out",
		"crashed", "no_tests", "could_not_run", NULL };

	if (!is_one_of(state, states))
		return err_set(e, ERR_INVALID, "verdict: unknown state");
	if (*identity != '\0' && !digest_is_hex(identity))
		return err_set(e, ERR_INVALID, "verdict: bad identity");
	if (*identity == '\0' && strcmp(state, "passed") == 0)
		return err_set(e, ERR_INVALID,
		    "verdict: a pass has to say what it answers");
	return ERR_OK;
}

enum err_code
ledger_verdict(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	const char *repository, *commit, *state, *identity;
	const json_t *verdict;
	json_error_t why;
	json_t *summary;
	int64_t line, depth, id = 0;
	bool added;
	enum err_code code;

	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s, s:s, s:o !}", "repository", &repository, "commit",
		&commit, "verdict", &verdict) != 0)
		return payload_error(&why, "verdict", e);
	if (json_unpack_ex(payload_unconst(verdict), &why, 0, "{s:s, s:s}",
		"state", &state, "identity", &identity) != 0)
		return payload_error(&why, "verdict", e);
	TRY(check_verdict(state, identity, e));
	TRY(store_commit_place(c->store, repository, commit, &line, &depth, e));
	summary = summarize(verdict);
	code = store_put_verdict(c->store, repository, commit, identity, state,
	    summary, verdict, clock_now_ms(), &id, &added, e);
	json_decref(summary);
	if (code == ERR_OK && added)
		code = audit_verdict(c->store, repository, commit, verdict, e);
	if (code != ERR_OK)
		return code;
	*reply = json_pack("{s:I}", "id", (json_int_t)id);
	return ERR_OK;
}

enum err_code
ledger_publish(struct ledger_context *c, const json_t *payload, json_t **reply,
    struct err *e)
{
	return cluster_publish(c->store, payload, reply, e);
}

enum err_code
ledger_operation(struct ledger_context *c, const json_t *payload,
    json_t **reply, struct err *e)
{
	static const char *const states[] = { "running", "done", "failed",
		NULL };
	struct store_progress p = { 0 };
	struct store_operation_full known;
	const json_t *error = NULL, *result = NULL;
	const char *code, *message;
	json_error_t why;
	json_int_t id;

	(void)reply;
	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:I, s:s, s?s, s?s, s?o, s?o !}", "id", &id, "state",
		&p.state, "progress", &p.progress, "resolved", &p.resolved,
		"error", &error, "result", &result) != 0)
		return payload_error(&why, "operation", e);
	if (!is_one_of(p.state, states))
		return err_set(e, ERR_INVALID, "operation: unknown state");
	if (error != NULL &&
	    json_unpack_ex(payload_unconst(error), &why, 0, "{s:s, s:s !}",
		"code", &code, "message", &message) != 0)
		return payload_error(&why, "operation: error", e);
	TRY(check_text("operation: progress", p.progress, e));
	TRY(check_id("operation: resolved", p.resolved, true, e));
	TRY(store_get_operation(c->store, id, &known, e));
	store_operation_full_clear(&known);
	p.error = error;
	p.result = result;
	if (strcmp(p.state, "running") != 0)
		p.finished_ms = clock_now_ms();
	return store_progress_operation(c->store, id, &p, e);
}
