#ifndef POLICIES_FETCH_URL_H
#define POLICIES_FETCH_URL_H

/* What a repository's url says, taken apart as far as we need it. Pure. */

#include <stdbool.h>

#include "core/err.h"

enum fetch_kind { FETCH_LOCAL, FETCH_HTTP, FETCH_HTTPS, FETCH_SSH };

enum { FETCH_URL_MAX = 4096, FETCH_HOST_MAX = 256 };

struct fetch_url {
	enum fetch_kind kind;
	char user[FETCH_HOST_MAX]; /* "" when not said */
	char host[FETCH_HOST_MAX]; /* without brackets; "" when local */
	int port;
};

/* INVALID says why: an unknown scheme, a password in the url, http to another
 * machine, … The text never repeats a password. */
enum err_code fetch_url_read(struct fetch_url *out, const char *url,
    struct err *e) MUST_CHECK;

#endif
