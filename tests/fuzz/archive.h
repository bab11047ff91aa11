#ifndef TESTS_FUZZ_ARCHIVE_H
#define TESTS_FUZZ_ARCHIVE_H

/* What the two targets that read bundles have in common: one is given the
 * compressed file, the other a tar. */

#include <stddef.h>

/* Reads it, verifies it if it is signed, and packs what was in it anew, which
 * has to read the same. */
void archive_try(const void *data, size_t len);

#endif
