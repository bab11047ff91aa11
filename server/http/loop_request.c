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

static struct request *
request_new(struct loop *l, struct MHD_Connection *connection, const char *url,
    const char *method)
{
	struct request *r = mem_zalloc(sizeof *r);
	struct peer *p = loop_peer_of(connection);

	r->loop = l;
	r->service = l->service;
	r->connection = connection;
	r->peer = p;
	r->url = url;
	r->method = method;
	request_read_headers(r);
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
	loop_limit_hit(r->loop, COUNTER_LIMIT_BODY_SIZE);
	reply_fault(r, 413, "limit", "the body is larger than %zu bytes",
	    r->body_max);
}

/* Said before the body comes, where its length is known. */
static void
check_length(struct request *r)
{
	const char *text = r->known[REQUEST_LENGTH];
	unsigned long long length = text != NULL ? strtoull(text, NULL, 10)
						 : ULLONG_MAX;
	bool comes = text != NULL || r->known[REQUEST_ENCODING] != NULL;

	if (comes)
		loop_peer_stage(r->loop, r->peer, STAGE_BODY);
	r->body_max = SERVICE_BODY_MAX;
	if (!comes || length <= SERVICE_BODY_MAX)
		return;
	r->body_max = dispatch_body_max(r);
	if (r->queued)
		return;
	if (text != NULL && length > r->body_max) {
		r->closing = true;
		refuse_body(r);
	} else if (!reserve_body(r)) {
		r->closing = true;
		loop_limit_hit(r->loop, COUNTER_LIMIT_BODIES);
		reply_fault(r, 503, "unavailable",
		    "too much is being sent at once; try again");
	}
}

/* False: more than anybody needs to send, so the connection ends. */
static bool
take_body(struct request *r, const char *data, size_t len)
{
	r->received += len;
	if (r->received > r->body_max + SERVICE_BODY_DROPPED) {
		loop_limit_hit(r->loop, COUNTER_LIMIT_BODY_SIZE);
		loop_peer_end(r->loop, r->peer, "413 Content Too Large",
		    "limit", "the body is too large");
		return false;
	}
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
		if (r->queued) { /* before all was read */
			loop_peer_stage(l, r->peer, STAGE_ANSWER);
			r->peer->lingers = true;
		}
		return MHD_YES;
	}
	if (*len > 0) {
		bool good = take_body(r, data, *len);

		*len = 0;
		return good ? MHD_YES : MHD_NO;
	}
	r->closing = l->stopping;
	serve(r);
	loop_peer_stage(l, r->peer, r->queued ? STAGE_ANSWER : STAGE_NONE);
	return r->queued || r->suspended ? MHD_YES : MHD_NO;
}

void
loop_on_completed(void *cls, struct MHD_Connection *connection, void **context,
    enum MHD_RequestTerminationCode code)
{
	struct loop *l = cls;
	struct request *r = *context;
	bool next;

	(void)connection;
	if (r == NULL)
		return;
	assert(!r->suspended);
	next = code == MHD_REQUEST_TERMINATED_COMPLETED_OK && !r->closing;
	loop_peer_stage(l, r->peer,
	    !next                ? STAGE_NONE
		: r->peer->known ? STAGE_IDLE
				 : STAGE_HEADERS);
	if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
		engine_failed(r);
	access_log_end(l->service->access_log, r,
	    code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "ok" : "cut");
	log_debug("http.request", "method=%s path=%s status=%u end=%d",
	    r->method, r->url, r->status, (int)code);
	request_free(r);
	*context = NULL;
	l->requests--;
}

/* Decoding is ours, once the path was split. */
size_t
loop_keep_escaped(void *cls, struct MHD_Connection *connection, char *text)
{
	(void)cls;
	(void)connection;
	return strlen(text);
}

/* What the library refuses by itself: it does not tell, but logs it. */
static void __attribute__((format(printf, 2, 0)))
note_refusal(struct loop *l, const char *fmt, va_list ap)
{
	static const char start[] = "Error processing request";
	va_list copy;
	unsigned int status;

	if (strncmp(fmt, start, sizeof start - 1) != 0)
		return;
	va_copy(copy, ap);
	status = va_arg(copy, unsigned int);
	va_end(copy);
	l->refusals++;
	if (status == 414)
		loop_limit_hit(l, COUNTER_LIMIT_PATH);
	else if (status == 431)
		loop_limit_hit(l, COUNTER_LIMIT_HEADERS);
	else if (status == 413)
		loop_limit_hit(l, COUNTER_LIMIT_BODY_SIZE);
}

/* What clients do wrong; nothing an operator has to know. */
void __attribute__((format(printf, 2, 0)))
loop_on_log(void *cls, const char *fmt, va_list ap)
{
	struct loop *l = cls;
	char text[256];

	note_refusal(l, fmt, ap);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http.library", "text=\"%s\"", text);
}
