#ifndef SERVER_HTTP_ROUTE_H
#define SERVER_HTTP_ROUTE_H

/* Which handler a request is for: a table of methods and patterns, the right
 * each needs, and the query parameters it takes. A pattern is literal segments
 * and {names}; what fills a name is decoded once, here, and checked for its
 * kind: {bundle}, {cluster}, {repo} and {token} are names as spec_is_name has them,
 * {id} is a number, {key} a signing key's id, {rev} and {partition} any text. What cannot be a name names nothing, so it
 * is not found. Pure; any thread. */

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

enum route_right {
	ROUTE_ANYONE,
	ROUTE_ENGINE, /* an engine, an admin, or the anonymous cluster's */
	ROUTE_VIEWER, /* any operator, limited to what it may see */
	ROUTE_WHOLE_VIEWER,   /* one without limits */
	ROUTE_RELEASER,       /* may act on what lies within its limits */
	ROUTE_WHOLE_RELEASER, /* one without limits */
	ROUTE_ADMIN
};

enum {
	ROUTE_PARAMS_MAX = 2,
	ROUTE_PARAM_SIZE = 256, /* decoded, with its NUL */
	ROUTE_PATH_MAX = 2048,
	ROUTE_ALLOW_SIZE = 32
};

struct request;

struct route {
	const char
	    *method; /* "GET" (which stands for HEAD too), "POST", "DELETE" */
	const char *pattern; /* NULL ends the table */
	enum route_right right;
	void (*handler)(struct request *r);
	const char *query;  /* parameters it takes: "limit next", or NULL */
	const char *action; /* of POST and DELETE: what the ledger is asked */
};

struct route_match {
	const struct route *route;
	struct {
		const char *name; /* "bundle}…": as in the pattern, unended */
		char value[ROUTE_PARAM_SIZE];
	} params[ROUTE_PARAMS_MAX];
	size_t param_count;
	char allow[ROUTE_ALLOW_SIZE]; /* for ROUTE_OTHER_METHOD: the header */
};

enum route_result {
	ROUTE_FOUND,
	ROUTE_NOT_FOUND,
	ROUTE_OTHER_METHOD, /* the path is right: 405 */
	ROUTE_MALFORMED,    /* the path is no path: 400 */
	ROUTE_TOO_LONG      /* 414 */
};

/* path is as it came, without its query. */
enum route_result route_find(struct route_match *out, const struct route *table,
    const char *method, const char *path);

/* The decoded parameter of this name; asking for one that the pattern has not
 * is a programming error. */
const char *route_param(const struct route_match *m, const char *name);

/* The same, or NULL where the pattern has not. */
const char *route_named(const struct route_match *m, const char *name);

/* Does this route take the query parameter? */
bool route_takes(const struct route *route, const char *parameter);

/* Percent-decoding that accepts only UTF-8 without control characters: false
 * when in is anything else, or does not fit. */
bool route_decode(char *out, size_t size, const char *in, size_t len);

#endif
