#ifndef CLUSTERS_PAYLOAD_H
#define CLUSTERS_PAYLOAD_H

/* Reading the JSON of messages with jansson. Any thread. */

#include <jansson.h>

#include "core/err.h"

/* jansson's reading functions and macros want what they only read without its
 * const. */
json_t *payload_unconst(const json_t *j);

/* ERR_INVALID: "<what>: <why json_unpack_ex failed>". */
enum err_code payload_error(const json_error_t *why, const char *what,
    struct err *e) MUST_CHECK;

#endif
