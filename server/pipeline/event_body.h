#ifndef SERVER_PIPELINE_EVENT_BODY_H
#define SERVER_PIPELINE_EVENT_BODY_H

/* What is sent for an event: JSON of our own, or a text for chat systems. Names,
 * reasons and subjects were written by anybody who may push or roll back: in a
 * text they cannot become a mention, a link or markup. Pure. */

#include "clusters/store_outbox.h"
#include "server/conf/conf_events.h"

/* Is there an event of this name? */
bool event_is_kind(const char *name);

/* mem_ memory; server is its url, or NULL. */
char *event_body(const struct outbox_event *v, enum conf_event_kind kind,
    const char *server);

#endif
