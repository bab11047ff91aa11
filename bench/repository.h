#ifndef BENCH_REPOSITORY_H
#define BENCH_REPOSITORY_H

/* Repositories that are made up, the same each time: policies of about 2 KiB
 * in nested folders, each a package of its own, one data file for every twenty
 * of them; then commits that change one policy each. Packed as a clone is, with
 * a work tree. Ends the program when something fails. */

#include <stdbool.h>
#include <stddef.h>

enum { REPOSITORY_FILES_MAX = 1000000 };

/* tests: with a test for every twenty policies, so that a gate has work. */
void repository_make(const char *dir, size_t files, unsigned int steps,
    bool tests);

#endif
