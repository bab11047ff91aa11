#ifndef CLUSTERS_STORE_VIEW_H
#define CLUSTERS_STORE_VIEW_H

/* Rows for clusters/view.c, as arrays of flat objects that it shapes. A name
 * that is NULL is any; `after` is the last name of the page before. */

#include "clusters/store.h"

enum err_code store_view_repositories(struct store *s, const char *name,
    const char *after, int64_t limit, json_t **out, struct err *e) MUST_CHECK;

/* Along the first parents from a commit on, that one included. */
enum err_code store_view_line(struct store *s, const char *repository,
    const char *from, int64_t limit, json_t **out, struct err *e) MUST_CHECK;
enum err_code store_view_runs_in(struct store *s, const char *repository,
    const char *commit, json_t **out, struct err *e) MUST_CHECK;
/* Whole reports, newest first. */
enum err_code store_view_verdicts(struct store *s, const char *repository,
    const char *commit, json_t **out, struct err *e) MUST_CHECK;

enum err_code store_view_bundles(struct store *s, const char *name,
    const char *after, int64_t limit, json_t **out, struct err *e) MUST_CHECK;
/* Newest first, those older than revision `after`. */
enum err_code store_view_revisions(struct store *s, const char *bundle,
    const char *after, int64_t limit, json_t **out, struct err *e) MUST_CHECK;
enum err_code store_view_revision(struct store *s, const char *bundle,
    const char *commit, json_t **out, struct err *e) MUST_CHECK;
enum err_code store_view_commit_revisions(struct store *s,
    const char *repository, const char *commit, json_t **out, struct err *e)
    MUST_CHECK;

enum err_code store_view_clusters(struct store *s, const char *name,
    const char *after, int64_t limit, json_t **out, struct err *e) MUST_CHECK;
/* Of a cluster (bundle NULL: all of them), or of a bundle everywhere. */
enum err_code store_view_assignments(struct store *s, const char *cluster,
    const char *bundle, json_t **out, struct err *e) MUST_CHECK;
enum err_code store_view_quarantine(struct store *s, const char *cluster,
    const char *bundle, json_t **out, struct err *e) MUST_CHECK;

enum err_code store_view_operation(struct store *s, int64_t id, json_t **out,
    struct err *e) MUST_CHECK;

/* For clusters/catalog.c: {"cluster","bundle","revision","sha256","size",
 * "serial","content","decided_ms","at_ms"} of every assignment (at_ms: where it
 * came by following, else 0), {"bundle","content","sha256"} of
 * every artifact with the content of one, and {"digest","name","role",
 * "clusters","bundles","expires_ms"} of every token that is not revoked. */
enum err_code store_view_served(struct store *s, json_t **out, struct err *e)
    MUST_CHECK;
enum err_code store_view_variants(struct store *s, json_t **out, struct err *e)
    MUST_CHECK;
enum err_code store_view_tokens(struct store *s, json_t **out, struct err *e)
    MUST_CHECK;

/* For people: the same, with what became of them at this time; those after the
 * token with this digest, sorted by name. */
enum err_code store_view_token_list(struct store *s, const char *after,
    int64_t now_ms, int64_t limit, json_t **out, struct err *e) MUST_CHECK;

/* {"sha256","bundle","revision","key"} of the artifact whose SHA-256 begins so; at
 * most one row. */
enum err_code store_view_artifact(struct store *s, const char *prefix,
    json_t **out, struct err *e) MUST_CHECK;

/* {"cluster","name","seen_ms","facts"} of engines after this one, sorted by
 * cluster and name. */
enum err_code store_view_engines(struct store *s, const char *cluster,
    const char *name, int64_t limit, json_t **out, struct err *e) MUST_CHECK;

/* For revs: {"repository","commit"} of commits whose id starts so, or that
 * repositories follow under this branch's name; at most two rows. */
enum err_code store_view_prefix(struct store *s, const char *repository,
    const char *prefix, json_t **out, struct err *e) MUST_CHECK;
enum err_code store_view_branch(struct store *s, const char *repository,
    const char *branch, json_t **out, struct err *e) MUST_CHECK;
/* The commit n steps up the first parents; NOT_FOUND without a text. */
enum err_code store_view_above(struct store *s, const char *repository,
    const char *commit, int64_t n, char out[STORE_ID_SIZE], struct err *e)
    MUST_CHECK;

#endif
