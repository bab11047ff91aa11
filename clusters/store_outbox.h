#ifndef CLUSTERS_STORE_OUTBOX_H
#define CLUSTERS_STORE_OUTBOX_H

/* Events that somebody outside is told of (docs/events.md), in the order in
 * which they happened: written down in the transaction of what they are about,
 * so that none is lost or made up, and kept until OUTBOX_KEPT newer ones came.
 * Each target has its own place in them. Alarms are states that last (engines
 * reject something, a fetch is stale): who sees them tells all there are, and an
 * event is what began or ended since. One thread at a time per store. */

#include "clusters/store_write.h"

enum {
	OUTBOX_KEPT = 10000,
	OUTBOX_TARGETS_MAX = 64,
	OUTBOX_ALARMS_MAX = 1000, /* of one kind */
	OUTBOX_TEXT_MAX = 512,    /* of any text in an event */
	OUTBOX_NAMES_MAX = 20,    /* of any list in an event */
	OUTBOX_KIND_SIZE = 32
};

/* What an event of the audit means to those outside, if anything. For
 * store_add_event. */
enum err_code outbox_note(struct store *s, const struct store_event *v,
    int64_t at_ms, struct err *e) MUST_CHECK;

/* For store_put_assignment, before it writes: it is blocked from now on. */
enum err_code outbox_note_blocked(struct store *s, const struct assignment *a,
    struct err *e) MUST_CHECK;

/* Alarms of one kind, all there are: subject → detail (an object). Those that
 * are new become events of this kind, those that ended of the kind `ended` (NULL:
 * nobody is told). */
enum err_code outbox_set_alarms(struct store *s, const char *kind,
    const char *ended, const json_t *all, struct err *e) MUST_CHECK;

/* The oldest event after this one; NOT_FOUND: none. The caller clears *out. */
struct outbox_event {
	int64_t seq, at_ms;
	char kind[OUTBOX_KIND_SIZE];
	char *subject;
	json_t *detail;
};
enum err_code outbox_next(struct store *s, int64_t after,
    struct outbox_event *out, struct err *e) MUST_CHECK;
void outbox_event_clear(struct outbox_event *v);

/* Its number and a piece of its digest: no two events have the same, not even
 * after a backup was restored. */
enum { OUTBOX_ID_SIZE = 40 };
void outbox_event_id(char out[OUTBOX_ID_SIZE], const struct outbox_event *v);

/* The first and the last that are there; 0, 0: none. */
enum err_code outbox_range(struct store *s, int64_t *first, int64_t *last,
    struct err *e) MUST_CHECK;

/* How far a target is. */
struct outbox_target {
	int64_t position;   /* all up to this one are done with */
	int64_t failing_ms; /* since when; 0: it is not */
	int64_t dropped;    /* given up, ever */
	char error[OUTBOX_TEXT_MAX];
};
enum err_code outbox_target(struct store *s, const char *name,
    struct outbox_target *out, struct err *e) MUST_CHECK;
enum err_code outbox_put_target(struct store *s, const char *name,
    const struct outbox_target *t, struct err *e) MUST_CHECK;
/* These are configured: a new one begins at the end, others are forgotten. */
enum err_code outbox_set_targets(struct store *s, const json_t *names,
    struct err *e) MUST_CHECK;

/* {"name","position","pending","failing_since","dropped","error"}, by name. */
enum err_code outbox_list_targets(struct store *s, json_t **out, struct err *e)
    MUST_CHECK;
/* {"kind","subject","since"}, by kind and subject. */
enum err_code outbox_list_alarms(struct store *s, json_t **out, struct err *e)
    MUST_CHECK;

#endif
