#include "server/api/clusters_api.h"

#include "clusters/selector.h"
#include "server/api/engines_api.h"
#include "server/api/page.h"
#include "server/api/sight.h"

static bool
is_selected(const json_t *cluster, const void *arg)
{
	return selector_fits(arg, json_object_get(cluster, "labels"));
}

/* *out NULL: every cluster. */
static enum err_code
read_selector(struct selector **out, const struct request *r, struct err *e)
{
	char text[SELECTOR_SIZE_MAX + 1];
	enum err_code code = request_query(r, "selector", text, sizeof text, e);

	if (code == ERR_NOT_FOUND)
		return ERR_OK;
	if (code != ERR_OK)
		return code;
	return selector_parse(out, text, e);
}

static enum err_code
list(struct request *r, json_t **out, struct err *e)
{
	AUTO(selector, selector) = NULL;
	struct sight_where where = { .sees = sight_cluster };
	struct page page;
	struct store *s = NULL;

	TRY(page_read(&page, r, e));
	TRY(read_selector(&selector, r, e));
	where.keep = selector != NULL ? is_selected : NULL;
	where.arg = selector;
	TRY(loop_store(&s, r->loop, e));
	TRY(sight_list_where(r, s, &page.view, view_clusters, &where, out, e));
	return engines_api_add(r, s, json_object_get(*out, "items"), e);
}

void
clusters_api_list(struct request *r)
{
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = list(r, &body, &e);

	if (code != ERR_OK)
		json_decref(body);
	page_reply(r, code, body, &e);
}

void
clusters_api_get(struct request *r)
{
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = loop_store(&s, r->loop, &e);

	if (code == ERR_OK)
		code = view_cluster(s, route_param(r->match, "cluster"), &body,
		    &e);
	if (code == ERR_OK)
		code = engines_api_add(r, s, body, &e);
	if (code == ERR_OK)
		engines_api_add_decisions(r, body);
	else
		json_decref(body);
	page_reply(r, code, body, &e);
}
