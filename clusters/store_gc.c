#include "clusters/store_gc.h"

#include <stdlib.h>
#include <string.h>

#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/mem.h"

/* So that nobody waits long for the ledger. */
enum { GC_ARTIFACTS_MAX = 100, GC_REPORTS_MAX = 200, GC_ROWS_MAX = 1000 };

enum { USED_EVERY_MS = 60 * 60 * 1000 };

/* Artifacts that go. ?1: how many contents of a bundle stay; ?2: what was made,
 * published and used before that. A content is as new as the newest commit that
 * has it. An operation whose commit is not known yet may be about any. */
#define DOOMED                                                            \
	"WITH contents AS ("                                              \
	" SELECT bundle, content, last_ms, row_number() OVER"             \
	"  (PARTITION BY bundle ORDER BY last_ms DESC, content) AS place" \
	" FROM (SELECT bundle, content, max(published_ms) AS last_ms"     \
	"  FROM revisions GROUP BY bundle, content) AS newest),"          \
	" doomed AS ("                                                    \
	" SELECT a.sha256, a.bundle, a.content, a.content_sha256"         \
	" FROM artifacts a LEFT JOIN contents c"                          \
	"  ON c.bundle = a.bundle AND c.content = a.content"              \
	" WHERE coalesce(c.place, ?1 + 1) > ?1"                           \
	" AND coalesce(c.last_ms, 0) < ?2"                                \
	" AND a.at_ms < ?2 AND a.used_ms < ?2"                            \
	" AND NOT EXISTS (SELECT 1 FROM assignments s"                    \
	"  WHERE s.bundle = a.bundle AND s.content = a.content)"          \
	" AND a.sha256 NOT IN (SELECT artifact FROM assignments)"         \
	" AND NOT EXISTS (SELECT 1 FROM quarantine q"                     \
	"  WHERE q.bundle = a.bundle AND q.content = a.content)"          \
	" AND NOT EXISTS (SELECT 1 FROM variants_wanted w"                \
	"  WHERE w.bundle = a.bundle"                                     \
	"  AND (w.artifact = a.sha256"                                    \
	"   OR w.content_sha256 = a.content_sha256))"                     \
	" AND a.sha256 NOT IN (SELECT sha256 FROM discoveries)"           \
	" AND NOT EXISTS (SELECT 1 FROM operations o"                     \
	"  WHERE o.state IN ('pending', 'running')"                       \
	"  AND (o.kind = 'rollback' AND o.resolved IS NULL"               \
	"   OR EXISTS (SELECT 1 FROM revisions r"                         \
	"    WHERE r.commit_id = o.resolved AND r.bundle = a.bundle"      \
	"    AND r.content = a.content)))) "

/* Reports that go: ?1, ?2 as above, of each repository. Not those of commits
 * that are served, were fetched last, or are being looked at. */
#define OLD_REPORTS                                                     \
	"WITH whole AS ("                                               \
	" SELECT id, repository, commit_id, at_ms, row_number() OVER"   \
	"  (PARTITION BY repository ORDER BY id DESC) AS place"         \
	" FROM verdicts WHERE cut_ms = 0),"                             \
	" doomed AS ("                                                  \
	" SELECT w.id FROM whole w WHERE w.place > ?1 AND w.at_ms < ?2" \
	" AND w.commit_id NOT IN (SELECT commit_id FROM assignments"    \
	"  UNION SELECT current_with FROM assignments"                  \
	"  UNION SELECT coalesce(head, '') FROM repositories"           \
	"  UNION SELECT coalesce(followed, '') FROM repositories"       \
	"  UNION SELECT coalesce(resolved, '') FROM operations"         \
	"   WHERE state IN ('pending', 'running'))) "

#define OLD_OPERATIONS                                                      \
	"WITH doomed AS ("                                                  \
	" SELECT id FROM (SELECT id, state, finished_ms, row_number() OVER" \
	"  (ORDER BY id DESC) AS place FROM operations) AS numbered"        \
	" WHERE place > ?1 AND state IN ('done', 'failed')"                 \
	" AND coalesce(finished_ms, 0) < ?2) "

/* ---- looking ---- */

static enum err_code
count(struct store *s, const char *sql, int64_t most, int64_t before_ms,
    int64_t *rows, int64_t *bytes, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e, sql, "ii", most, before_ms));
	*rows = rows_int(&r, 0);
	if (bytes != NULL)
		*bytes = rows_int(&r, 1);
	return ERR_OK;
}

enum err_code
store_gc_look(struct store *s, const struct store_keep *keep, int64_t now_ms,
    struct store_waste *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	*out = (struct store_waste){ 0 };
	TRY(count(s, DOOMED "SELECT count(*) FROM doomed", keep->artifacts,
	    now_ms - keep->artifacts_ms, &out->artifacts, NULL, e));
	TRY(count(s,
	    OLD_REPORTS "SELECT count(*), coalesce(sum(length(v.report)"
			" - length(v.summary)), 0) FROM doomed d"
			" JOIN verdicts v ON v.id = d.id",
	    keep->reports, now_ms - keep->reports_ms, &out->reports,
	    &out->report_bytes, e));
	TRY(count(s, OLD_OPERATIONS "SELECT count(*) FROM doomed",
	    keep->operations, now_ms - keep->operations_ms, &out->operations,
	    NULL, e));
	TRY(rows_one(&r, s, e,
	    "SELECT count(*) FROM engines WHERE seen_ms < ?1", "i",
	    now_ms - keep->engines_ms));
	out->engines = rows_int(&r, 0);
	return ERR_OK;
}

enum err_code
store_gc_files(struct store *s, const struct store_keep *keep, int64_t now_ms,
    struct store_files *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_open(&r, s, e,
	    DOOMED ", kept AS (SELECT sha256, content_sha256 FROM artifacts"
		   " WHERE sha256 NOT IN (SELECT sha256 FROM doomed)"
		   " UNION SELECT sha256, content_sha256 FROM discoveries)"
		   " SELECT sha256, 0 FROM kept"
		   " UNION SELECT content_sha256, 1 FROM kept",
	    "ii", keep->artifacts, now_ms - keep->artifacts_ms));
	return store_take_files(&r, out, e);
}

/* ---- removing ---- */

/* What goes is read before anything is changed: a statement that reads what it
 * removes is nobody's friend. */
struct doomed {
	char sha256[STORE_DIGEST_SIZE];
	char bundle[STORE_NAME_SIZE];
	char content[STORE_DIGEST_SIZE];
};

static enum err_code
read_doomed(struct store *s, const struct store_keep *keep, int64_t now_ms,
    struct doomed out[GC_ARTIFACTS_MAX], size_t *n, struct err *e)
{
	AUTO_ROWS r = { 0 };
	bool more;

	TRY(rows_open(&r, s, e,
	    DOOMED "SELECT sha256, bundle, content FROM doomed"
		   " ORDER BY sha256 LIMIT ?3",
	    "iii", keep->artifacts, now_ms - keep->artifacts_ms,
	    (int64_t)GC_ARTIFACTS_MAX));
	for (*n = 0;; (*n)++) {
		TRY(rows_next(&r, &more, e));
		if (!more)
			return ERR_OK;
		rows_copy(&r, 0, out[*n].sha256, sizeof out[*n].sha256);
		rows_copy(&r, 1, out[*n].bundle, sizeof out[*n].bundle);
		rows_copy(&r, 2, out[*n].content, sizeof out[*n].content);
	}
}

static enum err_code
remove_artifacts(struct store *s, const struct store_keep *keep, int64_t now_ms,
    struct store_waste *done, bool *more, struct err *e)
{
	struct doomed all[GC_ARTIFACTS_MAX];
	size_t n;

	TRY(read_doomed(s, keep, now_ms, all, &n, e));
	for (size_t i = 0; i < n; i++) {
		TRY(sql_run(s, e,
		    "UPDATE revisions SET artifact = NULL WHERE bundle = ?1"
		    " AND content = ?2 AND artifact = ?3",
		    "sss", all[i].bundle, all[i].content, all[i].sha256));
		TRY(sql_run(s, e, "DELETE FROM artifacts WHERE sha256 = ?1",
		    "s", all[i].sha256));
	}
	done->artifacts = (int64_t)n;
	*more = *more || n == GC_ARTIFACTS_MAX;
	return ERR_OK;
}

static enum err_code
cut_reports(struct store *s, const struct store_keep *keep, int64_t now_ms,
    struct store_waste *done, bool *more, struct err *e)
{
	AUTO_ROWS r = { 0 };
	int64_t ids[GC_REPORTS_MAX];
	bool any = true;

	TRY(rows_open(&r, s, e,
	    OLD_REPORTS "SELECT v.id, length(v.report) - length(v.summary)"
			" FROM doomed d JOIN verdicts v ON v.id = d.id"
			" ORDER BY v.id LIMIT ?3",
	    "iii", keep->reports, now_ms - keep->reports_ms,
	    (int64_t)GC_REPORTS_MAX));
	for (;;) {
		TRY(rows_next(&r, &any, e));
		if (!any)
			break;
		ids[done->reports++] = rows_int(&r, 0);
		done->report_bytes += rows_int(&r, 1);
	}
	rows_close(&r);
	for (int64_t i = 0; i < done->reports; i++)
		TRY(sql_run(s, e,
		    "UPDATE verdicts SET report = summary, cut_ms = ?2"
		    " WHERE id = ?1",
		    "ii", ids[i], now_ms));
	*more = *more || done->reports == GC_REPORTS_MAX;
	return ERR_OK;
}

static enum err_code
remove_operations(struct store *s, const struct store_keep *keep,
    int64_t now_ms, struct store_waste *done, bool *more, struct err *e)
{
	int64_t before = store_changes(s);

	TRY(sql_run(s, e,
	    OLD_OPERATIONS "DELETE FROM operations WHERE id IN"
			   " (SELECT id FROM doomed ORDER BY id LIMIT ?3)",
	    "iii", keep->operations, now_ms - keep->operations_ms,
	    (int64_t)GC_ROWS_MAX));
	done->operations = store_changes(s) - before;
	*more = *more || done->operations == GC_ROWS_MAX;
	return ERR_OK;
}

static enum err_code
forget_engines(struct store *s, const struct store_keep *keep, int64_t now_ms,
    struct store_waste *done, struct err *e)
{
	int64_t before = store_changes(s);

	TRY(store_forget_engines(s, now_ms - keep->engines_ms, e));
	done->engines = store_changes(s) - before;
	return ERR_OK;
}

/* What was assigned until yesterday was published long ago, perhaps. */
static enum err_code
note_used(struct store *s, int64_t now_ms, struct err *e)
{
	return sql_run(s, e,
	    "UPDATE artifacts SET used_ms = ?1 WHERE used_ms < ?2"
	    " AND sha256 IN (SELECT artifact FROM assignments)",
	    "ii", now_ms, now_ms - USED_EVERY_MS);
}

static enum err_code
note_time(struct store *s, int64_t now_ms, struct err *e)
{
	AUTO_STR text = mem_printf("%lld", (long long)now_ms);

	return sql_run(s, e,
	    "INSERT INTO meta (name, value) VALUES ('gc_ms', ?1)"
	    " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
	    "s", text);
}

enum err_code
store_gc(struct store *s, const struct store_keep *keep, int64_t now_ms,
    struct store_waste *done, bool *more, struct err *e)
{
	*done = (struct store_waste){ 0 };
	*more = false;
	TRY(note_used(s, now_ms, e));
	TRY(remove_artifacts(s, keep, now_ms, done, more, e));
	TRY(cut_reports(s, keep, now_ms, done, more, e));
	TRY(remove_operations(s, keep, now_ms, done, more, e));
	TRY(forget_engines(s, keep, now_ms, done, e));
	return note_time(s, now_ms, e);
}

enum err_code
store_gc_last(struct store *s, int64_t *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'gc_ms'", "");

	*out = code == ERR_OK ? rows_int(&r, 0) : 0;
	return code == ERR_NOT_FOUND ? ERR_OK : code;
}

enum err_code
store_next_gc(struct store *s, struct store_operation *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT id, target FROM operations WHERE kind = 'gc'"
	    " AND state IN ('pending', 'running') ORDER BY id LIMIT 1",
	    "");

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "nobody asked for gc");
	if (code != ERR_OK)
		return code;
	*out = (struct store_operation){ .id = rows_int(&r, 0) };
	out->to = rows_dup(&r, 1);
	return ERR_OK;
}

enum err_code
store_any_repository(struct store *s, char out[STORE_NAME_SIZE], struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT name FROM repositories ORDER BY name LIMIT 1", "");

	if (code == ERR_NOT_FOUND)
		return err_set(e, code,
		    "no repository was looked at yet; there is nothing to "
		    "remove");
	if (code == ERR_OK)
		rows_copy(&r, 0, out, STORE_NAME_SIZE);
	return code;
}
