#include "server/api/page.h"

#include <stdlib.h>
#include <string.h>

#include "server/api/sight.h"
#include "server/http/reply.h"

static enum err_code
read_limit(int64_t *out, const char *text, struct err *e)
{
	size_t len = strspn(text, "0123456789");

	if (len == 0 || len > 3 || text[len] != '\0' ||
	    (*out = strtol(text, NULL, 10)) < 1 || *out > VIEW_LIMIT_MAX)
		return err_set(e, ERR_INVALID, "limit: a number from 1 to %d",
		    VIEW_LIMIT_MAX);
	return ERR_OK;
}

enum err_code
page_read(struct page *out, const struct request *r, struct err *e)
{
	char limit[8];
	enum err_code code = request_query(r, "limit", limit, sizeof limit, e);

	out->view = (struct view_page){ .limit = VIEW_LIMIT };
	if (code == ERR_OK)
		code = read_limit(&out->view.limit, limit, e);
	if (code != ERR_OK && code != ERR_NOT_FOUND)
		return code;
	code = request_query(r, "next", out->next, sizeof out->next, e);
	if (code == ERR_OK)
		out->view.next = out->next;
	return code == ERR_NOT_FOUND ? ERR_OK : code;
}

void
page_reply(struct request *r, enum err_code code, json_t *body,
    const struct err *e)
{
	loop_store_failed(r->loop, code);
	if (code == ERR_OK)
		sight_filter(r, body);
	reply_view(r, code, body, e);
}

void
page_reply_list(struct request *r,
    enum err_code (*view)(struct store *s, const struct view_page *page,
	json_t **out, struct err *e))
{
	struct page page;
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = page_read(&page, r, &e);

	if (code == ERR_OK)
		code = loop_store(&s, r->loop, &e);
	if (code == ERR_OK)
		code = view(s, &page.view, &body, &e);
	page_reply(r, code, body, &e);
}

void
page_reply_one(struct request *r,
    enum err_code (*view)(struct store *s, const char *word, json_t **out,
	struct err *e),
    const char *word)
{
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *body = NULL;
	enum err_code code = loop_store(&s, r->loop, &e);

	if (code == ERR_OK)
		code = view(s, word, &body, &e);
	page_reply(r, code, body, &e);
}
