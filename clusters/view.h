#ifndef CLUSTERS_VIEW_H
#define CLUSTERS_VIEW_H

/* What the API shows of the store, as docs/api.md describes each object. All
 * are reads: they work on a store opened read-only, and each sees one moment.
 * On success the caller owns *out; on failure it is untouched. NOT_FOUND names
 * what is missing, INVALID says what is wrong with a rev or a cursor. One
 * thread at a time per store. */

#include <jansson.h>

#include "clusters/store_audit.h"

enum { VIEW_LIMIT_MAX = 500, VIEW_LIMIT = 50 };

/* Lists are {"items": […], "next": "…"|null}. */
struct view_page {
	int64_t limit;    /* 1 to VIEW_LIMIT_MAX; 0: VIEW_LIMIT */
	const char *next; /* what an earlier answer gave, or NULL */
};

enum err_code view_repositories(struct store *s, const struct view_page *page,
    json_t **out, struct err *e) MUST_CHECK;
enum err_code view_repository(struct store *s, const char *name, json_t **out,
    struct err *e) MUST_CHECK;

/* The tracked branch's first-parent line, newest first. repository NULL: the
 * only one; INVALID when there are several. */
enum err_code view_commits(struct store *s, const char *repository,
    const struct view_page *page, json_t **out, struct err *e) MUST_CHECK;
enum err_code view_commit(struct store *s, const char *rev, json_t **out,
    struct err *e) MUST_CHECK;

enum err_code view_bundles(struct store *s, const struct view_page *page,
    json_t **out, struct err *e) MUST_CHECK;
enum err_code view_bundle(struct store *s, const char *name, json_t **out,
    struct err *e) MUST_CHECK;
enum err_code view_revisions(struct store *s, const char *bundle,
    const struct view_page *page, json_t **out, struct err *e) MUST_CHECK;
enum err_code view_revision(struct store *s, const char *bundle,
    const char *rev, json_t **out, struct err *e) MUST_CHECK;

/* The artifact of a revision, for downloading it. */
enum err_code view_artifact(struct store *s, const char *bundle,
    const char *rev, struct store_artifact *out, struct err *e) MUST_CHECK;

enum err_code view_clusters(struct store *s, const struct view_page *page,
    json_t **out, struct err *e) MUST_CHECK;
enum err_code view_cluster(struct store *s, const char *name, json_t **out,
    struct err *e) MUST_CHECK;

/* {"assignments": […]} of a bundle, only the named clusters; NULL: all. */
enum err_code view_assignments(struct store *s, const char *bundle,
    const json_t *clusters, json_t **out, struct err *e) MUST_CHECK;

enum err_code view_operation(struct store *s, const char *id, json_t **out,
    struct err *e) MUST_CHECK;
/* {"seq","at","who","peer","kind","subject","detail","previous","hash"}, newest
 * first. */
enum err_code view_audit(struct store *s,
    const struct store_audit_filter *filter, const struct view_page *page,
    json_t **out, struct err *e) MUST_CHECK;

/* {"id","seq","hash","at","key","jws"}: signed heads, newest first. */
enum err_code view_heads(struct store *s, const struct view_page *page,
    json_t **out, struct err *e) MUST_CHECK;

/* What a rev names among the known commits: a full id, a prefix of four digits
 * or more, HEAD or the branch's name, each with ~N behind it, and REPO@ before
 * it. repository NULL: REPO@ or any. NOT_FOUND when nothing known matches:
 * the mirror may still know more (a tag, an old commit); INVALID when several
 * do, or when it is not a rev at all. */
struct view_rev {
	char repository[STORE_NAME_SIZE];
	char commit[STORE_ID_SIZE];
};
enum err_code view_resolve(struct store *s, const char *repository,
    const char *rev, struct view_rev *out, struct err *e) MUST_CHECK;

#endif
