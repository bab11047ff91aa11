/* The audit chain: each event's hash covers its facts and the hash before it,
 * so that nothing can be taken out or changed without a trace further on. */

#include <stdio.h>
#include <string.h>

#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/clock.h"
#include "core/mem.h"
#include "signing/digest.h"

struct link {
	int64_t seq, at_ms;
	const char *who, *peer, *kind, *subject, *detail, *previous;
};

static void
add_text(struct digest *d, const char *text)
{
	digest_add_piece(d, text, strlen(text));
}

static void
link_hash(char out[DIGEST_HEX_SIZE], const struct link *l)
{
	struct digest *d = digest_new();
	char number[32];

	add_text(d, l->previous);
	(void)snprintf(number, sizeof number, "%lld", (long long)l->seq);
	add_text(d, number);
	(void)snprintf(number, sizeof number, "%lld", (long long)l->at_ms);
	add_text(d, number);
	add_text(d, l->who);
	add_text(d, l->peer);
	add_text(d, l->kind);
	add_text(d, l->subject);
	add_text(d, l->detail);
	digest_end(d, out);
}

static enum err_code
chain_end(struct store *s, int64_t *seq, char hash[DIGEST_HEX_SIZE],
    struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", "");

	*seq = 0;
	hash[0] = '\0';
	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code != ERR_OK)
		return code;
	*seq = rows_int(&r, 0);
	rows_copy(&r, 1, hash, DIGEST_HEX_SIZE);
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
	char previous[DIGEST_HEX_SIZE], hash[DIGEST_HEX_SIZE];
	struct link l = {
		.at_ms = clock_now_ms(),
		.who = v->who,
		.peer = v->peer,
		.kind = v->kind,
		.subject = v->subject,
		.detail = detail,
		.previous = previous,
	};

	TRY(chain_end(s, &l.seq, previous, e));
	l.seq++;
	link_hash(hash, &l);
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
	    " AND kind IN ('rollback', 'pin', 'resume')",
	    "i", after_event));
	list = json_array();
	code = take_clusters(&r, bundle, list, e);
	if (code == ERR_OK)
		*out = list;
	else
		json_decref(list);
	return code;
}

enum err_code
store_verify_audit(struct store *s, struct err *e)
{
	AUTO_ROWS r = { 0 };
	char previous[DIGEST_HEX_SIZE] = "";
	int64_t expected = 1;
	bool more;

	TRY(rows_open(&r, s, e,
	    "SELECT seq, at_ms, who, peer, kind, subject, detail, previous,"
	    " hash FROM audit ORDER BY seq",
	    ""));
	for (;; expected++) {
		char hash[DIGEST_HEX_SIZE];
		struct link l;

		TRY(rows_next(&r, &more, e));
		if (!more)
			return ERR_OK;
		l = (struct link){ rows_int(&r, 0), rows_int(&r, 1),
			rows_text(&r, 2), rows_text(&r, 3), rows_text(&r, 4),
			rows_text(&r, 5), rows_text(&r, 6), previous };
		link_hash(hash, &l);
		if (l.seq != expected ||
		    strcmp(rows_text(&r, 7), previous) != 0 ||
		    strcmp(rows_text(&r, 8), hash) != 0)
			return err_set(e, ERR_CORRUPT,
			    "audit: event %lld does not fit the chain",
			    (long long)l.seq);
		memcpy(previous, hash, sizeof previous);
	}
}
