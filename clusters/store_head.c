#include "clusters/store_head.h"

#include <inttypes.h>
#include <string.h>

#include "clusters/store_audit.h"
#include "clusters/store_sql.h"

static enum err_code
check_place(struct store *s, const struct chain_head *at, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT hash FROM audit WHERE seq = ?1", "i", at->seq);

	if (code == ERR_OK && strcmp(rows_text(&r, 0), at->hash) == 0)
		return ERR_OK;
	if (code != ERR_OK && code != ERR_NOT_FOUND)
		return code;
	return err_set(e, ERR_CONFLICT,
	    "audit: event %" PRId64 " is not the one whose head was signed",
	    at->seq);
}

enum err_code
store_put_head(struct store *s, const struct store_head *h, struct err *e)
{
	TRY(check_place(s, &h->at, e));
	return sql_run(s, e,
	    "INSERT INTO audit_heads (seq, hash, at_ms, key_id, jws)"
	    " VALUES (?1, ?2, ?3, ?4, ?5)",
	    "isiss", h->at.seq, h->at.hash, h->at_ms, h->key, h->jws);
}

enum err_code
store_head_need(struct store *s, struct store_head_need *out, struct err *e)
{
	AUTO_ROWS last = { 0 };
	AUTO_ROWS r = { 0 };
	int64_t seq = 0;
	enum err_code code = rows_one(&last, s, e,
	    "SELECT seq, at_ms FROM audit_heads ORDER BY id DESC LIMIT 1", "");

	*out = (struct store_head_need){ 0 };
	if (code != ERR_OK && code != ERR_NOT_FOUND)
		return code;
	if (code == ERR_OK) {
		seq = rows_int(&last, 0);
		out->last_ms = rows_int(&last, 1);
	}
	TRY(rows_one(&r, s, e,
	    "SELECT count(*) FROM audit WHERE seq > ?1 AND kind = 'audit.sign'",
	    "i", seq));
	out->asked = rows_int(&r, 0) > 0;
	return ERR_OK;
}

enum err_code
store_list_heads(struct store *s, int64_t before, int64_t limit, json_t **out,
    struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT id, seq, hash, at_ms AS \"at:time\", key_id AS \"key\", jws"
	    " FROM audit_heads WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
	    "ii", before, limit);
}

enum err_code
store_copy_heads(const char *data_dir, json_t **out, struct err *e)
{
	struct store *opened = NULL;

	TRY(store_open_copy(&opened, data_dir, e));
	AUTO(store, s) = opened;
	return sql_list(s, e, out,
	    "SELECT id, seq, hash, at_ms AS \"at:time\", key_id AS \"key\", jws"
	    " FROM audit_heads ORDER BY id",
	    "");
}
