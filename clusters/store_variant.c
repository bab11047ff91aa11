#include "clusters/store_variant.h"

#include "clusters/store_sql.h"

#define ARTIFACT                                                     \
	"SELECT sha256, bundle, commit_id, content, content_sha256," \
	" key_id, size FROM artifacts"

static void
take(const struct rows *r, struct store_artifact *out)
{
	rows_copy(r, 0, out->sha256, sizeof out->sha256);
	rows_copy(r, 1, out->bundle, sizeof out->bundle);
	rows_copy(r, 2, out->revision, sizeof out->revision);
	rows_copy(r, 3, out->content, sizeof out->content);
	rows_copy(r, 4, out->content_sha256, sizeof out->content_sha256);
	rows_copy(r, 5, out->key, sizeof out->key);
	out->size = rows_int(r, 6);
}

enum err_code
store_get_artifact(struct store *s, const char *sha256,
    struct store_artifact *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code =
	    rows_one(&r, s, e, ARTIFACT " WHERE sha256 = ?1", "s", sha256);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "no artifact %s is stored", sha256);
	if (code == ERR_OK)
		take(&r, out);
	return code;
}

enum err_code
store_find_variant(struct store *s, const struct store_artifact *a,
    const char *key, struct store_artifact *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    ARTIFACT " WHERE bundle = ?1 AND content = ?2"
		     " AND content_sha256 = ?3 AND key_id = ?4"
		     " ORDER BY at_ms DESC, sha256 LIMIT 1",
	    "ssss", a->bundle, a->content, a->content_sha256, key));
	take(&r, out);
	return ERR_OK;
}

enum err_code
store_want_variant(struct store *s, const struct store_artifact *a,
    const char *key, int64_t at_ms, struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO variants_wanted (bundle, content_sha256, key_id,"
	    " artifact, at_ms) VALUES (?1,?2,?3,?4,?5)"
	    " ON CONFLICT (bundle, content_sha256, key_id) DO NOTHING",
	    "ssssi", a->bundle, a->content_sha256, key, a->sha256, at_ms);
}

enum err_code
store_has_variant(struct store *s, const struct store_artifact *a,
    const char *key, struct err *e)
{
	return sql_run(s, e,
	    "DELETE FROM variants_wanted WHERE bundle = ?1"
	    " AND content_sha256 = ?2 AND key_id = ?3",
	    "sss", a->bundle, a->content_sha256, key);
}

enum err_code
store_variant_fault(struct store *s, const struct store_artifact *a,
    const char *key, const char *why, struct err *e)
{
	return sql_run(s, e,
	    "UPDATE variants_wanted SET error = ?4 WHERE bundle = ?1"
	    " AND content_sha256 = ?2 AND key_id = ?3",
	    "ssss", a->bundle, a->content_sha256, key, why);
}

enum err_code
store_forget_variants(struct store *s, const char *key, struct err *e)
{
	return sql_run(s, e, "DELETE FROM variants_wanted WHERE key_id = ?1",
	    "s", key);
}

enum err_code
store_variants_wanted(struct store *s, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT artifact, key_id AS \"key\", at_ms, error"
	    " FROM variants_wanted ORDER BY at_ms, content_sha256, key_id",
	    "");
}

enum err_code
store_operation_unsigned(struct store *s, int64_t id, const char *resolved,
    struct err *e)
{
	return sql_run(s, e,
	    "UPDATE operations SET waits = 'key', resolved = ?2,"
	    " progress = 'waiting until it is signed' WHERE id = ?1",
	    "is", id, resolved);
}

enum err_code
store_unsigned_operation(struct store *s, int64_t after, int64_t *id,
    struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT id FROM operations WHERE state IN ('pending', 'running')"
	    " AND waits = 'key' AND id > ?1 ORDER BY id LIMIT 1",
	    "i", after));
	*id = rows_int(&r, 0);
	return ERR_OK;
}

enum err_code
store_count_signed(struct store *s, const char *key, int64_t *out,
    struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT count(*) FROM assignments a"
	    " JOIN artifacts f ON f.sha256 = a.artifact WHERE f.key_id = ?1",
	    "s", key));
	*out = rows_int(&r, 0);
	return ERR_OK;
}
