/* What edict.yaml no longer has is served on until an operator removes it. */

#include <stdio.h>
#include <string.h>

#include "clusters/cluster.h"
#include "clusters/ledger_action.h"
#include "clusters/payload.h"
#include "clusters/store_removed.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

/* Strings are borrowed from the payload. */
struct removal {
	struct action *action;
	const char *cluster, *bundle; /* bundle NULL: the cluster itself */
	struct store_assignments list;
};

static bool
within(const struct removal *r, const char *bundle)
{
	const struct scope s = { r->action->who.clusters,
		r->action->who.bundles };

	return scope_cluster(&s, r->cluster) && scope_bundle(&s, bundle);
}

/* Who is limited sees a cluster by its bundles, and removes it only with all of
 * them within reach. */
static enum err_code
check_reach(const struct removal *r, struct err *e)
{
	size_t seen = 0;

	for (size_t i = 0; i < r->list.count; i++)
		seen += within(r, r->list.items[i].bundle);
	if (r->action->who.clusters == NULL && r->action->who.bundles == NULL)
		return ERR_OK;
	if (seen == 0)
		return err_set(e, ERR_NOT_FOUND, "no cluster is called %s",
		    r->cluster);
	if (seen == r->list.count)
		return ERR_OK;
	return err_set(e, ERR_DENIED,
	    "token %s may not do this: cluster %s has bundles beyond its limits",
	    r->action->who.name, r->cluster);
}

static enum err_code
check_orphan(const struct removal *r, struct err *e)
{
	struct store *s = r->action->store;
	struct store_owner owner;
	bool member;

	TRY(store_cluster_owner(s, r->cluster, &owner, e));
	if (r->bundle == NULL && !owner.orphan)
		return err_set(e, ERR_CONFLICT,
		    "cluster %s is defined in edict.yaml of repository %s: "
		    "take it out there first",
		    r->cluster, owner.repository);
	if (r->bundle == NULL)
		return ERR_OK;
	if (r->list.count == 0)
		return err_set(e, ERR_NOT_FOUND,
		    "cluster %s does not have bundle %s", r->cluster,
		    r->bundle);
	TRY(store_is_member(s, r->cluster, r->bundle, &member, e));
	if (!member)
		return ERR_OK;
	return err_set(e, ERR_CONFLICT,
	    "edict.yaml of repository %s gives cluster %s bundle %s: take it "
	    "out there first",
	    owner.repository, r->cluster, r->bundle);
}

static enum err_code
audit_removal(const struct removal *r, json_t *bundles, struct err *e)
{
	struct action *a = r->action;
	AUTO_STR subject = r->bundle != NULL
	    ? mem_printf("%s/%s", r->cluster, r->bundle)
	    : mem_strdup(r->cluster);
	AUTO_JSON detail =
	    json_pack("{s:s?, s:O}", "reason", a->reason, "bundles", bundles);

	log_info("cluster.removed", "cluster=%s bundle=%s by=%s", r->cluster,
	    r->bundle != NULL ? r->bundle : "-", a->who.name);
	return store_add_event(a->store,
	    &(struct store_event){ a->who.name, a->peer, a->name, subject,
		detail },
	    e);
}

static enum err_code
take_away(struct removal *r, struct err *e)
{
	struct action *a = r->action;
	AUTO_JSON bundles = json_array();

	for (size_t i = 0; i < r->list.count; i++) {
		const struct assignment *was = &r->list.items[i];

		TRY(store_remove_assignment(a->store, was, e));
		json_array_append_new(bundles,
		    json_pack("{s:s, s:s, s:I}", "bundle", was->bundle,
			"revision", was->revision, "serial",
			(json_int_t)was->serial));
	}
	if (r->bundle == NULL)
		TRY(store_remove_cluster(a->store, r->cluster, e));
	TRY(audit_removal(r, bundles, e));
	/* What it stood in the way of. */
	TRY(cluster_follow_waiting(a->store, clock_now_ms(), e));
	a->status = 200;
	a->body =
	    json_pack("{s:s, s:O}", "cluster", r->cluster, "removed", bundles);
	return ERR_OK;
}

enum err_code
ledger_cluster_remove(struct action *a, struct err *e)
{
	struct removal r = { .action = a };
	enum err_code code;

	TRY(action_fields(a, e, "{s:s,s:s,s:s,s:s,s?s,s?s !}", "token",
	    &a->token, "peer", &a->peer, "action", &a->name, "cluster",
	    &r.cluster, "bundle", &r.bundle, "reason", &a->reason));
	TRY(action_check_reason(a, false, e));
	TRY(store_assignments(a->store, r.cluster, r.bundle, &r.list, e));
	code = check_reach(&r, e);
	if (code == ERR_OK)
		code = check_orphan(&r, e);
	if (code == ERR_OK)
		code = take_away(&r, e);
	store_assignments_clear(&r.list);
	return code;
}
