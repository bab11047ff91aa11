#include "clusters/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_discovery.h"
#include "clusters/store_view.h"
#include "clusters/view_page.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/spec.h"
#include "core/text.h"

struct snapshot {
	struct store *store; /* NULL: somebody else's */
};

static enum err_code
snapshot_begin(struct snapshot *at, struct store *s, struct err *e)
{
	if (store_is_inside(s))
		return ERR_OK;
	TRY(store_snapshot_begin(s, e));
	at->store = s;
	return ERR_OK;
}

static void
snapshot_end(struct snapshot *at)
{
	if (at->store != NULL)
		store_snapshot_end(at->store);
}

/* All that follows in this scope is read as of one moment. A view that runs
 * inside a transaction has that already. */
#define SNAPSHOT(s, e)                                                       \
	__attribute__((cleanup(snapshot_end))) struct snapshot snapshot_ = { \
		NULL                                                         \
	};                                                                   \
	TRY(snapshot_begin(&snapshot_, s, e))

/* The only row, or NOT_FOUND. Takes rows over. */
static enum err_code
only_row(json_t *rows, json_t **out, struct err *e, const char *what,
    const char *name)
{
	AUTO_JSON owned = rows;

	if (json_array_size(owned) == 0)
		return err_set(e, ERR_NOT_FOUND, "no %s is called %s", what,
		    name);
	*out = json_incref(json_array_get(owned, 0));
	return ERR_OK;
}

/* Applies shape to every row. */
typedef enum err_code shape_fn(struct store *s, json_t *row, struct err *e);

static enum err_code
shape_all(struct store *s, json_t *rows, shape_fn *shape, struct err *e)
{
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row)
		TRY(shape(s, row, e));
	return ERR_OK;
}

/* Repositories. */

static void
shape_alarm(json_t *row)
{
	json_t *alarm = json_object_get(row, "alarm");
	json_int_t since_ms;
	char since[CLOCK_TEXT_SIZE];

	if (!json_is_object(alarm))
		return;
	since_ms = json_integer_value(json_object_get(alarm, "since_ms"));
	clock_text(since, since_ms);
	json_object_del(alarm, "since_ms");
	json_object_set_new(alarm, "since", json_string(since));
}

static enum err_code
shape_repository(struct store *s, json_t *row, struct err *e)
{
	(void)s;
	(void)e;
	shape_alarm(row);
	if (json_is_true(json_object_get(row, "suspended")))
		json_object_set_new(row, "state", json_string("suspended"));
	return ERR_OK;
}

enum err_code
view_repositories(struct store *s, const struct view_page *page, json_t **out,
    struct err *e)
{
	AUTO_JSON rows = NULL;
	const char *after;
	int64_t limit;

	TRY(view_page_limit(page, &limit, e));
	TRY(view_page_after(page, &after, e));
	TRY(store_view_repositories(s, NULL, after, limit + 1, &rows, e));
	TRY(shape_all(s, rows, shape_repository, e));
	*out = view_page_make(STEAL(rows), limit, "name");
	return ERR_OK;
}

enum err_code
view_repository(struct store *s, const char *name, json_t **out, struct err *e)
{
	json_t *rows;
	json_t *row;

	TRY(store_view_repositories(s, name, NULL, 1, &rows, e));
	TRY(only_row(rows, &row, e, "repository", name));
	(void)shape_repository(s, row, e);
	*out = row;
	return ERR_OK;
}

/* Assignments. */

static enum err_code
shape_assignment(struct store *s, json_t *row, struct err *e)
{
	AUTO_JSON contents = NULL;
	AUTO_STR etag =
	    mem_printf("\"sha256:%s\"", payload_text(row, "artifact"));
	json_t *list = json_array();
	json_t *item;
	size_t i;

	json_object_del(row, "artifact");
	json_object_set_new(row, "etag", json_string(etag));
	json_object_set_new(row, "quarantined", list);
	TRY(store_view_quarantine(s, payload_text(row, "cluster"),
	    payload_text(row, "bundle"), &contents, e));
	json_array_foreach(contents, i, item)
		json_array_append(list, json_object_get(item, "content"));
	return ERR_OK;
}

static enum err_code
add_assignments(struct store *s, json_t *row, const char *cluster,
    const char *bundle, struct err *e)
{
	AUTO_JSON list = NULL;

	TRY(store_view_assignments(s, cluster, bundle, &list, e));
	TRY(shape_all(s, list, shape_assignment, e));
	json_object_set_new(row, "assignments", STEAL(list));
	return ERR_OK;
}

static bool
names_hold(const json_t *names, const char *name)
{
	size_t i;
	json_t *item;

	json_array_foreach(names, i, item)
		if (json_is_string(item) &&
		    strcmp(json_string_value(item), name) == 0)
			return true;
	return false;
}

enum err_code
view_assignments(struct store *s, const char *bundle, const json_t *clusters,
    json_t **out, struct err *e)
{
	AUTO_JSON body = json_object();
	json_t *list;

	SNAPSHOT(s, e);
	TRY(add_assignments(s, body, NULL, bundle, e));
	list = json_object_get(body, "assignments");
	for (size_t i = json_array_size(list); clusters != NULL && i-- > 0;)
		if (!names_hold(clusters,
			payload_text(json_array_get(list, i), "cluster")))
			json_array_remove(list, i);
	*out = STEAL(body);
	return ERR_OK;
}

/* Revisions of bundles. */

static enum err_code
shape_revision(struct store *s, json_t *row, struct err *e)
{
	const char *sha256 = payload_text(row, "sha256");
	json_t *artifact = json_null();

	(void)s;
	(void)e;
	if (sha256 != NULL) {
		AUTO_STR etag = mem_printf("\"sha256:%s\"", sha256);

		artifact = json_pack("{s:s, s:s, s:O, s:O}", "sha256", sha256,
		    "etag", etag, "size", json_object_get(row, "size"), "key",
		    json_object_get(row, "key"));
	}
	json_object_set_new(row, "stored",
	    json_boolean(json_is_object(artifact)));
	json_object_set_new(row, "artifact", artifact);
	json_object_del(row, "sha256");
	json_object_del(row, "size");
	json_object_del(row, "key");
	return ERR_OK;
}

static enum err_code
shape_bundle(struct store *s, json_t *row, struct err *e)
{
	AUTO_JSON latest = NULL;
	const char *name = payload_text(row, "name");

	TRY(store_view_revisions(s, name, NULL, 1, &latest, e));
	TRY(shape_all(s, latest, shape_revision, e));
	if (json_array_size(latest) > 0)
		json_object_set(row, "latest", json_array_get(latest, 0));
	else
		json_object_set_new(row, "latest", json_null());
	return add_assignments(s, row, NULL, name, e);
}

/* Commits. */

static enum err_code
shape_commit(struct store *s, json_t *row, struct err *e)
{
	json_t *runs;

	TRY(store_view_runs_in(s, payload_text(row, "repository"),
	    payload_text(row, "revision"), &runs, e));
	json_object_set_new(row, "runs_in", runs);
	return ERR_OK;
}

static enum err_code
add_verdicts(struct store *s, json_t *row, struct err *e)
{
	AUTO_JSON rows = NULL;
	json_t *list = json_array();
	json_t *item;
	size_t i;

	json_object_set_new(row, "verdicts", list);
	TRY(store_view_verdicts(s, payload_text(row, "repository"),
	    payload_text(row, "revision"), &rows, e));
	json_array_foreach(rows, i, item) {
		json_t *report = json_object_get(item, "report");

		const char *cut = payload_text(item, "cut");

		json_object_del(report, "identity");
		if (cut != NULL)
			json_object_set_new(report, "results_removed_at",
			    json_string(cut));
		json_array_append(list, report);
	}
	return ERR_OK;
}

static enum err_code
add_revisions(struct store *s, json_t *row, struct err *e)
{
	AUTO_JSON rows = NULL;

	TRY(store_view_commit_revisions(s, payload_text(row, "repository"),
	    payload_text(row, "revision"), &rows, e));
	TRY(shape_all(s, rows, shape_revision, e));
	json_object_set_new(row, "bundles", STEAL(rows));
	return ERR_OK;
}

/* Where a list of commits starts: the branch, or where the page before ended.
 * "" when there is nothing yet. */
static enum err_code
commits_start(struct store *s, const char *repository, const char *next,
    struct view_rev *out, struct err *e)
{
	AUTO_JSON rows = NULL;
	const char *commit;

	TRY(store_view_branch(s, repository, "HEAD", &rows, e));
	if (json_array_size(rows) == 0)
		return repository == NULL
		    ? ERR_OK
		    : err_set(e, ERR_NOT_FOUND, "no repository is called %s",
			  repository);
	if (json_array_size(rows) > 1)
		return err_set(e, ERR_INVALID,
		    "repository: there are several; say which");
	(void)snprintf(out->repository, sizeof out->repository, "%s",
	    payload_text(json_array_get(rows, 0), "repository"));
	commit = payload_text(json_array_get(rows, 0), "commit");
	if (next != NULL)
		commit = next;
	if (commit != NULL)
		(void)snprintf(out->commit, sizeof out->commit, "%s", commit);
	return ERR_OK;
}

/* The cursor is the first commit of the page to come. */
static json_t *
commits_page(json_t *rows, int64_t limit)
{
	json_t *next = json_null();

	if (json_array_size(rows) > (size_t)limit) {
		next = json_incref(json_object_get(json_array_get(rows,
						       (size_t)limit),
		    "revision"));
		json_array_remove(rows, (size_t)limit);
	}
	return json_pack("{s:o, s:o}", "items", rows, "next", next);
}

static enum err_code
read_commits(struct store *s, const struct view_rev *from, int64_t limit,
    json_t **out, struct err *e)
{
	AUTO_JSON rows = NULL;
	json_t *page;

	TRY(store_view_line(s, from->repository, from->commit, limit + 1, &rows,
	    e));
	page = commits_page(STEAL(rows), limit);
	rows = page;
	TRY(shape_all(s, json_object_get(page, "items"), shape_commit, e));
	*out = STEAL(rows);
	return ERR_OK;
}

enum err_code
view_commits(struct store *s, const char *repository,
    const struct view_page *page, json_t **out, struct err *e)
{
	struct view_rev from = { 0 };
	int64_t limit;

	TRY(view_page_limit(page, &limit, e));
	if (page->next != NULL && !text_is_hex(page->next, STORE_ID_SIZE - 1))
		return view_page_bad(e);
	SNAPSHOT(s, e);
	TRY(commits_start(s, repository, page->next, &from, e));
	return read_commits(s, &from, limit, out, e);
}

enum err_code
view_commit(struct store *s, const char *rev, json_t **out, struct err *e)
{
	AUTO_JSON rows = NULL;
	struct view_rev at;
	json_t *row;

	SNAPSHOT(s, e);
	TRY(view_resolve(s, NULL, rev, &at, e));
	TRY(store_view_line(s, at.repository, at.commit, 1, &rows, e));
	row = json_array_get(rows, 0);
	if (row == NULL)
		return err_set(e, ERR_NOT_FOUND, "no commit %s is known", rev);
	TRY(shape_commit(s, row, e));
	TRY(add_verdicts(s, row, e));
	TRY(add_revisions(s, row, e));
	*out = json_incref(row);
	return ERR_OK;
}

/* Bundles. */

enum err_code
view_bundles(struct store *s, const struct view_page *page, json_t **out,
    struct err *e)
{
	AUTO_JSON rows = NULL;
	const char *after;
	int64_t limit;

	TRY(view_page_limit(page, &limit, e));
	TRY(view_page_after(page, &after, e));
	SNAPSHOT(s, e);
	TRY(store_view_bundles(s, NULL, after, limit + 1, &rows, e));
	TRY(shape_all(s, rows, shape_bundle, e));
	*out = view_page_make(STEAL(rows), limit, "name");
	return ERR_OK;
}

enum err_code
view_bundle(struct store *s, const char *name, json_t **out, struct err *e)
{
	AUTO_JSON row = NULL;
	json_t *rows;

	SNAPSHOT(s, e);
	TRY(store_view_bundles(s, name, NULL, 1, &rows, e));
	TRY(only_row(rows, &row, e, "bundle", name));
	TRY(shape_bundle(s, row, e));
	*out = STEAL(row);
	return ERR_OK;
}

static enum err_code
bundle_repository(struct store *s, const char *bundle,
    char out[STORE_NAME_SIZE], struct err *e)
{
	AUTO_JSON row = NULL;
	json_t *rows;

	TRY(store_view_bundles(s, bundle, NULL, 1, &rows, e));
	TRY(only_row(rows, &row, e, "bundle", bundle));
	(void)snprintf(out, STORE_NAME_SIZE, "%s",
	    payload_text(row, "repository"));
	return ERR_OK;
}

enum err_code
view_revisions(struct store *s, const char *bundle,
    const struct view_page *page, json_t **out, struct err *e)
{
	AUTO_JSON rows = NULL;
	char repository[STORE_NAME_SIZE];
	int64_t limit;

	TRY(view_page_limit(page, &limit, e));
	if (page->next != NULL && !text_is_hex(page->next, STORE_ID_SIZE - 1))
		return view_page_bad(e);
	SNAPSHOT(s, e);
	TRY(bundle_repository(s, bundle, repository, e));
	TRY(store_view_revisions(s, bundle, page->next, limit + 1, &rows, e));
	TRY(shape_all(s, rows, shape_revision, e));
	*out = view_page_make(STEAL(rows), limit, "revision");
	return ERR_OK;
}

static enum err_code
resolve_revision(struct store *s, const char *bundle, const char *rev,
    struct view_rev *out, struct err *e)
{
	char repository[STORE_NAME_SIZE];

	TRY(bundle_repository(s, bundle, repository, e));
	return view_resolve(s, repository, rev, out, e);
}

enum err_code
view_revision(struct store *s, const char *bundle, const char *rev,
    json_t **out, struct err *e)
{
	AUTO_JSON rows = NULL;
	struct view_rev at;

	SNAPSHOT(s, e);
	TRY(resolve_revision(s, bundle, rev, &at, e));
	TRY(store_view_revision(s, bundle, at.commit, &rows, e));
	if (json_array_size(rows) == 0)
		return err_set(e, ERR_NOT_FOUND,
		    "bundle %s has no revision %s: the commit was not "
		    "published, or does not define it",
		    bundle, at.commit);
	TRY(shape_all(s, rows, shape_revision, e));
	*out = json_incref(json_array_get(rows, 0));
	return ERR_OK;
}

enum err_code
view_artifact(struct store *s, const char *bundle, const char *rev,
    struct store_artifact *out, struct err *e)
{
	struct view_rev at;

	SNAPSHOT(s, e);
	TRY(resolve_revision(s, bundle, rev, &at, e));
	return store_artifact_of(s, bundle, at.commit, out, e);
}

/* Clusters. */

static enum err_code
add_discovery(struct store *s, json_t *row, const char *cluster, struct err *e)
{
	json_t *found;
	const char *sha256;

	TRY(store_view_discovery(s, cluster, &found, e));
	json_object_set_new(row, "discovery", found);
	sha256 = payload_text(found, "sha256");
	if (sha256 == NULL)
		return ERR_OK;
	AUTO_STR etag = mem_printf("\"sha256:%s\"", sha256);
	json_object_set_new(found, "etag", json_string(etag));
	json_object_del(found, "sha256");
	return ERR_OK;
}

static enum err_code
shape_cluster(struct store *s, json_t *row, struct err *e)
{
	const char *name = payload_text(row, "name");

	TRY(add_assignments(s, row, name, NULL, e));
	return add_discovery(s, row, name, e);
}

enum err_code
view_clusters(struct store *s, const struct view_page *page, json_t **out,
    struct err *e)
{
	AUTO_JSON rows = NULL;
	const char *after;
	int64_t limit;

	TRY(view_page_limit(page, &limit, e));
	TRY(view_page_after(page, &after, e));
	SNAPSHOT(s, e);
	TRY(store_view_clusters(s, NULL, after, limit + 1, &rows, e));
	TRY(shape_all(s, rows, shape_cluster, e));
	*out = view_page_make(STEAL(rows), limit, "name");
	return ERR_OK;
}

enum err_code
view_cluster(struct store *s, const char *name, json_t **out, struct err *e)
{
	AUTO_JSON row = NULL;
	json_t *rows;

	SNAPSHOT(s, e);
	TRY(store_view_clusters(s, name, NULL, 1, &rows, e));
	TRY(only_row(rows, &row, e, "cluster", name));
	TRY(shape_cluster(s, row, e));
	*out = STEAL(row);
	return ERR_OK;
}

/* Operations. */

enum err_code
view_operation(struct store *s, const char *id, json_t **out, struct err *e)
{
	json_t *rows;
	json_t *row;
	int64_t number;

	if (view_page_number(id, &number) != ERR_OK)
		return err_set(e, ERR_NOT_FOUND, "no operation is called %s",
		    id);
	TRY(store_view_operation(s, number, &rows, e));
	TRY(only_row(rows, &row, e, "operation", id));
	if (json_is_null(json_object_get(row, "assignments")))
		json_object_set_new(row, "assignments", json_array());
	*out = row;
	return ERR_OK;
}
