/* What a rollback, pin or resume would do: the real change, and then undone. */

#include <string.h>

#include "clusters/ledger_release.h"
#include "clusters/payload.h"

static const json_t *
same_place(const json_t *list, const json_t *a)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
		if (json_equal(json_object_get(item, "cluster"),
			json_object_get(a, "cluster")) &&
		    json_equal(json_object_get(item, "bundle"),
			json_object_get(a, "bundle")))
			return item;
	return NULL;
}

/* to NULL: as it is named, for it is not known yet. */
static json_t *
change_json(const json_t *before, const json_t *after, const char *to)
{
	const char *from = payload_text(before, "revision");
	bool same = json_equal(json_object_get(before, "content"),
	    json_object_get(after, "content"));

	return json_pack("{s:O, s:O, s:s, s:s?, s:b, s:O, s:O, s:O, s:O}",
	    "cluster", json_object_get(before, "cluster"), "bundle",
	    json_object_get(before, "bundle"), "from", from, "to", to, "moves",
	    !same, "mode", json_object_get(after, "mode"), "serial",
	    json_object_get(before, "serial"), "forced",
	    json_object_get(after, "forced"), "blocked",
	    json_object_get(after, "blocked"));
}

static void
answer_trial(struct release *r, json_t *changes, json_t *refused,
    json_t *unchecked, const char *build)
{
	r->action->status = 200;
	r->action->body = json_pack("{s:b, s:s?, s:o, s:o, s:o}", "dry_run", 1,
	    "build", build, "changes", changes, "refused", refused, "unchecked",
	    unchecked);
}

/* What would have to be built is not known to fit. */
enum err_code
release_try_unbuilt(struct release *r, const char *commit, struct err *e)
{
	struct cluster_change c = release_change(r);
	AUTO_JSON before = NULL;
	json_t *changes = json_array();
	size_t i;
	json_t *a;

	TRY(cluster_assignments(r->store, &c, &before, e));
	json_array_foreach(before, i, a) {
		AUTO_JSON after = json_copy(a);

		json_object_set_new(after, "content", json_null());
		json_object_set_new(after, "mode", json_string("held"));
		json_object_set_new(after, "blocked", json_null());
		json_array_append_new(changes, change_json(a, after, commit));
	}
	answer_trial(r, changes, json_array(), json_array(),
	    commit != NULL ? commit : r->to);
	return ERR_OK;
}

/* The real change, and what came of it. */
static enum err_code
run_trial(struct release *r, struct cluster_change *c, release_fn *change,
    const char *commit, json_t *changes, struct err *e)
{
	AUTO_JSON before = NULL;
	AUTO_JSON after = NULL;
	size_t i;
	json_t *a;

	TRY(cluster_assignments(r->store, c, &before, e));
	TRY(change(r->store, c, commit, e));
	TRY(cluster_assignments(r->store, c, &after, e));
	json_array_foreach(before, i, a) {
		const json_t *now = same_place(after, a);

		if (now != NULL && !json_equal(a, payload_unconst(now)))
			json_array_append_new(changes,
			    change_json(a, now, payload_text(now, "revision")));
	}
	return ERR_OK;
}

enum err_code
release_try(struct release *r, release_fn *change, const char *commit,
    struct err *e)
{
	struct cluster_change c = release_change(r);
	AUTO_JSON changes = json_array();
	AUTO_JSON refused = json_array();
	AUTO_JSON unchecked = json_array();
	struct err undone;
	enum err_code code;

	c.refused = refused;
	c.unchecked = unchecked;
	TRY(store_savepoint(r->store, e));
	code = run_trial(r, &c, change, commit, changes, e);
	if (store_savepoint_undo(r->store, &undone) != ERR_OK) {
		*e = undone;
		return undone.code;
	}
	if (code != ERR_OK)
		return code;
	answer_trial(r, STEAL(changes), STEAL(refused), STEAL(unchecked), NULL);
	return ERR_OK;
}
