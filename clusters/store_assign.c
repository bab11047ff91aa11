/* Assignments and their quarantine. */

#include <string.h>

#include "clusters/store_outbox.h"
#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/mem.h"

static enum err_code
read_quarantine(struct store *s, struct assignment *a, struct err *e)
{
	AUTO_ROWS r = { 0 };
	bool more;

	TRY(rows_open(&r, s, e,
	    "SELECT content FROM quarantine WHERE cluster = ?1 AND bundle = ?2"
	    " ORDER BY content",
	    "ss", a->cluster, a->bundle));
	for (;;) {
		TRY(rows_next(&r, &more, e));
		if (!more)
			return ERR_OK;
		a->quarantine = mem_grow(a->quarantine, a->quarantine_count + 1,
		    sizeof *a->quarantine);
		rows_copy(&r, 0, a->quarantine[a->quarantine_count++],
		    sizeof *a->quarantine);
	}
}

static void
take_assignment(const struct rows *r, struct assignment *a)
{
	rows_copy(r, 0, a->cluster, sizeof a->cluster);
	rows_copy(r, 1, a->bundle, sizeof a->bundle);
	rows_copy(r, 2, a->revision, sizeof a->revision);
	rows_copy(r, 3, a->current_with, sizeof a->current_with);
	rows_copy(r, 4, a->content, sizeof a->content);
	rows_copy(r, 5, a->artifact, sizeof a->artifact);
	a->mode = assign_mode_of(rows_text(r, 6));
	a->serial = rows_int(r, 7);
	rows_copy(r, 8, a->by, sizeof a->by);
	a->at_ms = rows_int(r, 9);
	a->reason = rows_dup(r, 10);
	a->blocked = rows_dup(r, 11);
	/* A commit of another repository, or of none, is before all. */
	a->line = rows_null(r, 12) ? -1 : rows_int(r, 12);
	a->depth = rows_null(r, 13) ? -1 : rows_int(r, 13);
	a->forced = rows_int(r, 14) != 0;
	rows_copy(r, 15, a->until, sizeof a->until);
	a->until_line = rows_null(r, 16) ? -1 : rows_int(r, 16);
	a->until_depth = rows_null(r, 17) ? -1 : rows_int(r, 17);
}

static enum err_code
read_assignments(struct store *s, struct rows *r,
    struct store_assignments *list, struct err *e)
{
	for (;;) {
		struct assignment *a;
		bool more;

		TRY(rows_next(r, &more, e));
		if (!more)
			return ERR_OK;
		list->items = mem_grow(list->items, list->count + 1, sizeof *a);
		a = &list->items[list->count++];
		*a = (struct assignment){ 0 };
		take_assignment(r, a);
		TRY(read_quarantine(s, a, e));
	}
}

#define ASSIGNMENTS                                                 \
	"SELECT a.cluster, a.bundle, a.commit_id, a.current_with,"  \
	" a.content, a.artifact, a.mode, a.serial, a.who, a.at_ms," \
	" a.reason, a.blocked, c.line, c.depth, a.forced, a.until," \
	" u.line, u.depth"                                          \
	" FROM assignments a JOIN bundles b ON b.name = a.bundle"   \
	" LEFT JOIN commits c ON c.repository = b.repository"       \
	" AND c.id = a.current_with"                                \
	" LEFT JOIN commits u ON u.repository = b.repository"       \
	" AND u.id = a.until "
#define ASSIGNMENTS_ORDER " ORDER BY a.cluster, a.bundle"

/* One statement for each question, so that each uses its index. */
static enum err_code
open_assignments(struct rows *r, struct store *s, const char *cluster,
    const char *bundle, struct err *e)
{
	if (cluster != NULL && bundle != NULL)
		return rows_open(r, s, e,
		    ASSIGNMENTS "WHERE a.cluster = ?1 AND a.bundle = ?2", "ss",
		    cluster, bundle);
	if (cluster != NULL)
		return rows_open(r, s, e,
		    ASSIGNMENTS "WHERE a.cluster = ?1" ASSIGNMENTS_ORDER, "s",
		    cluster);
	if (bundle != NULL)
		return rows_open(r, s, e,
		    ASSIGNMENTS "WHERE a.bundle = ?1" ASSIGNMENTS_ORDER, "s",
		    bundle);
	return rows_open(r, s, e, ASSIGNMENTS ASSIGNMENTS_ORDER, "");
}

enum err_code
store_assignments(struct store *s, const char *cluster, const char *bundle,
    struct store_assignments *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	struct store_assignments list = { 0 };
	enum err_code code;

	TRY(open_assignments(&r, s, cluster, bundle, e));
	code = read_assignments(s, &r, &list, e);
	if (code != ERR_OK)
		store_assignments_clear(&list);
	else
		*out = list;
	return code;
}

void
store_assignments_clear(struct store_assignments *a)
{
	for (size_t i = 0; i < a->count; i++)
		assignment_clear(&a->items[i]);
	mem_free(a->items);
	*a = (struct store_assignments){ 0 };
}

static enum err_code
put_quarantine(struct store *s, const struct assignment *a, struct err *e)
{
	TRY(sql_run(s, e,
	    "DELETE FROM quarantine WHERE cluster = ?1 AND bundle = ?2", "ss",
	    a->cluster, a->bundle));
	for (size_t i = 0; i < a->quarantine_count; i++)
		TRY(sql_run(s, e,
		    "INSERT INTO quarantine (cluster, bundle, content)"
		    " VALUES (?1,?2,?3)",
		    "sss", a->cluster, a->bundle, a->quarantine[i]));
	return ERR_OK;
}

/* The serial is compared once more where it counts. */
enum err_code
store_put_assignment(struct store *s, const struct assignment *a, struct err *e)
{
	int64_t before;

	TRY(outbox_note_blocked(s, a, e));
	before = store_changes(s);
	TRY(sql_run(s, e,
	    "INSERT INTO assignments (cluster, bundle, commit_id,"
	    " current_with, content, artifact, mode, serial, who, at_ms,"
	    " reason, blocked, forced, until)"
	    " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)"
	    " ON CONFLICT (cluster, bundle) DO UPDATE SET"
	    " commit_id = excluded.commit_id,"
	    " current_with = excluded.current_with,"
	    " content = excluded.content, artifact = excluded.artifact,"
	    " mode = excluded.mode, serial = excluded.serial,"
	    " who = excluded.who, at_ms = excluded.at_ms,"
	    " reason = excluded.reason, blocked = excluded.blocked,"
	    " forced = excluded.forced, until = excluded.until"
	    " WHERE excluded.serial >= assignments.serial",
	    "sssssssisissbo", a->cluster, a->bundle, a->revision,
	    a->current_with, a->content, a->artifact, assign_mode_name(a->mode),
	    a->serial, a->by, a->at_ms, a->reason, a->blocked, a->forced,
	    a->until));
	if (store_changes(s) == before)
		return err_set(e, ERR_CONFLICT,
		    "bundle %s in cluster %s: its serial is above %lld",
		    a->bundle, a->cluster, (long long)a->serial);
	return put_quarantine(s, a, e);
}
