#ifndef TESTS_DIFFERENTIAL_BATCH_H
#define TESTS_DIFFERENTIAL_BATCH_H

/* Some hundred cases, each in a folder of its own (c0, c1, …), judged by us
 * one by one and by the real opa in a handful of runs. Everything that cannot
 * be done fails the test. */

#include <stdbool.h>

#include "make.h"

enum { BATCH_MAX = 1000, BATCH_ERROR_SIZE = 512 };

struct batch_case {
	uint64_t number; /* of the seed's row */
	struct make_tree tree;
	bool taken;        /* by us, alone */
	bool engine_takes; /* alone, as far as known */
	bool rego_error;   /* asked alone, it refuses what a module says */
	char error[BATCH_ERROR_SIZE];
};

struct batch {
	struct batch_case *cases;
	size_t count;
	bool with_roots;
	char *folder;
};

void batch_start(struct batch *b, size_t count, bool with_roots);
void batch_end(struct batch *b);
void batch_top(char out[MAKE_PATH_SIZE], size_t i);

/* What we say to each case, into taken and error. */
void batch_judge(struct batch *b);

/* What opa says, into engine_takes: to single files, many in one run
 * (`opa eval -d`), or to one case in a run of its own (`opa eval -b`). */
void batch_ask_files(struct batch *b);
void batch_ask_alone(struct batch *b, size_t i);

/* Is there one that both take? */
bool batch_any(const struct batch *b);

/* Builds one bundle of all that we take, signs it, lets opa verify it, and
 * compares what opa answers for it with what it answers for the folder. False:
 * it differs, and text says how. */
bool batch_same(struct batch *b, struct buf *text);

#endif
