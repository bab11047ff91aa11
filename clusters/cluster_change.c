/* What operators do to assignments. */

#include <stdio.h>
#include <string.h>

#include "clusters/cluster.h"
#include "clusters/cluster_set.h"
#include "clusters/payload.h"
#include "clusters/view.h"
#include "core/clock.h"
#include "core/mem.h"

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

static bool
chosen(const struct cluster_change *c, const char *cluster)
{
	return c->clusters == NULL || holds(c->clusters, cluster);
}

static const char *
only_bundle(const struct cluster_change *c)
{
	if (json_array_size(c->bundles) != 1)
		return NULL;
	return json_string_value(json_array_get(c->bundles, 0));
}

/* Moves the assignments that are chosen from one list to the other. */
static void
take_chosen(const struct cluster_change *c, struct store_assignments *to,
    struct store_assignments *from)
{
	for (size_t i = 0; i < from->count; i++) {
		if (!chosen(c, from->items[i].cluster))
			continue;
		to->items =
		    mem_grow(to->items, to->count + 1, sizeof *to->items);
		to->items[to->count++] = from->items[i];
		from->items[i] = (struct assignment){ 0 };
	}
}

static enum err_code
load_bundle(struct store_assignments *out, struct store *s,
    const struct cluster_change *c, const char *bundle, struct err *e)
{
	struct store_assignments all = { 0 };
	struct store_owner owner;
	size_t before = out->count;
	size_t count;

	TRY(store_bundle_owner(s, bundle, &owner, e));
	TRY(store_assignments(s, NULL, bundle, &all, e));
	count = all.count;
	take_chosen(c, out, &all);
	store_assignments_clear(&all);
	if (count == 0)
		return err_set(e, ERR_CONFLICT, "no cluster has bundle %s",
		    bundle);
	if (out->count == before && only_bundle(c) == NULL)
		return err_set(e, ERR_NOT_FOUND,
		    "none of these clusters has bundle %s", bundle);
	return ERR_OK;
}

static int
assignment_order(const void *a, const void *b)
{
	const struct assignment *x = a, *y = b;
	int n = strcmp(x->cluster, y->cluster);

	return n != 0 ? n : strcmp(x->bundle, y->bundle);
}

/* All that is to change, by cluster and bundle; to be cleared in any case. */
static enum err_code
load(struct store_assignments *out, struct store *s,
    const struct cluster_change *c, struct err *e)
{
	size_t i;
	json_t *name;

	if (json_array_size(c->bundles) == 0)
		return err_set(e, ERR_INVALID, "bundles: names none");
	if (c->clusters != NULL && json_array_size(c->clusters) == 0)
		return err_set(e, ERR_INVALID,
		    "clusters: names none; leave it out for all");
	json_array_foreach(c->bundles, i, name) {
		if (!json_is_string(name))
			return err_set(e, ERR_INVALID,
			    "bundles: has to be a list of names");
		TRY(load_bundle(out, s, c, json_string_value(name), e));
	}
	if (out->count > 1)
		qsort(out->items, out->count, sizeof *out->items,
		    assignment_order);
	return ERR_OK;
}

static bool
has_cluster(const struct store_assignments *all, const char *cluster)
{
	for (size_t i = 0; i < all->count; i++)
		if (strcmp(all->items[i].cluster, cluster) == 0)
			return true;
	return false;
}

/* Every named cluster has to have one of them. */
static enum err_code
check_clusters(const struct cluster_change *c,
    const struct store_assignments *all, struct err *e)
{
	const char *only = only_bundle(c);
	size_t i;
	json_t *name;

	json_array_foreach(c->clusters, i, name) {
		if (!json_is_string(name))
			return err_set(e, ERR_INVALID,
			    "clusters: has to be a list of names");
		if (has_cluster(all, json_string_value(name)))
			continue;
		if (only == NULL)
			return err_set(e, ERR_NOT_FOUND,
			    "cluster %s has none of these bundles",
			    json_string_value(name));
		return err_set(e, ERR_NOT_FOUND,
		    "cluster %s does not have bundle %s",
		    json_string_value(name), only);
	}
	return ERR_OK;
}

/* By "CLUSTER/BUNDLE", or by the cluster where there is one bundle. */
static const struct assignment *
find_named(const struct cluster_change *c, const struct store_assignments *all,
    const char *name)
{
	const char *only = only_bundle(c);

	for (size_t i = 0; i < all->count; i++) {
		const struct assignment *a = &all->items[i];
		size_t len = strlen(a->cluster);

		if (strncmp(name, a->cluster, len) != 0)
			continue;
		if (name[len] == '\0' && only != NULL)
			return a;
		if (name[len] == '/' && strcmp(name + len + 1, a->bundle) == 0)
			return a;
	}
	return NULL;
}

/* For who comes too late: who was first, when, and with what; mem_ memory. */
static char *
what_happened(const struct assignment *a)
{
	char at[CLOCK_TEXT_SIZE];

	clock_text(at, a->at_ms);
	return mem_printf("%s %s %.12s since %s, by %s%s%s",
	    assign_mode_name(a->mode),
	    a->mode == ASSIGN_HELD ? "at" : "the branch, at", a->revision, at,
	    a->by, a->reason != NULL ? ": " : "",
	    a->reason != NULL ? a->reason : "");
}

static enum err_code
check_serials(const struct cluster_change *c,
    const struct store_assignments *all, struct err *e)
{
	const char *name;
	json_t *serial;

	json_object_foreach(payload_unconst(c->expect), name, serial) {
		const struct assignment *a = find_named(c, all, name);
		AUTO_STR happened = NULL;

		if (a == NULL)
			return err_set(e, ERR_INVALID,
			    "expect: cluster %s is not among those to change",
			    name);
		if (!json_is_integer(serial))
			return err_set(e, ERR_INVALID,
			    "expect: the serial of %s has to be a number",
			    name);
		if (json_integer_value(serial) == a->serial)
			continue;
		happened = what_happened(a);
		return err_set(e, ERR_CONFLICT,
		    "bundle %s in cluster %s has changed: its serial is %lld "
		    "now, not %lld; it is %s; look again",
		    a->bundle, a->cluster, (long long)a->serial,
		    (long long)json_integer_value(serial), happened);
	}
	return ERR_OK;
}

static enum err_code
load_checked(struct store_assignments *out, struct store *s,
    const struct cluster_change *c, struct err *e)
{
	TRY(load(out, s, c, e));
	TRY(check_clusters(c, out, e));
	return check_serials(c, out, e);
}

enum err_code
cluster_check_change(struct store *s, const struct cluster_change *c,
    struct err *e)
{
	struct store_assignments all = { 0 };
	enum err_code code = load_checked(&all, s, c, e);

	store_assignments_clear(&all);
	return code;
}

static enum err_code
check_undecided(struct store *s, const struct store_assignments *all,
    const char *bundle, int64_t after_event, struct err *e)
{
	AUTO_JSON decided = NULL;

	TRY(store_clusters_decided(s, bundle, after_event, &decided, e));
	for (size_t i = 0; i < all->count; i++) {
		const struct assignment *a = &all->items[i];
		AUTO_STR happened = NULL;

		if (strcmp(a->bundle, bundle) != 0 ||
		    !holds(decided, a->cluster))
			continue;
		happened = what_happened(a);
		return err_set(e, ERR_CONFLICT,
		    "an operator has changed bundle %s in cluster %s since "
		    "this was asked for: it is %s; look again, and ask again",
		    bundle, a->cluster, happened);
	}
	return ERR_OK;
}

enum err_code
cluster_check_undecided(struct store *s, const struct cluster_change *c,
    int64_t after_event, struct err *e)
{
	struct store_assignments all = { 0 };
	enum err_code code = load(&all, s, c, e);
	size_t i;
	json_t *name;

	json_array_foreach(c->bundles, i, name)
		if (code == ERR_OK)
			code = check_undecided(s, &all, json_string_value(name),
			    after_event, e);
	store_assignments_clear(&all);
	return code;
}

/* What becomes of one bundle of a cluster, and of all of them together. */
struct change_kind {
	enum err_code (*apply)(struct cluster_set *set, struct store *s,
	    const struct cluster_change *c, const char *bundle,
	    const struct assign_target *t, struct err *e);
	enum err_code (*finish)(struct cluster_set *set, struct store *s,
	    struct err *e); /* or NULL */
};

static enum err_code
apply_set(struct cluster_set *set, struct store *s,
    const struct cluster_change *c, const struct change_kind *kind,
    const struct assign_target *targets, struct err *e)
{
	size_t i;
	json_t *item;

	json_array_foreach(c->bundles, i, item) {
		const char *bundle = json_string_value(item);

		if (cluster_set_find(set, bundle) != NULL)
			TRY(kind->apply(set, s, c, bundle,
			    targets != NULL ? &targets[i] : NULL, e));
	}
	return kind->finish != NULL ? kind->finish(set, s, e) : ERR_OK;
}

static enum err_code
apply_one(struct store *s, const char *cluster, const struct cluster_change *c,
    const struct change_kind *kind, const struct assign_target *targets,
    struct err *e)
{
	struct cluster_set set = { 0 };
	json_t *assigned = json_array();
	enum err_code code = cluster_set_load(&set, s, cluster, e);

	set.trial = c->refused != NULL;
	if (code == ERR_OK)
		code = apply_set(&set, s, c, kind, targets, e);
	if (code == ERR_OK)
		code = cluster_set_save(&set, s, c->peer, assigned, e);
	if (set.unchecked && c->unchecked != NULL)
		json_array_append_new(c->unchecked, json_string(cluster));
	cluster_set_clear(&set);
	json_decref(assigned);
	if (code != ERR_CONFLICT || c->refused == NULL)
		return code;
	json_array_append_new(c->refused,
	    json_pack("{s:s, s:s}", "cluster", cluster, "message", e->text));
	return ERR_OK;
}

static enum err_code
apply_all(struct store *s, const struct cluster_change *c,
    const struct change_kind *kind, const struct assign_target *targets,
    struct err *e)
{
	struct store_assignments all = { 0 };
	enum err_code code = load_checked(&all, s, c, e);

	for (size_t i = 0; i < all.count && code == ERR_OK; i++)
		if (i == 0 ||
		    strcmp(all.items[i].cluster, all.items[i - 1].cluster) != 0)
			code = apply_one(s, all.items[i].cluster, c, kind,
			    targets, e);
	store_assignments_clear(&all);
	return code;
}

/* A hold that ends with the next passing commit begins at the newest there is,
 * or at what it holds, if that is newer. */
static enum err_code
hold_until_next(struct store *s, struct assignment *a,
    const struct assign_target *t, struct err *e)
{
	struct assign_target newest = t != NULL ? *t
						: (struct assign_target){
							  .line = a->line,
							  .depth = a->depth,
						  };
	struct store_targets list = { 0 };

	if (t == NULL)
		memcpy(newest.commit, a->current_with, sizeof newest.commit);
	TRY(store_passing_revisions(s, a->bundle, 1, 0, &list, e));
	if (list.count > 0 &&
	    (list.items[0].line > newest.line ||
		(list.items[0].line == newest.line &&
		    list.items[0].depth > newest.depth)))
		newest = list.items[0];
	store_targets_clear(&list);
	assign_until(a, &newest);
	return ERR_OK;
}

static enum err_code
apply_rollback(struct cluster_set *set, struct store *s,
    const struct cluster_change *c, const char *bundle,
    const struct assign_target *t, struct err *e)
{
	TRY(cluster_set_rollback(set, bundle, t, &c->who, e));
	if (!c->until_next)
		return ERR_OK;
	return hold_until_next(s, &cluster_set_find(set, bundle)->now, t, e);
}

/* Whether it passed is looked at once more where it counts. */
static enum err_code
check_passed(struct store *s, const struct cluster_change *c,
    const char *repository, const char *commit, bool *forced, struct err *e)
{
	struct store_verdict v = { .state = "none" };
	enum err_code code = store_newest_verdict(s, repository, commit, &v, e);

	if (code != ERR_OK && code != ERR_NOT_FOUND)
		return code;
	*forced = strcmp(v.state, "passed") != 0;
	if (!*forced || c->force)
		return ERR_OK;
	return err_set(e, ERR_CONFLICT,
	    "commit %.12s may not be served: its verdict is %s", commit,
	    v.state);
}

static enum err_code
read_target(struct store *s, const struct cluster_change *c, const char *bundle,
    const char *commit, struct assign_target *t, struct err *e)
{
	struct store_artifact artifact;
	struct store_owner owner;

	TRY(store_bundle_owner(s, bundle, &owner, e));
	TRY(check_passed(s, c, owner.repository, commit, &t->forced, e));
	TRY(store_commit_place(s, owner.repository, commit, &t->line, &t->depth,
	    e));
	TRY(store_artifact_of(s, bundle, commit, &artifact, e));
	(void)snprintf(t->commit, sizeof t->commit, "%s", commit);
	memcpy(t->revision, artifact.revision, sizeof t->revision);
	memcpy(t->content, artifact.content, sizeof t->content);
	memcpy(t->artifact, artifact.sha256, sizeof t->artifact);
	return ERR_OK;
}

enum err_code
cluster_rollback(struct store *s, const struct cluster_change *c,
    const char *commit, struct err *e)
{
	static const struct change_kind kind = { apply_rollback,
		cluster_set_check };
	size_t count = json_array_size(c->bundles);
	struct assign_target *targets = mem_array(count, sizeof *targets);
	enum err_code code = ERR_OK;

	for (size_t i = 0; i < count && code == ERR_OK; i++) {
		const char *bundle =
		    json_string_value(json_array_get(c->bundles, i));

		code = read_target(s, c, bundle != NULL ? bundle : "", commit,
		    &targets[i], e);
	}
	if (code == ERR_OK)
		code = apply_all(s, c, &kind, targets, e);
	mem_free(targets);
	return code;
}

static enum err_code
apply_pin(struct cluster_set *set, struct store *s,
    const struct cluster_change *c, const char *bundle,
    const struct assign_target *t, struct err *e)
{
	struct cluster_member *m = cluster_set_find(set, bundle);

	TRY(assign_allowed(&m->now, ASSIGN_PIN, e));
	m->event = ASSIGN_PIN;
	assign_pin(&m->now, &c->who);
	return c->until_next ? hold_until_next(s, &m->now, t, e) : ERR_OK;
}

enum err_code
cluster_pin(struct store *s, const struct cluster_change *c, struct err *e)
{
	static const struct change_kind kind = { apply_pin, NULL };

	return apply_all(s, c, &kind, NULL, e);
}

static enum err_code
apply_resume(struct cluster_set *set, struct store *s,
    const struct cluster_change *c, const char *bundle,
    const struct assign_target *t, struct err *e)
{
	(void)t;
	return cluster_set_resume(set, s, bundle, &c->who, e);
}

enum err_code
cluster_resume(struct store *s, const struct cluster_change *c, struct err *e)
{
	static const struct change_kind kind = { apply_resume,
		cluster_set_settle };

	return apply_all(s, c, &kind, NULL, e);
}

enum err_code
cluster_assignments(struct store *s, const struct cluster_change *c,
    json_t **out, struct err *e)
{
	AUTO_JSON all = json_array();
	size_t i;
	json_t *name;

	json_array_foreach(c->bundles, i, name) {
		AUTO_JSON body = NULL;

		TRY(view_assignments(s, json_string_value(name), c->clusters,
		    &body, e));
		json_array_extend(all, json_object_get(body, "assignments"));
	}
	*out = STEAL(all);
	return ERR_OK;
}
