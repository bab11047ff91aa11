#ifndef POLICIES_JOIN_PRIVATE_H
#define POLICIES_JOIN_PRIVATE_H

/* What the three sides of a join share: the files in its folder. */

#include "policies/join.h"

enum { JOIN_LIST_MAX = 4 << 20 };

#define JOIN_LIST "join"         /* what is joined, a line for each */
#define JOIN_PACK "joined.pack"  /* by the child */
#define JOIN_VERIFIED "verified" /* the same, indexed by us */

#endif
