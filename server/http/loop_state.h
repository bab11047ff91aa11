#ifndef SERVER_HTTP_LOOP_STATE_H
#define SERVER_HTTP_LOOP_STATE_H

/* What a serving thread consists of, for the files it is written in, and for no
 * others: loop.c (the loop itself, its messages, its beginning and end),
 * loop_peer.c (connections), loop_linger.c (their end), loop_request.c
 * (requests, as libmicrohttpd tells of them), loop_guard.c (how much one may ask),
 * loop_handshake.c (connections whose TLS session is not there yet),
 * loop_wait.c (requests that wait), loop_look.c (whom a change concerns),
 * loop_answer.c (responses made once). All of it belongs to the loop's own thread, but what the lock guards. */

#include <assert.h>
#include <gnutls/gnutls.h>
#include <sys/queue.h>
#include <uthash.h>

#include "server/http/jwt_known.h"
#include "server/http/limits.h"
#include "server/http/loop.h"
#include "server/http/request.h"
#include "server/http/spread.h"

enum {
	/* A request's headers. Measured: larger pools cost time, because they
	 * are cleared for each request. */
	LOOP_MEMORY = 8192,
	LOOP_INDEX_BITS = 6, /* of the id of a question: whose it is */
	LOOP_TAG_PEER = 1,   /* of a pointer in the epoll set */
	LOOP_TAG_LINGER = 2  /* the same */
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

/* What a connection is at; each has a deadline of its own. */
enum stage {
	STAGE_NONE,    /* it waits for us */
	STAGE_HEADERS, /* nothing came yet, or not all of them */
	STAGE_BODY,
	STAGE_IDLE,   /* as the first, of one that showed a good credential */
	STAGE_ANSWER, /* being sent */
	STAGES
};

/* A connection. */
struct peer {
	TAILQ_ENTRY(peer) link;
	TAILQ_ENTRY(peer) handshake_link;
	struct MHD_Connection *connection;
	int64_t deadline_ms; /* of its stage */
	uint64_t
	    taken; /* bytes when it was last looked at; UINT64_MAX: not yet */
	int fd;
	struct access *access; /* that its TLS session began with */
	TAILQ_ENTRY(peer) row_link;
	struct limits_row *row; /* its address; NULL: no room in the table */
	enum stage stage;
	bool known;   /* loop_peer_known; not in row's list */
	bool ending;  /* shut down */
	bool lingers; /* what it was told should reach it */
	bool used;    /* had a request */
	bool watched; /* by the loop, at some time of its handshake */
	enum handshake handshake;
};
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
	struct peer_list stages[STAGES]; /* by deadline */
	int64_t stage_ms[STAGES];        /* how long each may take */
	int64_t now_ms;                  /* of this turn */
	struct limits *addresses;
	struct limits *credentials; /* of operators */
	uint64_t *good; /* LOOP_GOOD tags of credentials that were good */
	int64_t said_ms[COUNTER_LIMIT_INFLATED - COUNTER_LIMIT_WAITING + 1];
	size_t connections, ending, room;
	size_t refusals; /* by the library, of connections not closed yet */
	bool again;      /* the library has to run once more at once */
	TAILQ_HEAD(parting_list, parting) lingering;
	size_t lingering_count;
	struct peer_list handshakes, shaking; /* tried; waiting */
	uint64_t next_action;
	size_t requests; /* under way */
	size_t fresh;    /* connections that had no request yet */
	bool stopping;
	bool leaving;    /* the same, with all the time that clients take */
	int64_t stop_ms; /* when patience ends */

	pthread_mutex_t lock; /* guards all below */
	struct delivery *inbox;
	bool reset; /* what was asked of the ledger is lost */
	bool stop;
	bool leave;
};

/* ---- loop_peer.c ---- */

void loop_peers_init(struct loop *l); /* connections_max is known */
void loop_peers_clear(struct loop *l);
/* Callback of the daemon; cls is the loop. */
void loop_on_connection(void *cls, struct MHD_Connection *connection,
    void **context, enum MHD_ConnectionNotificationCode code);
struct peer *loop_peer_of(struct MHD_Connection *connection);
int loop_fd_of(struct MHD_Connection *connection);
/* NULL: it is without TLS. */
gnutls_session_t loop_session_of(struct MHD_Connection *connection);
void loop_peer_stage(struct loop *l, struct peer *p, enum stage stage);
/* Milliseconds until somebody's deadline, or -1; ends those who passed it. */
int64_t loop_peers_next(const struct loop *l, int64_t now);
void loop_expire_peers(struct loop *l, int64_t now);
/* Tells its client why, when it can hear (status NULL: nothing), and ends it. */
void loop_peer_end(struct loop *l, struct peer *p, const char *status,
    const char *code, const char *message);
/* It showed a good credential, or needs none. */
void loop_peer_known(struct loop *l, struct peer *p);

/* ---- loop_linger.c ---- */

/* Keeps a copy of a socket that is being closed, until its client is done. */
struct parting;
void loop_linger(struct loop *l, int fd);
void loop_linger_read(struct loop *l, struct parting *g);
int64_t loop_linger_next(const struct loop *l, int64_t now);
void loop_linger_expire(struct loop *l, int64_t now);

/* ---- loop_guard.c ---- */

void loop_guard_init(struct loop *l);
void loop_guard_clear(struct loop *l);

/* ---- loop_request.c ---- */

/* Callbacks of the daemon; cls is the loop. */
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
