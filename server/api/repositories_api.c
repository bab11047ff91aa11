#include "server/api/repositories_api.h"

#include "server/api/page.h"

void
repositories_api_list(struct request *r)
{
	page_reply_list(r, view_repositories);
}

void
repositories_api_get(struct request *r)
{
	page_reply_one(r, view_repository, route_param(r->match, "repo"));
}
