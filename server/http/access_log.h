#ifndef SERVER_HTTP_ACCESS_LOG_H
#define SERVER_HTTP_ACCESS_LOG_H

/* One line per request (`http.access_log`), or for one of so many:
 *   … info http http.access method=GET route=/bundles/{bundle} status=200
 *   bytes=20480 ms=31402 waited=true cluster=prod bundle=authz engine=web-1 end=ok
 * The route is the pattern, so no path or query of a client's is in it; the
 * cluster is the path's or the credential's; the engine is what the request
 * says it is, if that can be a name. What does not apply is "-".
 *
 * Threads that serve only put a line into a buffer; another thread writes it. So
 * a reader of the log that stalls holds up nobody: lines that find no room are
 * dropped and counted, in /metrics and by a line `http.access_dropped lines=N`
 * when there is room again. Any thread, but for new and free. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clusters/counters.h"
#include "core/err.h"

enum { ACCESS_LOG_BUFFER = 256 * 1024, ACCESS_LOG_TEXT = 128 };

struct access_log;
struct request;

/* What is known of a request that is to be logged. */
struct access_line {
	int64_t began_ms; /* monotonic */
	int64_t ms;
	char method[12];
	const char *route;
	char cluster[ACCESS_LOG_TEXT];
	char bundle[ACCESS_LOG_TEXT];
	char engine[ACCESS_LOG_TEXT];
	unsigned int status;
	uint64_t bytes;
	bool waited;
	const char *end;
};

/* Logs one of every requests; 0: none, and *out is NULL then, which all others
 * take as well. Starts a thread. */
enum err_code access_log_new(struct access_log **out, int64_t every,
    struct counters *counters, struct err *e) MUST_CHECK;
/* Writes what is there, unless nobody takes it within a second. */
void access_log_free(struct access_log *a);

void access_log_add(struct access_log *a, const struct access_line *line);

/* ---- for requests, in their loop's thread ---- */

/* It is there; an answer to it was queued; it is over. */
void access_log_begin(struct access_log *a, struct request *r);
void access_log_answered(struct request *r);
void access_log_end(struct access_log *a, struct request *r, const char *end);

#endif
