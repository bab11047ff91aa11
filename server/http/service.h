#ifndef SERVER_HTTP_SERVICE_H
#define SERVER_HTTP_SERVICE_H

/* What the threads of the http process share: the catalog that is served, how
 * fresh it is, and the channel to the ledger. Made by http_main before its
 * threads, written by its control thread, read by the serving ones. */

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "clusters/catalog.h"
#include "clusters/counters.h"
#include "clusters/engines.h"
#include "core/channel.h"
#include "server/conf/conf.h"
#include "server/conf/conf_state.h"
#include "server/http/access.h"

enum {
	SERVICE_BODY_MAX = 64 * 1024,
	SERVICE_BODY_DROPPED = 1 << 20, /* what more is read, unused */
	SERVICE_IDLE_S = 10,            /* a connection without any traffic */
	SERVICE_DRAIN_MS = 3000,        /* for open requests at the end */
	SERVICE_LEAVE_MS = 60000,       /* the same, with a successor there */
	SERVICE_SILENT_MS = 10000, /* after its restart, unless it is heard */
	SERVICE_ACTIONS_MAX = 64,  /* under way at once, per thread */
	SERVICE_LOOPS_MAX = 64,
	SERVICE_FDS_RESERVED = 256 /* for all but connections */
};

struct service {
	const struct conf *conf;
	struct counters *counters;
	struct engines *engines;
	const struct conf_state *state; /* NULL: never changes */
	size_t place;                   /* of its levels among the counters */
	struct channel *ledger;
	struct access_slot access;
	struct shelf *shelf;           /* the bytes of artifacts */
	struct access_log *access_log; /* NULL: none is wanted */
	struct study *study;           /* for what takes long */
	int64_t started_ms;            /* wall clock */
	size_t connections_max;        /* of each thread */
	size_t held_max;               /* polls that wait, in all threads */
	size_t held_each;              /* and in each */
	atomic_size_t bodies;          /* bytes of large ones, under way */
	atomic_size_t held;            /* as many wait now, in all threads */
	atomic_int_fast64_t ledger_silent_ms; /* see service_ledger_silent */

	pthread_mutex_t lock;    /* guards all below */
	struct catalog *catalog; /* NULL: never read yet */
	int64_t catalog_ms;      /* wall clock: when it was last known good */
	char fault[256];         /* why it could not be read again, or "" */
	size_t states[ENGINES_STATES]; /* of all engines, for /metrics */
	int64_t states_ms;             /* as of; monotonic, 0: never */
};

/* A reference to what is served now, or NULL. */
struct catalog *service_catalog(struct service *s);

/* Takes the reference over. */
void service_publish(struct service *s, struct catalog *c);

/* The catalog is as the database says, or (fault not NULL) it cannot be told.
 * True when that is news. */
bool service_note(struct service *s, const char *fault);

/* When the catalog was last known good (wall clock; 0: never). */
int64_t service_good_ms(struct service *s);

/* The ledger died, or did not answer: not ready for ms milliseconds (INT64_MAX:
 * for ever), or until it is heard of again (0). */
void service_ledger_silent(struct service *s, int64_t ms);

/* The reasons why this process is not ready: a JSON array, empty when it is.
 * They name no repository, bundle or cluster. */
json_t *service_reasons(struct service *s);

/* What is wrong and does not keep it from serving: as service_reasons. */
json_t *service_warnings(struct service *s);

/* How the last reading of server.yaml went. */
void service_conf_state(const struct service *s, struct conf_state_view *out);

#endif
