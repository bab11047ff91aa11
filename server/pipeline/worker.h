#ifndef SERVER_PIPELINE_WORKER_H
#define SERVER_PIPELINE_WORKER_H

/* One policy repository's thread in the pipeline: fetches when due, follows or
 * raises an alarm, judges the newest commit first, fills in what a push skipped
 * over when idle, and carries out operators' operations that need Git. Owns its
 * libgit2 handles and its read-only store. */

#include "clusters/store.h"
#include "policies/repo.h"
#include "policies/watch.h"
#include "server/pipeline/desk.h"

struct worker {
	struct desk *desk; /* borrowed, as is conf */
	const struct conf_repository *conf;
	struct repo *mirror;
	struct watch *watch;
	struct store *store; /* NULL until it could be opened */
	struct desk_runner runner;
	struct gate_engine engine;
	struct timespec
	    engine_changed; /* of the program's file; 0: not asked */
	char sandbox[64];
	struct bundle_cache *cache; /* of what its bundles were made from */
	struct cache_file *cache_file;
	json_t *passed; /* a verdict whose bundles could not be built yet */
	struct worker_join *join; /* under way, or NULL */
	bool join_due;            /* the mirror got packs since */
	int64_t join_again_ms;    /* when what went wrong is tried again */
	int64_t join_wait_ms;     /* how long that was, or 0 */

	/* What the ledger is told. */
	const char *state;
	json_t *alarm; /* or NULL */
	char branch[256];
	char tip[TREE_ID_SIZE];      /* as last fetched */
	char followed[TREE_ID_SIZE]; /* the newest that we go along with */
	int64_t line;
	int64_t base; /* depth at which following began */
	int64_t last_fetch_ms, last_success_ms;
	char last_error[512];

	char spare[24];          /* an empty folder below incoming, or "" */
	struct desk_place place; /* of a local repository */
	bool given_up;           /* the last fetch, for something better */
	bool short_of_room;      /* the disk is full */
	int64_t operations_ms;   /* when operations are looked at again */
	int64_t again_ms;        /* when what could not run is tried again */
	int64_t again_wait_ms;
	uint64_t seen;        /* news */
	uint64_t seen_wanted; /* news, when operations were last looked for */
};

/* Runs until the desk is stopping. */
void worker_run(struct worker *w);

/* Tells the ledger what is known of the repository now. */
enum err_code worker_report(struct worker *w, struct err *e) MUST_CHECK;

/* Makes commits known to the ledger: of the line, or one beside it. */
enum err_code worker_record_line(struct worker *w, const char *tip,
    const char *until, struct err *e) MUST_CHECK;
enum err_code worker_record_one(struct worker *w, const char *commit,
    struct err *e) MUST_CHECK;

/* Fetches once and draws the conclusions (worker_fetch.c). The error is what
 * an operator who asked for it is told. patience, which may be NULL, ends a
 * fetch that keeps something better waiting; it is begun again later. */
enum err_code worker_fetch(struct worker *w,
    const struct desk_patience *patience, struct err *e) MUST_CHECK;
/* Removes the folder that the last fetch left for the next. */
void worker_fetch_end(struct worker *w);
/* Goes along with the history that the alarm is about, if its tip still is the
 * one that the operator saw. */
enum err_code worker_accept(struct worker *w, const char *seen, struct err *e)
    MUST_CHECK;

/* Joins the mirror's packs when they are many (worker_join.c): the work is done
 * by a child and a thread of its own, so that this returns at once; what came of
 * it is taken over by a later call. For when nothing reads the mirror. */
void worker_join(struct worker *w);
/* Gives up what is under way. */
void worker_join_end(struct worker *w);

/* Carries out one operation (worker_operation.c); its end is reported. */
void worker_operation(struct worker *w, const struct store_operation *op);

#endif
