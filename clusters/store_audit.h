#ifndef CLUSTERS_STORE_AUDIT_H
#define CLUSTERS_STORE_AUDIT_H

/* Reading and checking the audit (clusters/chain.h). Adding to it is for the
 * ledger: clusters/store_write.h. One thread at a time per store. */

#include "clusters/chain.h"
#include "clusters/store.h"

/* {0}: there is no event yet. */
enum err_code store_audit_head(struct store *s, struct chain_head *out,
    struct err *e) MUST_CHECK;

/* All of it through c, whose known may be set before; CORRUPT names the first
 * event that does not fit. */
enum err_code store_walk_audit(struct store *s, struct chain *c, struct err *e)
    MUST_CHECK;

/* The same for the database of a folder that nobody may be serving: a stopped
 * server's, or a copy. Nothing is written. */
enum err_code store_walk_copy(const char *data_dir, struct chain *c,
    struct err *e) MUST_CHECK;

/* Which events to show; NULL (since_ms 0): all. kind is one of a group with it
 * ("token" finds token.create). subject is one with it as a part: a cluster, a
 * bundle, a repository, a commit. commit is a full id: one that is about it, or
 * that names it in its detail, as what moved something there or away does. */
struct store_audit_filter {
	const char *kind, *who, *subject, *commit;
	int64_t since_ms;
};

/* Events before number `before`, newest first, as docs/api.md has them. */
enum err_code store_list_audit(struct store *s,
    const struct store_audit_filter *f, int64_t before, int64_t limit,
    json_t **out, struct err *e) MUST_CHECK;

#endif
