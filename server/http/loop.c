#include "server/http/loop_state.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/http/count.h"

enum { LOOP_EVENTS = 256 };

/* ---- messages from other threads ---- */

static void
ring(struct loop *l)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(l->wake, &one, sizeof one);
	while (n < 0 && errno == EINTR);
}

void
loop_wake(struct loop *l)
{
	ring(l);
}

void
loop_stop(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_mutex_unlock(&l->lock);
	ring(l);
}

void
loop_leave(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->leave = true;
	pthread_mutex_unlock(&l->lock);
	ring(l);
}

bool
loop_deliver(struct loop *l, struct message *m)
{
	struct delivery *d = NULL;

	if (m != NULL && (m->id & (SERVICE_LOOPS_MAX - 1)) != l->index)
		return false;
	if (m != NULL) {
		d = mem_zalloc(sizeof *d);
		d->message = *m;
		memset(m, 0, sizeof *m);
	}
	pthread_mutex_lock(&l->lock);
	if (d != NULL) {
		d->next = l->inbox;
		l->inbox = d;
	} else {
		l->reset = true;
	}
	pthread_mutex_unlock(&l->lock);
	ring(l);
	return true;
}

static void
deliver(struct loop *l, struct delivery *d)
{
	for (size_t i = 0; i < l->actions.count; i++) {
		struct request *r = loop_request_of(waiters_at(&l->actions, i));

		if (r->action != d->message.id)
			continue;
		r->reply = mem_alloc(sizeof *r->reply);
		*r->reply = d->message;
		mem_free(d);
		loop_resume(l, r);
		return;
	}
	message_clear(&d->message); /* it was given up */
	mem_free(d);
}

static void
begin_stop(struct loop *l, bool leave)
{
	bool first = !l->stopping;

	l->stopping = true;
	l->leaving = leave;
	l->stop_ms =
	    clock_mono_ms() + (leave ? SERVICE_LEAVE_MS : SERVICE_DRAIN_MS);
	if (!first)
		return;
	/* Also takes the listening socket out of the daemon's hands, which
	 * would shut it down for whoever comes after us. */
	(void)MHD_quiesce_daemon(l->daemon);
	loop_resume_all(l, &l->polls);
}

static void
take_messages(struct loop *l)
{
	struct delivery *inbox;
	uint64_t count;
	bool reset;
	bool stop;
	bool leave;

	(void)!read(l->wake, &count, sizeof count);
	pthread_mutex_lock(&l->lock);
	inbox = STEAL(l->inbox);
	reset = l->reset;
	l->reset = false;
	stop = l->stop;
	leave = l->leave;
	pthread_mutex_unlock(&l->lock);
	while (inbox != NULL) {
		struct delivery *next = inbox->next;

		deliver(l, inbox);
		inbox = next;
	}
	if (reset)
		loop_resume_all(l, &l->actions);
	loop_take_catalog(l);
	loop_renew_answers(l);
	loop_take_access(l);
	if (stop && (!l->stopping || l->leaving))
		begin_stop(l, false);
	else if (leave && !l->stopping)
		begin_stop(l, true);
}

/* ---- the loop ---- */

static int
next_event_ms(struct loop *l)
{
	MHD_UNSIGNED_LONG_LONG library;
	int64_t now = clock_mono_ms();
	int64_t ms = -1;

	if (MHD_get_timeout(l->daemon, &library) == MHD_YES)
		ms = library < 60000 ? (int64_t)library : 60000;
	ms = clock_sooner(ms, waiters_next(&l->polls, now));
	ms = clock_sooner(ms, waiters_next(&l->actions, now));
	ms = clock_sooner(ms, loop_peers_next(l, now));
	ms = clock_sooner(ms, loop_linger_next(l, now));
	if (l->again)
		ms = 0;
	if (l->stopping)
		ms = clock_sooner(ms, WAITERS_BATCH_MS);
	return ms < 60000 ? (int)ms : 60000;
}

static void
handle_events(struct loop *l, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		struct request *r = events[i].data.ptr;

		if (events[i].data.ptr == &l->daemon)
			continue; /* it runs anyway */
		if ((events[i].data.u64 & LOOP_TAG_PEER) != 0) {
			loop_handshake_resume(l,
			    (struct peer *)(uintptr_t)(events[i].data.u64 &
				~(uint64_t)LOOP_TAG_PEER));
			continue;
		}
		if ((events[i].data.u64 & LOOP_TAG_LINGER) != 0) {
			loop_linger_read(l,
			    (struct parting *)(uintptr_t)(events[i].data.u64 &
				~(uint64_t)LOOP_TAG_LINGER));
			continue;
		}
		if (events[i].data.ptr == &l->wake) {
			take_messages(l);
		} else if (r->suspended) { /* its client went away */
			count_gone(r);
			loop_resume(l, r);
		}
	}
}

static unsigned int
connections(struct loop *l)
{
	return MHD_get_daemon_info(l->daemon,
	    MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
	    ->num_connections;
}

/* True when nothing is left to be answered, or nobody can wait longer. A client
 * that keeps a connection may be about to use it: where others serve, it is told
 * to go with its next answer, or goes when it is idle as always. */
static bool
is_done(struct loop *l, int64_t now)
{
	if (!l->stopping)
		return false;
	if (l->requests == 0 && l->fresh == 0 &&
	    (!l->leaving || connections(l) == 0))
		return true;
	if (l->stop_ms - now < SERVICE_DRAIN_MS / 6)
		loop_resume_all(l, &l->actions);
	return now >= l->stop_ms;
}

static void *
loop_main(void *arg)
{
	struct loop *l = arg;
	struct epoll_event events[LOOP_EVENTS];
	int64_t now;

	loop_take_catalog(l);
	do {
		int n =
		    epoll_wait(l->epoll, events, LOOP_EVENTS, next_event_ms(l));

		assert(n >= 0 || errno == EINTR);
		handle_events(l, events, n);
		now = clock_mono_ms();
		l->now_ms = now;
		l->again = false;
		loop_expire_waiters(l, now);
		loop_expire_peers(l, now);
		loop_linger_expire(l, now);
		if (MHD_run(l->daemon) != MHD_YES) {
			log_error("http.run", "loop=%zu", l->index);
			_exit(1);
		}
		loop_handshakes_rest(l);
	} while (!is_done(l, now));
	atomic_store(&l->ended, true);
	return NULL;
}

/* ---- making and ending ---- */

static enum err_code
start_daemon(struct loop *l, int listener, const struct loop_tls *pem,
    struct err *e)
{
	unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME |
	    MHD_USE_TURBO | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0,
		    (void *)(uintptr_t)pem->certificate },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)pem->key },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0,
		    (void *)(uintptr_t)LOOP_TLS_PRIORITIES },
		/* What the first connections begin with: loop_request.c. The
		 * client's is asked for, and not checked: certificate.h. */
		{ pem->client_ca != NULL ? MHD_OPTION_HTTPS_MEM_TRUST
					 : MHD_OPTION_END,
		    0, (void *)(uintptr_t)pem->client_ca },
		{ MHD_OPTION_END, 0, NULL },
	};
	struct MHD_OptionItem plain[] = { { MHD_OPTION_END, 0, NULL } };

	if (pem->certificate != NULL)
		flags |= MHD_USE_TLS;
	l->daemon = MHD_start_daemon(flags, 0, NULL, NULL, loop_on_request, l,
	    MHD_OPTION_EXTERNAL_LOGGER, loop_on_log, l,
	    MHD_OPTION_LISTEN_SOCKET, listener,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)LOOP_MEMORY,
	    MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned int)l->service->connections_max,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)SERVICE_IDLE_S,
	    MHD_OPTION_NOTIFY_COMPLETED, loop_on_completed, l,
	    MHD_OPTION_NOTIFY_CONNECTION, loop_on_connection, l,
	    MHD_OPTION_UNESCAPE_CALLBACK, loop_keep_escaped, NULL,
	    MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP,
	    1, MHD_OPTION_ARRAY, pem->certificate != NULL ? tls : plain,
	    MHD_OPTION_END);
	if (l->daemon == NULL)
		return err_set(e, ERR_IO,
		    "http: cannot serve%s; the log at level debug says more",
		    pem->certificate != NULL
			? " with this TLS certificate and key"
			: "");
	return ERR_OK;
}

static enum err_code
add_to_epoll(struct loop *l, int fd, void *tag, struct err *e)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = tag };

	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		return err_errno(e, "http: epoll");
	return ERR_OK;
}

static enum err_code
prepare(struct loop *l, int listener, const struct loop_tls *tls, struct err *e)
{
	l->access = access_get(&l->service->access);
	l->jwts = jwt_memory_new();
	TRY(start_daemon(l, listener, tls, e));
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll < 0 || l->wake < 0)
		return err_errno(e, "http: epoll");
	TRY(add_to_epoll(l, l->wake, &l->wake, e));
	return add_to_epoll(l,
	    MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
	    &l->daemon, e);
}

enum err_code
loop_new(struct loop **out, struct service *s, size_t index, int listener,
    const struct loop_tls *tls, struct err *e)
{
	struct loop *l = mem_zalloc(sizeof *l);
	int result = pthread_mutex_init(&l->lock, NULL);
	enum err_code code;

	assert(result == 0 && index < SERVICE_LOOPS_MAX);
	l->service = s;
	l->index = index;
	l->epoll = -1;
	l->wake = -1;
	l->spread.length_ms = s->conf->http.release_spread * 1000;
	l->now_ms = clock_mono_ms();
	loop_peers_init(l);
	loop_guard_init(l);
	TAILQ_INIT(&l->lingering);
	TAILQ_INIT(&l->handshakes);
	TAILQ_INIT(&l->shaking);
	/* Late answers to a process that ran here before must fit nothing. */
	if (getrandom(&l->next_action, sizeof l->next_action, 0) < 0)
		abort();
	code = prepare(l, listener, tls, e);
	if (code == ERR_OK)
		*out = l;
	else
		loop_free(l);
	return code;
}

enum err_code
loop_start(struct loop *l, struct err *e)
{
	int result = pthread_create(&l->thread, NULL, loop_main, l);

	errno = result;
	return result == 0 ? ERR_OK : err_errno(e, "http: thread");
}

bool
loop_is_busy(const struct loop *l)
{
	return !atomic_load(&l->ended);
}

void
loop_join(struct loop *l)
{
	int result = pthread_join(l->thread, NULL);

	assert(result == 0);
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	if (l->daemon != NULL) {
		(void)MHD_quiesce_daemon(l->daemon);
		loop_resume_all(l, &l->polls);
		loop_resume_all(l, &l->actions);
		loop_handshakes_resume_all(l);
		MHD_stop_daemon(l->daemon);
	}
	while (l->inbox != NULL) {
		struct delivery *next = l->inbox->next;

		message_clear(&l->inbox->message);
		mem_free(l->inbox);
		l->inbox = next;
	}
	loop_linger_expire(l, INT64_MAX);
	loop_peers_clear(l);
	loop_guard_clear(l);
	loop_clear_answers(l);
	waiters_clear(&l->polls);
	waiters_clear(&l->actions);
	spread_clear(&l->spread);
	catalog_unref(l->catalog);
	access_unref(l->access);
	jwt_memory_free(l->jwts);
	store_free(l->store);
	if (l->epoll >= 0)
		close(l->epoll);
	if (l->wake >= 0)
		close(l->wake);
	pthread_mutex_destroy(&l->lock);
	mem_free(l);
}

/* ---- for handlers ---- */

const struct catalog *
loop_catalog(const struct loop *l)
{
	return l->catalog;
}

const struct access *
loop_access(const struct loop *l)
{
	return l->access;
}

struct jwt_memory *
loop_jwts(struct loop *l)
{
	return l->jwts;
}

bool
loop_stopping(const struct loop *l)
{
	return l->stopping;
}

enum err_code
loop_store(struct store **out, struct loop *l, struct err *e)
{
	if (l->store == NULL)
		TRY(store_open_read(&l->store, l->service->conf->data_dir, e));
	*out = l->store;
	return ERR_OK;
}

void
loop_store_failed(struct loop *l, enum err_code code)
{
	if (code != ERR_IO && code != ERR_CORRUPT && code != ERR_UNSUPPORTED)
		return;
	store_free(l->store);
	l->store = NULL;
}
