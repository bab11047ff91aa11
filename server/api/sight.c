#include "server/api/sight.h"

#include <string.h>

#include "clusters/payload.h"
#include "server/http/reply.h"

bool
sight_serves(const struct catalog_token *t, const char *cluster)
{
	if (t->role == SCOPE_ADMIN)
		return true;
	if (t->role != SCOPE_ENGINE)
		return false;
	return *t->cluster != '\0' ? strcmp(t->cluster, cluster) == 0
				   : scope_cluster(&t->scope, cluster);
}

bool
sight_is_limited(const struct request *r)
{
	return r->token != NULL && r->token->role != SCOPE_ENGINE &&
	    scope_is_limited(&r->token->scope);
}

static bool
is_cell(const struct request *r, const char *cluster, const char *bundle)
{
	return scope_cluster(&r->token->scope, cluster) &&
	    scope_bundle(&r->token->scope, bundle);
}

bool
sight_bundle(const struct request *r, const char *bundle)
{
	const struct catalog_entry *const *having;
	size_t count;

	if (!sight_is_limited(r))
		return true;
	if (!scope_bundle(&r->token->scope, bundle))
		return false;
	if (json_array_size(r->token->scope.clusters) == 0)
		return true;
	having = catalog_having(loop_catalog(r->loop), bundle, &count);
	for (size_t i = 0; i < count; i++)
		if (scope_cluster(&r->token->scope, having[i]->cluster))
			return true;
	return false;
}

bool
sight_cluster(const struct request *r, const char *cluster)
{
	const struct catalog *c = loop_catalog(r->loop);

	if (!sight_is_limited(r))
		return true;
	if (!scope_cluster(&r->token->scope, cluster))
		return false;
	if (json_array_size(r->token->scope.bundles) == 0)
		return true;
	for (size_t i = 0; i < catalog_count(c); i++) {
		const struct catalog_entry *entry = catalog_at(c, i);

		if (strcmp(entry->cluster, cluster) == 0 &&
		    scope_bundle(&r->token->scope, entry->bundle))
			return true;
	}
	return false;
}

bool
sight_admit(struct request *r)
{
	static const struct {
		const char *segment, *name;
		bool (*sees)(const struct request *r, const char *name);
	} rows[] = {
		{ "{bundle}", "bundle", sight_bundle },
		{ "{cluster}", "cluster", sight_cluster },
	};

	if (!sight_is_limited(r))
		return true;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *name;

		if (strstr(r->match->route->pattern, rows[i].segment) == NULL)
			continue;
		name = route_param(r->match, rows[i].name);
		if (rows[i].sees(r, name))
			continue;
		reply_fault(r, 404, "not_found", "no %s is called %s",
		    rows[i].name, name);
		return false;
	}
	return true;
}

static bool
is_seen(const struct request *r, const json_t *item)
{
	const char *cluster = payload_text(item, "cluster");
	const char *bundle = payload_text(item, "bundle");

	if (cluster != NULL && bundle != NULL)
		return is_cell(r, cluster, bundle);
	if (cluster != NULL)
		return sight_cluster(r, cluster);
	return bundle == NULL || sight_bundle(r, bundle);
}

static void
filter(const struct request *r, json_t *j)
{
	const char *key;
	json_t *member;

	for (size_t i = json_array_size(j); i-- > 0;) {
		json_t *item = json_array_get(j, i);

		if (json_is_object(item) && !is_seen(r, item))
			json_array_remove(j, i);
		else
			filter(r, item);
	}
	if (json_is_object(j))
		json_object_foreach(j, key, member)
			filter(r, member);
}

void
sight_filter(const struct request *r, json_t *body)
{
	if (body != NULL && sight_is_limited(r))
		filter(r, body);
}

/* Adds what is seen, up to max; the cursor for more, or NULL. Both live as long
 * as the page. */
static const char *
take(json_t *items, const json_t *page, const struct request *r,
    const struct sight_where *where, size_t max)
{
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(page, "items"), i, item)
		if (json_array_size(items) < max &&
		    where->sees(r, payload_text(item, "name")) &&
		    (where->keep == NULL || where->keep(item, where->arg)))
			json_array_append(items, item);
	return json_array_size(items) < max ? payload_text(page, "next") : NULL;
}

enum err_code
sight_list(const struct request *r, struct store *s,
    const struct view_page *page, sight_view *view,
    bool (*sees)(const struct request *r, const char *name), json_t **out,
    struct err *e)
{
	const struct sight_where where = { .sees = sees };

	return sight_list_where(r, s, page, view, &where, out, e);
}

enum err_code
sight_list_where(const struct request *r, struct store *s,
    const struct view_page *page, sight_view *view,
    const struct sight_where *where, json_t **out, struct err *e)
{
	struct view_page at = { .limit = VIEW_LIMIT_MAX, .next = page->next };
	size_t limit = (size_t)page->limit;
	AUTO_JSON items = json_array();
	AUTO_JSON part = NULL;
	json_t *next = json_null();

	if (!sight_is_limited(r) && where->keep == NULL)
		return view(s, page, out, e);
	do {
		json_t *now = NULL;

		TRY(view(s, &at, &now, e));
		json_decref(part);
		part = now;
		at.next = take(items, part, r, where, limit + 1);
	} while (at.next != NULL);
	if (json_array_size(items) > limit) {
		json_array_remove(items, limit);
		next = json_incref(
		    json_object_get(json_array_get(items, limit - 1), "name"));
	}
	*out = json_pack("{s:O, s:o}", "items", items, "next", next);
	return ERR_OK;
}
