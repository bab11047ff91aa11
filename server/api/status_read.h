#ifndef SERVER_API_STATUS_READ_H
#define SERVER_API_STATUS_READ_H

/* Reads what engines send of themselves: status reports and decision logs.
 * Anything may stand in them; what is not as OPA writes it reads as not there.
 * Pure; any thread. */

#include <jansson.h>

#include "clusters/engines.h"
#include "core/err.h"

enum { STATUS_LABEL_MAX = 128 };

/* Engines send numbers as large as they like (the Go runtime's memory limit is
 * one), and NUL bytes. UNSUPPORTED: JSON that cannot be held, which is no fault
 * of theirs. INVALID: no JSON. On success the caller owns *out. */
enum err_code status_read_json(json_t **out, const char *data, size_t len,
    struct err *e) MUST_CHECK;

/* labels.version and labels.id, or NULL. */
const char *status_version(const json_t *status);
const char *status_label(const json_t *status);

/* Why a bundle was not activated; the code is "" when all is well. */
void status_error(struct engines_report *out, const json_t *bundle,
    int64_t now_ms);
/* Plugins that are not OK, and what is wrong with discovery, in one text. */
void status_plugins(struct engines_report *out, const json_t *status,
    int64_t now_ms);

/* The revision a decision was made by: "several" when its bundles have
 * different ones, "none" when it says nothing. */
const char *status_revision(const json_t *decision);

#endif
