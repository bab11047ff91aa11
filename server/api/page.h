#ifndef SERVER_API_PAGE_H
#define SERVER_API_PAGE_H

/* What the handlers that show the store have in common: a page of a list, and
 * a store to read from. */

#include "clusters/view.h"
#include "server/http/request.h"

enum { PAGE_NEXT_SIZE = 512 };

struct page {
	struct view_page view;
	char next[PAGE_NEXT_SIZE];
};

/* From limit and next of the query. */
enum err_code page_read(struct page *out, const struct request *r,
    struct err *e) MUST_CHECK;

/* The views that take nothing but a page, or nothing but one word. Each
 * replies. */
void page_reply_list(struct request *r,
    enum err_code (*view)(struct store *s, const struct view_page *page,
	json_t **out, struct err *e));
void page_reply_one(struct request *r,
    enum err_code (*view)(struct store *s, const char *word, json_t **out,
	struct err *e),
    const char *word);

/* The result of a view that was called on the loop's store, without what is not
 * to be seen (server/api/sight.h). */
void page_reply(struct request *r, enum err_code code, json_t *body,
    const struct err *e);

#endif
