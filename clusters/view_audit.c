/* The audit and its signed heads, as the API shows them. */

#include "clusters/payload.h"
#include "clusters/store_head.h"
#include "clusters/view_page.h"

enum err_code
view_audit(struct store *s, const struct store_audit_filter *filter,
    const struct view_page *page, json_t **out, struct err *e)
{
	int64_t before = INT64_MAX;
	int64_t limit;
	json_t *rows;

	TRY(view_page_limit(page, &limit, e));
	TRY(view_page_before(page, &before, e));
	TRY(store_list_audit(s, filter, before, limit + 1, &rows, e));
	*out = view_page_make(rows, limit, "seq");
	return ERR_OK;
}

enum err_code
view_heads(struct store *s, const struct view_page *page, json_t **out,
    struct err *e)
{
	int64_t before = INT64_MAX;
	int64_t limit;
	json_t *rows;

	TRY(view_page_limit(page, &limit, e));
	TRY(view_page_before(page, &before, e));
	TRY(store_list_heads(s, before, limit + 1, &rows, e));
	*out = view_page_make(rows, limit, "id");
	return ERR_OK;
}
