#ifndef TESTS_DAEMON_MANUAL_H
#define TESTS_DAEMON_MANUAL_H

/* docs/json.md as a test reads it: "## NAME" begins what an object holds, a row
 * of its table is "| `key` | list of commit or null | …". */

#include <jansson.h>

struct manual {
	json_t *kinds; /* name → {key → what it holds} */
	json_t *seen;  /* names that were come by */
};

struct manual manual_read(void); /* the caller's: json_decref both */

/* Fails where the value is not what it holds: a key is missing, is not in the
 * manual, or is of another type. path is for the message. */
void manual_check(struct manual *m, const char *holds, const json_t *j,
    const char *path);

#endif
