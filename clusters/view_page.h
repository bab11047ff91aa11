#ifndef CLUSTERS_VIEW_PAGE_H
#define CLUSTERS_VIEW_PAGE_H

/* What the lists of clusters/view.h share. Any thread. */

#include "clusters/view.h"

/* INVALID when it is none. */
enum err_code view_page_limit(const struct view_page *page, int64_t *limit,
    struct err *e) MUST_CHECK;

/* Cursors of lists by name are the last name; a name is checked, so nothing
 * else gets through. */
enum err_code view_page_after(const struct view_page *page, const char **after,
    struct err *e) MUST_CHECK;

/* Those of numbered lists, newest first, are the last number; *before is left
 * alone without one. */
enum err_code view_page_before(const struct view_page *page, int64_t *before,
    struct err *e) MUST_CHECK;

/* INVALID: no list has given this cursor. */
enum err_code view_page_bad(struct err *e);

/* Digits and nothing else. */
enum err_code view_page_number(const char *text, int64_t *out) MUST_CHECK;

/* rows were read with one more than the limit, to see whether there are more.
 * Takes rows over. cursor is the member of the last row kept: a text or a
 * number. */
json_t *view_page_make(json_t *rows, int64_t limit, const char *cursor);

#endif
