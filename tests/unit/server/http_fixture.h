#ifndef TESTS_HTTP_FIXTURE_H
#define TESTS_HTTP_FIXTURE_H

/* A site: the http process over a data folder of its own, with a stand-in for
 * the ledger (`clerk`) at the other end of its pair. The test plays the
 * supervisor. All functions fail the test when something is not as it should
 * be. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "clusters/catalog.h"
#include "clusters/counters.h"
#include "clusters/engines.h"
#include "server/conf/conf.h"

enum { SITE_THREADS_MAX = 4, WIRE_HEAD_SIZE = 4096 };

/* What an answer may take on a busy machine. */
enum { SITE_PATIENCE_MS = 60000 };

struct site {
	char dir[64];
	char *admin; /* tokens */
	char *engine;
	struct conf conf;
	struct counters *counters;
	struct engines *engines;
	struct store *store; /* for writing */
	int listeners[SITE_THREADS_MAX];
	size_t threads;
	size_t files_max; /* RLIMIT_NOFILE of http; 0: as it is */
	int port;
	int ledger[2]; /* [0]: http's end */
	int supervisor[2];
	pid_t http;
	pid_t clerk;
	int heard; /* a byte for each retest that it was told of */
	int64_t serial;
	int64_t at_ms; /* when what is assigned next was; 0: long ago */
	bool held;     /* by an operator, not by following */
	char etag[CATALOG_ETAG_SIZE]; /* of what was assigned last */
};

void site_open(struct site *s, size_t threads);
void site_close(struct site *s);

/* Gives the cluster these bytes as bundle, without telling anybody. */
void site_assign(struct site *s, const char *cluster, const char *bundle,
    const void *data, size_t len);
void site_tell_changed(struct site *s);
void site_tell_restarted(struct site *s, const char *process);

/* Starts the http process. */
void site_start(struct site *s);
/* SIGTERM; returns how long it took, and checks that it ended well. */
int64_t site_stop(struct site *s);

/* The clerk answers: pin with what it was asked, without the token; fetch with
 * 202; rollback with CONFLICT; retest not at all. */
void site_start_clerk(struct site *s);
/* Until it was told of a retest, which it never answers. */
void site_wait_retest(const struct site *s);

/* Requests by hand. */
struct wire_reply {
	int status; /* 0: the connection ended before a reply */
	char head[WIRE_HEAD_SIZE];
	char *body;
	size_t len;
};
void wire_reply_clear(struct wire_reply *r);

int wire_open(const struct site *s);
void wire_send(int fd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Reads one reply; false when none came in time. head: it is one to HEAD. */
bool wire_read(int fd, struct wire_reply *r, int timeout_ms, bool head);
/* The other side closed, and nothing came before. */
bool wire_closed(int fd, int timeout_ms);
/* The value of a header, or NULL. */
const char *wire_header(const struct wire_reply *r, const char *name,
    char out[256]);

/* GET on a new connection. */
void site_get(const struct site *s, const char *token, const char *path,
    struct wire_reply *r);
/* The same with further header lines, each ended by \r\n. */
void site_ask(const struct site *s, const char *method, const char *token,
    const char *path, const char *headers, const char *body,
    struct wire_reply *r);

/* A sample of /metrics. */
double site_metric(const struct site *s, const char *name);
/* Waits until it has this value. */
void site_wait_metric(const struct site *s, const char *name, double value);

#endif
