#include "clusters/store_audit.h"

#include <stdlib.h>
#include <string.h>

#include "clusters/store_outbox.h"
#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/clock.h"
#include "core/mem.h"

enum err_code
store_audit_head(struct store *s, struct chain_head *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", "");

	*out = (struct chain_head){ 0 };
	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code != ERR_OK)
		return code;
	out->seq = rows_int(&r, 0);
	rows_copy(&r, 1, out->hash, sizeof out->hash);
	return ERR_OK;
}

static char *
detail_text(const json_t *detail)
{
	char *text;
	char *copy;

	if (detail == NULL)
		return mem_strdup("{}");
	text = json_dumps(detail, JSON_COMPACT | JSON_SORT_KEYS);
	copy = mem_strdup(text != NULL ? text : "{}");
	free(text);
	return copy;
}

enum err_code
store_add_event(struct store *s, const struct store_event *v, struct err *e)
{
	AUTO_STR detail = detail_text(v->detail);
	struct chain_head end;
	char hash[DIGEST_HEX_SIZE];
	struct chain_event l = {
		.at_ms = clock_now_ms(),
		.who = v->who,
		.peer = v->peer,
		.kind = v->kind,
		.subject = v->subject,
		.detail = detail,
		.previous = end.hash,
	};

	TRY(store_audit_head(s, &end, e));
	TRY(outbox_note(s, v, l.at_ms, e));
	l.seq = end.seq + 1;
	chain_hash(hash, &l);
	return sql_run(s, e,
	    "INSERT INTO audit (seq, at_ms, who, peer, kind, subject, detail,"
	    " previous, hash) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)",
	    "iisssssss", l.seq, l.at_ms, l.who, l.peer, l.kind, l.subject,
	    l.detail, l.previous, hash);
}

/* The subject of a move is CLUSTER/BUNDLE. */
static void
add_cluster(json_t *list, const char *subject, const char *bundle)
{
	const char *slash = strchr(subject, '/');

	if (slash != NULL && strcmp(slash + 1, bundle) == 0)
		json_array_append_new(list,
		    json_stringn(subject, (size_t)(slash - subject)));
}

static enum err_code
take_clusters(struct rows *r, const char *bundle, json_t *list, struct err *e)
{
	for (;;) {
		bool more;

		TRY(rows_next(r, &more, e));
		if (!more)
			return ERR_OK;
		add_cluster(list, rows_text(r, 0), bundle);
	}
}

enum err_code
store_clusters_decided(struct store *s, const char *bundle, int64_t after_event,
    json_t **out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	json_t *list;
	enum err_code code;

	/* What an operation carries out comes from no peer. */
	TRY(rows_open(&r, s, e,
	    "SELECT subject FROM audit WHERE seq > ?1 AND peer <> ''"
	    " AND kind IN ('rollback', 'force', 'pin', 'resume')",
	    "i", after_event));
	list = json_array();
	code = take_clusters(&r, bundle, list, e);
	if (code == ERR_OK)
		*out = list;
	else
		json_decref(list);
	return code;
}

/* What would be read otherwise than it is stored could hide an edit. */
static enum err_code
read_event(struct chain_event *v, const struct rows *r, struct err *e)
{
	bool plain = rows_is_int(r, 0) && rows_is_int(r, 1);

	for (int i = 2; i < 9; i++)
		plain = plain && rows_is_text(r, i);
	if (!plain)
		return err_set(e, ERR_CORRUPT,
		    "audit: event %lld was changed: it holds what the ledger "
		    "never writes",
		    (long long)rows_int(r, 0));
	*v = (struct chain_event){
		.seq = rows_int(r, 0),
		.at_ms = rows_int(r, 1),
		.who = rows_text(r, 2),
		.peer = rows_text(r, 3),
		.kind = rows_text(r, 4),
		.subject = rows_text(r, 5),
		.detail = rows_text(r, 6),
		.previous = rows_text(r, 7),
		.hash = rows_text(r, 8),
	};
	return ERR_OK;
}

enum err_code
store_walk_audit(struct store *s, struct chain *c, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_open(&r, s, e,
	    "SELECT seq, at_ms, who, peer, kind, subject, detail, previous,"
	    " hash FROM audit ORDER BY seq",
	    ""));
	for (;;) {
		struct chain_event v;
		bool more;

		TRY(rows_next(&r, &more, e));
		if (!more)
			return chain_finish(c, e);
		TRY(read_event(&v, &r, e));
		TRY(chain_follow(c, &v, e));
	}
}

enum err_code
store_verify_audit(struct store *s, struct err *e)
{
	struct chain c = { 0 };

	return store_walk_audit(s, &c, e);
}

enum err_code
store_walk_copy(const char *data_dir, struct chain *c, struct err *e)
{
	struct store *opened = NULL;

	TRY(store_open_copy(&opened, data_dir, e));
	AUTO(store, s) = opened;
	return store_walk_audit(s, c, e);
}

/* A subject is CLUSTER/BUNDLE, REPOSITORY@COMMIT, or one name. */
enum err_code
store_list_audit(struct store *s, const struct store_audit_filter *f,
    int64_t before, int64_t limit, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT seq, at_ms AS \"at:time\", who, peer, kind, subject,"
	    " detail AS \"detail:json\", previous, hash FROM audit"
	    " WHERE seq < ?1 AND at_ms >= ?2 AND (?3 IS NULL OR who = ?3)"
	    " AND (?4 IS NULL OR kind = ?4"
	    "  OR substr(kind, 1, length(?4) + 1) = ?4 || '.')"
	    " AND (?5 IS NULL OR subject = ?5"
	    "  OR substr(subject, 1, length(?5) + 1) IN (?5 || '/', ?5 || '@')"
	    "  OR (length(subject) > length(?5)"
	    "   AND substr(subject, length(subject) - length(?5))"
	    "    IN ('/' || ?5, '@' || ?5)))"
	    " AND (?6 IS NULL OR subject LIKE '%@' || ?6"
	    "  OR detail LIKE '%\"' || ?6 || '\"%')"
	    " ORDER BY seq DESC LIMIT ?7",
	    "iissssi", before, f->since_ms, f->who, f->kind, f->subject,
	    f->commit, limit);
}
