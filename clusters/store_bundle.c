/* Bundles, their revisions, and the artifacts of those. */

#include <string.h>

#include "clusters/store_sql.h"
#include "clusters/store_write.h"
#include "core/mem.h"
#include "signing/key.h"

_Static_assert(STORE_KEY_SIZE == KEY_ID_MAX + 1, "room for every key id");

enum err_code
store_bundle_owner(struct store *s, const char *bundle, struct store_owner *out,
    struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT repository, orphan FROM bundles WHERE name = ?1", "s",
	    bundle);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "no bundle is called %s", bundle);
	if (code != ERR_OK)
		return code;
	rows_copy(&r, 0, out->repository, sizeof out->repository);
	out->orphan = rows_int(&r, 1) != 0;
	return ERR_OK;
}

enum err_code
store_put_bundle(struct store *s, const char *bundle, const char *repository,
    bool orphan, struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO bundles (name, repository, orphan) VALUES (?1,?2,?3)"
	    " ON CONFLICT (name) DO UPDATE SET"
	    " repository = excluded.repository, orphan = excluded.orphan",
	    "ssb", bundle, repository, orphan);
}

enum err_code
store_orphan_bundles(struct store *s, const char *repository, struct err *e)
{
	return sql_run(s, e,
	    "UPDATE bundles SET orphan = 1 WHERE repository = ?1", "s",
	    repository);
}

enum err_code
store_put_revision(struct store *s, const struct store_revision_row *r,
    struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO revisions (bundle, repository, commit_id, content,"
	    " unpacked, roots, rego_version, artifact, published_ms)"
	    " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)"
	    " ON CONFLICT (bundle, commit_id) DO UPDATE SET"
	    " content = excluded.content, unpacked = excluded.unpacked,"
	    " roots = excluded.roots, rego_version = excluded.rego_version,"
	    " artifact = coalesce(excluded.artifact, revisions.artifact)",
	    "ssssijisi", r->bundle, r->repository, r->commit, r->content,
	    r->unpacked, r->roots, r->rego_version, r->artifact,
	    r->published_ms);
}

enum err_code
store_put_artifact(struct store *s, const struct store_artifact *a,
    int64_t at_ms, struct err *e)
{
	return sql_run(s, e,
	    "INSERT INTO artifacts (sha256, bundle, commit_id, content,"
	    " content_sha256, key_id, size, at_ms)"
	    " VALUES (?1,?2,?3,?4,?5,?6,?7,?8)"
	    " ON CONFLICT (sha256) DO NOTHING",
	    "ssssssii", a->sha256, a->bundle, a->revision, a->content,
	    a->content_sha256, a->key, a->size, at_ms);
}

enum err_code
store_revision_content(struct store *s, const char *bundle, const char *commit,
    char out[STORE_DIGEST_SIZE], struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT content FROM revisions WHERE bundle = ?1"
	    " AND commit_id = ?2",
	    "ss", bundle, commit);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "bundle %s has no revision %s", bundle,
		    commit);
	if (code != ERR_OK)
		return code;
	rows_copy(&r, 0, out, STORE_DIGEST_SIZE);
	return ERR_OK;
}

enum err_code
store_content_roots(struct store *s, const char *bundle, const char *content,
    json_t **out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT roots FROM revisions WHERE bundle = ?1 AND content = ?2"
	    " LIMIT 1",
	    "ss", bundle, content);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "bundle %s has no content %s", bundle,
		    content);
	if (code != ERR_OK)
		return code;
	return rows_json(&r, 0, out, e);
}

enum err_code
store_unpacked_size(struct store *s, const struct store_artifact *a,
    int64_t *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT unpacked FROM revisions WHERE bundle = ?1"
	    " AND content = ?2 LIMIT 1",
	    "ss", a->bundle, a->content);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code, "bundle %s has no content %s",
		    a->bundle, a->content);
	if (code != ERR_OK)
		return code;
	*out = rows_int(&r, 0);
	return ERR_OK;
}

static void
take_artifact(const struct rows *r, struct store_artifact *out)
{
	rows_copy(r, 0, out->sha256, sizeof out->sha256);
	rows_copy(r, 1, out->bundle, sizeof out->bundle);
	rows_copy(r, 2, out->revision, sizeof out->revision);
	rows_copy(r, 3, out->content, sizeof out->content);
	rows_copy(r, 4, out->content_sha256, sizeof out->content_sha256);
	rows_copy(r, 5, out->key, sizeof out->key);
	out->size = rows_int(r, 6);
}

enum err_code
store_has_content(struct store *s, const char *bundle, const char *content,
    struct store_artifact *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	enum err_code code = rows_one(&r, s, e,
	    "SELECT sha256, bundle, commit_id, content, content_sha256, key_id,"
	    " size FROM artifacts WHERE bundle = ?1 AND content = ?2"
	    " ORDER BY at_ms DESC, sha256 LIMIT 1",
	    "ss", bundle, content);

	if (code == ERR_NOT_FOUND)
		return err_set(e, code,
		    "bundle %s: nothing is stored with content %s", bundle,
		    content);
	if (code != ERR_OK)
		return code;
	take_artifact(&r, out);
	return ERR_OK;
}

enum err_code
store_artifact_of(struct store *s, const char *bundle, const char *commit,
    struct store_artifact *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	char content[STORE_DIGEST_SIZE];
	enum err_code code = rows_one(&r, s, e,
	    "SELECT a.sha256, a.bundle, a.commit_id, a.content,"
	    " a.content_sha256, a.key_id, a.size"
	    " FROM revisions r JOIN artifacts a ON a.sha256 = r.artifact"
	    " WHERE r.bundle = ?1 AND r.commit_id = ?2",
	    "ss", bundle, commit);

	if (code == ERR_OK)
		take_artifact(&r, out);
	if (code != ERR_NOT_FOUND)
		return code;
	TRY(store_revision_content(s, bundle, commit, content, e));
	return store_has_content(s, bundle, content, out, e);
}

enum err_code
store_passing_revisions(struct store *s, const char *bundle, size_t limit,
    size_t skip, struct store_targets *out, struct err *e)
{
	AUTO_ROWS r = { 0 };
	struct store_targets list = { 0 };
	enum err_code code;
	bool more = true;

	TRY(rows_open(&r, s, e,
	    "SELECT c.id, r.content, c.line, c.depth FROM bundles b"
	    " JOIN repositories p ON p.name = b.repository"
	    " JOIN commits c ON c.repository = p.name AND c.line = p.line"
	    " JOIN revisions r ON r.bundle = b.name AND r.commit_id = c.id"
	    " WHERE b.name = ?1 AND c.verdict_state = 'passed'"
	    " ORDER BY c.depth DESC LIMIT ?2 OFFSET ?3",
	    "sii", bundle, (int64_t)limit, (int64_t)skip));
	while ((code = rows_next(&r, &more, e)) == ERR_OK && more) {
		struct assign_target *t;

		list.items =
		    mem_grow(list.items, list.count + 1, sizeof *list.items);
		t = &list.items[list.count++];
		*t = (struct assign_target){ 0 };
		rows_copy(&r, 0, t->commit, sizeof t->commit);
		rows_copy(&r, 1, t->content, sizeof t->content);
		t->line = rows_int(&r, 2);
		t->depth = rows_int(&r, 3);
	}
	if (code != ERR_OK)
		store_targets_clear(&list);
	else
		*out = list;
	return code;
}

void
store_targets_clear(struct store_targets *t)
{
	mem_free(t->items);
	*t = (struct store_targets){ 0 };
}
