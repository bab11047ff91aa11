#ifndef SERVER_HTTP_REQUEST_H
#define SERVER_HTTP_REQUEST_H

/* A request on its way, for the files that answer one (`*_api.c`). A handler
 * runs when the request is complete. It never waits: it ends with a reply
 * (server/http/reply.h), or with the request held (loop_hold) or handed to the
 * ledger (loop_ask), and is then called a second time, when there is something
 * to say. Belongs to the thread of its loop. */

#include <microhttpd.h>
#include <stdbool.h>

#include "core/buf.h"
#include "core/channel.h"
#include "server/http/auth.h"
#include "server/http/loop.h"
#include "server/http/route.h"
#include "server/http/service.h"
#include "server/http/waiters.h"

/* Headers that polls are about. */
enum request_known {
	REQUEST_AUTHORIZATION,
	REQUEST_ENGINE,
	REQUEST_ETAG, /* If-None-Match */
	REQUEST_PREFER,
	REQUEST_AGENT,
	REQUEST_LENGTH,
	REQUEST_ENCODING, /* of the transfer */
	REQUEST_KNOWN
};

struct request {
	struct loop *loop;
	struct MHD_Connection *connection;
	struct peer *peer;
	struct buf *body;                /* NULL: none was sent */
	struct certificate *certificate; /* NULL: none that is good */
	struct jwt_known *jwt;           /* the same; a reference */

	/* Valid while a handler runs. */
	struct service *service;
	const char *method;
	const char *url; /* as it came, without the query */
	/* Values of headers, or NULL; of several the first. */
	const char *known[REQUEST_KNOWN];
	const struct route_match *match;

	/* These live in the catalog of the loop. */
	const struct catalog_token *token; /* NULL: none was given; or it is
	                                    * the certificate's, or the
	                                    * JWT's */
	const struct catalog_entry *entry; /* of a poll that is held */

	/* Waiting: see loop.h. */
	struct waiter waiter;
	int64_t until_ms;      /* how long it waits at most, clock_mono_ms */
	int64_t turn_ms;       /* of a release that is spread; 0: none */
	uint64_t action;       /* the id of what it waits for, or 0 */
	bool asked;            /* the ledger */
	struct message *reply; /* its answer; NULL: none came */
	bool waited;           /* this is the second call */
	bool tried;            /* its credential was looked at */
	bool inflated;         /* the body, which came as gzip */
	bool soon;             /* a 503 that ends within seconds */

	struct engines_ticket ticket; /* of a bundle that is being sent */

	size_t body_max;
	size_t reserved; /* of STATUS_BODIES_MAX, until it is freed */
	size_t received; /* bytes of the body, kept or not */
	bool suspended;
	bool counted;             /* among the polls that are held */
	bool full;                /* there was no room to hold it */
	bool gone;                /* its client went away while it waited */
	bool queued;              /* a reply was queued */
	bool closing;             /* the connection ends with the reply */
	unsigned int status;      /* of the reply */
	int64_t retry_s;          /* of a 429: when to come again */
	uint64_t bytes;           /* of its body */
	int64_t held_ms;          /* since when it was held; wall clock */
	struct access_line *line; /* NULL: it is not logged */
};

/* Fills `known`: before anything else is asked here. */
void request_read_headers(struct request *r);
/* A header of the request, or NULL. */
const char *request_header(const struct request *r, const char *name);

/* A query parameter, decoded into out: NOT_FOUND when it was not given,
 * INVALID when it is not text or does not fit. */
enum err_code request_query(const struct request *r, const char *name,
    char *out, size_t size, struct err *e) MUST_CHECK;

bool request_is_head(const struct request *r);

/* The address it came from, as text without the port: of the proxy, if there
 * is one. */
enum { REQUEST_PEER_SIZE = 64 };
void request_peer(char out[REQUEST_PEER_SIZE], const struct request *r);
/* Where it is, as bytes; returns how many. Costs less than the text. */
enum { REQUEST_ADDRESS_MAX = 16 };
size_t request_address(unsigned char out[REQUEST_ADDRESS_MAX],
    const struct request *r);
size_t request_address_bytes(unsigned char out[REQUEST_ADDRESS_MAX],
    const struct sockaddr *sa); /* NULL is of no length */

#endif
