#ifndef CORE_SPEC_DIFF_H
#define CORE_SPEC_DIFF_H

/* How two structs that were read by the same table (core/spec.h) differ. Pure. */

#include "core/spec.h"

/* path is "http.wait_max", "repositories.NAME" for a member of a map that is in
 * one of them alone or differs, "access.jwt" for a list. s is its row, of the
 * map or list as a whole; a and b are its fields. */
typedef void spec_diff_visit(void *arg, const char *path, const struct spec *s,
    const void *a, const void *b);

/* Calls visit for each that differs, in the order of the table. Settings of the
 * kinds VALUE and CUSTOM are not compared: no table with one may come here. */
void spec_diff(const struct spec *table, const void *a, const void *b,
    spec_diff_visit *visit, void *arg);

#endif
