#include "clusters/store_view.h"

#include "clusters/store_sql.h"

enum err_code
store_view_repositories(struct store *s, const char *name, const char *after,
    int64_t limit, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT name, url, branch, state, suspended AS \"suspended:bool\","
	    " alarm AS \"alarm:json\", head, followed,"
	    " last_fetch_ms AS \"last_fetch_at:time\","
	    " last_success_ms AS \"last_success_at:time\", last_error,"
	    " engine, sandbox FROM repositories"
	    " WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR name > ?2)"
	    " ORDER BY name LIMIT ?3",
	    "ssi", name, after, limit);
}

enum err_code
store_view_line(struct store *s, const char *repository, const char *from,
    int64_t limit, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "WITH RECURSIVE line(id, n) AS ("
	    " SELECT CAST(?2 AS TEXT), 0 UNION ALL"
	    " SELECT c.parent, line.n + 1 FROM line JOIN commits c"
	    "  ON c.repository = ?1 AND c.id = line.id"
	    "  WHERE c.parent IS NOT NULL AND line.n + 1 < ?3)"
	    " SELECT c.repository, c.id AS \"revision\", c.parent, c.tree,"
	    " c.author, c.author_ms AS \"authored_at:time\","
	    " c.commit_ms AS \"committed_at:time\", c.subject, c.depth,"
	    " v.summary AS \"verdict:json\" FROM line"
	    " JOIN commits c ON c.repository = ?1 AND c.id = line.id"
	    " LEFT JOIN verdicts v ON v.id = c.verdict ORDER BY line.n",
	    "ssi", repository, from, limit);
}

enum err_code
store_view_runs_in(struct store *s, const char *repository, const char *commit,
    json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT a.cluster, a.bundle, a.mode,"
	    " a.forced AS \"forced:bool\" FROM assignments a"
	    " JOIN bundles b ON b.name = a.bundle"
	    " WHERE b.repository = ?1"
	    " AND (a.commit_id = ?2 OR a.current_with = ?2)"
	    " ORDER BY a.cluster, a.bundle",
	    "ss", repository, commit);
}

enum err_code
store_view_verdicts(struct store *s, const char *repository, const char *commit,
    json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT report AS \"report:json\", cut_ms AS \"cut:time\" FROM verdicts"
	    " WHERE repository = ?1 AND commit_id = ?2 ORDER BY id DESC",
	    "ss", repository, commit);
}

enum err_code
store_view_bundles(struct store *s, const char *name, const char *after,
    int64_t limit, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT name, repository, orphan AS \"orphan:bool\" FROM bundles"
	    " WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR name > ?2)"
	    " ORDER BY name LIMIT ?3",
	    "ssi", name, after, limit);
}

#define REVISION_COLUMNS                                                  \
	"SELECT r.bundle, r.repository, r.commit_id AS \"revision\","     \
	" r.content, r.roots AS \"roots:json\", a.sha256, a.size,"        \
	" a.key_id AS \"key\", r.published_ms AS \"published_at:time\""   \
	" FROM revisions r JOIN commits c ON c.repository = r.repository" \
	" AND c.id = r.commit_id LEFT JOIN artifacts a ON a.sha256 = r.artifact"

enum err_code
store_view_revisions(struct store *s, const char *bundle, const char *after,
    int64_t limit, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    REVISION_COLUMNS
	    " WHERE r.bundle = ?1 AND (?2 IS NULL OR (c.line, c.depth, c.id) <"
	    " (SELECT x.line, x.depth, x.id FROM revisions y JOIN commits x"
	    "  ON x.repository = y.repository AND x.id = y.commit_id"
	    "  WHERE y.bundle = ?1 AND y.commit_id = ?2))"
	    " ORDER BY c.line DESC, c.depth DESC, c.id DESC LIMIT ?3",
	    "ssi", bundle, after, limit);
}

enum err_code
store_view_revision(struct store *s, const char *bundle, const char *commit,
    json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    REVISION_COLUMNS " WHERE r.bundle = ?1 AND r.commit_id = ?2", "ss",
	    bundle, commit);
}

enum err_code
store_view_commit_revisions(struct store *s, const char *repository,
    const char *commit, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    REVISION_COLUMNS " WHERE r.repository = ?1 AND r.commit_id = ?2"
			     " ORDER BY r.bundle",
	    "ss", repository, commit);
}

enum err_code
store_view_clusters(struct store *s, const char *name, const char *after,
    int64_t limit, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT name, repository, labels AS \"labels:json\","
	    " orphan AS \"orphan:bool\" FROM clusters"
	    " WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR name > ?2)"
	    " ORDER BY name LIMIT ?3",
	    "ssi", name, after, limit);
}

/* orphan: the definition gives the cluster this bundle no more. */
#define ASSIGNMENTS                                                          \
	"SELECT cluster, bundle, commit_id AS \"revision\", current_with,"   \
	" (SELECT c.subject FROM commits c JOIN bundles b"                   \
	"  ON b.repository = c.repository WHERE b.name = assignments.bundle" \
	"  AND c.id = assignments.commit_id) AS \"subject\","                \
	" content, artifact, (SELECT key_id FROM artifacts"                  \
	" WHERE sha256 = assignments.artifact) AS \"key\","                  \
	" mode, serial, who AS \"by\","                                      \
	" at_ms AS \"at:time\", reason, blocked, forced AS \"forced:bool\"," \
	" (until IS NOT NULL) AS \"until_next:bool\","                       \
	" NOT EXISTS (SELECT 1 FROM cluster_bundles m"                       \
	"  JOIN bundles b ON b.name = m.bundle"                              \
	"  WHERE m.cluster = assignments.cluster"                            \
	"  AND m.bundle = assignments.bundle AND b.orphan = 0)"              \
	" AS \"orphan:bool\" FROM assignments "

enum err_code
store_view_assignments(struct store *s, const char *cluster, const char *bundle,
    json_t **out, struct err *e)
{
	if (cluster != NULL)
		return sql_list(s, e, out,
		    ASSIGNMENTS "WHERE cluster = ?1 AND (?2 IS NULL"
				" OR bundle = ?2) ORDER BY bundle",
		    "ss", cluster, bundle);
	return sql_list(s, e, out,
	    ASSIGNMENTS "WHERE bundle = ?1 ORDER BY cluster", "s", bundle);
}

enum err_code
store_view_quarantine(struct store *s, const char *cluster, const char *bundle,
    json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT content FROM quarantine WHERE cluster = ?1"
	    " AND bundle = ?2 ORDER BY content",
	    "ss", cluster, bundle);
}

enum err_code
store_view_operation(struct store *s, int64_t id, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT CAST(id AS TEXT) AS \"id\", kind, state, repository,"
	    " bundle, bundles AS \"bundles:json\", target AS \"to\","
	    " who AS \"by\", reason, forced AS \"forced:bool\","
	    " created_ms AS \"created_at:time\","
	    " finished_ms AS \"finished_at:time\", progress,"
	    " error AS \"error:json\", assignments AS \"assignments:json\","
	    " result AS \"result:json\" FROM operations WHERE id = ?1",
	    "i", id);
}

enum err_code
store_view_served(struct store *s, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT a.cluster, a.bundle, a.commit_id AS \"revision\","
	    " a.artifact AS \"sha256\", f.size, a.serial, a.content,"
	    " a.at_ms AS \"decided_ms\","
	    " CASE WHEN a.mode = 'following' AND a.who = 'pipeline'"
	    " THEN a.at_ms ELSE 0 END AS \"at_ms\""
	    " FROM assignments a JOIN artifacts f ON f.sha256 = a.artifact"
	    " ORDER BY a.cluster, a.bundle",
	    "");
}

enum err_code
store_view_variants(struct store *s, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT DISTINCT f.bundle, f.content, f.sha256 FROM assignments a"
	    " JOIN artifacts f ON f.bundle = a.bundle"
	    " AND f.content = a.content ORDER BY f.sha256",
	    "");
}

enum err_code
store_view_tokens(struct store *s, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT digest, name, role, clusters AS \"clusters:json\","
	    " bundles AS \"bundles:json\", expires_ms FROM tokens"
	    " WHERE revoked_ms = 0 ORDER BY digest",
	    "");
}

enum err_code
store_view_token_list(struct store *s, const char *after, int64_t now_ms,
    int64_t limit, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT digest, name, role, clusters AS \"clusters:json\","
	    " bundles AS \"bundles:json\", created_ms AS \"created_at:time\","
	    " created_by, expires_ms AS \"expires_at:time\","
	    " (expires_ms <> 0 AND expires_ms <= ?2) AS \"expired:bool\""
	    " FROM tokens WHERE revoked_ms = 0 AND (?1 IS NULL OR"
	    " (name, digest) > (SELECT name, digest FROM tokens"
	    "  WHERE digest = ?1))"
	    " ORDER BY name, digest LIMIT ?3",
	    "sii", after, now_ms, limit);
}

enum err_code
store_view_artifact(struct store *s, const char *prefix, json_t **out,
    struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT sha256, bundle, commit_id AS \"revision\","
	    " key_id AS \"key\" FROM artifacts"
	    " WHERE sha256 >= ?1 AND sha256 < ?1 || 'g' LIMIT 1",
	    "s", prefix);
}

/* The upper bound: "g" comes after every hex digit. */
enum err_code
store_view_prefix(struct store *s, const char *repository, const char *prefix,
    json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT repository, id AS \"commit\" FROM commits"
	    " WHERE (?1 IS NULL OR repository = ?1) AND id >= ?2"
	    " AND id < ?2 || 'g' ORDER BY id, repository LIMIT 2",
	    "ss", repository, prefix);
}

enum err_code
store_view_branch(struct store *s, const char *repository, const char *branch,
    json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT name AS \"repository\", followed AS \"commit\""
	    " FROM repositories WHERE (?1 IS NULL OR name = ?1)"
	    " AND (?2 = 'HEAD' OR branch = ?2) ORDER BY name LIMIT 2",
	    "ss", repository, branch);
}

enum err_code
store_view_above(struct store *s, const char *repository, const char *commit,
    int64_t n, char out[STORE_ID_SIZE], struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "WITH RECURSIVE line(id, n) AS ("
	    " SELECT CAST(?2 AS TEXT), 0 UNION ALL"
	    " SELECT c.parent, line.n + 1 FROM line JOIN commits c"
	    "  ON c.repository = ?1 AND c.id = line.id"
	    "  WHERE c.parent IS NOT NULL AND line.n < ?3)"
	    " SELECT c.id FROM line JOIN commits c"
	    "  ON c.repository = ?1 AND c.id = line.id WHERE line.n = ?3",
	    "ssi", repository, commit, n));
	rows_copy(&r, 0, out, STORE_ID_SIZE);
	return ERR_OK;
}
