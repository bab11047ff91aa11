#include "clusters/store_set.h"

#include <string.h>

#include "clusters/store_sql.h"
#include "core/mem.h"

static const char *const state_names[STORE_SET_STATES] = {
	[STORE_SET_UNKNOWN] = "unknown",
	[STORE_SET_LOADS] = "loads",
	[STORE_SET_REFUSED] = "refused",
};

static const char *const asked_names[] = {
	[STORE_SET_NOT_ASKED] = "not_asked",
	[STORE_SET_WANTED] = "wanted",
	[STORE_SET_RUNNING] = "running",
	[STORE_SET_COULD_NOT_RUN] = "could_not_run",
};
enum { ASKED_NAMES = sizeof asked_names / sizeof *asked_names };

static int
find_name(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return 0;
}

enum err_code
store_set_known(struct store *s, const char *digest, bool current,
    enum store_set_state *state, char **reason, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT state, reason FROM sets WHERE digest = ?1"
	    /* What another engine refused, this one may load. */
	    " AND ((?2 = 0 AND state = 'loads') OR engine ="
	    "  (SELECT value FROM meta WHERE name = 'set_engine'))"
	    " ORDER BY at_ms DESC LIMIT 1",
	    "sb", digest, current);

	*state = STORE_SET_UNKNOWN;
	*reason = NULL;
	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code != ERR_OK)
		return code;
	*state = (enum store_set_state)find_name(state_names, STORE_SET_STATES,
	    rows_text(&r, 0));
	*reason = rows_dup(&r, 1);
	return ERR_OK;
}

enum err_code
store_set_engine(struct store *s, const char *engine, struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO meta (name, value) VALUES ('set_engine', ?1)"
	    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
	    " WHERE meta.value <> excluded.value",
	    "s", engine);
}

enum err_code
store_put_set(struct store *s, const char *digest, const char *engine,
    enum store_set_state state, const char *reason, int64_t at_ms,
    struct err *e)
{
	TRY(sql_run(s, e,
	    "INSERT INTO sets (digest, engine, state, reason, at_ms)"
	    " VALUES (?1,?2,?3,?4,?5)"
	    " ON CONFLICT (digest, engine) DO UPDATE SET"
	    " state = excluded.state, reason = excluded.reason,"
	    " at_ms = excluded.at_ms",
	    "ssssi", digest, engine, state_names[state], reason, at_ms));
	return sql_run(s, e, "DELETE FROM sets_wanted WHERE digest = ?1", "s",
	    digest);
}

enum err_code
store_want_set(struct store *s, const char *digest, const json_t *members,
    int64_t at_ms, struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO sets_wanted (digest, members, state, at_ms)"
	    " VALUES (?1,?2,'wanted',?3) ON CONFLICT (digest) DO NOTHING",
	    "sji", digest, members, at_ms);
}

enum err_code
store_set_asked(struct store *s, const char *digest, enum store_set_asked *out,
    int64_t *at_ms, char **reason, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT state, at_ms, reason FROM sets_wanted WHERE digest = ?1",
	    "s", digest);

	*out = STORE_SET_NOT_ASKED;
	*at_ms = 0;
	*reason = NULL;
	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code != ERR_OK)
		return code;
	*out = (enum store_set_asked)find_name(asked_names, ASKED_NAMES,
	    rows_text(&r, 0));
	*at_ms = rows_int(&r, 1);
	*reason = rows_dup(&r, 2);
	return ERR_OK;
}

enum err_code
store_set_progress(struct store *s, const char *digest,
    enum store_set_asked state, const char *reason, int64_t at_ms,
    struct err *e)
{
	int64_t before = store_changes(s);

	TRY(sql_run(s, e,
	    "UPDATE sets_wanted SET state = ?2, reason = ?3, at_ms = ?4"
	    " WHERE digest = ?1",
	    "sssi", digest, asked_names[state], reason, at_ms));
	if (store_changes(s) == before)
		return err_set(e, ERR_NOT_FOUND, "nobody wants the set %s",
		    digest);
	return ERR_OK;
}

enum err_code
store_sets_wanted(struct store *s, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT digest, members AS \"members:json\", state, at_ms"
	    " FROM sets_wanted ORDER BY at_ms, digest",
	    "");
}

enum err_code
store_forget_wanted(struct store *s, struct err *e)
{
	return sql_run(s, e, "DELETE FROM sets_wanted", "");
}

enum err_code
store_give_root(struct store *s, const char *cluster, const char *bundle,
    const char *root, int64_t serial, int64_t at_ms, struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO given_roots (cluster, bundle, root, serial, at_ms)"
	    " VALUES (?1,?2,?3,?4,?5)"
	    " ON CONFLICT (cluster, bundle, root) DO UPDATE SET"
	    " serial = excluded.serial",
	    "sssii", cluster, bundle, root, serial, at_ms);
}

enum err_code
store_keep_root(struct store *s, const char *cluster, const char *bundle,
    const char *root, struct err *e)
{
	return sql_run(s, e,
	    "DELETE FROM given_roots WHERE cluster = ?1 AND bundle = ?2"
	    " AND root = ?3",
	    "sss", cluster, bundle, root);
}

enum err_code
store_given_roots(struct store *s, const char *cluster, json_t **out,
    struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT cluster, bundle, root, serial, at_ms FROM given_roots"
	    " WHERE cluster = coalesce(?1, cluster)"
	    " ORDER BY cluster, bundle, root",
	    "s", cluster);
}

enum err_code
store_free_roots(struct store *s, const char *cluster, const char *bundle,
    int64_t serial, struct err *e)
{
	return sql_run(s, e,
	    "DELETE FROM given_roots WHERE cluster = ?1 AND bundle = ?2"
	    " AND serial <= ?3",
	    "ssi", cluster, bundle, serial);
}

enum err_code
store_free_roots_before(struct store *s, int64_t before_ms, struct err *e)
{
	return sql_run(s, e, "DELETE FROM given_roots WHERE at_ms <= ?1", "i",
	    before_ms);
}

enum err_code
store_clusters_waiting(struct store *s, struct store_names *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_open(&r, s, e,
	    "SELECT cluster FROM assignments WHERE blocked IS NOT NULL"
	    " UNION SELECT m.cluster FROM cluster_bundles m"
	    " JOIN bundles b ON b.name = m.bundle"
	    " WHERE b.orphan = 0 AND NOT EXISTS"
	    " (SELECT 1 FROM assignments a WHERE a.cluster = m.cluster"
	    "  AND a.bundle = m.bundle) ORDER BY cluster",
	    ""));
	return store_take_names(&r, out, e);
}

enum err_code
store_operation_waits(struct store *s, int64_t id, const char *commit,
    struct err *e)
{
	return sql_run(s, e,
	    "UPDATE operations SET waits = 'set', resolved = ?2,"
	    " progress = 'asking the engine whether the bundles load together'"
	    " WHERE id = ?1",
	    "is", id, commit);
}

enum err_code
store_waiting_operation(struct store *s, int64_t after, int64_t *id,
    struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT id FROM operations WHERE state IN ('pending', 'running')"
	    " AND waits = 'set' AND id > ?1 ORDER BY id LIMIT 1",
	    "i", after));
	*id = rows_int(&r, 0);
	return ERR_OK;
}

enum err_code
store_is_waiting(struct store *s, bool *out, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT EXISTS (SELECT 1 FROM given_roots) OR EXISTS"
	    " (SELECT 1 FROM operations WHERE waits = 'set'"
	    "  AND state IN ('pending', 'running'))",
	    ""));
	*out = rows_int(&r, 0) != 0;
	return ERR_OK;
}
