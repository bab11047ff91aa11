#include "server/events_api.h"

#include "clusters/store_outbox.h"
#include "server/page.h"

/* Lists that are short: one page. */
static void
reply_all(struct request *r,
    enum err_code (*list)(struct store *s, json_t **out, struct err *e))
{
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *rows = NULL;
	json_t *body = NULL;
	enum err_code code = loop_store(&s, r->loop, &e);

	if (code == ERR_OK)
		code = list(s, &rows, &e);
	if (code == ERR_OK)
		body = json_pack("{s:o, s:n}", "items", rows, "next");
	page_reply(r, code, body, &e);
}

void
events_api_targets(struct request *r)
{
	reply_all(r, outbox_list_targets);
}

void
events_api_alarms(struct request *r)
{
	reply_all(r, outbox_list_alarms);
}
