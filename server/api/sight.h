#ifndef SERVER_API_SIGHT_H
#define SERVER_API_SIGHT_H

/* What a credential may see. What it may not looks like what does not exist: it
 * stands in no list, and to ask for it gives what a wrong name gives. A limited
 * operator sees a bundle that is within the limits and, where clusters are
 * limited, assigned to one of those; and a cluster that is within the limits
 * and, where bundles are limited, has one of those. Repositories, commits and
 * their verdicts belong to no cluster: every operator sees them, but not where
 * they run elsewhere. In the loop's own thread. */

#include <jansson.h>

#include "clusters/view.h"
#include "server/http/request.h"

/* Is this cluster among those whose bundles the credential is served? For
 * engines and admins; the anonymous have their own cluster. */
bool sight_serves(const struct catalog_token *t, const char *cluster);

/* An operator whose credential is limited? */
bool sight_is_limited(const struct request *r);
bool sight_bundle(const struct request *r, const char *bundle);
bool sight_cluster(const struct request *r, const char *cluster);

/* For what the path names. False when the reply is on its way: 404. */
bool sight_admit(struct request *r);

/* Takes out of all lists in an answer what names what is not to be seen. */
void sight_filter(const struct request *r, json_t *body);

/* A page of a list whose items have names, with only those that sees says, and
 * keep, which may be NULL. */
typedef enum err_code sight_view(struct store *s, const struct view_page *page,
    json_t **out, struct err *e);
struct sight_where {
	bool (*sees)(const struct request *r, const char *name);
	bool (*keep)(const json_t *item, const void *arg);
	const void *arg;
};
enum err_code sight_list_where(const struct request *r, struct store *s,
    const struct view_page *page, sight_view *view,
    const struct sight_where *where, json_t **out, struct err *e) MUST_CHECK;
enum err_code sight_list(const struct request *r, struct store *s,
    const struct view_page *page, sight_view *view,
    bool (*sees)(const struct request *r, const char *name), json_t **out,
    struct err *e) MUST_CHECK;

#endif
