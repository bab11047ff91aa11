#ifndef SERVER_CLI_CLIENT_H
#define SERVER_CLI_CLIENT_H

/* How commands talk to a server: over its HTTP API, like anybody else. The
 * server is --server or EDICT_SERVER with --token-file or EDICT_TOKEN; on its
 * own machine, --data-dir (or EDICT_DATA_DIR, or /var/lib/edict) tells both.
 * One thread. */

#include <jansson.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "server/cli/cli.h"

enum {
	CLIENT_ANSWER_MAX = 64 << 20,
	CLIENT_TIMEOUT_MS = 60000,
	CLIENT_OPERATION_MS = 15 * 60 * 1000
};

/* To be put into the option tables of commands that talk to a server. */
#define CLIENT_ACCESS_OPTIONS                                              \
	{ "token-file", 0, "FILE",                                         \
		"admin or operator token; or EDICT_TOKEN" },               \
	    { "ca-file", 0, "FILE", "certificate authorities for https" }, \
	{                                                                  \
		"json", 0, NULL,                                           \
		    "print what the server answered, for machines"         \
	}
#define CLIENT_OPTIONS                                           \
	{ "server", 0, "URL", "the server; or EDICT_SERVER" },   \
	    { "data-dir", 0, "DIR",                              \
		    "on the server's own machine: its folder" }, \
	    CLIENT_ACCESS_OPTIONS

struct client;

/* ERR_NOT_FOUND says how to name a server. */
enum err_code client_open(struct client **out, const struct cli_args *a,
    struct err *e) MUST_CHECK;
void client_free(struct client *c);
AUTO_FREE(client)

const char *client_url(const struct client *c);
/* As engines reach the server: on its own machine `url` of server.yaml, else
 * client_url. */
const char *client_public_url(const struct client *c);

/* path is below /v1 and begins with a slash. body NULL: GET. On success the
 * caller owns *out. Errors carry the server's own words. status may be NULL. */
enum err_code client_call(struct client *c, const char *method,
    const char *path, const json_t *body, json_t **out, long *status,
    struct err *e) MUST_CHECK;

/* All items of a list, page by page, up to max. */
enum err_code client_list(struct client *c, const char *path, size_t max,
    json_t **out, struct err *e) MUST_CHECK;

/* Follows an operation to its end, with progress on a terminal; on success
 * *out is the operation, done. One that failed is its error. */
enum err_code client_await(struct client *c, const json_t *operation,
    json_t **out, struct err *e) MUST_CHECK;

/* One segment of a path, percent-encoded; mem_ memory. */
char *client_segment(const char *text);

/* "edict COMMAND: text" on stderr; returns 1. */
int client_fail(const struct cli_args *a, const struct err *e);

/* Prints JSON for machines; returns 0. */
int client_print_json(const json_t *j);

#endif
