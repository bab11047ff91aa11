#include "server/clusters_api.h"

#include "server/engines_api.h"
#include "server/page.h"
#include "server/sight.h"

void
clusters_api_list(struct request *r)
{
	struct page page;
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = page_read(&page, r, &e);

	if (code == ERR_OK)
		code = loop_store(&s, r->loop, &e);
	if (code == ERR_OK)
		code = sight_list(r, s, &page.view, view_clusters,
		    sight_cluster, &body, &e);
	if (code == ERR_OK)
		code =
		    engines_api_add(r, s, json_object_get(body, "items"), &e);
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
