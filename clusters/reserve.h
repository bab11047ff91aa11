#ifndef CLUSTERS_RESERVE_H
#define CLUSTERS_RESERVE_H

/* Room on the disk, and what is kept back of it: data_dir/store/reserve, a file
 * that holds space and nothing else. While the disk is full, what engines do and
 * what becomes of commits is not written down any more; what operators decide,
 * and the audit of it, still is: for that the reserve is given up. It is made
 * again when there is room for it and for what was held back.
 *
 * Only the ledger, and a start before it, make it and give it up; anybody may
 * look. No state in memory; any thread. */

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

enum { RESERVE_SIZE = 32 << 20 }; /* at most half of the disk */

/* How much has to be left for it. */
enum reserve_use {
	RESERVE_HISTORY, /* of engines: a sixteenth, at most 64 MiB */
	RESERVE_COMMITS, /* verdicts, publications: a 64th, at most 16 MiB */
};

/* UNAVAILABLE: there is too little left, not counting what the reserve takes,
 * whether it is there or has to be made again. What cannot be asked is fine. */
enum err_code reserve_check(const char *data_dir, enum reserve_use use,
    struct err *e) MUST_CHECK;

/* Less than 1 MiB is left: writing fails, or soon will. */
bool reserve_is_full(const char *data_dir);

bool reserve_is_there(const char *data_dir);

/* Makes it if there is room. True: it was missing and is there now. */
bool reserve_make(const char *data_dir);

/* True: it was there, and is gone. */
bool reserve_give_up(const char *data_dir);

#endif
