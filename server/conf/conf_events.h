#ifndef SERVER_CONF_EVENTS_H
#define SERVER_CONF_EVENTS_H

/* Who is told of events: `events:` in server.yaml. Part of the configuration,
 * immutable after the start. */

#include "core/spec.h"

enum conf_event_kind { EVENTS_EDICT, EVENTS_SLACK };

enum { CONF_EVENT_TARGETS_MAX = 16, CONF_EVENT_SECRETS_MAX = 2 };

struct conf_event_target {
	char *name;
	char *url;      /* one of these two; chat systems' URLs are secrets */
	char *url_file; /* mode 0600; its first line */
	int kind;       /* enum conf_event_kind */
	struct spec_strings secret_files; /* two during a rotation */
	char *ca_file;                    /* NULL: the system's */
	struct spec_strings only;         /* names of events; none: all */
	int64_t timeout;                  /* seconds, of one request */
	int64_t give_up_after;            /* seconds */
};

extern const struct spec conf_event_spec[];

/* What the table cannot say: ERR_INVALID names the target and what to do. Paths
 * become absolute: who reads the files has another folder. */
enum err_code conf_events_fill(struct spec_list *targets, struct err *e)
    MUST_CHECK;

#endif
