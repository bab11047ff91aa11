#ifndef SERVER_PIPELINE_GC_H
#define SERVER_PIPELINE_GC_H

/* Removing what is kept no longer: a thread of the pipeline, once a day and when
 * an operator asks. First the ledger removes rows, a few at a time, and each
 * time for good; then files that no row names go. So a crash at any point leaves
 * files too many, which the next run finds, and never a row without its file.
 *
 * A file that nobody names may be one that somebody is about to name: those of
 * the last hour stay, and putting one down that is there already makes it young
 * (artifact_put). While a backup is taken no file is removed. */

#include "clusters/store_copy.h"
#include "server/pipeline/desk.h"

enum {
	GC_YOUNG_MS = 60 * 60 * 1000,
	GC_LEFTOVER_MS = 24 * 60 * 60 * 1000, /* folders of gate runs */
	GC_FIRST_MS = 10 * 60 * 1000          /* after the very first start */
};

struct gc {
	struct desk *desk; /* borrowed */
	struct store *store;
	uint64_t seen;
	int64_t start_ms;
};

/* Runs until the desk is stopping. */
void gc_run(struct gc *g);

/* What became, or would become, of files (server/pipeline/gc_files.c). */
struct gc_files {
	int64_t files, bytes; /* artifacts and contents */
	int64_t compiled, compiled_bytes;
	int64_t leftovers;
	bool postponed; /* a backup is being taken */
};

struct gc_sweep {
	const char *data_dir;
	const struct store_files *named; /* stay */
	int64_t compiled_ms;             /* since they were of use */
	bool dry_run;
};

enum err_code gc_sweep(struct gc_files *out, const struct gc_sweep *sweep,
    struct err *e) MUST_CHECK;

#endif
