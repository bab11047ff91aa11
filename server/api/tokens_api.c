#include "server/api/tokens_api.h"

#include "clusters/payload.h"
#include "clusters/store_view.h"
#include "core/clock.h"
#include "core/text.h"
#include "server/api/page.h"

/* The cursor is the digest of the last token: names may stand twice. */
static json_t *
make_page(json_t *rows, int64_t limit)
{
	json_t *next = json_null();
	json_t *row;
	size_t i;

	if (json_array_size(rows) > (size_t)limit) {
		json_array_remove(rows, (size_t)limit);
		next = json_incref(json_object_get(json_array_get(rows,
						       (size_t)limit - 1),
		    "digest"));
	}
	json_array_foreach(rows, i, row)
		json_object_del(row, "digest");
	return json_pack("{s:o, s:o}", "items", rows, "next", next);
}

void
tokens_api_list(struct request *r)
{
	struct page page;
	struct store *s = NULL;
	struct err e = { 0 };
	json_t *rows = NULL;
	enum err_code code = page_read(&page, r, &e);

	if (code == ERR_OK && page.view.next != NULL &&
	    !text_is_hex(page.view.next, STORE_DIGEST_SIZE - 1))
		code = err_set(&e, ERR_INVALID,
		    "next: not one that this list has given; start without it");
	if (code == ERR_OK)
		code = loop_store(&s, r->loop, &e);
	if (code == ERR_OK)
		code = store_view_token_list(s, page.view.next, clock_now_ms(),
		    page.view.limit + 1, &rows, &e);
	page_reply(r, code,
	    code == ERR_OK ? make_page(rows, page.view.limit) : NULL, &e);
}
