#include "server/api/commits_api.h"

#include "server/api/page.h"

void
commits_api_list(struct request *r)
{
	char repository[STORE_NAME_SIZE];
	struct page page;
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code named =
	    request_query(r, "repository", repository, sizeof repository, &e);
	enum err_code code = named == ERR_INVALID ? named
						  : page_read(&page, r, &e);

	if (code == ERR_OK)
		code = loop_store(&s, r->loop, &e);
	if (code == ERR_OK)
		code = view_commits(s, named == ERR_OK ? repository : NULL,
		    &page.view, &body, &e);
	page_reply(r, code, body, &e);
}

void
commits_api_get(struct request *r)
{
	page_reply_one(r, view_commit, route_param(r->match, "rev"));
}
