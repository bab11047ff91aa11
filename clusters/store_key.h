#ifndef CLUSTERS_STORE_KEY_H
#define CLUSTERS_STORE_KEY_H

/* Signing keys, as the database knows them: which there are, which one a cluster
 * uses, which are retired. Private halves are nowhere near. A cluster that was
 * given no key uses the default, which the configuration says. Writes are steps
 * inside a transaction of the caller's, but for store_note_keys. One thread at a
 * time per store. */

#include "clusters/store_write.h"

struct store_key {
	char id[STORE_KEY_SIZE];
	char kind[STORE_STATE_SIZE]; /* as key_kind_name has it */
	bool present;                /* the keeper has it */
	bool is_default;
	int64_t retired_ms; /* 0: it may sign */
};
/* NOT_FOUND names it. */
enum err_code store_get_key(struct store *s, const char *id,
    struct store_key *out, struct err *e) MUST_CHECK;

/* All keys there are now, as KEEPER_KEYS has them (signing/keeper.h). Those that
 * were there before and are no more stay known. Adds key.add, key.remove and
 * key.use events for what changed since it was called last. */
enum err_code store_put_keys(struct store *s, const json_t *list,
    const char *current, struct err *e) MUST_CHECK;
/* The same when the server starts, with a store of its own. */
enum err_code store_note_keys(const char *data_dir, const json_t *list,
    const char *current, struct err *e) MUST_CHECK;

enum err_code store_retire_key(struct store *s, const char *id, const char *who,
    const char *reason, int64_t at_ms, struct err *e) MUST_CHECK;

/* The key that signs for a cluster; "" when no key is known at all. */
enum err_code store_cluster_key(struct store *s, const char *cluster,
    char out[STORE_KEY_SIZE], struct err *e) MUST_CHECK;
enum err_code store_set_cluster_key(struct store *s, const char *cluster,
    const char *key, const char *who, int64_t at_ms, const char *reason,
    struct err *e) MUST_CHECK;
/* Clusters that were given this key; not those that use it as the default. */
enum err_code store_clusters_of_key(struct store *s, const char *key,
    struct store_names *out, struct err *e) MUST_CHECK;
/* It uses the default from now on. */
enum err_code store_clear_cluster_key(struct store *s, const char *cluster,
    struct err *e) MUST_CHECK;
enum err_code store_default_key(struct store *s, char out[STORE_KEY_SIZE],
    struct err *e) MUST_CHECK; /* CONFLICT: there is none */

/* For people: {"id","kind","algorithm","created_at","public","current",
 * "present","retired_at","retired_by","retired_reason"}, and {"cluster","key"
 * (null: the default), "by","at","reason"} of every cluster. */
enum err_code store_view_keys(struct store *s, json_t **out, struct err *e)
    MUST_CHECK;
enum err_code store_view_cluster_keys(struct store *s, json_t **out,
    struct err *e) MUST_CHECK;

#endif
