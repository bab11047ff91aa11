#ifndef POLICIES_WATCH_H
#define POLICIES_WATCH_H

/* When to fetch next: poll interval with jitter, back-off to WATCH_BACKOFF_MAX_MS
 * after failures, at once when asked to, and for a local repository when its
 * refs change on disk. And what a fetch means for what is followed. Pure but for
 * watch_local_changed. One thread. */

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "policies/fetch.h"
#include "policies/repo.h"

enum {
	WATCH_BACKOFF_MIN_MS = 1000,
	WATCH_BACKOFF_MAX_MS = 300000,
	WATCH_LOCAL_EVERY_MS =
	    200 /* how often a local repository is looked at */
};

struct watch;
/* url and branch are copied. */
struct watch *watch_new(const char *url, const char *branch,
    int64_t interval_ms, uint32_t jitter_seed);
/* The branch that was settled on where the configuration named none. */
void watch_settle(struct watch *w, const char *branch);
void watch_free(struct watch *w);
AUTO_FREE(watch)

/* Milliseconds until the next fetch is due; 0: now. */
int64_t watch_due_ms(const struct watch *w, int64_t mono_ms);
void watch_ask(struct watch *w); /* fetch now: an operator or a webhook */
void watch_done(struct watch *w, enum fetch_outcome o, int64_t mono_ms);

/* Did refs of a local repository change since the last call? True once per
 * change; cheap (a few stat calls); always false for others. */
bool watch_local_changed(struct watch *w);

/* What a fetched tip means, against the commit that was last followed ("": none
 * yet, then any tip is to be followed). Both are in the mirror. */
enum watch_step {
	WATCH_SAME,      /* nothing new */
	WATCH_FOLLOW,    /* descends from it: follow */
	WATCH_REWRITTEN, /* related, but the followed commit is not its ancestor */
	WATCH_UNRELATED /* no common history */
};
enum err_code watch_classify(struct repo *r, const char *followed,
    const char *tip, enum watch_step *out, struct err *e) MUST_CHECK;

#endif
