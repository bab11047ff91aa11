#include "server/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uthash.h>

#include "clusters/ledger.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/dispatch.h"
#include "server/reply.h"
#include "server/request.h"

enum {
	LOOP_EVENTS = 256,
	/* A request's headers. Measured: larger pools cost time, because they
	 * are cleared for each request. */
	LOOP_MEMORY = 8192,
	LOOP_INDEX_BITS = 6 /* of the id of a question: whose it is */
};
static_assert(SERVICE_LOOPS_MAX == 1 << LOOP_INDEX_BITS, "index bits");

/* A connection. */
struct peer {
	TAILQ_ENTRY(peer) link;
	int64_t deadline_ms; /* for the whole of its next request */
	int fd;
	bool reading; /* in the list */
	bool used;    /* had a request */
};
TAILQ_HEAD(peer_list, peer);

/* The prepared responses of one entry: [1] closes the connection. */
struct answer {
	const struct catalog_entry *entry;
	struct MHD_Response *responses[2];
	UT_hash_handle hh;
};

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
	struct answer *answers;
	struct waiters polls;
	struct waiters actions;
	struct peer_list reading; /* by deadline */
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

/* ---- connections ---- */

static struct peer *
peer_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection,
		MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info->socket_context;
}

static int
fd_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection,
	    MHD_CONNECTION_INFO_CONNECTION_FD)
	    ->connect_fd;
}

static void
peer_expect(struct loop *l, struct peer *p)
{
	p->deadline_ms = clock_mono_ms() + SERVICE_REQUEST_MS;
	p->reading = true;
	TAILQ_INSERT_TAIL(&l->reading, p, link);
}

static void
peer_complete(struct loop *l, struct peer *p)
{
	if (!p->reading)
		return;
	p->reading = false;
	TAILQ_REMOVE(&l->reading, p, link);
}

static void
on_connection(void *cls, struct MHD_Connection *connection, void **context,
    enum MHD_ConnectionNotificationCode code)
{
	struct loop *l = cls;
	struct peer *p = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		p = mem_zalloc(sizeof *p);
		p->fd = fd_of(connection);
		l->fresh++;
		peer_expect(l, p);
		*context = p;
		return;
	}
	peer_complete(l, p);
	l->fresh -= p->used ? 0 : 1;
	mem_free(p);
	*context = NULL;
}

/* Clients that trickle: libmicrohttpd's own time-out starts anew with every
 * byte. It sees the end and closes. */
static void
expire_peers(struct loop *l, int64_t now)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&l->reading)) != NULL &&
	    p->deadline_ms <= now) {
		peer_complete(l, p);
		(void)shutdown(p->fd, SHUT_RDWR);
	}
}

/* ---- responses ---- */

static void
drop_reference(void *cls)
{
	catalog_unref(cls);
}

static struct MHD_Response *
make_response(struct loop *l, const struct catalog_entry *entry, bool closing)
{
	static const char *const headers[][2] = {
		{ "Content-Type", "application/vnd.openpolicyagent.bundles" },
		{ "Cache-Control", "private, no-cache" },
		{ "Vary", "Authorization, X-Edict-Engine" },
	};
	/* libmicrohttpd does not write to it. */
	void *data = (void *)(uintptr_t)entry->data;
	struct catalog *c = catalog_ref(l->catalog);
	struct MHD_Response *r =
	    MHD_create_response_from_buffer_with_free_callback_cls(entry->size,
		data, drop_reference, c);
	bool good = r != NULL;

	if (r == NULL) {
		catalog_unref(c);
		return NULL;
	}
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
		good &= MHD_add_response_header(r, headers[i][0],
			    headers[i][1]) == MHD_YES;
	good &= MHD_add_response_header(r, "ETag", entry->etag) == MHD_YES;
	if (closing)
		good &= MHD_add_response_header(r, "Connection", "close") ==
		    MHD_YES;
	if (good)
		return r;
	MHD_destroy_response(r);
	return NULL;
}

struct MHD_Response *
loop_answer(struct loop *l, const struct catalog_entry *entry, bool closing)
{
	struct answer *a;

	HASH_FIND_PTR(l->answers, &entry, a);
	if (a == NULL) {
		a = mem_zalloc(sizeof *a);
		a->entry = entry;
		HASH_ADD_PTR(l->answers, entry, a);
	}
	if (a->responses[closing] == NULL)
		a->responses[closing] = make_response(l, entry, closing);
	return a->responses[closing];
}

static void
clear_answers(struct loop *l)
{
	struct answer *a;
	struct answer *next;

	HASH_ITER(hh, l->answers, a, next) {
		HASH_DEL(l->answers, a);
		for (int i = 0; i < 2; i++)
			if (a->responses[i] != NULL)
				MHD_destroy_response(a->responses[i]);
		mem_free(a);
	}
}

/* ---- waiting ---- */

static struct request *
request_of(struct waiter *w)
{
	return (struct request *)(void *)((char *)w -
	    offsetof(struct request, waiter));
}

static struct waiters *
list_of(struct loop *l, const struct request *r)
{
	return r->action != 0 ? &l->actions : &l->polls;
}

/* Out of every list, and on with it. */
static void
resume(struct loop *l, struct request *r)
{
	assert(r->suspended);
	if (waiter_waits(&r->waiter))
		waiters_remove(list_of(l, r), &r->waiter);
	(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd_of(r->connection), NULL);
	if (r->counted)
		(void)atomic_fetch_sub(&l->service->held, 1);
	r->counted = false;
	r->suspended = false;
	r->waited = true;
	r->entry = NULL;
	r->token = NULL;
	MHD_resume_connection(r->connection);
}

/* A client that goes away while its request is suspended is not noticed by
 * libmicrohttpd. */
static bool
watch(struct loop *l, struct request *r)
{
	struct epoll_event event = {
		.events = EPOLLRDHUP,
		.data.ptr = r,
	};

	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd_of(r->connection),
		   &event) == 0;
}

static void
suspend(struct loop *l, struct request *r, int64_t wait_ms)
{
	waiters_add(list_of(l, r), &r->waiter, clock_mono_ms() + wait_ms);
	r->suspended = true;
	MHD_suspend_connection(r->connection);
}

enum err_code
loop_hold(struct loop *l, struct request *r, int64_t hold_ms, struct err *e)
{
	struct service *s = l->service;

	if (atomic_fetch_add(&s->held, 1) >= s->held_max ||
	    l->polls.count >= s->held_each || !watch(l, r)) {
		(void)atomic_fetch_sub(&s->held, 1);
		return err_set(e, ERR_UNAVAILABLE,
		    "too many engines are waiting (http.engines_max)");
	}
	r->counted = true;
	suspend(l, r, hold_ms);
	return ERR_OK;
}

enum err_code
loop_ask(struct loop *l, struct request *r, const json_t *payload,
    struct err *e)
{
	enum err_code code;

	if (l->stopping || l->actions.count >= SERVICE_ACTIONS_MAX ||
	    !watch(l, r))
		return err_set(e, ERR_UNAVAILABLE,
		    "too much is asked at once; nothing was changed");
	r->action = (++l->next_action << LOOP_INDEX_BITS) | l->index;
	code = channel_send(l->service->ledger, LEDGER_ACTION, r->action,
	    clock_mono_ms() + LEDGER_TIMEOUT_MS, payload, NULL, 0, 0, e);
	if (code != ERR_OK) {
		r->action = 0;
		(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd_of(r->connection),
		    NULL);
		return err_add(e, "nothing was changed");
	}
	suspend(l, r, LEDGER_TIMEOUT_MS + WAITERS_BATCH_MS);
	return ERR_OK;
}

static void
expire_waiters(struct loop *l, int64_t now)
{
	struct waiter *w;

	while ((w = waiters_due(&l->polls, now)) != NULL)
		resume(l, request_of(w));
	while ((w = waiters_due(&l->actions, now)) != NULL) {
		service_ledger_silent(l->service, LEDGER_TIMEOUT_MS);
		resume(l, request_of(w));
	}
}

static void
resume_all(struct loop *l, struct waiters *list)
{
	while (list->count > 0)
		resume(l, request_of(waiters_at(list, 0)));
}

/* Does what this poll has still stand? Then it waits on, for the same thing in
 * the new catalog. */
static bool
still_current(struct loop *l, struct request *r)
{
	const struct catalog_token *token = NULL;
	const struct catalog_entry *entry =
	    catalog_find(l->catalog, r->entry->cluster, r->entry->bundle);

	if (entry == NULL || strcmp(entry->etag, r->entry->etag) != 0)
		return false;
	if (r->token != NULL) {
		token = catalog_token(l->catalog, r->token->digest);
		if (token == NULL || token->role != r->token->role ||
		    strcmp(token->cluster, r->token->cluster) != 0)
			return false;
	}
	r->entry = entry;
	r->token = token;
	return true;
}

/* Resumes in bulk those whose assignment, or whose right, is not what it was.
 * The old catalog is still there: they point into it. */
static void
look_again(struct loop *l)
{
	size_t count = 0;
	struct request **changed =
	    mem_array(l->polls.count, sizeof(struct request *));

	for (size_t i = 0; i < l->polls.count; i++) {
		struct request *r = request_of(waiters_at(&l->polls, i));

		if (!still_current(l, r))
			changed[count++] = r;
	}
	for (size_t i = 0; i < count; i++)
		resume(l, changed[i]);
	mem_free(changed);
}

static void
take_catalog(struct loop *l)
{
	struct catalog *next = service_catalog(l->service);
	struct catalog *old = l->catalog;

	if (next == old) {
		catalog_unref(next);
		return;
	}
	clear_answers(l);
	l->catalog = next;
	look_again(l);
	catalog_unref(old);
}

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
		struct request *r = request_of(waiters_at(&l->actions, i));

		if (r->action != d->message.id)
			continue;
		r->reply = mem_alloc(sizeof *r->reply);
		*r->reply = d->message;
		mem_free(d);
		resume(l, r);
		return;
	}
	message_clear(&d->message); /* it was given up */
	mem_free(d);
}

static void
begin_stop(struct loop *l)
{
	l->stopping = true;
	l->stop_ms = clock_mono_ms() + SERVICE_DRAIN_MS;
	/* Also takes the listening socket out of the daemon's hands, which
	 * would shut it down for whoever comes after us. */
	(void)MHD_quiesce_daemon(l->daemon);
	resume_all(l, &l->polls);
}

static void
take_messages(struct loop *l)
{
	struct delivery *inbox;
	uint64_t count;
	bool reset;
	bool stop;

	(void)!read(l->wake, &count, sizeof count);
	pthread_mutex_lock(&l->lock);
	inbox = STEAL(l->inbox);
	reset = l->reset;
	l->reset = false;
	stop = l->stop;
	pthread_mutex_unlock(&l->lock);
	while (inbox != NULL) {
		struct delivery *next = inbox->next;

		deliver(l, inbox);
		inbox = next;
	}
	if (reset)
		resume_all(l, &l->actions);
	take_catalog(l);
	if (stop && !l->stopping)
		begin_stop(l);
}

/* ---- requests ---- */

static struct request *
request_new(struct loop *l, struct MHD_Connection *connection, const char *url,
    const char *method)
{
	struct request *r = mem_zalloc(sizeof *r);
	struct peer *p = peer_of(connection);

	r->loop = l;
	r->service = l->service;
	r->connection = connection;
	r->url = url;
	r->method = method;
	l->requests++;
	l->fresh -= p->used ? 0 : 1;
	p->used = true;
	return r;
}

static void
request_free(struct request *r)
{
	if (r->body != NULL)
		buf_clear(r->body);
	mem_free(r->body);
	if (r->reply != NULL)
		message_clear(r->reply);
	mem_free(r->reply);
	mem_free(r);
}

/* Said before the body comes, where its length is known. */
static void
check_length(struct request *r)
{
	const char *text = request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);

	if (text == NULL || strtoull(text, NULL, 10) <= SERVICE_BODY_MAX)
		return;
	r->closing = true;
	reply_fault(r, 413, "limit", "the body is larger than %d bytes",
	    SERVICE_BODY_MAX);
}

/* False: more than anybody needs to send, so the connection ends. */
static bool
take_body(struct request *r, const char *data, size_t len)
{
	r->received += len;
	if (r->received > SERVICE_BODY_MAX + SERVICE_BODY_DROPPED)
		return false;
	if (r->body == NULL) {
		r->body = mem_alloc(sizeof *r->body);
		buf_init(r->body, SERVICE_BODY_MAX);
	}
	buf_add(r->body, data, len);
	return true;
}

static void
serve(struct request *r)
{
	if (r->received > SERVICE_BODY_MAX)
		reply_fault(r, 413, "limit", "the body is larger than %d bytes",
		    SERVICE_BODY_MAX);
	else
		dispatch(r);
}

static enum MHD_Result
on_request(void *cls, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *data, size_t *len,
    void **context)
{
	struct loop *l = cls;
	struct request *r = *context;

	(void)version;
	if (r == NULL) {
		r = request_new(l, connection, url, method);
		*context = r;
		check_length(r);
		return MHD_YES;
	}
	if (*len > 0) {
		bool good = take_body(r, data, *len);

		*len = 0;
		return good ? MHD_YES : MHD_NO;
	}
	peer_complete(l, peer_of(connection));
	r->closing = l->stopping;
	serve(r);
	return r->queued || r->suspended ? MHD_YES : MHD_NO;
}

static void
on_completed(void *cls, struct MHD_Connection *connection, void **context,
    enum MHD_RequestTerminationCode code)
{
	struct loop *l = cls;
	struct request *r = *context;
	struct peer *p = peer_of(connection);

	if (r == NULL)
		return;
	assert(!r->suspended);
	log_debug("http.request", "method=%s path=%s status=%u end=%d",
	    r->method, r->url, r->status, (int)code);
	request_free(r);
	*context = NULL;
	l->requests--;
	peer_complete(l, p);
	if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		peer_expect(l, p);
}

/* Decoding is ours, once the path was split. */
static size_t
keep_escaped(void *cls, struct MHD_Connection *connection, char *text)
{
	(void)cls;
	(void)connection;
	return strlen(text);
}

/* What clients do wrong; nothing an operator has to know. */
static void __attribute__((format(printf, 2, 0)))
on_log(void *cls, const char *fmt, va_list ap)
{
	char text[256];

	(void)cls;
	(void)vsnprintf(text, sizeof text, fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http.library", "text=\"%s\"", text);
}

/* ---- the loop ---- */

static int64_t
sooner(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int
next_event_ms(struct loop *l)
{
	MHD_UNSIGNED_LONG_LONG library;
	int64_t now = clock_mono_ms();
	struct peer *p = TAILQ_FIRST(&l->reading);
	int64_t ms = -1;

	if (MHD_get_timeout(l->daemon, &library) == MHD_YES)
		ms = library < 60000 ? (int64_t)library : 60000;
	ms = sooner(ms, waiters_next(&l->polls, now));
	ms = sooner(ms, waiters_next(&l->actions, now));
	if (p != NULL)
		ms =
		    sooner(ms, p->deadline_ms > now ? p->deadline_ms - now : 0);
	if (l->stopping)
		ms = sooner(ms, WAITERS_BATCH_MS);
	return ms < 60000 ? (int)ms : 60000;
}

static void
handle_events(struct loop *l, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		struct request *r = events[i].data.ptr;

		if (events[i].data.ptr == &l->daemon)
			continue; /* it runs anyway */
		if (events[i].data.ptr == &l->wake)
			take_messages(l);
		else if (r->suspended) /* its client went away */
			resume(l, r);
	}
}

/* True when nothing is left to be answered, or nobody can wait longer. */
static bool
is_done(struct loop *l, int64_t now)
{
	if (!l->stopping)
		return false;
	if (l->requests == 0 && l->fresh == 0)
		return true;
	if (l->stop_ms - now < SERVICE_DRAIN_MS / 6)
		resume_all(l, &l->actions);
	return now >= l->stop_ms;
}

static void *
loop_main(void *arg)
{
	struct loop *l = arg;
	struct epoll_event events[LOOP_EVENTS];
	int64_t now;

	take_catalog(l);
	do {
		int n =
		    epoll_wait(l->epoll, events, LOOP_EVENTS, next_event_ms(l));

		assert(n >= 0 || errno == EINTR);
		handle_events(l, events, n);
		now = clock_mono_ms();
		expire_waiters(l, now);
		expire_peers(l, now);
		if (MHD_run(l->daemon) != MHD_YES) {
			log_error("http.run", "loop=%zu", l->index);
			_exit(1);
		}
	} while (!is_done(l, now));
	atomic_store(&l->ended, true);
	return NULL;
}

/* ---- making and ending ---- */

static enum err_code
start_daemon(struct loop *l, int listener, const char *certificate,
    const char *key, struct err *e)
{
	unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME |
	    MHD_USE_TURBO | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0,
		    (void *)(uintptr_t)certificate },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0,
		    (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:"
					"+VERS-TLS1.2" },
		{ MHD_OPTION_END, 0, NULL },
	};
	struct MHD_OptionItem plain[] = { { MHD_OPTION_END, 0, NULL } };

	if (certificate != NULL)
		flags |= MHD_USE_TLS;
	l->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, l,
	    MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET,
	    listener, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)LOOP_MEMORY,
	    MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned int)l->service->connections_max,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)SERVICE_IDLE_S,
	    MHD_OPTION_NOTIFY_COMPLETED, on_completed, l,
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
	    MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL,
	    MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP,
	    1, MHD_OPTION_ARRAY, certificate != NULL ? tls : plain,
	    MHD_OPTION_END);
	if (l->daemon == NULL)
		return err_set(e, ERR_IO,
		    "http: cannot serve%s; the log at level debug says more",
		    certificate != NULL ? " with this TLS certificate and key"
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
prepare(struct loop *l, int listener, const char *certificate, const char *key,
    struct err *e)
{
	TRY(start_daemon(l, listener, certificate, key, e));
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
    const char *certificate, const char *key, struct err *e)
{
	struct loop *l = mem_zalloc(sizeof *l);
	int result = pthread_mutex_init(&l->lock, NULL);
	enum err_code code;

	assert(result == 0 && index < SERVICE_LOOPS_MAX);
	l->service = s;
	l->index = index;
	l->epoll = -1;
	l->wake = -1;
	TAILQ_INIT(&l->reading);
	/* Late answers to a process that ran here before must fit nothing. */
	if (getrandom(&l->next_action, sizeof l->next_action, 0) < 0)
		abort();
	code = prepare(l, listener, certificate, key, e);
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
		resume_all(l, &l->polls);
		resume_all(l, &l->actions);
		MHD_stop_daemon(l->daemon);
	}
	while (l->inbox != NULL) {
		struct delivery *next = l->inbox->next;

		message_clear(&l->inbox->message);
		mem_free(l->inbox);
		l->inbox = next;
	}
	clear_answers(l);
	waiters_clear(&l->polls);
	waiters_clear(&l->actions);
	catalog_unref(l->catalog);
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
