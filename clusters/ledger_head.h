#ifndef CLUSTERS_LEDGER_HEAD_H
#define CLUSTERS_LEDGER_HEAD_H

/* Signed heads of the audit: an admin asks for one, which is an event; the
 * pipeline, which alone reaches the keeper, has it signed and hands it in
 * (ledger_head of clusters/ledger_message.h). That is an event, too, so that no
 * head can be taken out without a trace. */

#include <jansson.h>

#include "clusters/store_write.h"

enum { LEDGER_HEAD_JWS_MAX = 8 * 1024 };

/* audit.sign: {"reason"?} → {"seq","hash"}: what the head that is signed next
 * covers at least. Inside the caller's transaction; on success the caller owns
 * *body. */
enum err_code ledger_head_ask(struct store *s, const struct store_token *who,
    const json_t *payload, json_t **body, struct err *e) MUST_CHECK;

#endif
