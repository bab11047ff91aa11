#include "clusters/cluster.h"

#include <string.h>

#include "clusters/cluster_operation.h"
#include "clusters/cluster_set.h"
#include "clusters/payload.h"
#include "clusters/store_set.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/spec.h"
#include "signing/digest.h"

/* A LEDGER_PUBLISH; strings are borrowed from its payload. */
struct publication {
	const char *repository, *commit, *identity;
	int owns_clusters, forced;
	json_int_t operation;
	const json_t *bundles, *clusters;
	int64_t line, depth; /* of the commit */
	bool newest; /* the newest passing one of the line now followed */
	bool trial;  /* to see what would be: nothing of it is logged */
	int64_t now_ms;
};

struct published_bundle {
	const char *name, *content;
	json_int_t unpacked, rego_version;
	const json_t *roots, *artifact;
};

static enum err_code
read_publication(struct publication *p, const json_t *payload, struct err *e)
{
	json_error_t why;

	if (json_unpack_ex(payload_unconst(payload), &why, 0,
		"{s:s, s:s, s:s, s:b, s:I, s:o, s:o, s?b !}", "repository",
		&p->repository, "commit", &p->commit, "identity", &p->identity,
		"owns_clusters", &p->owns_clusters, "operation", &p->operation,
		"bundles", &p->bundles, "clusters", &p->clusters, "forced",
		&p->forced) != 0)
		return payload_error(&why, "publication", e);
	if (!json_is_array(p->bundles) || !json_is_array(p->clusters))
		return err_set(e, ERR_INVALID,
		    "publication: bundles and clusters have to be lists");
	if (json_array_size(p->bundles) > CLUSTER_BUNDLES_MAX)
		return err_set(e, ERR_LIMIT,
		    "publication: more than %d bundles",
		    (int)CLUSTER_BUNDLES_MAX);
	if (json_array_size(p->clusters) > CLUSTER_CLUSTERS_MAX)
		return err_set(e, ERR_LIMIT,
		    "publication: more than %d clusters",
		    (int)CLUSTER_CLUSTERS_MAX);
	return ERR_OK;
}

static enum err_code
read_bundle(struct published_bundle *b, const json_t *item, struct err *e)
{
	json_error_t why;
	json_t *root;
	size_t i;

	if (json_unpack_ex(payload_unconst(item), &why, 0,
		"{s:s, s:s, s:I, s:o, s:I, s:o !}", "name", &b->name, "content",
		&b->content, "unpacked", &b->unpacked, "roots", &b->roots,
		"rego_version", &b->rego_version, "artifact",
		&b->artifact) != 0)
		return payload_error(&why, "bundle", e);
	if (!spec_is_name(b->name) || !digest_is_hex(b->content) ||
	    b->unpacked < 0 || !json_is_array(b->roots))
		return err_set(e, ERR_INVALID,
		    "bundle: its name, content, size or roots are malformed");
	if (json_array_size(b->roots) > CLUSTER_ROOTS_MAX)
		return err_set(e, ERR_LIMIT, "bundle %s: more than %d roots",
		    b->name, (int)CLUSTER_ROOTS_MAX);
	json_array_foreach(b->roots, i, root)
		if (!json_is_string(root) ||
		    json_string_length(root) > CLUSTER_ROOT_MAX)
			return err_set(e, ERR_INVALID,
			    "bundle %s: root %zu is malformed", b->name, i);
	return ERR_OK;
}

/* The verdict that counts has to be a pass, and the one that is meant. */
static enum err_code
check_verdict(struct store *s, const struct publication *p, struct err *e)
{
	struct store_verdict v;
	enum err_code code =
	    store_newest_verdict(s, p->repository, p->commit, &v, e);

	if (code == ERR_NOT_FOUND)
		return err_set(e, ERR_CONFLICT,
		    "commit %s of repository %s has no verdict; it is not "
		    "published",
		    p->commit, p->repository);
	if (code != ERR_OK)
		return code;
	if (strcmp(v.state, "passed") != 0 || p->identity[0] == '\0' ||
	    strcmp(v.identity, p->identity) != 0)
		return err_set(e, ERR_CONFLICT,
		    "the newest verdict on commit %s of repository %s is %s, "
		    "and not the pass this rests on; it is not published",
		    p->commit, p->repository, v.state);
	return ERR_OK;
}

static enum err_code
find_place(struct store *s, struct publication *p, struct err *e)
{
	struct store_repository r;

	TRY(store_commit_place(s, p->repository, p->commit, &p->line, &p->depth,
	    e));
	TRY(store_repository_state(s, p->repository, &r, e));
	p->newest = p->line == r.line;
	store_repository_clear(&r);
	if (!p->newest)
		return ERR_OK;
	return store_newest_passing(s, p->repository, p->line, p->depth,
	    &p->newest, e);
}

typedef enum err_code owner_fn(struct store *s, const char *name,
    struct store_owner *out, struct err *e);

/* What is in use belongs to one repository; an orphan may change hands. */
static enum err_code
check_owner(struct store *s, const struct publication *p, owner_fn *find,
    const char *kind, const char *name, struct err *e)
{
	struct store_owner owner;
	enum err_code code = find(s, name, &owner, e);

	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code != ERR_OK)
		return code;
	if (owner.orphan || strcmp(owner.repository, p->repository) == 0)
		return ERR_OK;
	return err_set(e, ERR_CONFLICT,
	    "%s %s belongs to repository %s; repository %s cannot define it "
	    "too: rename one of them",
	    kind, name, owner.repository, p->repository);
}

static enum err_code
put_artifact(struct store *s, const struct publication *p,
    const struct published_bundle *b, const char **sha256, struct err *e)
{
	struct store_artifact a = { 0 };
	const char *sha, *key, *content_sha;
	json_error_t why;
	json_int_t size;

	if (json_unpack_ex(payload_unconst(b->artifact), &why, 0,
		"{s:s, s:I, s:s, s:s !}", "sha256", &sha, "size", &size, "key",
		&key, "content_sha256", &content_sha) != 0)
		return payload_error(&why, "artifact", e);
	if (!digest_is_hex(sha) || !digest_is_hex(content_sha) || size <= 0 ||
	    *key == '\0' || strlen(key) >= sizeof a.key)
		return err_set(e, ERR_INVALID,
		    "artifact of bundle %s: a digest, its size or its key is "
		    "malformed",
		    b->name);
	(void)snprintf(a.sha256, sizeof a.sha256, "%s", sha);
	(void)snprintf(a.bundle, sizeof a.bundle, "%s", b->name);
	(void)snprintf(a.revision, sizeof a.revision, "%s", p->commit);
	(void)snprintf(a.content, sizeof a.content, "%s", b->content);
	(void)snprintf(a.content_sha256, sizeof a.content_sha256, "%s",
	    content_sha);
	(void)snprintf(a.key, sizeof a.key, "%s", key);
	a.size = size;
	*sha256 = sha;
	return store_put_artifact(s, &a, p->now_ms, e);
}

/* An older commit never brings back what a newer one has dropped. */
static enum err_code
know_bundle(struct store *s, const struct publication *p, const char *name,
    struct err *e)
{
	struct store_owner owner;
	enum err_code code;

	TRY(check_owner(s, p, store_bundle_owner, "bundle", name, e));
	if (p->newest)
		return store_put_bundle(s, name, p->repository, false, e);
	code = store_bundle_owner(s, name, &owner, e);
	if (code == ERR_NOT_FOUND)
		return store_put_bundle(s, name, p->repository, true, e);
	return code;
}

static enum err_code
put_bundle(struct store *s, const struct publication *p, const json_t *item,
    struct err *e)
{
	struct published_bundle b;
	struct store_artifact stored;
	const char *sha256 = NULL;

	TRY(read_bundle(&b, item, e));
	TRY(know_bundle(s, p, b.name, e));
	if (json_is_null(b.artifact))
		TRY(store_has_content(s, b.name, b.content, &stored, e));
	else
		TRY(put_artifact(s, p, &b, &sha256, e));
	return store_put_revision(s,
	    &(struct store_revision_row){
		.bundle = b.name,
		.repository = p->repository,
		.commit = p->commit,
		.content = b.content,
		.artifact = sha256,
		.roots = b.roots,
		.unpacked = b.unpacked,
		.rego_version = b.rego_version,
		.published_ms = p->now_ms,
	    },
	    e);
}

static enum err_code
put_bundles(struct store *s, const struct publication *p, struct err *e)
{
	size_t i;
	json_t *item;

	if (p->newest)
		TRY(store_orphan_bundles(s, p->repository, e));
	json_array_foreach(p->bundles, i, item)
		TRY(put_bundle(s, p, item, e));
	return ERR_OK;
}

static enum err_code
check_labels(const char *cluster, const json_t *labels, struct err *e)
{
	const char *key;
	json_t *value;

	if (!json_is_object(labels) ||
	    json_object_size(labels) > CLUSTER_LABELS_MAX)
		return err_set(e, ERR_INVALID,
		    "cluster %s: labels have to be an object of at most %d",
		    cluster, (int)CLUSTER_LABELS_MAX);
	json_object_foreach(payload_unconst(labels), key, value)
		if (!json_is_string(value))
			return err_set(e, ERR_INVALID,
			    "cluster %s: label %s is not a text", cluster, key);
	return ERR_OK;
}

static enum err_code
put_cluster(struct store *s, const struct publication *p, const json_t *item,
    struct err *e)
{
	const char *name;
	const json_t *labels, *bundles;
	json_error_t why;
	json_t *bundle;
	size_t i;

	if (json_unpack_ex(payload_unconst(item), &why, 0, "{s:s, s:o, s:o !}",
		"name", &name, "labels", &labels, "bundles", &bundles) != 0)
		return payload_error(&why, "cluster", e);
	if (!spec_is_name(name) || !json_is_array(bundles))
		return err_set(e, ERR_INVALID,
		    "cluster: its name or its bundles are malformed");
	TRY(check_labels(name, labels, e));
	TRY(check_owner(s, p, store_cluster_owner, "cluster", name, e));
	TRY(store_put_cluster(s, name, p->repository, labels, e));
	TRY(store_clear_members(s, name, e));
	json_array_foreach(bundles, i, bundle) {
		const char *text = json_string_value(bundle);

		if (text == NULL || !spec_is_name(text))
			return err_set(e, ERR_INVALID,
			    "cluster %s: bundle %zu is malformed", name, i);
		TRY(store_add_member(s, name, text, e));
	}
	return ERR_OK;
}

/* A repository that may not define clusters (any more) has none. */
static enum err_code
put_clusters(struct store *s, const struct publication *p, struct err *e)
{
	size_t i;
	json_t *item;

	if (!p->newest)
		return ERR_OK;
	TRY(store_orphan_clusters(s, p->repository, e));
	if (!p->owns_clusters)
		return ERR_OK;
	json_array_foreach(p->clusters, i, item)
		TRY(put_cluster(s, p, item, e));
	return ERR_OK;
}

static enum err_code
follow_cluster(struct store *s, const char *cluster, bool trial,
    const struct assign_who *who, json_t *assigned, struct err *e)
{
	struct cluster_set set = { 0 };
	enum err_code code = cluster_set_load(&set, s, cluster, e);

	set.trial = trial;
	if (code == ERR_OK)
		code = cluster_set_follow(&set, s, who, e);
	if (code == ERR_OK)
		code = cluster_set_save(&set, s, "", assigned, e);
	cluster_set_clear(&set);
	return code;
}

static enum err_code
follow_all(struct store *s, const struct publication *p, json_t *assigned,
    struct err *e)
{
	struct assign_who who = { "pipeline", p->now_ms, NULL };
	struct store_names touched = { 0 };
	enum err_code code = ERR_OK;

	TRY(store_clusters_touched(s, p->repository, &touched, e));
	for (size_t i = 0; i < touched.count && code == ERR_OK; i++)
		code = follow_cluster(s, touched.names[i], p->trial, &who,
		    assigned, e);
	store_names_clear(&touched);
	return code;
}

static enum err_code
finish_operation(struct store *s, const struct publication *p, struct err *e)
{
	if (p->operation == 0)
		return ERR_OK;
	return cluster_run_operation(s, p->operation,
	    &(struct cluster_run){ p->repository, p->commit, p->now_ms,
		p->trial },
	    e);
}

static enum err_code
audit_publication(struct store *s, const struct publication *p,
    const json_t *assigned, struct err *e)
{
	AUTO_STR subject = mem_printf("%s@%s", p->repository, p->commit);
	json_t *names = json_array();
	json_t *detail;
	json_t *item;
	size_t i;
	enum err_code code;

	json_array_foreach(p->bundles, i, item)
		json_array_append(names, json_object_get(item, "name"));
	detail = json_pack("{s:o, s:O}", "bundles", names, "assigned",
	    payload_unconst(assigned));
	code = store_add_event(s,
	    &(struct store_event){ "pipeline", "", "publish", subject, detail },
	    e);
	json_decref(detail);
	return code;
}

/* What did not pass is published for one operation of an admin's and for
 * nothing else: its bundles are known, but nobody follows to them, and clusters
 * are as they were. */
static enum err_code
publish_forced(struct store *s, struct publication *p, struct err *e)
{
	struct store_operation_full o;
	bool asked;
	size_t i;
	json_t *item;

	TRY(store_get_operation(s, p->operation, &o, e));
	asked = o.op.forced && strcmp(o.op.kind, "rollback") == 0 &&
	    strcmp(o.repository, p->repository) == 0 &&
	    (*o.op.resolved == '\0' || strcmp(o.op.resolved, p->commit) == 0) &&
	    (strcmp(o.op.state, "pending") == 0 ||
		strcmp(o.op.state, "running") == 0);
	store_operation_full_clear(&o);
	if (!asked)
		return err_set(e, ERR_CONFLICT,
		    "commit %s of repository %s: nobody asked for it to be "
		    "forced; it is not published",
		    p->commit, p->repository);
	TRY(find_place(s, p, e));
	p->newest = false;
	json_array_foreach(p->bundles, i, item)
		TRY(put_bundle(s, p, item, e));
	return finish_operation(s, p, e);
}

static enum err_code
publish(struct store *s, struct publication *p, json_t *assigned, struct err *e)
{
	bool before;

	if (p->forced)
		return publish_forced(s, p, e);
	TRY(check_verdict(s, p, e));
	TRY(find_place(s, p, e));
	TRY(store_is_published(s, p->repository, p->commit, &before, e));
	TRY(put_bundles(s, p, e));
	TRY(put_clusters(s, p, e));
	TRY(store_mark_published(s, p->repository, p->commit, p->now_ms, e));
	TRY(follow_all(s, p, assigned, e));
	TRY(finish_operation(s, p, e));
	if (before && json_array_size(assigned) == 0)
		return ERR_OK;
	return audit_publication(s, p, assigned, e);
}

static enum err_code
run_publication(struct store *s, const json_t *payload, bool trial,
    json_t **assigned, struct err *e)
{
	struct publication p = { .now_ms = clock_now_ms(), .trial = trial };
	AUTO_JSON list = json_array();

	TRY(read_publication(&p, payload, e));
	TRY(publish(s, &p, list, e));
	*assigned = STEAL(list);
	return ERR_OK;
}

enum err_code
cluster_publish(struct store *s, const json_t *payload, json_t **reply,
    struct err *e)
{
	json_t *assigned = NULL;

	TRY(run_publication(s, payload, false, &assigned, e));
	*reply = json_pack("{s:o}", "assigned", assigned);
	return ERR_OK;
}

enum err_code
cluster_publish_trial(struct store *s, const json_t *payload, struct err *e)
{
	AUTO_JSON assigned = NULL;

	return run_publication(s, payload, true, &assigned, e);
}

enum err_code
cluster_follow_waiting(struct store *s, int64_t now_ms, struct err *e)
{
	struct assign_who who = { "pipeline", now_ms, NULL };
	AUTO_JSON assigned = json_array();
	struct store_names waiting = { 0 };
	enum err_code code = ERR_OK;

	TRY(store_clusters_waiting(s, &waiting, e));
	for (size_t i = 0; i < waiting.count && code == ERR_OK; i++)
		code = follow_cluster(s, waiting.names[i], false, &who,
		    assigned, e);
	store_names_clear(&waiting);
	return code;
}
