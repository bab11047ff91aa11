#include "clusters/store_discovery.h"

#include "clusters/payload.h"
#include "clusters/store_sql.h"

enum err_code
store_put_discovery(struct store *s, const struct store_discovery_row *r,
    bool *changed, struct err *e)
{
	AUTO_ROWS known = { 0 };
	enum err_code code = rows_one(&known, s, e,
	    "SELECT 1 FROM discoveries WHERE cluster = ?1 AND sha256 = ?2",
	    "ss", r->cluster, r->sha256);

	*changed = code == ERR_NOT_FOUND;
	if (!*changed)
		return code;
	return sql_run(s, e,
	    "INSERT INTO discoveries (cluster, revision, sha256,"
	    " content_sha256, key_id, size, at_ms) VALUES (?1,?2,?3,?4,?5,?6,?7)"
	    " ON CONFLICT (cluster) DO UPDATE SET"
	    " revision = excluded.revision, sha256 = excluded.sha256,"
	    " content_sha256 = excluded.content_sha256,"
	    " key_id = excluded.key_id, size = excluded.size,"
	    " at_ms = excluded.at_ms",
	    "sssssii", r->cluster, r->revision, r->sha256, r->content_sha256,
	    r->key_id, r->size, r->at_ms);
}

enum err_code
store_view_discovery_inputs(struct store *s, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT c.name AS \"cluster\", c.repository, a.bundle,"
	    " (SELECT key_id FROM artifacts WHERE sha256 = a.artifact)"
	    "  AS \"key\", d.revision AS \"discovery\", d.sha256, d.size"
	    " FROM clusters c"
	    " LEFT JOIN assignments a ON a.cluster = c.name"
	    " LEFT JOIN discoveries d ON d.cluster = c.name"
	    " WHERE a.bundle IS NOT NULL OR d.revision IS NOT NULL"
	    " ORDER BY c.name, a.bundle",
	    "");
}

enum err_code
store_view_discoveries(struct store *s, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT cluster, 'discovery' AS \"bundle\", revision,"
	    " revision AS \"content\", sha256, size, 0 AS \"serial\", at_ms,"
	    " at_ms AS \"decided_ms\""
	    " FROM discoveries ORDER BY cluster",
	    "");
}

enum err_code
store_view_discovery(struct store *s, const char *cluster, json_t **out,
    struct err *e)
{
	AUTO_JSON rows = NULL;

	TRY(sql_list(s, e, &rows,
	    "SELECT revision, sha256, key_id AS \"key\", at_ms AS \"at:time\""
	    " FROM discoveries WHERE cluster = ?1",
	    "s", cluster));
	*out = json_array_size(rows) > 0 ? json_incref(json_array_get(rows, 0))
					 : json_null();
	return ERR_OK;
}
