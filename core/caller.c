#include "core/caller.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/random.h>
#include <time.h>

#include "core/clock.h"
#include "core/mem.h"

struct waiter {
	uint64_t id;
	uint32_t kind; /* of the reply */
	bool done;
	bool reset;
	struct message reply; /* when done */
	pthread_cond_t changed;
	struct waiter *next;
};

struct caller {
	struct channel *channel;
	pthread_mutex_t lock; /* guards waiters and next_id */
	struct waiter *waiters;
	uint64_t next_id;
};

struct caller *
caller_new(struct channel *c)
{
	struct caller *k = mem_zalloc(sizeof *k);
	int result = pthread_mutex_init(&k->lock, NULL);
	ssize_t got;

	assert(result == 0);
	k->channel = c;
	/* The pair outlives its processes: replies meant for the process that
	 * ran here before must not fit requests of this one. */
	got = getrandom(&k->next_id, sizeof k->next_id, 0);
	assert(got == (ssize_t)sizeof k->next_id);
	return k;
}

void
caller_free(struct caller *k)
{
	if (k == NULL)
		return;
	assert(k->waiters == NULL);
	pthread_mutex_destroy(&k->lock);
	mem_free(k);
}

static void
waiter_begin(struct caller *k, struct waiter *w)
{
	pthread_condattr_t attr;
	int result = pthread_condattr_init(&attr);

	if (result == 0)
		result = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (result == 0)
		result = pthread_cond_init(&w->changed, &attr);
	assert(result == 0);
	pthread_condattr_destroy(&attr);
	pthread_mutex_lock(&k->lock);
	w->id = k->next_id++;
	w->next = k->waiters;
	k->waiters = w;
	pthread_mutex_unlock(&k->lock);
}

/* Until there is a reply, a reset, or the time is over. */
static void
waiter_wait(struct caller *k, struct waiter *w, int64_t end)
{
	struct timespec t = {
		.tv_sec = (time_t)(end / 1000),
		.tv_nsec = (long)(end % 1000) * 1000000,
	};
	int result = 0;

	pthread_mutex_lock(&k->lock);
	while (!w->done && !w->reset && result != ETIMEDOUT)
		result = pthread_cond_timedwait(&w->changed, &k->lock, &t);
	pthread_mutex_unlock(&k->lock);
}

/* After this nobody else knows w, and its fields are stable. */
static void
waiter_end(struct caller *k, struct waiter *w)
{
	pthread_mutex_lock(&k->lock);
	for (struct waiter **at = &k->waiters; *at != NULL; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	pthread_mutex_unlock(&k->lock);
	pthread_cond_destroy(&w->changed);
}

static enum err_code
no_reply(const struct caller *k, const struct waiter *w, int64_t timeout_ms,
    struct err *e)
{
	const char *peer = channel_name(k->channel);

	if (w->reset)
		return err_set(e, ERR_UNAVAILABLE,
		    "%s was restarted; whether it did what was asked is "
		    "unknown",
		    peer);
	return err_set(e, ERR_TIMEOUT,
	    "%s did not answer within %" PRId64 " ms", peer, timeout_ms);
}

enum err_code
caller_call(struct caller *k, uint32_t kind, const json_t *payload,
    const int *fds, size_t fd_count, int64_t timeout_ms, struct message *reply,
    struct err *e)
{
	struct waiter w = { .kind = kind | CHANNEL_REPLY };
	int64_t end = clock_wait_end(timeout_ms);
	enum err_code code;

	assert(timeout_ms >= 0);
	waiter_begin(k, &w);
	code = channel_send(k->channel, kind, w.id,
	    clock_mono_ms() + timeout_ms, payload, fds, fd_count,
	    clock_wait_left(end), e);
	if (code == ERR_OK)
		waiter_wait(k, &w, end);
	waiter_end(k, &w);
	if (code == ERR_OK && !w.done)
		code = no_reply(k, &w, timeout_ms, e);
	if (code == ERR_OK)
		code = message_error(&w.reply, e);
	if (code == ERR_OK)
		*reply = w.reply;
	else
		message_clear(&w.reply);
	return code;
}

bool
caller_dispatch(struct caller *k, struct message *m)
{
	struct waiter *w;
	bool taken;

	if ((m->kind & CHANNEL_REPLY) == 0)
		return false;
	pthread_mutex_lock(&k->lock);
	for (w = k->waiters; w != NULL; w = w->next) {
		if (w->id == m->id && w->kind == m->kind)
			break;
	}
	taken = w != NULL && !w->done && !w->reset;
	if (taken) {
		w->reply = *m;
		w->done = true;
		pthread_cond_signal(&w->changed);
		*m = (struct message){ 0 };
	}
	pthread_mutex_unlock(&k->lock);
	return taken;
}

void
caller_reset(struct caller *k)
{
	pthread_mutex_lock(&k->lock);
	for (struct waiter *w = k->waiters; w != NULL; w = w->next) {
		w->reset = true;
		pthread_cond_signal(&w->changed);
	}
	pthread_mutex_unlock(&k->lock);
}
