#include "clusters/store_sql.h"
#include "clusters/store_view.h"
#include "clusters/store_write.h"

enum err_code
store_put_engine(struct store *s, const struct store_engine_row *r,
    struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO engines (cluster, name, seen_ms, facts)"
	    " VALUES (?1,?2,?3,?4) ON CONFLICT (cluster, name) DO UPDATE SET"
	    " seen_ms = excluded.seen_ms, facts = excluded.facts",
	    "ssij", r->cluster, r->name, r->seen_ms, r->facts);
}

enum err_code
store_has_engine(struct store *s, const char *cluster, const char *name,
    bool *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT 1 FROM engines WHERE cluster = ?1 AND name = ?2", "ss",
	    cluster, name);

	*out = code == ERR_OK;
	return code == ERR_NOT_FOUND ? ERR_OK : code;
}

enum err_code
store_count_engines(struct store *s, int64_t *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e, "SELECT count(*) FROM engines", ""));
	*out = rows_int(&r, 0);
	return ERR_OK;
}

enum err_code
store_forget_engines(struct store *s, int64_t before_ms, struct err *e)
{
	return sql_run(s, e, "DELETE FROM engines WHERE seen_ms < ?1", "i",
	    before_ms);
}

enum err_code
store_view_engines(struct store *s, const char *cluster, const char *name,
    int64_t limit, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT cluster, name, seen_ms, facts AS \"facts:json\""
	    " FROM engines WHERE (cluster, name) > (?1, ?2)"
	    " ORDER BY cluster, name LIMIT ?3",
	    "ssi", cluster, name, limit);
}
