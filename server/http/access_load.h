#ifndef SERVER_HTTP_ACCESS_LOAD_H
#define SERVER_HTTP_ACCESS_LOAD_H

/* How the http process comes to a struct access: from the files at its start,
 * before it gives up the right to open them, and later from what the supervisor
 * hands over. In its control thread. */

#include "core/channel.h"
#include "server/http/access.h"

/* From the files; an error when tls cannot be served with. Keys of issuers that
 * cannot be read are missing and logged: their tokens are refused until there
 * are some. On success *out has one reference. */
enum err_code access_load(struct access **out, const struct conf *c,
    struct err *e) MUST_CHECK;

/* A SUPERVISOR_HANDOVER of c's own generation, borrowed. *out has a reference, or
 * is NULL when nothing changed. What cannot be used is logged, and all stays as
 * it is. */
void access_take(struct access **out, const struct access *old,
    const struct conf *c, const struct message *m);

#endif
