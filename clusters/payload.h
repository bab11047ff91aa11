#ifndef CLUSTERS_PAYLOAD_H
#define CLUSTERS_PAYLOAD_H

/* What reading the JSON of messages and rows takes besides jansson. Any
 * thread. */

#include <jansson.h>

#include "core/err.h"

/* The text at key, or NULL. Lives as long as the object. */
const char *payload_text(const json_t *object, const char *key);

/* jansson's reading functions and macros want what they only read without its
 * const. */
json_t *payload_unconst(const json_t *j);

/* ERR_INVALID: "<what>: <why json_unpack_ex failed>". */
enum err_code payload_error(const json_error_t *why, const char *what,
    struct err *e) MUST_CHECK;

/* A `json_t *` that is let go at scope end. */
#define AUTO_JSON __attribute__((cleanup(payload_auto_json))) json_t *
static inline __attribute__((unused)) void
payload_auto_json(json_t **j)
{
	json_decref(*j);
}

#endif
