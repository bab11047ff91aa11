#ifndef SERVER_HTTP_DISPATCH_H
#define SERVER_HTTP_DISPATCH_H

/* The way of a complete request: route, credential, query, handler. */

#include <stddef.h>

struct request;

/* Replies or suspends; the second call of a request comes here too, so that
 * what its credential may do is looked at again. */
void dispatch(struct request *r);

/* How large the body of a request may be, whose headers have come; or a reply is
 * queued. */
size_t dispatch_body_max(struct request *r);

#endif
