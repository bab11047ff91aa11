#ifndef CLUSTERS_LEDGER_KEY_H
#define CLUSTERS_LEDGER_KEY_H

/* What admins ask the ledger to do about signing keys; who they are and that
 * they are admins was checked before. Inside the caller's transaction. */

#include <jansson.h>

#include "clusters/store_write.h"

/* key.use: {"key","clusters"|"selector","expect"?,"reason"?} → {"key",
 * "clusters":[{"cluster","previous","changed","waiting"}]}.
 * key.retire: {"key","reason"?,"force"?: bool} → {"key","clusters": those
 * that use the default now}. CONFLICT while a cluster needs it, unless it is
 * forced with a reason; http looks whether engines do. On success the caller
 * owns *body. */
enum err_code ledger_key_use(struct store *s, const struct store_token *who,
    const json_t *payload, json_t **body, struct err *e) MUST_CHECK;
enum err_code ledger_key_retire(struct store *s, const struct store_token *who,
    const json_t *payload, json_t **body, struct err *e) MUST_CHECK;

#endif
