#ifndef CLUSTERS_LEDGER_TOKEN_H
#define CLUSTERS_LEDGER_TOKEN_H

/* What admins ask the ledger to do about tokens; who they are and that they are
 * admins was checked before. Inside the caller's transaction. */

#include <jansson.h>

#include "clusters/store_write.h"

/* token.create: {"name","role","clusters"?,"bundles"?,"expires_in"?: seconds,
 * "reason"?} → the token with its text, which is shown this once; token.revoke:
 * {"name","reason"?} → {"name"}. On success the caller owns *body. */
enum err_code ledger_token_create(struct store *s,
    const struct store_token *who, const json_t *payload, json_t **body,
    struct err *e) MUST_CHECK;
enum err_code ledger_token_revoke(struct store *s,
    const struct store_token *who, const json_t *payload, json_t **body,
    struct err *e) MUST_CHECK;

#endif
