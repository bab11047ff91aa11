/* Clusters and which bundles they shall have. */

#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/mem.h"

enum err_code
store_cluster_owner(struct store *s, const char *cluster,
    struct store_owner *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT repository, orphan FROM clusters WHERE name = ?1", "s",
	    cluster);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "no cluster is called %s", cluster);
	if (code != ERR_OK)
		return code;
	rows_copy(&r, 0, out->repository, sizeof out->repository);
	out->orphan = rows_int(&r, 1) != 0;
	return ERR_OK;
}

enum err_code
store_put_cluster(struct store *s, const char *cluster, const char *repository,
    const json_t *labels, struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO clusters (name, repository, labels, orphan)"
	    " VALUES (?1,?2,?3,0)"
	    " ON CONFLICT (name) DO UPDATE SET"
	    " repository = excluded.repository, labels = excluded.labels,"
	    " orphan = 0",
	    "ssj", cluster, repository, labels);
}

enum err_code
store_orphan_clusters(struct store *s, const char *repository, struct err *e)
{
	return sql_run(s, e,
	    "UPDATE clusters SET orphan = 1 WHERE repository = ?1", "s",
	    repository);
}

enum err_code
store_clear_members(struct store *s, const char *cluster, struct err *e)
{
	return sql_run(s, e, "DELETE FROM cluster_bundles WHERE cluster = ?1",
	    "s", cluster);
}

enum err_code
store_add_member(struct store *s, const char *cluster, const char *bundle,
    struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO cluster_bundles (cluster, bundle) VALUES (?1,?2)"
	    " ON CONFLICT (cluster, bundle) DO NOTHING",
	    "ss", cluster, bundle);
}

enum err_code
store_take_names(struct rows *r, struct store_names *out, struct err *e)
{
	struct store_names list = { 0 };

	for (;;) {
		bool more;
		enum err_code code = rows_next(r, &more, e);

		if (code != ERR_OK) {
			store_names_clear(&list);
			return code;
		}
		if (!more)
			break;
		list.names =
		    mem_grow(list.names, list.count + 1, sizeof *list.names);
		rows_copy(r, 0, list.names[list.count++], sizeof *list.names);
	}
	*out = list;
	return ERR_OK;
}

void
store_names_clear(struct store_names *n)
{
	mem_free(n->names);
	*n = (struct store_names){ 0 };
}

enum err_code
store_clusters_touched(struct store *s, const char *repository,
    struct store_names *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_open(&r, s, e,
	    "SELECT x.cluster AS cluster"
	    " FROM (SELECT cluster, bundle FROM assignments"
	    " UNION SELECT cluster, bundle FROM cluster_bundles) x"
	    " JOIN bundles b ON b.name = x.bundle WHERE b.repository = ?1"
	    " UNION SELECT name FROM clusters WHERE repository = ?1"
	    " ORDER BY cluster",
	    "s", repository));
	return store_take_names(&r, out, e);
}

enum err_code
store_members_missing(struct store *s, const char *cluster,
    struct store_names *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_open(&r, s, e,
	    "SELECT m.bundle FROM cluster_bundles m"
	    " JOIN bundles b ON b.name = m.bundle"
	    " WHERE m.cluster = ?1 AND b.orphan = 0 AND NOT EXISTS"
	    " (SELECT 1 FROM assignments a WHERE a.cluster = m.cluster"
	    "  AND a.bundle = m.bundle) ORDER BY m.bundle",
	    "s", cluster));
	return store_take_names(&r, out, e);
}

enum err_code
store_is_member(struct store *s, const char *cluster, const char *bundle,
    bool *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT count(*) FROM cluster_bundles m"
	    " JOIN clusters c ON c.name = m.cluster"
	    " JOIN bundles b ON b.name = m.bundle"
	    " WHERE m.cluster = ?1 AND m.bundle = ?2"
	    " AND c.orphan = 0 AND b.orphan = 0",
	    "ss", cluster, bundle));
	*out = rows_int(&r, 0) > 0;
	return ERR_OK;
}
