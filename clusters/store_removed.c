#include "clusters/store_removed.h"

#include "clusters/store_copy.h"
#include "clusters/store_sql.h"

enum err_code
store_removed_serial(struct store *s, const char *cluster, const char *bundle,
    int64_t *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT serial FROM removed WHERE cluster = ?1 AND bundle = ?2",
	    "ss", cluster, bundle);
	int64_t floor;

	if (code != ERR_OK && code != ERR_NOT_FOUND)
		return code;
	*out = code == ERR_OK ? rows_int(&r, 0) : 0;
	/* What was there between a backup and its restore is not known. */
	TRY(store_serial_floor(s, &floor, e));
	if (*out < floor)
		*out = floor;
	return ERR_OK;
}

enum err_code
store_remove_assignment(struct store *s, const struct assignment *a,
    struct err *e)
{
	TRY(sql_run(s, e,
	    "INSERT INTO removed (cluster, bundle, serial) VALUES (?1,?2,?3)"
	    " ON CONFLICT (cluster, bundle) DO UPDATE SET"
	    " serial = excluded.serial",
	    "ssi", a->cluster, a->bundle, a->serial));
	TRY(sql_run(s, e,
	    "DELETE FROM quarantine WHERE cluster = ?1 AND bundle = ?2", "ss",
	    a->cluster, a->bundle));
	TRY(sql_run(s, e,
	    "DELETE FROM given_roots WHERE cluster = ?1 AND bundle = ?2", "ss",
	    a->cluster, a->bundle));
	return sql_run(s, e,
	    "DELETE FROM assignments WHERE cluster = ?1 AND bundle = ?2", "ss",
	    a->cluster, a->bundle);
}

enum err_code
store_remove_cluster(struct store *s, const char *cluster, struct err *e)
{
	TRY(sql_run(s, e, "DELETE FROM discoveries WHERE cluster = ?1", "s",
	    cluster));
	TRY(sql_run(s, e, "DELETE FROM cluster_bundles WHERE cluster = ?1", "s",
	    cluster));
	TRY(sql_run(s, e, "DELETE FROM cluster_keys WHERE cluster = ?1", "s",
	    cluster));
	return sql_run(s, e, "DELETE FROM clusters WHERE name = ?1", "s",
	    cluster);
}
