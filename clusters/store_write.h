#ifndef CLUSTERS_STORE_WRITE_H
#define CLUSTERS_STORE_WRITE_H

/* What the ledger writes, and the finer reads its decisions need. All but
 * store_make_tokens are steps inside a transaction of the caller's: begin,
 * steps, commit; after any error, rollback. Nothing here decides: that is for
 * assign.c and cluster.c. */

#include "clusters/assign.h"
#include "clusters/scope.h"
#include "clusters/store.h"

enum err_code store_begin(struct store *s, struct err *e) MUST_CHECK;
/* After an error nothing of the transaction is left. */
enum err_code store_commit(struct store *s, struct err *e) MUST_CHECK;
void store_rollback(struct store *s); /* also when there is none */
/* Part of a transaction that can be undone alone; not nested. */
enum err_code store_savepoint(struct store *s, struct err *e) MUST_CHECK;
enum err_code store_savepoint_keep(struct store *s, struct err *e) MUST_CHECK;
enum err_code store_savepoint_undo(struct store *s, struct err *e) MUST_CHECK;
int64_t store_changes(struct store *s); /* rows changed since opening */

/* Repositories and commits. */
struct store_repository_row {
	const char *name, *url, *branch, *state, *head, *followed, *last_error;
	const char *engine, *sandbox;
	const json_t *alarm; /* or NULL */
	int64_t line, last_fetch_ms, last_success_ms;
};
enum err_code store_put_repository(struct store *s,
    const struct store_repository_row *r, struct err *e) MUST_CHECK;
/* A line that commits are on is the one that is followed now. */
enum err_code store_raise_line(struct store *s, const char *repository,
    int64_t line, struct err *e) MUST_CHECK;
enum err_code store_set_suspended(struct store *s, const char *repository,
    bool suspended, struct err *e) MUST_CHECK;

struct store_commit_row {
	const char *repository, *id, *parent, *tree, *author, *subject;
	int64_t line, depth, author_ms, commit_ms;
};
/* A commit that is known already only takes the later line. */
enum err_code store_put_commit(struct store *s,
    const struct store_commit_row *c, struct err *e) MUST_CHECK;
enum err_code store_mark_published(struct store *s, const char *repository,
    const char *commit, int64_t at_ms, struct err *e) MUST_CHECK;
enum err_code store_is_published(struct store *s, const char *repository,
    const char *commit, bool *out, struct err *e) MUST_CHECK;
/* Is there no passing commit of this line deeper than depth? */
enum err_code store_newest_passing(struct store *s, const char *repository,
    int64_t line, int64_t depth, bool *out, struct err *e) MUST_CHECK;
/* Is a on the first-parent line of b? Both in this repository. */
enum err_code store_is_ancestor(struct store *s, const char *repository,
    const char *a, const char *b, bool *out, struct err *e) MUST_CHECK;

/* Verdicts. summary is what lists show, report all of it. The same report a
 * second time in a row gives the id of the first. All are kept; which one counts
 * says store_newest_verdict. */
enum err_code store_put_verdict(struct store *s, const char *repository,
    const char *commit, const char *identity, const char *state,
    const json_t *summary, const json_t *report, int64_t at_ms, int64_t *id,
    bool *added, struct err *e) MUST_CHECK;

/* Bundles and what there is of them. */
struct store_owner {
	char repository[STORE_NAME_SIZE];
	bool orphan;
};
enum err_code store_bundle_owner(struct store *s, const char *bundle,
    struct store_owner *out, struct err *e) MUST_CHECK;
enum err_code store_put_bundle(struct store *s, const char *bundle,
    const char *repository, bool orphan, struct err *e) MUST_CHECK;
/* Marks all bundles of a repository; those that are still there are put back
 * by store_put_bundle. */
enum err_code store_orphan_bundles(struct store *s, const char *repository,
    struct err *e) MUST_CHECK;

struct store_revision_row {
	const char *bundle, *repository, *commit, *content;
	const char *artifact; /* SHA-256, or NULL */
	const json_t *roots;
	int64_t unpacked, rego_version, published_ms;
};
enum err_code store_put_revision(struct store *s,
    const struct store_revision_row *r, struct err *e) MUST_CHECK;
enum err_code store_put_artifact(struct store *s,
    const struct store_artifact *a, int64_t at_ms, struct err *e) MUST_CHECK;
/* NOT_FOUND: that commit has no such bundle. */
enum err_code store_revision_content(struct store *s, const char *bundle,
    const char *commit, char out[STORE_DIGEST_SIZE], struct err *e) MUST_CHECK;
enum err_code store_content_roots(struct store *s, const char *bundle,
    const char *content, json_t **out, struct err *e) MUST_CHECK;

/* Passing, published revisions of a bundle on its repository's line, deepest
 * first; only commit, content and place are filled in. */
struct store_targets {
	struct assign_target *items;
	size_t count;
};
enum err_code store_passing_revisions(struct store *s, const char *bundle,
    size_t limit, size_t skip, struct store_targets *out, struct err *e)
    MUST_CHECK;
void store_targets_clear(struct store_targets *t);

/* Clusters. */
enum err_code store_cluster_owner(struct store *s, const char *cluster,
    struct store_owner *out, struct err *e) MUST_CHECK;
enum err_code store_put_cluster(struct store *s, const char *cluster,
    const char *repository, const json_t *labels, struct err *e) MUST_CHECK;
enum err_code store_orphan_clusters(struct store *s, const char *repository,
    struct err *e) MUST_CHECK;
enum err_code store_clear_members(struct store *s, const char *cluster,
    struct err *e) MUST_CHECK;
enum err_code store_add_member(struct store *s, const char *cluster,
    const char *bundle, struct err *e) MUST_CHECK;

struct store_names {
	char (*names)[STORE_NAME_SIZE];
	size_t count;
};
void store_names_clear(struct store_names *n);
/* Clusters of this repository, and those that have or shall have a bundle of
 * it. */
enum err_code store_clusters_touched(struct store *s, const char *repository,
    struct store_names *out, struct err *e) MUST_CHECK;
/* Bundles that a cluster shall have: known, not orphaned, not assigned. */
enum err_code store_members_missing(struct store *s, const char *cluster,
    struct store_names *out, struct err *e) MUST_CHECK;
/* Does the definition still give this cluster this bundle? */
enum err_code store_is_member(struct store *s, const char *cluster,
    const char *bundle, bool *out, struct err *e) MUST_CHECK;

/* Assignments, sorted by cluster and bundle; either may be NULL for all. */
struct store_assignments {
	struct assignment *items;
	size_t count;
};
enum err_code store_assignments(struct store *s, const char *cluster,
    const char *bundle, struct store_assignments *out, struct err *e)
    MUST_CHECK;
void store_assignments_clear(struct store_assignments *a);
enum err_code store_put_assignment(struct store *s, const struct assignment *a,
    struct err *e) MUST_CHECK;

/* Operations. */
struct store_operation_row {
	const char *kind, *repository, *bundle, *to, *resolved, *who, *reason;
	const json_t *bundles, *clusters, *expect; /* or NULL */
	bool until_next, forced;
	int64_t created_ms;
};
enum err_code store_add_operation(struct store *s,
    const struct store_operation_row *o, int64_t *id, struct err *e) MUST_CHECK;
/* An open one that asks for the same; NOT_FOUND: none. To accept another tip is
 * not the same. */
enum err_code store_open_operation(struct store *s,
    const struct store_operation_row *o, int64_t *id, struct err *e) MUST_CHECK;
struct store_operation_full {
	struct store_operation op;
	char repository[STORE_NAME_SIZE];
	char *who, *reason;
	json_t *bundles; /* NULL: op.bundle alone */
	json_t *clusters, *expect;
	bool until_next;
	int64_t after_event; /* the last when it was asked for; 0: unknown */
};
enum err_code store_get_operation(struct store *s, int64_t id,
    struct store_operation_full *out, struct err *e) MUST_CHECK;
void store_operation_full_clear(struct store_operation_full *o);
/* What is NULL stays as it was. finished_ms 0: it is not finished. */
struct store_progress {
	const char *state, *progress, *resolved;
	const json_t *error, *assignments, *result;
	int64_t finished_ms;
};
enum err_code store_progress_operation(struct store *s, int64_t id,
    const struct store_progress *p, struct err *e) MUST_CHECK;

/* What is remembered of engines. */
struct store_engine_row {
	const char *cluster, *name;
	const json_t *facts;
	int64_t seen_ms;
};
enum err_code store_put_engine(struct store *s,
    const struct store_engine_row *r, struct err *e) MUST_CHECK;
enum err_code store_has_engine(struct store *s, const char *cluster,
    const char *name, bool *out, struct err *e) MUST_CHECK;
enum err_code store_count_engines(struct store *s, int64_t *out, struct err *e)
    MUST_CHECK;
enum err_code store_forget_engines(struct store *s, int64_t before_ms,
    struct err *e) MUST_CHECK;

/* Tokens, when the server starts; not when the ledger does. At the first start
 * makes the admin's and the engines' token and writes data_dir/admin-token and
 * engine-token (0600). Later, where a file is missing or holds no valid token of
 * its role, makes one more and writes the file; those before stay valid, for
 * whoever has them. A file that was emptied means that nobody shall: all before
 * are revoked. DENIED: others may read the file. */
enum err_code store_make_tokens(struct store *s, const char *data_dir,
    struct err *e) MUST_CHECK;
/* Whose token is this? DENIED: nobody's, expired, or revoked. *out is to be
 * cleared; clusters and bundles are NULL where they limit nothing. */
struct store_token {
	char name[STORE_NAME_SIZE];
	enum scope_role role;
	bool admin; /* that role */
	json_t *clusters, *bundles;
};
enum err_code store_check_token(struct store *s, const char *token,
    struct store_token *out, struct err *e) MUST_CHECK;
void store_token_clear(struct store_token *t);

/* Makes a token, whose text is in secret and nowhere else. CONFLICT: a live one
 * has that name. LIMIT: there are STORE_TOKENS_MAX. */
enum { STORE_TOKEN_SIZE = 64, STORE_TOKENS_MAX = 10000 };
struct store_token_row {
	const char *name, *by;
	enum scope_role role;
	const json_t *clusters, *bundles; /* NULL: no limit */
	int64_t expires_ms;               /* 0: never */
};
enum err_code store_create_token(struct store *s,
    const struct store_token_row *row, char secret[STORE_TOKEN_SIZE],
    struct err *e) MUST_CHECK;
/* All that have this name. NOT_FOUND: none. CONFLICT: nobody could administer
 * the server any more. */
enum err_code store_revoke_token(struct store *s, const char *name,
    struct err *e) MUST_CHECK;

/* Adds to the chain: each event's hash covers the one before. */
struct store_event {
	const char *who, *peer, *kind, *subject;
	const json_t *detail; /* NULL: {} */
};
enum err_code store_add_event(struct store *s, const struct store_event *v,
    struct err *e) MUST_CHECK;
/* The clusters, as texts, where an operator moved, pinned or resumed this bundle
 * by a request of their own after that event; what an operation carries out was
 * asked for earlier and does not count. The caller owns *out. */
enum err_code store_clusters_decided(struct store *s, const char *bundle,
    int64_t after_event, json_t **out, struct err *e) MUST_CHECK;
/* CORRUPT names the first event that does not fit the chain. */
enum err_code store_verify_audit(struct store *s, struct err *e) MUST_CHECK;

#endif
