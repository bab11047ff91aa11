#ifndef CLUSTERS_CLUSTER_SET_H
#define CLUSTERS_CLUSTER_SET_H

/* The bundles of one cluster while they change together: loaded, changed in
 * memory, checked as the set that its engines would load, and only then saved.
 * Inside a transaction of the caller's. */

#include "clusters/assign.h"
#include "clusters/store_write.h"

struct cluster_member {
	struct assignment old, now; /* old has serial 0 for a new one */
	enum assign_event event;    /* ASSIGN_EVENTS: nothing was done */
	enum assign_step step;
	bool absent;   /* a new one that could not be assigned */
	json_t *roots; /* of now; loaded when the set is checked */
	const char **root_texts;
};

struct cluster_set {
	char cluster[STORE_NAME_SIZE];
	struct cluster_member *members; /* sorted by bundle, new ones last */
	size_t count;
	bool trial;     /* to see what would be: nothing of it is logged */
	bool unchecked; /* it moves though the engine could not be asked */
};

enum err_code cluster_set_load(struct cluster_set *out, struct store *s,
    const char *cluster, struct err *e) MUST_CHECK;
void cluster_set_clear(struct cluster_set *set);
struct cluster_member *cluster_set_find(struct cluster_set *set,
    const char *bundle); /* or NULL */

/* Everything that follows goes to the newest it may have, and bundles that the
 * cluster newly has are assigned. What does not fit the set stays as it was,
 * blocked. */
enum err_code cluster_set_follow(struct cluster_set *set, struct store *s,
    const struct assign_who *who, struct err *e) MUST_CHECK;

/* One bundle follows again; the same rules, when cluster_set_settle is called
 * after all that are to be resumed. One that was forced goes to the newest that
 * passed, even if that is older. */
enum err_code cluster_set_resume(struct cluster_set *set, struct store *s,
    const char *bundle, const struct assign_who *who, struct err *e) MUST_CHECK;
enum err_code cluster_set_settle(struct cluster_set *set, struct store *s,
    struct err *e) MUST_CHECK;

/* One bundle to this target, and held there. After all that go together,
 * cluster_set_check: CONFLICT names both bundles when they do not fit. */
enum err_code cluster_set_rollback(struct cluster_set *set, const char *bundle,
    const struct assign_target *t, const struct assign_who *who, struct err *e)
    MUST_CHECK;
enum err_code cluster_set_check(struct cluster_set *set, struct store *s,
    struct err *e) MUST_CHECK;

/* Writes what changed, with an audit event for each move. peer is where the
 * request came from. Appends {"cluster","bundle","revision","serial"} for each
 * that engines see move. */
enum err_code cluster_set_save(const struct cluster_set *set, struct store *s,
    const char *peer, json_t *assigned, struct err *e) MUST_CHECK;

#endif
