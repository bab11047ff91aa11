#include "clusters/view_page.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/spec.h"

enum err_code
view_page_limit(const struct view_page *page, int64_t *limit, struct err *e)
{
	*limit = page->limit == 0 ? VIEW_LIMIT : page->limit;
	if (*limit < 1 || *limit > VIEW_LIMIT_MAX)
		return err_set(e, ERR_INVALID, "limit: has to be 1 to %d",
		    (int)VIEW_LIMIT_MAX);
	return ERR_OK;
}

enum err_code
view_page_bad(struct err *e)
{
	return err_set(e, ERR_INVALID,
	    "next: not one that this list has given; start without it");
}

enum err_code
view_page_after(const struct view_page *page, const char **after, struct err *e)
{
	*after = page->next;
	if (page->next != NULL && !spec_is_name(page->next))
		return view_page_bad(e);
	return ERR_OK;
}

enum err_code
view_page_number(const char *text, int64_t *out)
{
	size_t len = strspn(text, "0123456789");

	if (len == 0 || len > 18 || text[len] != '\0')
		return ERR_INVALID;
	*out = strtoll(text, NULL, 10);
	return ERR_OK;
}

enum err_code
view_page_before(const struct view_page *page, int64_t *before, struct err *e)
{
	if (page->next != NULL &&
	    view_page_number(page->next, before) != ERR_OK)
		return view_page_bad(e);
	return ERR_OK;
}

static json_t *
cursor_of(const json_t *value)
{
	if (!json_is_integer(value))
		return json_string(json_string_value(value));
	AUTO_STR text =
	    mem_printf("%lld", (long long)json_integer_value(value));
	return json_string(text);
}

json_t *
view_page_make(json_t *rows, int64_t limit, const char *cursor)
{
	json_t *next = json_null();

	if (json_array_size(rows) > (size_t)limit) {
		const json_t *last;

		json_array_remove(rows, (size_t)limit);
		last = json_array_get(rows, (size_t)limit - 1);
		next = cursor_of(json_object_get(last, cursor));
	}
	return json_pack("{s:o, s:o}", "items", rows, "next", next);
}
