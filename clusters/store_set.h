#ifndef CLUSTERS_STORE_SET_H
#define CLUSTERS_STORE_SET_H

/* Sets of bundles that one cluster loads together: what the real engine said of
 * each, which it is to be asked about, and which roots were given up a moment
 * ago. A set is known by the digest of its sorted bundles and contents; answers
 * are kept per engine, and for operators the newest counts, whichever engine
 * gave it, so that what was loaded before can be had again without any. Writes
 * are steps inside a transaction of the caller's. */

#include "clusters/store_write.h"

enum store_set_state {
	STORE_SET_UNKNOWN,
	STORE_SET_LOADS,
	STORE_SET_REFUSED,
	STORE_SET_STATES
};

/* How far the question is that nobody has answered yet. */
enum store_set_asked {
	STORE_SET_NOT_ASKED,
	STORE_SET_WANTED,       /* to be asked */
	STORE_SET_RUNNING,      /* the engine is at it */
	STORE_SET_COULD_NOT_RUN /* it could not be asked; tried again */
};

/* current: only what the engine said that was asked last (store_set_engine).
 * *reason is the caller's; NULL when there is none. */
enum err_code store_set_known(struct store *s, const char *digest, bool current,
    enum store_set_state *state, char **reason, struct err *e) MUST_CHECK;
/* Which engine answers from now on: its digest. */
enum err_code store_set_engine(struct store *s, const char *engine,
    struct err *e) MUST_CHECK;
/* An answer; nobody needs to ask any more. */
enum err_code store_put_set(struct store *s, const char *digest,
    const char *engine, enum store_set_state state, const char *reason,
    int64_t at_ms, struct err *e) MUST_CHECK;

/* members: [{"bundle","content","sha256": of the unsigned file}]. One that is
 * wanted already stays as it is. */
enum err_code store_want_set(struct store *s, const char *digest,
    const json_t *members, int64_t at_ms, struct err *e) MUST_CHECK;
enum err_code store_set_asked(struct store *s, const char *digest,
    enum store_set_asked *out, int64_t *at_ms, char **reason, struct err *e)
    MUST_CHECK;
/* NOT_FOUND: nobody wants it. */
enum err_code store_set_progress(struct store *s, const char *digest,
    enum store_set_asked state, const char *reason, int64_t at_ms,
    struct err *e) MUST_CHECK;
/* [{"digest","members","state","at_ms"}], oldest first; the caller's. */
enum err_code store_sets_wanted(struct store *s, json_t **out, struct err *e)
    MUST_CHECK;
enum err_code store_forget_wanted(struct store *s, struct err *e) MUST_CHECK;

/* A bundle gave up a root of this cluster by the change with that serial. Given
 * up before, it takes the new serial and keeps its time. */
enum err_code store_give_root(struct store *s, const char *cluster,
    const char *bundle, const char *root, int64_t serial, int64_t at_ms,
    struct err *e) MUST_CHECK;
enum err_code store_keep_root(struct store *s, const char *cluster,
    const char *bundle, const char *root, struct err *e) MUST_CHECK;
/* [{"cluster","bundle","root","serial","at_ms"}] of one cluster, or of all;
 * the caller's. */
enum err_code store_given_roots(struct store *s, const char *cluster,
    json_t **out, struct err *e) MUST_CHECK;
/* Free are those of the bundle up to this serial; and those given up before
 * that time. */
enum err_code store_free_roots(struct store *s, const char *cluster,
    const char *bundle, int64_t serial, struct err *e) MUST_CHECK;
enum err_code store_free_roots_before(struct store *s, int64_t before_ms,
    struct err *e) MUST_CHECK;

/* Clusters where something waits: blocked, or not assigned yet. */
enum err_code store_clusters_waiting(struct store *s, struct store_names *out,
    struct err *e) MUST_CHECK;

/* An operation that goes on when a set is known, and not by the pipeline. */
enum err_code store_operation_waits(struct store *s, int64_t id,
    const char *commit, struct err *e) MUST_CHECK;
/* The oldest of them above after; NOT_FOUND (without a text): none. */
enum err_code store_waiting_operation(struct store *s, int64_t after,
    int64_t *id, struct err *e) MUST_CHECK;

/* Is there anything that time alone changes? */
enum err_code store_is_waiting(struct store *s, bool *out, struct err *e)
    MUST_CHECK;

#endif
