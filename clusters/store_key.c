/* What the audit knows of signing keys. They are added, chosen and taken away
 * while nobody serves, so what became of them is found when the server starts,
 * by comparing with what was written down last. */

#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_audit.h"
#include "clusters/store_sql.h"
#include "clusters/store_write.h"

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

static enum err_code
note_changes(struct store *s, const json_t *keys, const char *current,
    struct err *e)
{
	AUTO_JSON known = json_object();
	const json_t *detail;
	const char *used, *id;

	TRY(read_known(s, known, e));
	used = payload_text(known, "");
	json_object_foreach(payload_unconst(keys), id, detail)
		if (!json_equal(detail, json_object_get(known, id)))
			TRY(note(s, "key.add", id, detail, e));
	json_object_foreach(known, id, detail)
		if (*id != '\0' && json_object_get(keys, id) == NULL)
			TRY(note(s, "key.remove", id, NULL, e));
	if (current != NULL && (used == NULL || strcmp(used, current) != 0))
		TRY(note(s, "key.use", current, NULL, e));
	return ERR_OK;
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
	code = note_changes(s, keys, current, e);
	if (code == ERR_OK)
		return store_commit(s, e);
	store_rollback(s);
	return code;
}
