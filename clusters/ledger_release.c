/* Who gets what: rollback, pin and resume, of one bundle or of several at once,
 * in clusters that are named, selected, or all there are. What who asks may not
 * act on looks like what does not exist. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/cluster.h"
#include "clusters/cluster_key.h"
#include "clusters/cluster_operation.h"
#include "clusters/ledger_release.h"
#include "clusters/payload.h"
#include "clusters/selector.h"
#include "clusters/store_set.h"
#include "clusters/store_variant.h"
#include "clusters/view.h"
#include "core/clock.h"
#include "core/mem.h"

enum { RELEASE_NAMES_MAX = 10000 };

static bool
is_limited(const struct release *r)
{
	return r->action->who.clusters != NULL ||
	    r->action->who.bundles != NULL;
}

static struct scope
scope_of(const struct release *r)
{
	return (struct scope){ r->action->who.clusters,
		r->action->who.bundles };
}

static bool
holds(const json_t *names, const char *name)
{
	size_t i;
	json_t *item;

	json_array_foreach(names, i, item)
		if (json_is_string(item) &&
		    strcmp(json_string_value(item), name) == 0)
			return true;
	return false;
}

static void
add_name(json_t *names, const char *name)
{
	if (!holds(names, name))
		json_array_append_new(names, json_string(name));
}

static enum err_code
no_bundle(const char *bundle, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "no bundle is called %s", bundle);
}

/* ---- what was asked ---- */

static enum err_code
check_names(const char *what, const json_t *list, struct err *e)
{
	size_t i;
	json_t *item;

	if (list == NULL)
		return ERR_OK;
	if (!json_is_array(list) || json_array_size(list) > RELEASE_NAMES_MAX)
		return err_set(e, ERR_INVALID,
		    "%s: has to be a list of at most %d names", what,
		    (int)RELEASE_NAMES_MAX);
	if (json_array_size(list) == 0)
		return err_set(e, ERR_INVALID,
		    "%s: names none; leave it out for all", what);
	json_array_foreach(list, i, item)
		if (!json_is_string(item))
			return err_set(e, ERR_INVALID,
			    "%s: has to be a list of names", what);
	return ERR_OK;
}

static enum err_code
check_asked(struct release *r, bool reason, struct err *e)
{
	TRY(action_check_reason(r->action, reason, e));
	TRY(check_names("clusters", r->clusters, e));
	TRY(check_names("bundles", r->bundles, e));
	if (r->clusters != NULL && r->selector != NULL)
		return err_set(e, ERR_INVALID,
		    "clusters and selector: give one of them");
	if (r->bundle != NULL && r->bundles != NULL)
		return err_set(e, ERR_INVALID,
		    "bundle and bundles: give one of them");
	if (r->expect != NULL && !json_is_object(r->expect))
		return err_set(e, ERR_INVALID,
		    "expect: has to give a serial for each cluster");
	if (r->force && r->action->who.role < SCOPE_ADMIN)
		return err_set(e, ERR_DENIED,
		    "force: token %s may not do this: it is not an admin's",
		    r->action->who.name);
	return ERR_OK;
}

/* ---- which bundles and clusters that comes to ---- */

static bool
asks_for(const struct release *r, const char *bundle)
{
	if (r->bundle != NULL)
		return strcmp(r->bundle, bundle) == 0;
	return r->bundles == NULL || holds(r->bundles, bundle);
}

/* The clusters that are named or selected, as an array of the caller's; NULL:
 * nobody named any. */
static enum err_code
named_clusters(struct release *r, json_t **out, struct err *e)
{
	struct scope scope = scope_of(r);

	*out = NULL;
	if (r->selector != NULL)
		return selector_clusters(out, r->store, r->selector, &scope,
		    r->bundle, e);
	if (r->clusters != NULL)
		*out = json_incref(payload_unconst(r->clusters));
	return ERR_OK;
}

/* All within the scope that was asked for, into both lists. */
static enum err_code
collect(struct release *r, const json_t *named, json_t *bundles,
    json_t *clusters, struct err *e)
{
	struct scope scope = scope_of(r);
	struct store_assignments all = { 0 };

	TRY(store_assignments(r->store, NULL, r->bundle, &all, e));
	for (size_t i = 0; i < all.count; i++) {
		const struct assignment *a = &all.items[i];

		if (!asks_for(r, a->bundle) ||
		    (named != NULL && !holds(named, a->cluster)) ||
		    !scope_cluster(&scope, a->cluster) ||
		    !scope_bundle(&scope, a->bundle))
			continue;
		add_name(bundles, a->bundle);
		add_name(clusters, a->cluster);
	}
	store_assignments_clear(&all);
	return ERR_OK;
}

static enum err_code
missing_bundle(const struct release *r, const char *bundle, struct err *e)
{
	struct store_owner owner;

	if (is_limited(r))
		return no_bundle(bundle, e);
	TRY(store_bundle_owner(r->store, bundle, &owner, e));
	return err_set(e, ERR_NOT_FOUND, "none of these clusters has bundle %s",
	    bundle);
}

static enum err_code
missing_cluster(const struct release *r, const char *cluster, struct err *e)
{
	if (r->bundle != NULL)
		return err_set(e, ERR_NOT_FOUND,
		    "cluster %s does not have bundle %s", cluster, r->bundle);
	return err_set(e, ERR_NOT_FOUND, "cluster %s has none of these bundles",
	    cluster);
}

/* What is named has to be among what was found. */
static enum err_code
check_found(const struct release *r, const json_t *bundles,
    const json_t *clusters, struct err *e)
{
	size_t i;
	json_t *item;

	json_array_foreach(r->bundles, i, item)
		if (!holds(bundles, json_string_value(item)))
			return missing_bundle(r, json_string_value(item), e);
	json_array_foreach(r->clusters, i, item)
		if (!holds(clusters, json_string_value(item)))
			return missing_cluster(r, json_string_value(item), e);
	if (json_array_size(bundles) > 0)
		return ERR_OK;
	if (r->bundle != NULL)
		return no_bundle(r->bundle, e);
	return err_set(e, ERR_NOT_FOUND, "these clusters have no bundle");
}

/* One commit is one repository's. */
static enum err_code
find_repository(struct release *r, const json_t *names, struct err *e)
{
	struct store_owner owner;
	size_t i;
	json_t *name;

	json_array_foreach(names, i, name) {
		TRY(store_bundle_owner(r->store, json_string_value(name),
		    &owner, e));
		if (i > 0 && strcmp(r->repository, owner.repository) != 0)
			return err_set(e, ERR_INVALID,
			    "these bundles come from several repositories (%s "
			    "and %s): name those of one, or write "
			    "REPOSITORY@REV",
			    r->repository, owner.repository);
		memcpy(r->repository, owner.repository, sizeof r->repository);
	}
	return ERR_OK;
}

/* With REPO@REV and all bundles, those of that repository. */
static enum err_code
keep_of_repository(struct release *r, json_t *names, struct err *e)
{
	const char *at = r->to != NULL ? strchr(r->to, '@') : NULL;

	if (at == NULL || r->bundle != NULL || r->bundles != NULL)
		return ERR_OK;
	for (size_t i = json_array_size(names); i-- > 0;) {
		const char *name = json_string_value(json_array_get(names, i));
		struct store_owner owner;

		TRY(store_bundle_owner(r->store, name, &owner, e));
		if (strlen(owner.repository) != (size_t)(at - r->to) ||
		    strncmp(owner.repository, r->to, (size_t)(at - r->to)) != 0)
			json_array_remove(names, i);
	}
	if (json_array_size(names) == 0)
		return err_set(e, ERR_NOT_FOUND,
		    "%s: these clusters have no bundle of that repository",
		    r->to);
	return ERR_OK;
}

/* Clusters that have none of the bundles that are left are none of those that
 * were meant. */
static enum err_code
keep_having(struct release *r, json_t *clusters, const json_t *bundles,
    struct err *e)
{
	struct store_assignments all = { 0 };

	for (size_t i = json_array_size(clusters); i-- > 0;) {
		const char *name =
		    json_string_value(json_array_get(clusters, i));
		bool any = false;

		TRY(store_assignments(r->store, name, NULL, &all, e));
		for (size_t k = 0; k < all.count; k++)
			any = any || holds(bundles, all.items[k].bundle);
		store_assignments_clear(&all);
		if (!any)
			json_array_remove(clusters, i);
	}
	return ERR_OK;
}

/* One bundle in all its clusters is all that it has when it is done, too. */
static bool
is_plain(const struct release *r)
{
	return r->bundle != NULL && r->selector == NULL && !is_limited(r);
}

static enum err_code
choose(struct release *r, struct err *e)
{
	AUTO_JSON named = NULL;

	TRY(named_clusters(r, &named, e));
	r->bundle_names = json_array();
	if (is_plain(r)) {
		add_name(r->bundle_names, r->bundle);
		r->cluster_names = STEAL(named);
		return find_repository(r, r->bundle_names, e);
	}
	r->cluster_names = json_array();
	TRY(collect(r, named, r->bundle_names, r->cluster_names, e));
	TRY(check_found(r, r->bundle_names, r->cluster_names, e));
	TRY(keep_of_repository(r, r->bundle_names, e));
	if (r->to != NULL)
		TRY(find_repository(r, r->bundle_names, e));
	return keep_having(r, r->cluster_names, r->bundle_names, e);
}

/* ---- the change ---- */

struct cluster_change
release_change(const struct release *r)
{
	return (struct cluster_change){
		.bundles = r->bundle_names,
		.clusters = r->cluster_names,
		.expect = r->expect,
		.until_next = r->until_next != 0,
		.force = r->force != 0,
		.who = { r->action->who.name, clock_now_ms(),
		    r->action->reason },
		.peer = r->action->peer,
	};
}

/* Is it stored, and did it pass? ERR_CONFLICT: it may not be assigned. *now
 * false: it has to be tested and built first. */
static enum err_code
check_stored(const struct release *r, const struct view_rev *rev,
    const char *bundle, bool passed, bool *now, struct err *e)
{
	struct store_artifact found;
	enum err_code code =
	    store_artifact_of(r->store, bundle, rev->commit, &found, e);

	*now = code == ERR_OK;
	if (code == ERR_OK || code != ERR_NOT_FOUND)
		return code;
	if (!passed ||
	    store_revision_content(r->store, bundle, rev->commit, found.content,
		e) == ERR_OK)
		return ERR_OK; /* not looked at yet, or was stored once */
	return err_set(e, ERR_CONFLICT, "commit %.12s does not have bundle %s",
	    rev->commit, bundle);
}

static enum err_code
check_verdict(const struct release *r, const struct view_rev *rev, bool *passed,
    bool *known, struct err *e)
{
	struct store_verdict v = { 0 };
	enum err_code code =
	    store_newest_verdict(r->store, rev->repository, rev->commit, &v, e);

	if (code != ERR_OK && code != ERR_NOT_FOUND)
		return code;
	*passed = strcmp(v.state, "passed") == 0;
	*known = *v.state != '\0' && strcmp(v.state, "could_not_run") != 0;
	if (!*known || *passed || r->force)
		return ERR_OK;
	return err_set(e, ERR_CONFLICT,
	    "commit %.12s may not be served: its verdict is %s", rev->commit,
	    v.state);
}

static enum err_code
check_commit(const struct release *r, const struct view_rev *rev, bool *now,
    struct err *e)
{
	bool passed, known;
	bool published = true;
	size_t i;
	json_t *name;

	*now = false;
	TRY(check_verdict(r, rev, &passed, &known, e));
	if (passed)
		TRY(store_is_published(r->store, rev->repository, rev->commit,
		    &published, e));
	if (!published || (!known && !r->force))
		return ERR_OK;
	json_array_foreach(r->bundle_names, i, name) {
		TRY(check_stored(r, rev, json_string_value(name), passed, now,
		    e));
		if (!*now)
			return ERR_OK;
	}
	return ERR_OK;
}

static enum err_code
add_operation(struct release *r, const char *resolved, struct err *e)
{
	size_t count = json_array_size(r->bundle_names);
	const char *first =
	    json_string_value(json_array_get(r->bundle_names, 0));
	struct store_operation_row row = {
		.repository = r->repository,
		.bundle = count == 1 ? first : NULL,
		.bundles = count == 1 ? NULL : r->bundle_names,
		.to = action_plain_rev(r->to),
		.resolved = resolved,
		.clusters = r->cluster_names,
		.expect = r->expect,
		.until_next = r->until_next != 0,
		.forced = r->force != 0,
	};

	return action_add_operation(r->action, &row,
	    count == 1 ? first : r->repository, e);
}

/* All is stored, but not under the clusters' keys: it goes on as soon as it is
 * signed, without the pipeline's repositories. */
static enum err_code
add_unsigned(struct release *r, const char *resolved, struct err *e)
{
	const char *id;

	TRY(add_operation(r, resolved, e));
	id = payload_text(r->action->body, "id");
	return store_operation_unsigned(r->store, strtoll(id, NULL, 10),
	    resolved, e);
}

static enum err_code
answer_assignments(struct release *r, const struct cluster_change *c,
    struct err *e)
{
	json_t *list = NULL;

	TRY(cluster_assignments(r->store, c, &list, e));
	r->action->status = 200;
	r->action->body = json_pack("{s:o}", "assignments", list);
	return ERR_OK;
}

static enum err_code
carry_out(struct release *r, release_fn *change, const char *commit,
    struct err *e)
{
	struct cluster_change c = release_change(r);

	if (r->dry_run)
		return release_try(r, change, commit, e);
	TRY(change(r->store, &c, commit, e));
	return answer_assignments(r, &c, e);
}

/* At once, but where the engine has to be asked first whether a set of bundles
 * loads together. */
static enum err_code
roll_back_now(struct release *r, const char *commit, struct err *e)
{
	struct cluster_change c = release_change(r);
	bool waits = false;

	TRY(cluster_rollback_or_ask(r->store, &c, commit, &waits, e));
	if (!waits)
		return answer_assignments(r, &c, e);
	TRY(add_operation(r, commit, e));
	return store_operation_waits(r->store,
	    strtoll(payload_text(r->action->body, "id"), NULL, 10), commit, e);
}

/* ---- the actions ---- */

static enum err_code
roll_back(struct release *r, struct err *e)
{
	struct cluster_change c;
	struct view_rev rev = { 0 };
	bool now = false, is_signed = true;
	enum err_code code;

	TRY(choose(r, e));
	c = release_change(r);
	TRY(cluster_check_change(r->store, &c, e));
	code = view_resolve(r->store, r->repository, r->to, &rev, e);
	if (code == ERR_OK)
		code = check_commit(r, &rev, &now, e);
	else if (code == ERR_NOT_FOUND)
		code = ERR_OK; /* a tag, or older than what is known here */
	if (code != ERR_OK)
		return code;
	if (now && !r->dry_run)
		TRY(cluster_key_ready(r->store, &c, rev.commit, &is_signed, e));
	if (now && is_signed && !r->dry_run)
		return roll_back_now(r, rev.commit, e);
	if (now && is_signed)
		return carry_out(r, cluster_rollback, rev.commit, e);
	if (!is_signed)
		return add_unsigned(r, rev.commit, e);
	if (r->dry_run)
		return release_try_unbuilt(r,
		    *rev.commit != '\0' ? rev.commit : NULL, e);
	return add_operation(r, rev.commit, e);
}

static void
release_clear(struct release *r)
{
	json_decref(r->bundle_names);
	json_decref(r->cluster_names);
}

enum err_code
ledger_rollback(struct action *a, struct err *e)
{
	struct release r = { .action = a, .store = a->store };
	enum err_code code;

	TRY(action_fields(a, e,
	    "{s:s,s:s,s:s,s?s,s?o,s:s,s:s,s?o,s?s,s?o,s?b,s?b,s?b !}", "token",
	    &a->token, "peer", &a->peer, "action", &a->name, "bundle",
	    &r.bundle, "bundles", &r.bundles, "to", &r.to, "reason", &a->reason,
	    "clusters", &r.clusters, "selector", &r.selector, "expect",
	    &r.expect, "until_next", &r.until_next, "force", &r.force,
	    "dry_run", &r.dry_run));
	TRY(check_asked(&r, true, e));
	TRY(action_check_rev("to", r.to, e));
	code = roll_back(&r, e);
	release_clear(&r);
	return code;
}

static enum err_code
do_pin(struct store *s, const struct cluster_change *c, const char *commit,
    struct err *e)
{
	(void)commit;
	return cluster_pin(s, c, e);
}

static enum err_code
do_resume(struct store *s, const struct cluster_change *c, const char *commit,
    struct err *e)
{
	(void)commit;
	return cluster_resume(s, c, e);
}

static enum err_code
hold_or_follow(struct release *r, release_fn *change, struct err *e)
{
	enum err_code code = choose(r, e);

	if (code == ERR_OK)
		code = carry_out(r, change, NULL, e);
	release_clear(r);
	return code;
}

enum err_code
ledger_pin(struct action *a, struct err *e)
{
	struct release r = { .action = a, .store = a->store };

	TRY(action_fields(a, e,
	    "{s:s,s:s,s:s,s?s,s?o,s:s,s?o,s?s,s?o,s?b,s?b !}", "token",
	    &a->token, "peer", &a->peer, "action", &a->name, "bundle",
	    &r.bundle, "bundles", &r.bundles, "reason", &a->reason, "clusters",
	    &r.clusters, "selector", &r.selector, "expect", &r.expect,
	    "until_next", &r.until_next, "dry_run", &r.dry_run));
	TRY(check_asked(&r, true, e));
	return hold_or_follow(&r, do_pin, e);
}

enum err_code
ledger_resume(struct action *a, struct err *e)
{
	struct release r = { .action = a, .store = a->store };

	TRY(action_fields(a, e, "{s:s,s:s,s:s,s?s,s?o,s?s,s?o,s?s,s?o,s?b !}",
	    "token", &a->token, "peer", &a->peer, "action", &a->name, "bundle",
	    &r.bundle, "bundles", &r.bundles, "reason", &a->reason, "clusters",
	    &r.clusters, "selector", &r.selector, "expect", &r.expect,
	    "dry_run", &r.dry_run));
	TRY(check_asked(&r, false, e));
	return hold_or_follow(&r, do_resume, e);
}
