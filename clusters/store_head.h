#ifndef CLUSTERS_STORE_HEAD_H
#define CLUSTERS_STORE_HEAD_H

/* Signed heads of the audit (signing/head.h): how far it had come at a time, and
 * whether somebody wants another. They are numbered from 1, in the order of their
 * signing. One thread at a time per store. */

#include "clusters/chain.h"
#include "clusters/store.h"

struct store_head {
	struct chain_head at;
	int64_t at_ms; /* when it was signed */
	const char *key, *jws;
};

/* For the ledger, inside its transaction. CONFLICT: the audit has another event
 * at that place, or none. */
enum err_code store_put_head(struct store *s, const struct store_head *h,
    struct err *e) MUST_CHECK;

/* When the last one was signed (0: never), and whether somebody asked for one
 * since then. */
struct store_head_need {
	int64_t last_ms;
	bool asked;
};
enum err_code store_head_need(struct store *s, struct store_head_need *out,
    struct err *e) MUST_CHECK;

/* {"id","seq","hash","at","key","jws"} of those before number `before`, newest
 * first, as docs/api.md has them. */
enum err_code store_list_heads(struct store *s, int64_t before, int64_t limit,
    json_t **out, struct err *e) MUST_CHECK;

/* All of them, oldest first, of a folder that nobody may be serving
 * (store_walk_copy). */
enum err_code store_copy_heads(const char *data_dir, json_t **out,
    struct err *e) MUST_CHECK;

#endif
