#ifndef CLUSTERS_SET_H
#define CLUSTERS_SET_H

/* The bundles that a cluster would load together, by content: what the real
 * engine is asked about, once, whichever cluster it is for. Only reads. */

#include "clusters/cluster_set.h"
#include "clusters/store_set.h"

struct set_part {
	const char *bundle;             /* borrowed, as is the next */
	const char *content;            /* its digest */
	char sha256[STORE_DIGEST_SIZE]; /* of the unsigned file */
};

struct set {
	struct set_part *parts; /* sorted by bundle */
	size_t count;
	char digest[STORE_DIGEST_SIZE];
};

/* As the members of a cluster's set are now, which have to outlive it. */
enum err_code set_of(struct set *out, const struct cluster_set *members,
    struct store *s, struct err *e) MUST_CHECK;
void set_clear(struct set *set);
#define AUTO_SET __attribute__((cleanup(set_clear))) struct set

/* [{"bundle","content","sha256"}], the caller's. */
json_t *set_json(const struct set *set);
/* "authz, billing and 3 more", mem_ memory. */
char *set_names(const struct set *set);

#endif
