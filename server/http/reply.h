#ifndef SERVER_HTTP_REPLY_H
#define SERVER_HTTP_REPLY_H

/* Answers. Each queues exactly one reply for the request; statuses are chosen
 * from error codes here and nowhere else. */

#include <jansson.h>
#include <stdarg.h>

#include "server/http/request.h"

/* Strict-Transport-Security: whoever came over TLS shall not come without it for
 * a year. */
#define REPLY_SECURE "max-age=31536000"

/* Takes body over. */
void reply_json(struct request *r, unsigned int status, json_t *body);

/* Copies text. */
void reply_text(struct request *r, unsigned int status, const char *type,
    const char *text, size_t len);

/* {"error":{"code","message"}}; what goes with a status comes with it:
 * WWW-Authenticate, Allow, Retry-After. */
void reply_fault(struct request *r, unsigned int status, const char *code,
    const char *fmt, ...) PRINTF_LIKE(4, 5);

/* The same from an error; what this process was not told to show (I/O, a
 * damaged store) is logged, and the client gets a plain word. */
void reply_error(struct request *r, const struct err *e);

/* With a response that is shared by many: the caller keeps its reference. */
void reply_with(struct request *r, unsigned int status,
    struct MHD_Response *response);

/* What goes with every response over TLS: before it is queued, or shared. False:
 * no memory. */
bool reply_secure(const struct service *s, struct MHD_Response *response);

/* Either of a view: takes body over when code is ERR_OK. */
void reply_view(struct request *r, enum err_code code, json_t *body,
    const struct err *e);

#endif
