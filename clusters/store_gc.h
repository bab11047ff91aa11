#ifndef CLUSTERS_STORE_GC_H
#define CLUSTERS_STORE_GC_H

/* What is kept no longer. An artifact goes when its content is not among the
 * newest of its bundle and nobody had it for a while; never one that is assigned
 * anywhere, quarantined, a discovery bundle, waiting for a signature, or what an
 * open operation is about. Its revision stays known and can be built again. Of an
 * old verdict the report goes, and its summary stays. The audit stays.
 *
 * Rows go first, in the ledger; files that no row names any more are removed
 * later, by the pipeline (server/pipeline/gc.h). */

#include "clusters/store.h"
#include "clusters/store_copy.h"

/* What is younger stays, and what is among the newest. */
struct store_keep {
	int64_t artifacts, artifacts_ms;   /* contents of each bundle */
	int64_t reports, reports_ms;       /* of each repository */
	int64_t operations, operations_ms; /* that ended */
	int64_t engines_ms;                /* since they polled */
};

struct store_waste {
	int64_t artifacts, reports, report_bytes, operations, engines;
};

/* For any reader: what would go now, and what files would still be named. */
enum err_code store_gc_look(struct store *s, const struct store_keep *keep,
    int64_t now_ms, struct store_waste *out, struct err *e) MUST_CHECK;
enum err_code store_gc_files(struct store *s, const struct store_keep *keep,
    int64_t now_ms, struct store_files *out, struct err *e) MUST_CHECK;

/* Inside a transaction: removes some of it; more is false when nothing is left.
 * What is assigned is noted as in use. */
enum err_code store_gc(struct store *s, const struct store_keep *keep,
    int64_t now_ms, struct store_waste *done, bool *more, struct err *e)
    MUST_CHECK;

/* When that was done last; 0: never. */
enum err_code store_gc_last(struct store *s, int64_t *out, struct err *e)
    MUST_CHECK;

/* The oldest open operation of kind gc, of any repository. NOT_FOUND. */
enum err_code store_next_gc(struct store *s, struct store_operation *out,
    struct err *e) MUST_CHECK;

/* A repository, since operations belong to one. NOT_FOUND: there is none yet. */
enum err_code store_any_repository(struct store *s, char out[STORE_NAME_SIZE],
    struct err *e) MUST_CHECK;

#endif
