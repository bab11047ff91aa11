#include "server/http/access_log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/http/request.h"

enum { ACCESS_LOG_LOOK_MS = 100, ACCESS_LOG_END_S = 1 };

struct access_log {
	uint32_t every;
	struct counters *counters;
	pthread_t thread;
	atomic_bool ending;
	char *spare; /* the thread's own */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t there; /* lines, or the end */
	char *lines;
	size_t used;
	uint64_t dropped; /* since that was last told */
};

/* ---- writing ---- */

/* The descriptor is shared with others, so it cannot be made non-blocking; but
 * only this thread waits for it. False: nobody takes it, and the end has come. */
static bool
wait_for_room(const struct access_log *a)
{
	struct pollfd log = { .fd = STDERR_FILENO, .events = POLLOUT };

	while (poll(&log, 1, ACCESS_LOG_LOOK_MS) == 0)
		if (atomic_load(&a->ending))
			return false;
	return true;
}

/* Whole lines that fit in one write(2), so that those of other processes do not
 * get in between. */
static size_t
piece_of(const char *lines, size_t len)
{
	const char *end;

	if (len <= PIPE_BUF)
		return len;
	end = memrchr(lines, '\n', PIPE_BUF);
	assert(end != NULL);
	return (size_t)(end + 1 - lines);
}

static void
write_lines(const struct access_log *a, const char *lines, size_t len)
{
	while (len > 0 && wait_for_room(a)) {
		size_t piece = piece_of(lines, len);
		ssize_t n = write(STDERR_FILENO, lines, piece);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return; /* a log that cannot be written */
		if (n > 0) {
			lines += n;
			len -= (size_t)n;
		}
	}
}

static void
tell_dropped(const struct access_log *a, uint64_t lines)
{
	char line[LOG_LINE_MAX];
	size_t len;

	if (lines == 0)
		return;
	len = log_line(line, LOG_WARN, "http.access_dropped", "lines=%" PRIu64,
	    lines);
	write_lines(a, line, len);
}

/* Waits for lines and takes them; 0: the end. */
static size_t
take(struct access_log *a, uint64_t *dropped)
{
	size_t len;
	char *lines;

	pthread_mutex_lock(&a->lock);
	while (a->used == 0 && !atomic_load(&a->ending))
		pthread_cond_wait(&a->there, &a->lock);
	len = a->used;
	*dropped = a->dropped;
	lines = a->lines;
	a->lines = a->spare;
	a->spare = lines;
	a->used = 0;
	a->dropped = 0;
	pthread_mutex_unlock(&a->lock);
	return len;
}

static void *
work(void *arg)
{
	struct access_log *a = arg;
	uint64_t dropped;
	size_t len;

	while ((len = take(a, &dropped)) > 0) {
		tell_dropped(a, dropped);
		write_lines(a, a->spare, len);
	}
	return NULL;
}

/* ---- making and ending ---- */

enum err_code
access_log_new(struct access_log **out, int64_t every,
    struct counters *counters, struct err *e)
{
	struct access_log *a;
	int result;

	*out = NULL;
	if (every == 0)
		return ERR_OK;
	a = mem_zalloc(sizeof *a);
	a->every = (uint32_t)every;
	a->counters = counters;
	a->lines = mem_alloc(ACCESS_LOG_BUFFER);
	a->spare = mem_alloc(ACCESS_LOG_BUFFER);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->there, NULL);
	result = pthread_create(&a->thread, NULL, work, a);
	if (result == 0) {
		*out = a;
		return ERR_OK;
	}
	mem_free(a->lines);
	mem_free(a->spare);
	mem_free(a);
	errno = result;
	return err_errno(e, "http: a thread for the access log");
}

void
access_log_free(struct access_log *a)
{
	struct timespec end;

	if (a == NULL)
		return;
	pthread_mutex_lock(&a->lock);
	atomic_store(&a->ending, true);
	pthread_cond_signal(&a->there);
	pthread_mutex_unlock(&a->lock);
	(void)clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += ACCESS_LOG_END_S;
	/* Somebody else's line took the last room: it goes with the process. */
	if (pthread_timedjoin_np(a->thread, NULL, &end) != 0)
		return;
	pthread_cond_destroy(&a->there);
	pthread_mutex_destroy(&a->lock);
	mem_free(a->lines);
	mem_free(a->spare);
	mem_free(a);
}

/* ---- lines ---- */

static const char *
or_none(const char *text)
{
	return text != NULL && *text != '\0' ? text : "-";
}

void
access_log_add(struct access_log *a, const struct access_line *l)
{
	char line[LOG_LINE_MAX];
	size_t len = log_line(line, LOG_INFO, "http.access",
	    "method=%s route=%s status=%u bytes=%" PRIu64 " ms=%" PRId64
	    " waited=%s cluster=%s bundle=%s engine=%s end=%s",
	    or_none(l->method), or_none(l->route), l->status, l->bytes, l->ms,
	    l->waited ? "true" : "false", or_none(l->cluster),
	    or_none(l->bundle), or_none(l->engine), or_none(l->end));
	bool room;

	if (len == 0)
		return;
	pthread_mutex_lock(&a->lock);
	room = a->used + len <= ACCESS_LOG_BUFFER;
	if (room) {
		memcpy(a->lines + a->used, line, len);
		a->used += len;
		if (a->used == len)
			pthread_cond_signal(&a->there);
	} else {
		a->dropped++;
	}
	pthread_mutex_unlock(&a->lock);
	counters_add(a->counters,
	    room ? COUNTER_ACCESS_LINES : COUNTER_ACCESS_DROPPED, 1);
}

/* One of so many, without a pattern that requests could have as well. */
static bool
is_chosen(const struct access_log *a)
{
	static _Thread_local uint64_t state;

	while (state == 0)
		if (getrandom(&state, sizeof state, 0) < 0)
			state = (uintptr_t)&state;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return a->every == 1 || (state >> 32) % a->every == 0;
}

/* ---- requests ---- */

void
access_log_begin(struct access_log *a, struct request *r)
{
	if (a == NULL || !is_chosen(a))
		return;
	r->line = mem_zalloc(sizeof *r->line);
	r->line->began_ms = clock_mono_ms();
	(void)snprintf(r->line->method, sizeof r->line->method, "%s",
	    r->method);
}

/* What the path says, else what the credential is for. */
static void
copy_cluster(struct access_line *l, const struct request *r)
{
	const char *cluster = route_named(r->match, "cluster");

	if (cluster == NULL && r->token != NULL)
		cluster = r->token->cluster;
	else if (cluster == NULL && r->match->route->right == ROUTE_ENGINE)
		cluster = r->service->conf->access.anonymous_cluster;
	(void)snprintf(l->cluster, sizeof l->cluster, "%s", or_none(cluster));
}

void
access_log_answered(struct request *r)
{
	struct access_line *l = r->line;
	const char *engine;

	if (l == NULL || r->suspended || r->match->route == NULL)
		return;
	engine = request_header(r, "X-Edict-Engine");
	l->route = r->match->route->pattern;
	copy_cluster(l, r);
	(void)snprintf(l->bundle, sizeof l->bundle, "%s",
	    or_none(route_named(r->match, "bundle")));
	if (engine != NULL && engines_is_name(engine))
		(void)snprintf(l->engine, sizeof l->engine, "%s", engine);
}

void
access_log_end(struct access_log *a, struct request *r, const char *end)
{
	struct access_line *l = r->line;

	if (l == NULL)
		return;
	l->ms = clock_mono_ms() - l->began_ms;
	l->status = r->status;
	l->bytes = r->bytes;
	l->waited = r->waited;
	l->end = end;
	access_log_add(a, l);
	mem_free(l);
	r->line = NULL;
}
