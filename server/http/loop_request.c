#include "server/http/loop_state.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/api/status_api.h"
#include "server/http/access_log.h"
#include "server/http/dispatch.h"
#include "server/http/engine.h"
#include "server/http/reply.h"

/* ---- connections ---- */

static struct peer *
peer_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection,
		MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info->socket_context;
}

int
loop_fd_of(struct MHD_Connection *connection)
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

/* libmicrohttpd has made the session, and not begun with it: now is the time to
 * give it what holds today. */
static void
begin_session(struct peer *p, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection,
		MHD_CONNECTION_INFO_GNUTLS_SESSION);

	if (p->access->tls != NULL && info != NULL && info->tls_session != NULL)
		tls_use(p->access->tls, info->tls_session);
}

void
loop_on_connection(void *cls, struct MHD_Connection *connection, void **context,
    enum MHD_ConnectionNotificationCode code)
{
	struct loop *l = cls;
	struct peer *p = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		p = mem_zalloc(sizeof *p);
		p->connection = connection;
		p->fd = loop_fd_of(connection);
		p->access = access_ref(l->access);
		begin_session(p, connection);
		l->fresh++;
		peer_expect(l, p);
		loop_handshake_begin(l, p);
		*context = p;
		return;
	}
	peer_complete(l, p);
	loop_handshake_end(l, p);
	l->fresh -= p->used ? 0 : 1;
	access_unref(p->access);
	mem_free(p);
	*context = NULL;
}

/* Clients that trickle: libmicrohttpd's own time-out starts anew with every
 * byte. It sees the end and closes. */
void
loop_expire_peers(struct loop *l, int64_t now)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&l->reading)) != NULL &&
	    p->deadline_ms <= now) {
		peer_complete(l, p);
		counters_add(l->service->counters, COUNTER_LIMIT_REQUEST_TIME,
		    1);
		(void)shutdown(p->fd, SHUT_RDWR);
	}
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
	loop_handshake_over(l, p);
	access_log_begin(l->service->access_log, r);
	return r;
}

static void
request_free(struct request *r)
{
	if (r->reserved > 0)
		(void)atomic_fetch_sub(&r->service->bodies, r->reserved);
	if (r->body != NULL)
		buf_clear(r->body);
	mem_free(r->body);
	mem_free(r->certificate);
	jwt_known_unref(r->jwt);
	if (r->reply != NULL)
		message_clear(r->reply);
	mem_free(r->reply);
	mem_free(r);
}

/* What many send at once must not take all the memory. False: no room now. */
static bool
reserve_body(struct request *r)
{
	atomic_size_t *bodies = &r->service->bodies;

	if (r->body_max <= SERVICE_BODY_MAX)
		return true;
	r->reserved = r->body_max;
	return atomic_fetch_add(bodies, r->reserved) + r->reserved <=
	    STATUS_BODIES_MAX;
}

static void
refuse_body(struct request *r)
{
	counters_add(r->service->counters, COUNTER_LIMIT_BODY_SIZE, 1);
	reply_fault(r, 413, "limit", "the body is larger than %zu bytes",
	    r->body_max);
}

/* Said before the body comes, where its length is known. */
static void
check_length(struct request *r)
{
	const char *text = request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
	unsigned long long length = text != NULL ? strtoull(text, NULL, 10)
						 : ULLONG_MAX;
	bool comes = text != NULL ||
	    request_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;

	r->body_max = SERVICE_BODY_MAX;
	if (!comes || length <= SERVICE_BODY_MAX)
		return;
	r->body_max = dispatch_body_max(r);
	if (text != NULL && length > r->body_max) {
		r->closing = true;
		refuse_body(r);
	} else if (!reserve_body(r)) {
		r->closing = true;
		counters_add(r->service->counters, COUNTER_LIMIT_BODIES, 1);
		reply_fault(r, 503, "unavailable",
		    "too much is being sent at once; try again");
	}
}

/* False: more than anybody needs to send, so the connection ends. */
static bool
take_body(struct request *r, const char *data, size_t len)
{
	r->received += len;
	if (r->received > r->body_max + SERVICE_BODY_DROPPED)
		return false;
	if (r->body == NULL) {
		r->body = mem_alloc(sizeof *r->body);
		buf_init(r->body, r->body_max);
	}
	buf_add(r->body, data, len);
	return true;
}

static void
serve(struct request *r)
{
	if (r->received > r->body_max)
		refuse_body(r);
	else
		dispatch(r);
}

enum MHD_Result
loop_on_request(void *cls, struct MHD_Connection *connection, const char *url,
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

void
loop_on_completed(void *cls, struct MHD_Connection *connection, void **context,
    enum MHD_RequestTerminationCode code)
{
	struct loop *l = cls;
	struct request *r = *context;
	struct peer *p = peer_of(connection);

	if (r == NULL)
		return;
	assert(!r->suspended);
	if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
		engine_failed(r);
	access_log_end(l->service->access_log, r,
	    code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "ok" : "cut");
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
size_t
loop_keep_escaped(void *cls, struct MHD_Connection *connection, char *text)
{
	(void)cls;
	(void)connection;
	return strlen(text);
}

/* What clients do wrong; nothing an operator has to know. */
void __attribute__((format(printf, 2, 0)))
loop_on_log(void *cls, const char *fmt, va_list ap)
{
	char text[256];

	(void)cls;
	(void)vsnprintf(text, sizeof text, fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http.library", "text=\"%s\"", text);
}
