#ifndef CLUSTERS_LEDGER_ACTION_H
#define CLUSTERS_LEDGER_ACTION_H

/* For the files ledger_*.c that carry out what operators ask for: one action on
 * its way, inside the caller's transaction. Who asks was checked before. */

#include "clusters/ledger_message.h"
#include "clusters/store_write.h"

enum { ACTION_TO_MAX = 512, ACTION_PEER_MAX = 256 };

/* Strings are borrowed from the payload. */
struct action {
	struct store *store;
	const json_t *payload;
	struct store_token who;
	const char *token, *peer, *name; /* of every action */
	const char *reason, *rev, *repository;
	int status; /* what is answered */
	json_t *body;
};

/* format is what the action takes besides token, peer and action, which come
 * first; the rest of the arguments are its names and places. */
enum err_code action_fields(const struct action *a, struct err *e,
    const char *format, ...) MUST_CHECK;
enum err_code action_check_reason(const struct action *a, bool required,
    struct err *e) MUST_CHECK;
/* A rev in at most ACTION_TO_MAX bytes; what is its field. */
enum err_code action_check_rev(const char *what, const char *rev, struct err *e)
    MUST_CHECK;

/* "REPO@REV" without its repository. */
const char *action_plain_rev(const char *rev);

/* Adds an operation, with its event about subject, unless it is about no bundle
 * and the same is under way already; answers with it. What the action itself
 * says (kind, who, reason, time) is filled in here. */
enum err_code action_add_operation(struct action *a,
    struct store_operation_row *row, const char *subject, struct err *e)
    MUST_CHECK;

/* clusters/ledger_release.c: who gets what. */
enum err_code ledger_rollback(struct action *a, struct err *e) MUST_CHECK;
enum err_code ledger_pin(struct action *a, struct err *e) MUST_CHECK;
enum err_code ledger_resume(struct action *a, struct err *e) MUST_CHECK;

/* clusters/ledger_gc.c */
enum err_code ledger_gc(struct action *a, struct err *e) MUST_CHECK;

/* clusters/ledger_orphan.c */
enum err_code ledger_cluster_remove(struct action *a, struct err *e) MUST_CHECK;

#endif
