#ifndef CLUSTERS_ENGINES_H
#define CLUSTERS_ENGINES_H

/* Which engine has which bundle, as their polls tell: the ETag that an engine
 * sends is that of the bundle it last activated. One table in shared memory,
 * made by the supervisor before it forks, seen by all serving threads and http
 * processes, outliving their restarts.
 *
 * An engine is a cluster and the name it gives itself (128 bytes), with a row
 * of 128 bytes for each of its bundles. Engines without a name are one row per
 * credential that only counts. Clusters and bundles are kept as hashes under a
 * seed of this table: whoever reads knows the names there are.
 *
 * The table is cut into shards, each under a robust mutex that is held for
 * copying rows and never while anything is waited for. A process that is killed
 * in the middle leaves a mark on the row it was writing: whoever comes next
 * forgets that row and puts the shard's links together anew, so no half-written
 * row is ever believed. Who cannot get at a shard within ENGINES_LOCK_MS goes on
 * without, and is told so (missed): on a busy machine whoever holds a shard may
 * not run for longer than that; nothing that is served depends on this table but whether an engine
 * that failed twice with a bundle gets it a third time at once. What is read
 * here is checked before use, so that a process that went wrong can spoil the
 * numbers, but no other process.
 *
 * Any thread, any process. Times are of the wall clock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ENGINES_NAME_SIZE = 64,
	ENGINES_VERSION_SIZE = 16,
	ENGINES_MARK_SIZE = 16,
	ENGINES_LOCK_MS = 20,
	ENGINES_BUNDLES_MAX = 64, /* of one engine */
	ENGINES_CODE_SIZE = 32,
	ENGINES_MESSAGE_SIZE = 160,
	ENGINES_FILE_SIZE = 96
};

/* The first half of an ETag's SHA-256; of another server's ETag, of the
 * SHA-256 of its text. */
struct engines_mark {
	unsigned char bytes[ENGINES_MARK_SIZE];
};
/* The mark of a text that is not empty. */
struct engines_mark engines_mark(const char *etag);
/* 32 hex digits, and back; false: they are not. */
enum { ENGINES_MARK_TEXT = 2 * ENGINES_MARK_SIZE + 1 };
void engines_mark_text(char out[ENGINES_MARK_TEXT],
    const struct engines_mark *m);
bool engines_mark_read(struct engines_mark *out, const char *text);
bool engines_mark_same(const struct engines_mark *a,
    const struct engines_mark *b);

enum engines_flag {
	/* of an engine */
	ENGINES_ANONYMOUS = 1 << 0,
	ENGINES_UNSAVED = 1 << 1,
	/* of a bundle */
	ENGINES_ACKED = 1 << 2,     /* acked is known */
	ENGINES_SENT = 1 << 3,      /* sent is known */
	ENGINES_BEFORE = 1 << 4,    /* before is known */
	ENGINES_FRESH = 1 << 5,     /* its last poll had no ETag */
	ENGINES_REJECTING = 1 << 6, /* was sent something it did not activate */
	ENGINES_BACK = 1 << 7,      /* went back without a restart */
	ENGINES_UNSURE = 1 << 8     /* restarted, or read from the database: the
	                             * next ETag is no news */
};

/* Rows, as they are in the table and as readers get them. */
struct engines_engine {
	uint32_t used, next, bundles; /* links: of no use to readers */
	uint32_t flags;
	uint64_t cluster; /* engines_hash */
	uint64_t label;   /* of status reports' labels.id; 0: none came */
	int64_t seen_ms;
	uint32_t saved_s;
	uint32_t
	    changes; /* how often one of its bundles was acknowledged anew */
	char version[ENGINES_VERSION_SIZE]; /* "1.19.1" or "" */
	char name[ENGINES_NAME_SIZE];
};

struct engines_bundle {
	uint32_t used, next, engine;
	uint32_t flags;
	uint64_t bundle; /* engines_hash */
	struct engines_mark acked, sent, before;
	int64_t acked_serial; /* 0: unknown, as for the others */
	int64_t sent_serial;
	int64_t before_serial;
	uint32_t acked_s;    /* since when */
	uint32_t sent_s;     /* last */
	uint32_t sent_count; /* how often, one after the other */
	uint32_t from;       /* whom it was sent to; see engines_poll */
	uint32_t told_s;     /* when it got a new configuration; less the more
	                      * polls were answered since. 0: long ago */
	union {
		struct {
			uint32_t first_sent_s;
			uint32_t back_s;  /* when it went back */
			uint32_t changes; /* of the engine, when it was sent */
		};
		/* Of anonymous rows: what polls had since `sent` was
		 * assigned. */
		struct {
			uint32_t had, had_other, had_none;
		};
	};
};

struct engines_report {
	uint32_t used, engine;
	uint64_t bundle; /* 0: about its plugins */
	int64_t at_ms;
	int64_t row; /* in the file; 0: unknown */
	char code[ENGINES_CODE_SIZE];
	char message[ENGINES_MESSAGE_SIZE];
	char file[ENGINES_FILE_SIZE];
};

struct engines;

/* Aborts when there is no memory. Memory is taken as engines come. */
struct engines *engines_new(size_t engines_max);
/* This process is done with it; others are not disturbed. NULL is fine. */
void engines_free(struct engines *t);

uint64_t engines_hash(const struct engines *t, const char *name);
uint64_t engines_hash_bytes(const struct engines *t, const void *data,
    size_t len);
size_t engines_count(const struct engines *t); /* with anonymous rows */

/* May this name an engine? 1 to 63 letters, digits and ._:@/- . */
bool engines_is_name(const char *text);

struct engines_poll {
	const char *cluster, *bundle;
	const char *name; /* of the engine; of its credential if anonymous */
	bool anonymous;
	const char *version;            /* or NULL */
	const struct engines_mark *has; /* NULL: no ETag was sent */
	struct engines_mark assigned;
	int64_t serial; /* of the assignment */
	int64_t now_ms;
	/* Of its address; 0: unknown. Names are only claimed: what was sent to
	 * another address is held against nobody. */
	uint32_t from;
};
enum engines_news {
	ENGINES_NEWS_REJECTING = 1 << 0, /* from now on */
	ENGINES_NEWS_HEALED = 1 << 1,
	ENGINES_NEWS_BACK = 1 << 2,
	ENGINES_NEWS_UNTRACKED = 1 << 3 /* the table is full */
};
struct engines_answer {
	bool hold;     /* do not send it again now */
	bool missed;   /* the table could not be had in time: nothing of this
	                * poll is known, so it should not wait for long */
	bool settling; /* it has what is assigned: answer, do not let it wait */
	unsigned int news;
	int64_t from_serial, to_serial; /* of ENGINES_NEWS_BACK */
};
/* An engine asks. */
void engines_poll(struct engines *t, const struct engines_poll *p,
    struct engines_answer *out);
/* Would it be held now? Changes nothing. */
bool engines_held(struct engines *t, const struct engines_poll *p);
/* It is being sent what is assigned; and: that did not get through. A zeroed
 * ticket is nothing that was sent. */
struct engines_ticket {
	uint32_t shard, bundle; /* numbers from 1 */
	struct engines_mark sent;
};
void engines_sent(struct engines *t, const struct engines_poll *p,
    struct engines_ticket *out);
void engines_unsent(struct engines *t, const struct engines_ticket *ticket);

/* An engine is being sent another discovery bundle. It begins anew with its
 * bundles then, and counts itself as not ready until it heard of each: so for
 * ENGINES_SETTLE_S its next polls are answered at once, of each bundle
 * ENGINES_SETTLE_ANSWERS (one may be of the old configuration still; all of
 * them, and it would ask again without a pause for a minute). What it failed
 * with before, a key that it did not know perhaps, it is sent again. */
enum { ENGINES_SETTLE_S = 60, ENGINES_SETTLE_ANSWERS = 3 };
void engines_told(struct engines *t, const char *cluster, const char *name,
    int64_t now_ms);

/* What engines report of themselves. Only of engines that polled under this
 * name: others are not kept. False: there is none. */
bool engines_seen(struct engines *t, const char *cluster, const char *name);
bool engines_take_version(struct engines *t, const char *cluster,
    const char *name, const char *version, const char *label);
/* bundle NULL: plugins; r NULL or its code "": all is well again. Texts are cut
 * to their size. */
void engines_take_report(struct engines *t, const char *cluster,
    const char *name, const char *bundle, const struct engines_report *r);

/* Decisions that a cluster's engines made by this revision. Revisions beyond
 * those there is room for, and what is none, count as "other". */
void engines_decided(struct engines *t, const char *cluster,
    const char *revision, uint64_t ok, uint64_t errors);
void engines_each_decided(struct engines *t, const char *cluster,
    void (*fn)(const char *revision, uint64_t ok, uint64_t errors, void *arg),
    void *arg);

/* All engines, shard by shard, copied, so fn may take its time. */
struct engines_view {
	const struct engines_engine *engine;
	const struct engines_bundle *const *bundles;
	size_t bundle_count;
	const struct engines_report *const *reports;
	size_t report_count;
};
void engines_each(struct engines *t,
    void (*fn)(const struct engines_view *v, void *arg), void *arg);

/* As engines_each, for those that changed since they were saved, or were seen a
 * while after; they count as saved then. At most max. */
enum { ENGINES_SAVE_SEEN_S = 300 };
size_t engines_each_unsaved(struct engines *t, size_t max, int64_t now_ms,
    void (*fn)(const struct engines_view *v, void *arg), void *arg);
/* What was saved is lost: all of it again. */
void engines_unsave(struct engines *t);

/* Puts back what was saved. An engine that is there already stays as it is. */
void engines_restore(struct engines *t, const struct engines_engine *e,
    const struct engines_bundle *bundles, size_t count);
/* Once per table: true for the caller who is to restore, until done. */
bool engines_restored(const struct engines *t);
void engines_set_restored(struct engines *t);

/* Forgets who was not seen since. Returns how many. */
size_t engines_forget(struct engines *t, int64_t before_ms);

/* What an engine does about a bundle. */
enum engines_state {
	ENGINES_STATE_CONVERGED,
	ENGINES_STATE_BEHIND,
	ENGINES_STATE_REJECTING,
	ENGINES_STATE_FRESH, /* never said that it has anything */
	ENGINES_STATE_SILENT,
	ENGINES_STATES
};
extern const char *const engines_state_names[ENGINES_STATES];
/* same: what it acknowledged has the content of what is assigned. */
enum engines_state engines_state(const struct engines_engine *e,
    const struct engines_bundle *b, bool same, int64_t now_ms,
    int64_t silent_ms);
/* When a held engine is sent it again (ms); 0: at its next poll. */
int64_t engines_retry_ms(const struct engines_engine *e,
    const struct engines_bundle *b);

#endif
