#include "clusters/cluster_key.h"

#include <stdio.h>
#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_variant.h"
#include "core/log.h"
#include "core/mem.h"
#include "signing/key.h"

/* ---- one assignment ---- */

/* What a key has signed of an artifact's content; wanted where it has not. */
static enum err_code
find_or_want(struct store *s, const char *sha256, const char *key,
    int64_t now_ms, struct store_artifact *out, bool *found, struct err *e)
{
	struct store_artifact has;
	enum err_code code;

	TRY(store_get_artifact(s, sha256, &has, e));
	*found = true;
	*out = has;
	if (strcmp(has.key, key) == 0)
		return ERR_OK;
	code = store_find_variant(s, &has, key, out, e);
	if (code != ERR_NOT_FOUND)
		return code;
	*found = false;
	return store_want_variant(s, &has, key, now_ms, e);
}

static enum err_code
note_change(struct store *s, const struct assignment *a, const char *was,
    const struct cluster_key_change *c, struct err *e)
{
	AUTO_STR subject = mem_printf("%s/%s", a->cluster, a->bundle);
	AUTO_JSON detail = json_pack("{s:s, s:s, s:s, s:I}", "revision",
	    a->revision, "key", c->key, "previous", was, "serial",
	    (json_int_t)a->serial);

	log_info("assign.rekeyed",
	    "cluster=%s bundle=%s revision=%s key=%s serial=%" PRId64,
	    a->cluster, a->bundle, a->revision, c->key, a->serial);
	return store_add_event(s,
	    &(struct store_event){ c->who, c->peer, "rekey", subject, detail },
	    e);
}

/* Compared and set: the row was read in this transaction. */
static enum err_code
rekey(struct store *s, struct assignment *a, const struct cluster_key_change *c,
    bool *changed, bool *waiting, struct err *e)
{
	struct store_artifact was, now;
	bool found;

	*changed = *waiting = false;
	TRY(find_or_want(s, a->artifact, c->key, c->now_ms, &now, &found, e));
	*waiting = !found;
	if (!found || strcmp(now.sha256, a->artifact) == 0)
		return ERR_OK;
	TRY(store_get_artifact(s, a->artifact, &was, e));
	memcpy(a->artifact, now.sha256, sizeof a->artifact);
	a->serial++;
	TRY(store_put_assignment(s, a, e));
	*changed = true;
	return note_change(s, a, was.key, c, e);
}

static enum err_code
rekey_all(struct store *s, const char *cluster,
    const struct cluster_key_change *c, json_int_t *changed,
    json_int_t *waiting, struct err *e)
{
	struct store_assignments all = { 0 };
	enum err_code code;

	*changed = *waiting = 0;
	TRY(store_assignments(s, cluster, NULL, &all, e));
	code = ERR_OK;
	for (size_t i = 0; i < all.count && code == ERR_OK; i++) {
		bool now, later;

		code = rekey(s, &all.items[i], c, &now, &later, e);
		*changed += code == ERR_OK && now;
		*waiting += code == ERR_OK && later;
	}
	store_assignments_clear(&all);
	return code;
}

/* ---- an operator's choice ---- */

static enum err_code
check_key(struct store *s, const char *id, struct err *e)
{
	struct store_key k;

	TRY(store_get_key(s, id, &k, e));
	if (strcmp(k.kind, key_kind_name(KEY_BUNDLE)) != 0)
		return err_set(e, ERR_CONFLICT,
		    "key %s is of kind %s and never signs bundles", id, k.kind);
	if (k.retired_ms != 0)
		return err_set(e, ERR_CONFLICT,
		    "key %s is retired and signs nothing any more", id);
	if (!k.present)
		return err_set(e, ERR_CONFLICT,
		    "key %s is not in the server's folder of keys any more; "
		    "put its files back, or use another",
		    id);
	return ERR_OK;
}

static enum err_code
check_expected(const struct cluster_key_change *c, const char *cluster,
    const char *has, struct err *e)
{
	const char *seen = payload_text(c->expect, cluster);

	if (seen == NULL || strcmp(seen, has) == 0)
		return ERR_OK;
	return err_set(e, ERR_CONFLICT,
	    "cluster %s uses key %s now, not %s; look again", cluster, has,
	    seen);
}

static enum err_code
note_use(struct store *s, const struct cluster_key_change *c,
    const char *cluster, const char *was, struct err *e)
{
	AUTO_JSON detail = json_pack("{s:s, s:s, s:s?}", "key", c->key,
	    "previous", was, "reason", c->reason);

	log_info("cluster.key", "cluster=%s key=%s previous=%s by=%s", cluster,
	    c->key, was, c->who);
	return store_add_event(s,
	    &(struct store_event){ c->who, c->peer, "key.assign", cluster,
		detail },
	    e);
}

static enum err_code
follow(struct store *s, const char *cluster, int64_t now_ms, struct err *e)
{
	struct assign_who who = { "pipeline", now_ms, NULL };
	struct cluster_set set = { 0 };
	json_t *assigned = json_array();
	enum err_code code = cluster_set_load(&set, s, cluster, e);

	if (code == ERR_OK)
		code = cluster_set_follow(&set, s, &who, e);
	if (code == ERR_OK)
		code = cluster_set_save(&set, s, "", assigned, e);
	cluster_set_clear(&set);
	json_decref(assigned);
	return code;
}

static enum err_code
use_in(struct store *s, const struct cluster_key_change *c, const char *cluster,
    json_t *list, struct err *e)
{
	char was[STORE_KEY_SIZE];
	struct store_owner owner;
	json_int_t changed, waiting;

	TRY(store_cluster_owner(s, cluster, &owner, e));
	TRY(store_cluster_key(s, cluster, was, e));
	TRY(check_expected(c, cluster, was, e));
	TRY(store_set_cluster_key(s, cluster, c->key, c->who, c->now_ms,
	    c->reason, e));
	TRY(note_use(s, c, cluster, was, e));
	TRY(rekey_all(s, cluster, c, &changed, &waiting, e));
	/* What was held back for want of the other key's signature. */
	TRY(follow(s, cluster, c->now_ms, e));
	(void)json_array_append_new(list,
	    json_pack("{s:s, s:s, s:I, s:I}", "cluster", cluster, "previous",
		was, "changed", changed, "waiting", waiting));
	return ERR_OK;
}

/* Those that still lack a signature go on waiting. */
static enum err_code
resume_operations(struct store *s, int64_t now_ms, struct err *e)
{
	int64_t id = 0;

	for (;;) {
		enum err_code code = store_unsigned_operation(s, id, &id, e);

		if (code == ERR_NOT_FOUND)
			return ERR_OK;
		if (code != ERR_OK)
			return code;
		TRY(cluster_operation(s, id, now_ms, e));
	}
}

enum err_code
cluster_key_use(struct store *s, const struct cluster_key_change *c,
    json_t **out, struct err *e)
{
	AUTO_JSON list = json_array();
	size_t i;
	json_t *name;

	TRY(check_key(s, c->key, e));
	json_array_foreach(c->clusters, i, name) {
		if (!json_is_string(name))
			return err_set(e, ERR_INVALID,
			    "clusters: has to be a list of names");
		TRY(use_in(s, c, json_string_value(name), list, e));
	}
	TRY(resume_operations(s, c->now_ms, e));
	*out = json_pack("{s:s, s:O}", "key", c->key, "clusters", list);
	return ERR_OK;
}

/* ---- what is signed ---- */

static enum err_code
go_on(struct store *s, const char *cluster,
    const struct cluster_key_change *change, struct err *e)
{
	char key[STORE_KEY_SIZE];
	json_int_t changed, waiting;

	TRY(store_cluster_key(s, cluster, key, e));
	if (strcmp(key, change->key) != 0)
		return ERR_OK;
	TRY(rekey_all(s, cluster, change, &changed, &waiting, e));
	return follow(s, cluster, change->now_ms, e);
}

enum err_code
cluster_key_signed(struct store *s, const struct store_artifact *variant,
    int64_t now_ms, struct err *e)
{
	const struct cluster_key_change change = {
		.key = variant->key,
		.who = "pipeline",
		.peer = "",
		.now_ms = now_ms,
	};
	struct store_owner owner;
	struct store_names all = { 0 };
	enum err_code code;

	TRY(store_bundle_owner(s, variant->bundle, &owner, e));
	TRY(store_clusters_touched(s, owner.repository, &all, e));
	code = ERR_OK;
	for (size_t i = 0; i < all.count && code == ERR_OK; i++)
		code = go_on(s, all.names[i], &change, e);
	store_names_clear(&all);
	if (code != ERR_OK)
		return code;
	return resume_operations(s, now_ms, e);
}

/* ---- what moves ---- */

/* As if it had not been asked to move. */
static void
hold_back(struct cluster_member *m)
{
	struct assign_who who = { m->now.by, m->now.at_ms, m->now.reason };
	struct assignment now;

	m->step = ASSIGN_SAME;
	if (m->event == ASSIGN_BEGIN) {
		m->absent = true;
		return;
	}
	assignment_copy(&now, &m->old);
	if (m->event == ASSIGN_RESUME)
		(void)assign_resume(&now, NULL, &who);
	assignment_clear(&m->now);
	m->now = now;
}

static enum err_code
fit_member(struct cluster_set *set, struct cluster_member *m, struct store *s,
    const char *key, bool asked, struct err *e)
{
	struct store_artifact now;
	bool found;

	TRY(find_or_want(s, m->now.artifact, key, m->now.at_ms, &now, &found,
	    e));
	if (found) {
		memcpy(m->now.artifact, now.sha256, sizeof m->now.artifact);
		if (m->step == ASSIGN_MOVED &&
		    strcmp(m->old.artifact, now.sha256) == 0)
			m->step = ASSIGN_NOTED;
		return ERR_OK;
	}
	if (set->trial)
		return ERR_OK;
	if (asked)
		return err_set(e, ERR_UNAVAILABLE,
		    "bundle %s is not signed by key %s of cluster %s yet",
		    m->now.bundle, key, set->cluster);
	log_info("assign.waits", "cluster=%s bundle=%s key=%s", set->cluster,
	    m->now.bundle, key);
	hold_back(m);
	return ERR_OK;
}

enum err_code
cluster_key_fit(struct cluster_set *set, struct store *s, bool asked,
    struct err *e)
{
	char key[STORE_KEY_SIZE];

	TRY(store_cluster_key(s, set->cluster, key, e));
	for (size_t i = 0; key[0] != '\0' && i < set->count; i++) {
		struct cluster_member *m = &set->members[i];

		if (!m->absent && strcmp(m->old.artifact, m->now.artifact) != 0)
			TRY(fit_member(set, m, s, key, asked, e));
	}
	return ERR_OK;
}

/* ---- operations ---- */

static bool
is_chosen(const struct cluster_change *c, const char *cluster)
{
	size_t i;
	json_t *name;

	json_array_foreach(c->clusters, i, name)
		if (strcmp(json_string_value(name), cluster) == 0)
			return true;
	return c->clusters == NULL;
}

static enum err_code
bundle_ready(struct store *s, const struct cluster_change *c,
    const char *bundle, const char *commit, bool *ready, struct err *e)
{
	struct store_assignments all = { 0 };
	struct store_artifact target, now;
	enum err_code code;

	TRY(store_artifact_of(s, bundle, commit, &target, e));
	TRY(store_assignments(s, NULL, bundle, &all, e));
	code = ERR_OK;
	for (size_t i = 0; i < all.count && code == ERR_OK; i++) {
		char key[STORE_KEY_SIZE];
		bool found = true;

		if (!is_chosen(c, all.items[i].cluster))
			continue;
		code = store_cluster_key(s, all.items[i].cluster, key, e);
		if (code == ERR_OK && key[0] != '\0')
			code = find_or_want(s, target.sha256, key, c->who.at_ms,
			    &now, &found, e);
		*ready &= found;
	}
	store_assignments_clear(&all);
	return code;
}

enum err_code
cluster_key_ready(struct store *s, const struct cluster_change *c,
    const char *commit, bool *ready, struct err *e)
{
	size_t i;
	json_t *name;

	*ready = true;
	json_array_foreach(c->bundles, i, name)
		TRY(bundle_ready(s, c, json_string_value(name), commit, ready,
		    e));
	return ERR_OK;
}
