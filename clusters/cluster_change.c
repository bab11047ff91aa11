/* What operators do to assignments. */

#include <string.h>

#include "clusters/cluster.h"
#include "clusters/cluster_set.h"
#include "clusters/payload.h"

static bool
chosen(const struct cluster_change *c, const char *cluster)
{
	size_t i;
	json_t *name;

	if (c->clusters == NULL)
		return true;
	json_array_foreach(c->clusters, i, name)
		if (strcmp(json_string_value(name), cluster) == 0)
			return true;
	return false;
}

static const struct assignment *
assignment_of(const struct store_assignments *all, const char *cluster)
{
	for (size_t i = 0; i < all->count; i++)
		if (strcmp(all->items[i].cluster, cluster) == 0)
			return &all->items[i];
	return NULL;
}

/* Every named cluster has to have the bundle. */
static enum err_code
check_clusters(const struct cluster_change *c,
    const struct store_assignments *all, struct err *e)
{
	size_t i;
	json_t *name;

	if (all->count == 0)
		return err_set(e, ERR_CONFLICT, "no cluster has bundle %s",
		    c->bundle);
	if (c->clusters == NULL)
		return ERR_OK;
	if (json_array_size(c->clusters) == 0)
		return err_set(e, ERR_INVALID,
		    "clusters: names none; leave it out for all");
	json_array_foreach(c->clusters, i, name) {
		if (!json_is_string(name))
			return err_set(e, ERR_INVALID,
			    "clusters: has to be a list of names");
		if (assignment_of(all, json_string_value(name)) == NULL)
			return err_set(e, ERR_NOT_FOUND,
			    "cluster %s does not have bundle %s",
			    json_string_value(name), c->bundle);
	}
	return ERR_OK;
}

static enum err_code
check_serials(const struct cluster_change *c,
    const struct store_assignments *all, struct err *e)
{
	const char *name;
	json_t *serial;

	json_object_foreach(payload_unconst(c->expect), name, serial) {
		const struct assignment *a = assignment_of(all, name);

		if (a == NULL || !chosen(c, name))
			return err_set(e, ERR_INVALID,
			    "expect: cluster %s is not among those to change",
			    name);
		if (!json_is_integer(serial))
			return err_set(e, ERR_INVALID,
			    "expect: the serial of %s has to be a number",
			    name);
		if (json_integer_value(serial) != a->serial)
			return err_set(e, ERR_CONFLICT,
			    "bundle %s in cluster %s has changed: its serial "
			    "is %lld now, not %lld; look again",
			    c->bundle, name, (long long)a->serial,
			    (long long)json_integer_value(serial));
	}
	return ERR_OK;
}

static enum err_code
check_change(const struct cluster_change *c,
    const struct store_assignments *all, struct err *e)
{
	TRY(check_clusters(c, all, e));
	return check_serials(c, all, e);
}

enum err_code
cluster_check_change(struct store *s, const struct cluster_change *c,
    struct err *e)
{
	struct store_assignments all = { 0 };
	struct store_owner owner;
	enum err_code code;

	TRY(store_bundle_owner(s, c->bundle, &owner, e));
	TRY(store_assignments(s, NULL, c->bundle, &all, e));
	code = check_change(c, &all, e);
	store_assignments_clear(&all);
	return code;
}

enum err_code
cluster_check_undecided(struct store *s, const struct cluster_change *c,
    int64_t after_event, struct err *e)
{
	json_t *decided;
	json_t *name;
	size_t i;
	enum err_code code = ERR_OK;

	TRY(store_clusters_decided(s, c->bundle, after_event, &decided, e));
	json_array_foreach(decided, i, name) {
		if (!chosen(c, json_string_value(name)))
			continue;
		code = err_set(e, ERR_CONFLICT,
		    "an operator has changed bundle %s in cluster %s since "
		    "this was asked for; look again, and ask again",
		    c->bundle, json_string_value(name));
		break;
	}
	json_decref(decided);
	return code;
}

/* One cluster's part; ctx is what the kind of change needs besides. */
typedef enum err_code apply_fn(struct cluster_set *set, struct store *s,
    const struct cluster_change *c, const void *ctx, struct err *e);

static enum err_code
apply_one(struct store *s, const char *cluster, const struct cluster_change *c,
    apply_fn *apply, const void *ctx, struct err *e)
{
	struct cluster_set set = { 0 };
	json_t *assigned = json_array();
	enum err_code code = cluster_set_load(&set, s, cluster, e);

	if (code == ERR_OK)
		code = apply(&set, s, c, ctx, e);
	if (code == ERR_OK)
		code = cluster_set_save(&set, s, c->peer, assigned, e);
	cluster_set_clear(&set);
	json_decref(assigned);
	return code;
}

static enum err_code
apply_all(struct store *s, const struct cluster_change *c, apply_fn *apply,
    const void *ctx, struct err *e)
{
	struct store_assignments all = { 0 };
	enum err_code code;

	TRY(store_assignments(s, NULL, c->bundle, &all, e));
	code = check_change(c, &all, e);
	for (size_t i = 0; i < all.count && code == ERR_OK; i++)
		if (chosen(c, all.items[i].cluster))
			code = apply_one(s, all.items[i].cluster, c, apply, ctx,
			    e);
	store_assignments_clear(&all);
	return code;
}

static enum err_code
apply_rollback(struct cluster_set *set, struct store *s,
    const struct cluster_change *c, const void *ctx, struct err *e)
{
	return cluster_set_rollback(set, s, c->bundle, ctx, &c->who, e);
}

enum err_code
cluster_rollback(struct store *s, const struct cluster_change *c,
    const char *commit, struct err *e)
{
	struct assign_target t = { 0 };
	struct store_artifact artifact;
	struct store_owner owner;

	TRY(store_bundle_owner(s, c->bundle, &owner, e));
	TRY(store_commit_place(s, owner.repository, commit, &t.line, &t.depth,
	    e));
	TRY(store_artifact_of(s, c->bundle, commit, &artifact, e));
	(void)snprintf(t.commit, sizeof t.commit, "%s", commit);
	memcpy(t.revision, artifact.revision, sizeof t.revision);
	memcpy(t.content, artifact.content, sizeof t.content);
	memcpy(t.artifact, artifact.sha256, sizeof t.artifact);
	return apply_all(s, c, apply_rollback, &t, e);
}

static enum err_code
apply_pin(struct cluster_set *set, struct store *s,
    const struct cluster_change *c, const void *ctx, struct err *e)
{
	struct cluster_member *m = cluster_set_find(set, c->bundle);

	(void)s;
	(void)ctx;
	TRY(assign_allowed(&m->now, ASSIGN_PIN, e));
	m->event = ASSIGN_PIN;
	assign_pin(&m->now, &c->who);
	return ERR_OK;
}

enum err_code
cluster_pin(struct store *s, const struct cluster_change *c, struct err *e)
{
	return apply_all(s, c, apply_pin, NULL, e);
}

static enum err_code
apply_resume(struct cluster_set *set, struct store *s,
    const struct cluster_change *c, const void *ctx, struct err *e)
{
	(void)ctx;
	return cluster_set_resume(set, s, c->bundle, &c->who, e);
}

enum err_code
cluster_resume(struct store *s, const struct cluster_change *c, struct err *e)
{
	return apply_all(s, c, apply_resume, NULL, e);
}
