/* What is known of signing keys. They are added and taken away in a folder, by
 * whoever may write there, so what became of them is found by comparing with
 * what was written down last: when the server starts, and when the keeper was
 * started anew. */

#include "clusters/store_key.h"

#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/mem.h"
#include "signing/digest.h"
#include "signing/key.h"

static enum err_code
note(struct store *s, const char *kind, const char *id, const json_t *detail,
    struct err *e)
{
	return store_add_event(s,
	    &(struct store_event){ "edict", "", kind, id, detail }, e);
}

/* One event: "" as id is that of the current one. */
static enum err_code
remember(json_t *known, const struct rows *r, struct err *e)
{
	const char *kind = rows_text(r, 0), *id = rows_text(r, 1);
	json_t *detail;

	if (strcmp(kind, "key.use") == 0) {
		(void)json_object_set_new(known, "", json_string(id));
		return ERR_OK;
	}
	if (strcmp(kind, "key.remove") == 0) {
		(void)json_object_del(known, id);
		return ERR_OK;
	}
	TRY(rows_json(r, 2, &detail, e));
	(void)json_object_set_new(known, id, detail);
	return ERR_OK;
}

static enum err_code
read_known(struct store *s, json_t *known, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_open(&r, s, e,
	    "SELECT kind, subject, detail FROM audit"
	    " WHERE kind IN ('key.add', 'key.remove', 'key.use') ORDER BY seq",
	    ""));
	for (;;) {
		bool more;

		TRY(rows_next(&r, &more, e));
		if (!more)
			return ERR_OK;
		TRY(remember(known, &r, e));
	}
}

/* What the audit says of a key: which it is. */
static json_t *
describe(const json_t *key)
{
	const char *public = payload_text(key, "public");
	const char *kind = payload_text(key, "kind");
	char digest[DIGEST_HEX_SIZE];

	if (public != NULL)
		digest_hex(digest, public, strlen(public));
	if (kind != NULL && strcmp(kind, key_kind_name(KEY_BUNDLE)) == 0)
		kind = NULL;
	return json_pack("{s:s, s:s?, s:s*}", "algorithm",
	    payload_text(key, "algorithm"), "public_sha256",
	    public != NULL ? digest : NULL, "kind", kind);
}

static enum err_code
put_key(struct store *s, const char *id, const json_t *key, struct err *e)
{
	const char *kind = payload_text(key, "kind");

	return sql_run(s, e,
	    "INSERT INTO signing_keys (id, kind, algorithm, public,"
	    " created_at, present, is_default) VALUES (?1,?2,?3,?4,?5,1,0)"
	    " ON CONFLICT (id) DO UPDATE SET kind = excluded.kind,"
	    " algorithm = excluded.algorithm, public = excluded.public,"
	    " created_at = excluded.created_at, present = 1",
	    "sssss", id, kind != NULL ? kind : key_kind_name(KEY_BUNDLE),
	    payload_text(key, "algorithm"), payload_text(key, "public"),
	    payload_text(key, "created_at"));
}

/* {"id": {…}} of a list; INVALID for what is no list of keys. */
static enum err_code
by_id(const json_t *list, json_t **out, struct err *e)
{
	AUTO_JSON keys = json_object();
	json_t *key;
	size_t i;

	json_array_foreach(list, i, key) {
		const char *id = payload_text(key, "id");

		if (id == NULL || !key_id_is_valid(id) ||
		    payload_text(key, "algorithm") == NULL ||
		    payload_text(key, "created_at") == NULL)
			return err_set(e, ERR_INVALID,
			    "keys: number %zu is no description of a key", i);
		(void)json_object_set(keys, id, key);
	}
	*out = json_incref(keys);
	return ERR_OK;
}

static enum err_code
note_changes(struct store *s, const json_t *keys, const char *current,
    struct err *e)
{
	AUTO_JSON known = json_object();
	const json_t *key;
	const char *used, *id;

	TRY(read_known(s, known, e));
	used = payload_text(known, "");
	json_object_foreach(payload_unconst(keys), id, key) {
		AUTO_JSON detail = describe(key);

		if (!json_equal(detail, json_object_get(known, id)))
			TRY(note(s, "key.add", id, detail, e));
	}
	json_object_foreach(known, id, key)
		if (*id != '\0' && json_object_get(keys, id) == NULL)
			TRY(note(s, "key.remove", id, NULL, e));
	if (current != NULL && (used == NULL || strcmp(used, current) != 0))
		TRY(note(s, "key.use", current, NULL, e));
	return ERR_OK;
}

enum err_code
store_put_keys(struct store *s, const json_t *list, const char *current,
    struct err *e)
{
	AUTO_JSON keys = NULL;
	const json_t *key;
	const char *id;

	TRY(by_id(list, &keys, e));
	TRY(note_changes(s, keys, current, e));
	TRY(sql_run(s, e, "UPDATE signing_keys SET present = 0, is_default = 0",
	    ""));
	json_object_foreach(keys, id, key)
		TRY(put_key(s, id, key, e));
	if (current == NULL)
		return ERR_OK;
	return sql_run(s, e,
	    "UPDATE signing_keys SET is_default = 1 WHERE id = ?1", "s",
	    current);
}

enum err_code
store_note_keys(const char *data_dir, const json_t *keys, const char *current,
    struct err *e)
{
	struct store *opened = NULL;
	enum err_code code;

	TRY(store_open(&opened, data_dir, e));
	AUTO(store, s) = opened;
	TRY(store_begin(s, e));
	code = store_put_keys(s, keys, current, e);
	if (code == ERR_OK)
		return store_commit(s, e);
	store_rollback(s);
	return code;
}

enum err_code
store_get_key(struct store *s, const char *id, struct store_key *out,
    struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT id, kind, present, is_default, retired_ms FROM signing_keys"
	    " WHERE id = ?1",
	    "s", id);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "no key is called %s", id);
	if (code != ERR_OK)
		return code;
	rows_copy(&r, 0, out->id, sizeof out->id);
	rows_copy(&r, 1, out->kind, sizeof out->kind);
	out->present = rows_int(&r, 2) != 0;
	out->is_default = rows_int(&r, 3) != 0;
	out->retired_ms = rows_int(&r, 4);
	return ERR_OK;
}

enum err_code
store_retire_key(struct store *s, const char *id, const char *who,
    const char *reason, int64_t at_ms, struct err *e)
{
	return sql_run(s, e,
	    "UPDATE signing_keys SET retired_ms = ?2, retired_by = ?3,"
	    " retired_reason = ?4 WHERE id = ?1",
	    "siso", id, at_ms, who, reason);
}

enum err_code
store_view_keys(struct store *s, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT id, kind, algorithm, created_at, public,"
	    " is_default AS \"current:bool\", present AS \"present:bool\","
	    " retired_ms AS \"retired_at:time\", retired_by, retired_reason"
	    " FROM signing_keys ORDER BY kind <> 'bundle', kind, created_at,"
	    " id",
	    "");
}

enum err_code
store_view_cluster_keys(struct store *s, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT c.name AS \"cluster\", k.key_id AS \"key\","
	    " k.who AS \"by\", k.at_ms AS \"at:time\", k.reason"
	    " FROM clusters c LEFT JOIN cluster_keys k ON k.cluster = c.name"
	    " ORDER BY c.name",
	    "");
}

enum err_code
store_cluster_key(struct store *s, const char *cluster,
    char out[STORE_KEY_SIZE], struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT coalesce((SELECT key_id FROM cluster_keys"
	    " WHERE cluster = ?1), (SELECT id FROM signing_keys"
	    " WHERE is_default = 1), '')",
	    "s", cluster));
	rows_copy(&r, 0, out, STORE_KEY_SIZE);
	return ERR_OK;
}

enum err_code
store_set_cluster_key(struct store *s, const char *cluster, const char *key,
    const char *who, int64_t at_ms, const char *reason, struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO cluster_keys (cluster, key_id, who, at_ms, reason)"
	    " VALUES (?1,?2,?3,?4,?5) ON CONFLICT (cluster) DO UPDATE SET"
	    " key_id = excluded.key_id, who = excluded.who,"
	    " at_ms = excluded.at_ms, reason = excluded.reason",
	    "sssio", cluster, key, who, at_ms, reason);
}

enum err_code
store_clusters_of_key(struct store *s, const char *key, struct store_names *out,
    struct err *e)
{
	AUTO_ROWS r = { 0 };
	struct store_names list = { 0 };
	enum err_code code;
	bool more = true;

	TRY(rows_open(&r, s, e,
	    "SELECT k.cluster FROM cluster_keys k"
	    " JOIN clusters c ON c.name = k.cluster"
	    " WHERE k.key_id = ?1 ORDER BY k.cluster",
	    "s", key));
	while ((code = rows_next(&r, &more, e)) == ERR_OK && more) {
		list.names =
		    mem_grow(list.names, list.count + 1, sizeof *list.names);
		rows_copy(&r, 0, list.names[list.count++], sizeof *list.names);
	}
	if (code != ERR_OK)
		store_names_clear(&list);
	else
		*out = list;
	return code;
}

enum err_code
store_clear_cluster_key(struct store *s, const char *cluster, struct err *e)
{
	return sql_run(s, e, "DELETE FROM cluster_keys WHERE cluster = ?1", "s",
	    cluster);
}

enum err_code
store_default_key(struct store *s, char out[STORE_KEY_SIZE], struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT id FROM signing_keys WHERE is_default = 1", "");

	if (code == ERR_NOT_FOUND)
		return err_set(e, ERR_CONFLICT,
		    "there is no default key: name one in signing.use");
	if (code == ERR_OK)
		rows_copy(&r, 0, out, STORE_KEY_SIZE);
	return code;
}
