#include "server/clusters_api.h"

#include "server/page.h"

void
clusters_api_list(struct request *r)
{
	page_reply_list(r, view_clusters);
}

void
clusters_api_get(struct request *r)
{
	page_reply_one(r, view_cluster, route_param(r->match, "cluster"));
}
