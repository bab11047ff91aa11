#include "clusters/store_outbox.h"

#include <stdio.h>
#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_sql.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "signing/digest.h"

static enum err_code
add(struct store *s, const char *kind, const char *subject, int64_t at_ms,
    const json_t *detail, struct err *e)
{
	int64_t seq;

	TRY(sql_returning(s, e, &seq,
	    "INSERT INTO outbox (at_ms, kind, subject, detail)"
	    " VALUES (?1,?2,?3,?4) RETURNING seq",
	    "issj", at_ms, kind, subject, detail));
	return sql_run(s, e, "DELETE FROM outbox WHERE seq <= ?1", "i",
	    seq - OUTBOX_KEPT);
}

/* ---- what the audit says ---- */

static json_t *
short_text(const char *text)
{
	AUTO_STR cut = NULL;

	if (text == NULL || *text == '\0')
		return json_null();
	cut = utf8_clean(text, strlen(text), OUTBOX_TEXT_MAX);
	return json_string(cut);
}

/* REPOSITORY@COMMIT in two, and what the database says of it. */
struct named_commit {
	char repository[STORE_NAME_SIZE];
	char commit[STORE_ID_SIZE];
	bool tracked; /* on the line that is followed */
	char *subject;
};

static enum err_code
find_commit(struct named_commit *out, struct store *s, const char *subject,
    struct err *e)
{
	AUTO_ROWS r = { 0 };
	const char *at = strrchr(subject, '@');
	enum err_code code;

	*out = (struct named_commit){ 0 };
	if (at == NULL || (size_t)(at - subject) >= sizeof out->repository ||
	    strlen(at + 1) >= sizeof out->commit)
		return ERR_OK;
	memcpy(out->repository, subject, (size_t)(at - subject));
	memcpy(out->commit, at + 1, strlen(at + 1));
	code = rows_one(&r, s, e,
	    "SELECT c.line = r.line, c.subject FROM commits c"
	    " JOIN repositories r ON r.name = c.repository"
	    " WHERE c.repository = ?1 AND c.id = ?2",
	    "ss", out->repository, out->commit);
	if (code == ERR_OK) {
		out->tracked = rows_int(&r, 0) != 0;
		out->subject = rows_dup(&r, 1);
	}
	return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* A verdict's reason may quote policies: it is left for `edict show`. */
static enum err_code
note_verdict(struct store *s, const struct store_event *v, int64_t at_ms,
    struct err *e)
{
	const char *state = payload_text(v->detail, "state");
	struct named_commit c;
	AUTO_STR owned = NULL;
	AUTO_JSON detail = NULL;

	if (state == NULL || strcmp(state, "passed") == 0 ||
	    strcmp(state, "could_not_run") == 0)
		return ERR_OK;
	TRY(find_commit(&c, s, v->subject, e));
	owned = c.subject;
	if (!c.tracked)
		return ERR_OK;
	detail = json_pack("{s:s, s:s, s:o, s:s, s:s?}", "repository",
	    c.repository, "commit", c.commit, "commit_subject",
	    short_text(c.subject), "state", state, "stage",
	    payload_text(v->detail, "stage"));
	return add(s, "verdict.failed", v->subject, at_ms, detail, e);
}

static bool
list_has(const json_t *list, const json_t *item)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(json_array_get(list, i), item))
			return true;
	return false;
}

/* The different values of a member, the first few of them. */
static json_t *
names_in(const json_t *rows, const char *member)
{
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(rows) &&
	     json_array_size(list) < OUTBOX_NAMES_MAX;
	     i++) {
		json_t *name = json_object_get(json_array_get(rows, i), member);

		if (json_is_string(name) && !list_has(list, name))
			json_array_append(list, name);
	}
	return list;
}

/* One that moved nothing is no news. */
static enum err_code
note_publication(struct store *s, const struct store_event *v, int64_t at_ms,
    struct err *e)
{
	const json_t *assigned = json_object_get(v->detail, "assigned");
	struct named_commit c;
	AUTO_STR owned = NULL;
	AUTO_JSON detail = NULL;

	if (json_array_size(assigned) == 0)
		return ERR_OK;
	TRY(find_commit(&c, s, v->subject, e));
	owned = c.subject;
	detail = json_pack("{s:s, s:s, s:o, s:o, s:o, s:I}", "repository",
	    c.repository, "commit", c.commit, "commit_subject",
	    short_text(c.subject), "bundles", names_in(assigned, "bundle"),
	    "clusters", names_in(assigned, "cluster"), "assignments",
	    (json_int_t)json_array_size(assigned));
	return add(s, "published", v->subject, at_ms, detail, e);
}

static enum err_code
note_move(struct store *s, const struct store_event *v, const char *kind,
    int64_t at_ms, struct err *e)
{
	const char *slash = strchr(v->subject, '/');
	const char *mode = payload_text(v->detail, "mode");
	AUTO_STR cluster = NULL;
	AUTO_JSON detail = NULL;

	/* Without a mode it is an operation that was asked for. */
	if (slash == NULL || mode == NULL)
		return ERR_OK;
	cluster = mem_strndup(v->subject, (size_t)(slash - v->subject));
	detail = json_pack("{s:s, s:s, s:s?, s:s?, s:s, s:s, s:b, s:o}",
	    "cluster", cluster, "bundle", slash + 1, "revision",
	    payload_text(v->detail, "revision"), "previous",
	    payload_text(v->detail, "previous"), "by", v->who, "action",
	    v->kind, "forced", strcmp(v->kind, "force") == 0, "reason",
	    short_text(payload_text(v->detail, "reason")));
	return add(s, kind, v->subject, at_ms, detail, e);
}

static enum err_code
note_held(struct store *s, const struct store_event *v, int64_t at_ms,
    struct err *e)
{
	return note_move(s, v, "held", at_ms, e);
}

static enum err_code
note_resumed(struct store *s, const struct store_event *v, int64_t at_ms,
    struct err *e)
{
	return note_move(s, v, "resumed", at_ms, e);
}

static const struct {
	const char *kind;
	enum err_code (*note)(struct store *s, const struct store_event *v,
	    int64_t at_ms, struct err *e);
} notes[] = {
	{ "verdict", note_verdict },
	{ "void", note_verdict },
	{ "publish", note_publication },
	{ "rollback", note_held },
	{ "force", note_held },
	{ "pin", note_held },
	{ "resume", note_resumed },
	{ "release", note_resumed },
};

enum err_code
outbox_note(struct store *s, const struct store_event *v, int64_t at_ms,
    struct err *e)
{
	for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
		if (strcmp(notes[i].kind, v->kind) == 0)
			return notes[i].note(s, v, at_ms, e);
	return ERR_OK;
}

enum err_code
outbox_note_blocked(struct store *s, const struct assignment *a, struct err *e)
{
	AUTO_ROWS r = { 0 };
	AUTO_STR subject = NULL;
	AUTO_JSON detail = NULL;
	enum err_code code;

	if (a->blocked == NULL)
		return ERR_OK;
	code = rows_one(&r, s, e,
	    "SELECT 1 FROM assignments WHERE cluster = ?1 AND bundle = ?2"
	    " AND blocked IS NOT NULL",
	    "ss", a->cluster, a->bundle);
	if (code != ERR_NOT_FOUND)
		return code; /* known already */
	subject = mem_printf("%s/%s", a->cluster, a->bundle);
	detail = json_pack("{s:s, s:s, s:s, s:o}", "cluster", a->cluster,
	    "bundle", a->bundle, "revision", a->revision, "cause",
	    short_text(a->blocked));
	return add(s, "blocked", subject, clock_now_ms(), detail, e);
}

/* ---- alarms ---- */

static enum err_code
begin_alarm(struct store *s, const char *kind, const char *subject,
    const json_t *detail, struct err *e)
{
	int64_t now = clock_now_ms();
	int64_t before = store_changes(s);

	TRY(sql_run(s, e,
	    "INSERT INTO alarms (kind, subject, since_ms) VALUES (?1,?2,?3)"
	    " ON CONFLICT DO NOTHING",
	    "ssi", kind, subject, now));
	if (store_changes(s) == before)
		return ERR_OK;
	return add(s, kind, subject, now, detail, e);
}

static enum err_code
end_alarm(struct store *s, const char *kind, const char *ended,
    const char *subject, int64_t since_ms, struct err *e)
{
	char since[CLOCK_TEXT_SIZE];
	AUTO_JSON detail = NULL;

	clock_text(since, since_ms);
	detail = json_pack("{s:s}", "since", since);
	TRY(sql_run(s, e, "DELETE FROM alarms WHERE kind = ?1 AND subject = ?2",
	    "ss", kind, subject));
	if (ended == NULL)
		return ERR_OK;
	return add(s, ended, subject, clock_now_ms(), detail, e);
}

enum err_code
outbox_set_alarms(struct store *s, const char *kind, const char *ended,
    const json_t *all, struct err *e)
{
	AUTO_JSON known = NULL;
	const char *subject;
	json_t *detail;
	json_t *row;
	size_t i;

	TRY(sql_list(s, e, &known,
	    "SELECT subject, since_ms FROM alarms WHERE kind = ?1"
	    " ORDER BY subject",
	    "s", kind));
	json_array_foreach(known, i, row) {
		subject = payload_text(row, "subject");
		if (json_object_get(all, subject) == NULL)
			TRY(end_alarm(s, kind, ended, subject,
			    json_integer_value(json_object_get(row,
				"since_ms")),
			    e));
	}
	json_object_foreach(payload_unconst(all), subject, detail)
		TRY(begin_alarm(s, kind, subject, detail, e));
	return ERR_OK;
}

/* ---- reading ---- */

enum err_code
outbox_next(struct store *s, int64_t after, struct outbox_event *out,
    struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT seq, at_ms, kind, subject, detail FROM outbox"
	    " WHERE seq > ?1 ORDER BY seq LIMIT 1",
	    "i", after));
	*out = (struct outbox_event){ .seq = rows_int(&r, 0),
		.at_ms = rows_int(&r, 1) };
	TRY(rows_json(&r, 4, &out->detail, e));
	rows_copy(&r, 2, out->kind, sizeof out->kind);
	out->subject = mem_strdup(rows_text(&r, 3));
	return ERR_OK;
}

void
outbox_event_clear(struct outbox_event *v)
{
	mem_free(v->subject);
	json_decref(v->detail);
	*v = (struct outbox_event){ 0 };
}

void
outbox_event_id(char out[OUTBOX_ID_SIZE], const struct outbox_event *v)
{
	AUTO_STR text =
	    mem_printf("%lld %s %s", (long long)v->at_ms, v->kind, v->subject);
	char hex[DIGEST_HEX_SIZE];

	digest_hex(hex, text, strlen(text));
	(void)snprintf(out, OUTBOX_ID_SIZE, "%lld-%.12s", (long long)v->seq,
	    hex);
}

enum err_code
outbox_range(struct store *s, int64_t *first, int64_t *last, struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e, "SELECT min(seq), max(seq) FROM outbox", ""));
	*first = rows_int(&r, 0);
	*last = rows_int(&r, 1);
	return ERR_OK;
}

/* ---- targets ---- */

enum err_code
outbox_target(struct store *s, const char *name, struct outbox_target *out,
    struct err *e)
{
	AUTO_ROWS r = { 0 };

	TRY(rows_one(&r, s, e,
	    "SELECT position, failing_ms, dropped, error FROM outbox_targets"
	    " WHERE name = ?1",
	    "s", name));
	*out = (struct outbox_target){ .position = rows_int(&r, 0),
		.failing_ms = rows_int(&r, 1),
		.dropped = rows_int(&r, 2) };
	rows_copy(&r, 3, out->error, sizeof out->error);
	return ERR_OK;
}

enum err_code
outbox_put_target(struct store *s, const char *name,
    const struct outbox_target *t, struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO outbox_targets (name, position, failing_ms, dropped,"
	    " error) VALUES (?1,?2,?3,?4,?5) ON CONFLICT (name) DO UPDATE SET"
	    " position = excluded.position, failing_ms = excluded.failing_ms,"
	    " dropped = excluded.dropped, error = excluded.error",
	    "siiio", name, t->position, t->failing_ms, t->dropped, t->error);
}

static enum err_code
forget_others(struct store *s, const json_t *names, struct err *e)
{
	AUTO_JSON known = NULL;
	json_t *row;
	size_t i;

	TRY(sql_list(s, e, &known, "SELECT name FROM outbox_targets", ""));
	json_array_foreach(known, i, row) {
		json_t *name = json_object_get(row, "name");

		if (!list_has(names, name))
			TRY(sql_run(s, e,
			    "DELETE FROM outbox_targets WHERE name = ?1", "s",
			    json_string_value(name)));
	}
	return ERR_OK;
}

enum err_code
outbox_set_targets(struct store *s, const json_t *names, struct err *e)
{
	struct outbox_target begin = { 0 };
	int64_t first;
	json_t *name;
	size_t i;

	TRY(outbox_range(s, &first, &begin.position, e));
	TRY(forget_others(s, names, e));
	json_array_foreach(payload_unconst(names), i, name) {
		struct outbox_target known;
		enum err_code code =
		    outbox_target(s, json_string_value(name), &known, e);

		/* Ahead of all there is: an older database was put back. */
		if (code == ERR_OK && known.position <= begin.position)
			continue;
		if (code != ERR_OK && code != ERR_NOT_FOUND)
			return code;
		TRY(outbox_put_target(s, json_string_value(name), &begin, e));
	}
	return ERR_OK;
}

enum err_code
outbox_list_targets(struct store *s, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT name, position,"
	    " (SELECT count(*) FROM outbox WHERE seq > position)"
	    "  AS \"pending\","
	    " failing_ms AS \"failing_since:time\", dropped, error"
	    " FROM outbox_targets ORDER BY name",
	    "");
}

enum err_code
outbox_list_alarms(struct store *s, json_t **out, struct err *e)
{
	return sql_list(s, e, out,
	    "SELECT kind, subject, since_ms AS \"since:time\" FROM alarms"
	    " ORDER BY kind, subject",
	    "");
}
