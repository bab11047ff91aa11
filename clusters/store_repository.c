/* Repositories, their commits, and the verdicts on those. */

#include <string.h>

#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/mem.h"

enum err_code
store_put_repository(struct store *s, const struct store_repository_row *r,
    struct err *e)
{
	AUTO_ROWS known = { 0 };
	enum err_code code = rows_one(&known, s, e,
	    "SELECT line FROM repositories WHERE name = ?1", "s", r->name);

	if (code != ERR_OK && code != ERR_NOT_FOUND)
		return code;
	if (code == ERR_OK && rows_int(&known, 0) > r->line)
		return err_set(e, ERR_CONFLICT,
		    "repository %s: line %lld is over; it is at %lld now",
		    r->name, (long long)r->line,
		    (long long)rows_int(&known, 0));
	rows_close(&known);
	return sql_run(s, e,
	    "INSERT INTO repositories (name, url, branch, state, alarm, head,"
	    " followed, line, last_fetch_ms, last_success_ms, last_error,"
	    " engine, sandbox)"
	    " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)"
	    " ON CONFLICT (name) DO UPDATE SET url = excluded.url,"
	    " branch = excluded.branch, state = excluded.state,"
	    " alarm = excluded.alarm, head = excluded.head,"
	    " followed = excluded.followed, line = excluded.line,"
	    " last_fetch_ms = excluded.last_fetch_ms,"
	    " last_success_ms = excluded.last_success_ms,"
	    " last_error = excluded.last_error, engine = excluded.engine,"
	    " sandbox = excluded.sandbox",
	    "ssssjooiiisss", r->name, r->url, r->branch, r->state, r->alarm,
	    r->head, r->followed, r->line, r->last_fetch_ms, r->last_success_ms,
	    r->last_error, r->engine, r->sandbox);
}

enum err_code
store_raise_line(struct store *s, const char *repository, int64_t line,
    struct err *e)
{
	return sql_run(s, e,
	    "UPDATE repositories SET line = ?2 WHERE name = ?1 AND line < ?2",
	    "si", repository, line);
}

enum err_code
store_set_suspended(struct store *s, const char *repository, bool suspended,
    struct err *e)
{
	return sql_run(s, e,
	    "UPDATE repositories SET suspended = ?2 WHERE name = ?1", "sb",
	    repository, suspended);
}

enum err_code
store_repository_state(struct store *s, const char *name,
    struct store_repository *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	struct store_repository found = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT name, url, branch, state, suspended, alarm, head, followed,"
	    " line, last_fetch_ms, last_success_ms, last_error"
	    " FROM repositories WHERE name = ?1",
	    "s", name);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "no repository is called %s", name);
	if (code != ERR_OK)
		return code;
	TRY(rows_json(&r, 5, &found.alarm, e));
	rows_copy(&r, 0, found.name, sizeof found.name);
	found.url = rows_dup(&r, 1);
	found.branch = rows_dup(&r, 2);
	found.state = rows_dup(&r, 3);
	found.suspended = rows_int(&r, 4) != 0;
	rows_copy(&r, 6, found.head, sizeof found.head);
	rows_copy(&r, 7, found.followed, sizeof found.followed);
	found.line = rows_int(&r, 8);
	found.last_fetch_ms = rows_int(&r, 9);
	found.last_success_ms = rows_int(&r, 10);
	found.last_error = rows_dup(&r, 11);
	*out = found;
	return ERR_OK;
}

void
store_repository_clear(struct store_repository *r)
{
	mem_free(r->url);
	mem_free(r->branch);
	mem_free(r->state);
	mem_free(r->last_error);
	json_decref(r->alarm);
	*r = (struct store_repository){ 0 };
}

enum err_code
store_put_commit(struct store *s, const struct store_commit_row *c,
    struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO commits (repository, id, line, depth, parent, tree,"
	    " author, author_ms, commit_ms, subject)"
	    " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)"
	    " ON CONFLICT (repository, id) DO UPDATE SET"
	    " line = excluded.line, depth = excluded.depth"
	    " WHERE excluded.line > commits.line",
	    "ssiiossiis", c->repository, c->id, c->line, c->depth, c->parent,
	    c->tree, c->author, c->author_ms, c->commit_ms, c->subject);
}

enum err_code
store_mark_published(struct store *s, const char *repository,
    const char *commit, int64_t at_ms, struct err *e)
{
	return sql_run(s, e,
	    "UPDATE commits SET published_ms = ?3"
	    " WHERE repository = ?1 AND id = ?2 AND published_ms IS NULL",
	    "ssi", repository, commit, at_ms);
}

enum err_code
store_is_published(struct store *s, const char *repository, const char *commit,
    bool *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT count(*) FROM commits WHERE repository = ?1 AND id = ?2"
	    " AND published_ms IS NOT NULL",
	    "ss", repository, commit));
	*out = rows_int(&r, 0) > 0;
	return ERR_OK;
}

enum err_code
store_newest_passing(struct store *s, const char *repository, int64_t line,
    int64_t depth, bool *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT count(*) FROM commits WHERE repository = ?1"
	    " AND line = ?2 AND depth > ?3 AND verdict_state = 'passed'",
	    "sii", repository, line, depth));
	*out = rows_int(&r, 0) == 0;
	return ERR_OK;
}

enum err_code
store_is_ancestor(struct store *s, const char *repository, const char *a,
    const char *b, bool *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "WITH RECURSIVE line(id, depth, stop) AS ("
	    " SELECT y.id, y.depth, x.depth FROM commits y"
	    "  JOIN commits x ON x.repository = y.repository AND x.id = ?2"
	    "  WHERE y.repository = ?1 AND y.id = ?3"
	    " UNION ALL"
	    " SELECT p.id, p.depth, line.stop FROM line"
	    "  JOIN commits c ON c.repository = ?1 AND c.id = line.id"
	    "  JOIN commits p ON p.repository = ?1 AND p.id = c.parent"
	    "  WHERE p.depth >= line.stop)"
	    " SELECT count(*) FROM line WHERE id = ?2",
	    "sss", repository, a, b));
	*out = rows_int(&r, 0) > 0;
	return ERR_OK;
}

enum err_code
store_commit_place(struct store *s, const char *repository, const char *commit,
    int64_t *line, int64_t *depth, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT line, depth FROM commits WHERE repository = ?1 AND id = ?2",
	    "ss", repository, commit);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "repository %s: no commit %s is known",
		    repository, commit);
	if (code != ERR_OK)
		return code;
	*line = rows_int(&r, 0);
	*depth = rows_int(&r, 1);
	return ERR_OK;
}

/* A sender that lost our reply sends the same report again: then it is the last
 * one that is stored. */
static enum err_code
same_verdict(struct store *s, const char *repository, const char *commit,
    const json_t *report, int64_t *id, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT id FROM verdicts WHERE report = ?3 AND id ="
	    " (SELECT max(id) FROM verdicts"
	    "  WHERE repository = ?1 AND commit_id = ?2)",
	    "ssj", repository, commit, report));
	*id = rows_int(&r, 0);
	return ERR_OK;
}

enum err_code
store_put_verdict(struct store *s, const char *repository, const char *commit,
    const char *identity, const char *state, const json_t *summary,
    const json_t *report, int64_t at_ms, int64_t *id, bool *added,
    struct err *e)
{
	enum err_code code = same_verdict(s, repository, commit, report, id, e);

	*added = code == ERR_NOT_FOUND;
	if (!*added)
		return code;
	TRY(sql_returning(s, e, id,
	    "INSERT INTO verdicts (id, repository, commit_id, identity, state,"
	    " at_ms, summary, report)"
	    " VALUES ((SELECT coalesce(max(id), 0) + 1 FROM verdicts),"
	    " ?1,?2,?3,?4,?5,?6,?7) RETURNING id",
	    "ssosijj", repository, commit, identity, state, at_ms, summary,
	    report));
	/* That it could not run says nothing of the commit: what is known of it
	 * goes on counting. */
	return sql_run(s, e,
	    "UPDATE commits SET verdict = ?3, verdict_state = ?4"
	    " WHERE repository = ?1 AND id = ?2 AND (?4 <> 'could_not_run'"
	    "  OR coalesce(verdict_state, 'could_not_run') ="
	    "   'could_not_run')",
	    "ssis", repository, commit, *id, state);
}

enum err_code
store_newest_verdict(struct store *s, const char *repository,
    const char *commit, struct store_verdict *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT v.id, v.state, v.identity FROM commits c"
	    " JOIN verdicts v ON v.id = c.verdict"
	    " WHERE c.repository = ?1 AND c.id = ?2",
	    "ss", repository, commit);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code,
		    "repository %s: commit %s was never judged", repository,
		    commit);
	if (code != ERR_OK)
		return code;
	out->id = rows_int(&r, 0);
	rows_copy(&r, 1, out->state, sizeof out->state);
	rows_copy(&r, 2, out->identity, sizeof out->identity);
	return ERR_OK;
}

enum err_code
store_verdict_by_identity(struct store *s, const char *identity, json_t **out,
    struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT report FROM verdicts WHERE identity = ?1"
	    " AND state <> 'could_not_run' AND cut_ms = 0"
	    " ORDER BY id DESC LIMIT 1",
	    "s", identity);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "no verdict answers %s", identity);
	if (code != ERR_OK)
		return code;
	return rows_json(&r, 0, out, e);
}

static enum err_code
take_ids(struct rows *r, struct store_ids *out, struct err *e)
{
	struct store_ids ids = { 0 };

	for (;;) {
		bool more;
		enum err_code code = rows_next(r, &more, e);

		if (code != ERR_OK) {
			store_ids_clear(&ids);
			return code;
		}
		if (!more)
			break;
		ids.ids = mem_grow(ids.ids, ids.count + 1, sizeof *ids.ids);
		rows_copy(r, 0, ids.ids[ids.count++], sizeof *ids.ids);
	}
	*out = ids;
	return ERR_OK;
}

enum err_code
store_commits_without_verdict(struct store *s, const char *repository,
    int64_t line, int64_t after_depth, size_t limit, struct store_ids *out,
    struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_open(&r, s, e,
	    "SELECT id FROM commits WHERE repository = ?1 AND line = ?2"
	    " AND depth > ?3 AND coalesce(verdict_state, 'could_not_run') ="
	    "  'could_not_run'"
	    " ORDER BY (verdict IS NOT NULL), depth DESC LIMIT ?4",
	    "siii", repository, line, after_depth, (int64_t)limit));
	return take_ids(&r, out, e);
}

enum err_code
store_commits_unpublished(struct store *s, const char *repository, int64_t line,
    size_t limit, struct store_ids *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_open(&r, s, e,
	    "SELECT id FROM commits WHERE repository = ?1 AND line = ?2"
	    " AND verdict_state = 'passed' AND published_ms IS NULL"
	    " ORDER BY depth DESC LIMIT ?3",
	    "sii", repository, line, (int64_t)limit));
	return take_ids(&r, out, e);
}

enum err_code
store_assigned_commits(struct store *s, const char *repository,
    struct store_ids *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_open(&r, s, e,
	    "SELECT id FROM commits WHERE repository = ?1 AND id IN"
	    " (SELECT commit_id FROM assignments"
	    "  UNION SELECT current_with FROM assignments)"
	    " ORDER BY line DESC, depth DESC",
	    "s", repository));
	return take_ids(&r, out, e);
}
