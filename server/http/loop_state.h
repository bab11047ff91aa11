#ifndef SERVER_HTTP_LOOP_STATE_H
#define SERVER_HTTP_LOOP_STATE_H

/* What a serving thread consists of, for the files it is written in, and for no
 * others: loop.c (the loop itself, its messages, its beginning and end),
 * loop_request.c (connections and requests, as libmicrohttpd tells of them),
 * loop_handshake.c (connections whose TLS session is not there yet),
 * loop_wait.c (requests that wait), loop_look.c (whom a change concerns),
 * loop_answer.c (responses made once). All of it belongs to the loop's own
 * thread, but what the lock guards. */

#include <assert.h>
#include <sys/queue.h>
#include <uthash.h>

#include "server/http/jwt_known.h"
#include "server/http/loop.h"
#include "server/http/request.h"
#include "server/http/spread.h"

enum {
	/* A request's headers. Measured: larger pools cost time, because they
	 * are cleared for each request. */
	LOOP_MEMORY = 8192,
	LOOP_INDEX_BITS = 6, /* of the id of a question: whose it is */
	LOOP_TAG_PEER = 1    /* of a pointer in the epoll set */
};
static_assert(SERVICE_LOOPS_MAX == 1 << LOOP_INDEX_BITS, "index bits");

enum handshake {
	HANDSHAKE_NONE,  /* over, or there is none */
	HANDSHAKE_TRIED, /* goes on in the next turn */
	HANDSHAKE_WAITS  /* suspended until something comes */
};

/* The shorter cipher first, with the hash that processors know: a handshake
 * hashes more than it encrypts. */
#define LOOP_TLS_PRIORITIES                                       \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:" \
	"+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM:%SERVER_PRECEDENCE"

/* A connection. */
struct peer {
	TAILQ_ENTRY(peer) link;
	TAILQ_ENTRY(peer) handshake_link;
	struct MHD_Connection *connection;
	int64_t deadline_ms; /* for the whole of its next request */
	int fd;
	struct access *access; /* that its TLS session began with */
	bool reading;          /* in the list */
	bool used;             /* had a request */
	bool watched;          /* by the loop, at some time of its handshake */
	enum handshake handshake;
};
TAILQ_HEAD(peer_list, peer);

struct answer; /* the prepared responses of one artifact */

struct delivery {
	struct message message;
	struct delivery *next;
};

struct loop {
	struct service *service;
	size_t index;
	struct MHD_Daemon *daemon;
	int epoll;
	int wake; /* eventfd */
	pthread_t thread;
	atomic_bool ended;

	/* The thread's own. */
	struct store *store;
	struct catalog *catalog;
	struct access *access;
	struct jwt_memory *jwts;
	struct answer *answers;
	uint64_t answers_as_of; /* shelf_generation */
	struct spread spread;
	struct waiters polls;
	struct waiters actions;
	struct peer_list reading;             /* by deadline */
	struct peer_list handshakes, shaking; /* tried; waiting */
	uint64_t next_action;
	size_t requests; /* under way */
	size_t fresh;    /* connections that had no request yet */
	bool stopping;
	int64_t stop_ms; /* when patience ends */

	pthread_mutex_t lock; /* guards all below */
	struct delivery *inbox;
	bool reset; /* what was asked of the ledger is lost */
	bool stop;
};

/* ---- loop_request.c ---- */

/* Callbacks of the daemon; cls is the loop. */
void loop_on_connection(void *cls, struct MHD_Connection *connection,
    void **context, enum MHD_ConnectionNotificationCode code);
enum MHD_Result loop_on_request(void *cls, struct MHD_Connection *connection,
    const char *url, const char *method, const char *version, const char *data,
    size_t *len, void **context);
void loop_on_completed(void *cls, struct MHD_Connection *connection,
    void **context, enum MHD_RequestTerminationCode code);
void __attribute__((format(printf, 2, 0)))
loop_on_log(void *cls, const char *fmt, va_list ap);
/* Decoding is ours, once the path was split. */
size_t loop_keep_escaped(void *cls, struct MHD_Connection *connection,
    char *text);

int loop_fd_of(struct MHD_Connection *connection);
/* Ends connections whose request did not come in time. */
void loop_expire_peers(struct loop *l, int64_t now);

/* ---- loop_handshake.c ---- */

/* A connection is there; it ends, or is gone. */
void loop_handshake_begin(struct loop *l, struct peer *p);
void loop_handshake_end(struct loop *l, struct peer *p);
/* It is over: a request comes. */
void loop_handshake_over(struct loop *l, struct peer *p);
/* After each turn of the daemon. */
void loop_handshakes_rest(struct loop *l);
/* Its socket has something to say. */
void loop_handshake_resume(struct loop *l, struct peer *p);
void loop_handshakes_resume_all(struct loop *l);

/* ---- loop_wait.c ---- */

struct request *loop_request_of(struct waiter *w);
/* Out of every list, and on with it. */
void loop_resume(struct loop *l, struct request *r);
void loop_resume_all(struct loop *l, struct waiters *list);
void loop_expire_waiters(struct loop *l, int64_t now);

/* ---- loop_look.c ---- */

/* Takes what is served now, and resumes those it changes something for. */
void loop_take_catalog(struct loop *l);
/* Takes what credentials are known by now; who waits with one that is known by
 * something else is asked for it again. */
void loop_take_access(struct loop *l);

/* ---- loop_answer.c ---- */

void loop_clear_answers(struct loop *l);
/* What the shelf holds may have changed. */
void loop_renew_answers(struct loop *l);

#endif
