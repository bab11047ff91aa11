/* Connections: how long a client may take for what it does, how many there may
 * be, and who has to go when there are too many. libmicrohttpd's own time-out
 * starts anew with every byte, and when it has no room left it accepts nobody,
 * so both are done here, before it comes to that. */

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/log.h"
#include "core/mem.h"
#include "server/http/loop_state.h"
#include "server/http/reply.h"

enum {
	PEER_SPARE_MAX = 32,   /* places that the library never sees taken */
	PEER_ROWS_MORE = 4096, /* addresses beyond those that are connected */
	PEER_TEXT_MAX = 1024,
	PEER_QUIET_MS = 60000 /* a limit is logged no more often */
};

struct peer *
loop_peer_of(struct MHD_Connection *connection)
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

gnutls_session_t
loop_session_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection,
		MHD_CONNECTION_INFO_GNUTLS_SESSION);

	return info != NULL ? info->tls_session : NULL;
}

void
loop_peers_init(struct loop *l)
{
	const struct conf_limits *c = &l->service->conf->http.limits;
	size_t max = l->service->connections_max;
	size_t spare = max / 32 < PEER_SPARE_MAX ? max / 32 : PEER_SPARE_MAX;

	for (int i = 0; i < STAGES; i++)
		TAILQ_INIT(&l->stages[i]);
	l->stage_ms[STAGE_HEADERS] = c->headers_timeout * 1000;
	l->stage_ms[STAGE_IDLE] = l->stage_ms[STAGE_HEADERS];
	l->stage_ms[STAGE_BODY] = c->body_timeout * 1000;
	l->stage_ms[STAGE_ANSWER] = c->answer_grace * 1000;
	l->room = max - (spare > 0 ? spare : 1);
	l->addresses = limits_new(max + PEER_ROWS_MORE);
}

void
loop_peers_clear(struct loop *l)
{
	limits_free(l->addresses);
}

void
loop_limit_hit(struct loop *l, enum counter which)
{
	int64_t *last = &l->said_ms[which - COUNTER_LIMIT_WAITING];

	counters_add(l->service->counters, which, 1);
	if (*last != 0 && l->now_ms - *last < PEER_QUIET_MS)
		return;
	*last = l->now_ms;
	log_warn("limit.hit", "%s loop=%zu", counter_names[which].labels,
	    l->index);
}

/* ---- stages ---- */

void
loop_peer_stage(struct loop *l, struct peer *p, enum stage stage)
{
	if (p->stage != STAGE_NONE)
		TAILQ_REMOVE(&l->stages[p->stage], p, link);
	p->stage = stage;
	if (stage == STAGE_NONE)
		return;
	p->deadline_ms = l->now_ms + l->stage_ms[stage];
	p->taken = UINT64_MAX;
	TAILQ_INSERT_TAIL(&l->stages[stage], p, link);
}

int64_t
loop_peers_next(const struct loop *l, int64_t now)
{
	int64_t next = -1;

	for (int i = STAGE_HEADERS; i < STAGES; i++) {
		const struct peer *p = TAILQ_FIRST(&l->stages[i]);
		int64_t ms;

		if (p == NULL)
			continue;
		ms = p->deadline_ms > now ? p->deadline_ms - now : 0;
		next = next < 0 || ms < next ? ms : next;
	}
	return next;
}

/* ---- a last word ---- */

/* Nothing else is being sent to it: its request is not there yet. A client that
 * keeps an idle connection gets no answer that it did not ask for. */
static bool
can_hear(const struct peer *p)
{
	return p->handshake == HANDSHAKE_NONE &&
	    (p->stage == STAGE_BODY || (p->stage == STAGE_HEADERS && !p->used));
}

static void
say(struct peer *p, const char *status, const char *code, const char *message)
{
	gnutls_session_t session = loop_session_of(p->connection);
	char body[PEER_TEXT_MAX / 2];
	char text[PEER_TEXT_MAX];
	int len = snprintf(body, sizeof body,
	    "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}", code, message);

	assert(len > 0 && (size_t)len < sizeof body);
	len = snprintf(text, sizeof text,
	    "HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
	    "Content-Length: %d\r\nCache-Control: no-store\r\n"
	    "Retry-After: 5\r\n%sConnection: close\r\n\r\n%s",
	    status, len,
	    session != NULL ? "Strict-Transport-Security: " REPLY_SECURE "\r\n"
			    : "",
	    body);
	assert(len > 0 && (size_t)len < sizeof text);
	/* As much as goes at once: nobody waits for such a client. */
	if (session != NULL)
		(void)gnutls_record_send(session, text, (size_t)len);
	else
		(void)send(p->fd, text, (size_t)len,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	p->lingers = true;
}

void
loop_peer_end(struct loop *l, struct peer *p, const char *status,
    const char *code, const char *message)
{
	if (status != NULL && can_hear(p))
		say(p, status, code, message);
	loop_peer_stage(l, p, STAGE_NONE);
	if (!p->ending)
		l->ending++;
	p->ending = true;
	/* The library sees the end and closes. */
	(void)shutdown(p->fd, SHUT_RDWR);
}

/* ---- who takes too long ---- */

static void
expire_requests(struct loop *l, enum stage stage, int64_t now)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&l->stages[stage])) != NULL &&
	    p->deadline_ms <= now) {
		loop_limit_hit(l, COUNTER_LIMIT_REQUEST_TIME);
		loop_peer_end(l, p, "408 Request Timeout", "timeout",
		    stage == STAGE_BODY ? "the body did not come in time "
					  "(http.limits.body_timeout)"
					: "the request did not come in time "
					  "(http.limits.headers_timeout)");
	}
}

/* Bytes that its kernel has acknowledged: what was only handed to ours says
 * nothing of it. */
static uint64_t
taken(const struct peer *p)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;

	if (getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return 0;
	return info.tcpi_bytes_acked;
}

static bool
is_too_slow(const struct loop *l, const struct peer *p, uint64_t now_taken)
{
	const struct conf_limits *c = &l->service->conf->http.limits;

	return p->taken != UINT64_MAX &&
	    now_taken - p->taken < (uint64_t)(c->answer_rate * c->answer_grace);
}

static void
expire_answers(struct loop *l, int64_t now)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&l->stages[STAGE_ANSWER])) != NULL &&
	    p->deadline_ms <= now) {
		uint64_t so_far = taken(p);

		if (is_too_slow(l, p, so_far)) {
			loop_limit_hit(l, COUNTER_LIMIT_ANSWER_RATE);
			loop_peer_end(l, p, NULL, NULL, NULL);
			continue;
		}
		loop_peer_stage(l, p, STAGE_ANSWER);
		p->taken = so_far;
	}
}

void
loop_expire_peers(struct loop *l, int64_t now)
{
	expire_requests(l, STAGE_HEADERS, now);
	expire_requests(l, STAGE_BODY, now);
	expire_requests(l, STAGE_IDLE, now);
	expire_answers(l, now);
}

/* ---- how many there are ---- */

/* Who has sent no request yet, or only shown nothing good; then who is sending
 * one; then the idle; then who takes an answer. Of those who came first. */
static struct peer *
least_wanted(const struct loop *l, const struct peer *but)
{
	for (int i = STAGE_HEADERS; i < STAGES; i++) {
		struct peer *p = TAILQ_FIRST(&l->stages[i]);

		if (p == but)
			p = TAILQ_NEXT(p, link);
		if (p != NULL)
			return p;
	}
	return NULL;
}

/* Of an address: who came first of those whose request is not there yet. What is
 * held or being answered goes on; p has just come, so there is one. */
static struct peer *
stranger_to_go(struct peer *p)
{
	struct peer *q;

	TAILQ_FOREACH(q, &p->row->peers, row_link)
		if (q->stage == STAGE_HEADERS || q->stage == STAGE_BODY)
			return q;
	return p;
}

static void
keep_room(struct loop *l, struct peer *p)
{
	int64_t most = l->service->conf->http.limits.address_connections;
	struct peer *out;

	if (p->row != NULL && most > 0 && p->row->strangers > (size_t)most) {
		out = stranger_to_go(p);
		loop_limit_hit(l, COUNTER_LIMIT_ADDRESS);
		loop_peer_known(l, out); /* it is not counted any more */
		loop_peer_end(l, out, "429 Too Many Requests", "limit",
		    "too many connections of this address without a good "
		    "credential (http.limits.address_connections)");
	}
	if (l->connections - l->ending <= l->room)
		return;
	out = least_wanted(l, p);
	loop_limit_hit(l, COUNTER_LIMIT_CONNECTIONS);
	loop_peer_end(l, out != NULL ? out : p, "503 Service Unavailable",
	    "unavailable", "too many connections (http.engines_max)");
}

void
loop_peer_known(struct loop *l, struct peer *p)
{
	(void)l;
	if (p->known)
		return;
	p->known = true;
	if (p->row == NULL)
		return;
	p->row->strangers--;
	TAILQ_REMOVE(&p->row->peers, p, row_link);
}

static void
count_in(struct loop *l, struct peer *p)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(p->connection,
		MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	unsigned char address[REQUEST_ADDRESS_MAX];
	unsigned char key[LIMITS_KEY_SIZE];
	size_t len = request_address_bytes(address,
	    info != NULL ? info->client_addr : NULL);

	limits_key_address(key, address, len);
	l->connections++;
	p->row = limits_find(l->addresses, key);
	if (p->row == NULL) {
		p->known = true;
		return;
	}
	limits_use(l->addresses, p->row);
	p->row->strangers++;
	TAILQ_INSERT_TAIL(&p->row->peers, p, row_link);
}

static void
count_out(struct loop *l, struct peer *p)
{
	/* It may be at its limit, and looks at its socket only when it runs. */
	if (l->connections-- >= l->service->connections_max)
		l->again = true;
	l->ending -= p->ending ? 1 : 0;
	loop_peer_known(l, p);
	if (p->row != NULL)
		limits_leave(l->addresses, p->row);
}

/* ---- coming and going ---- */

/* libmicrohttpd has made the session, and not begun with it: now is the time to
 * give it what holds today. */
static void
begin_session(struct peer *p)
{
	gnutls_session_t session = loop_session_of(p->connection);

	if (p->access->tls != NULL && session != NULL)
		tls_use(p->access->tls, session);
}

static struct peer *
begin(struct loop *l, struct MHD_Connection *connection)
{
	struct peer *p = mem_zalloc(sizeof *p);

	p->connection = connection;
	p->fd = loop_fd_of(connection);
	p->access = access_ref(l->access);
	begin_session(p);
	l->fresh++;
	loop_peer_stage(l, p, STAGE_HEADERS);
	loop_handshake_begin(l, p);
	count_in(l, p);
	keep_room(l, p);
	return p;
}

/* What the library refuses by itself it says before it has read all, and closes:
 * the client would see that, and not what was said. It has told that it did, but
 * not to whom. */
static bool
was_refused(struct loop *l, const struct peer *p)
{
	char byte;

	if (l->refusals == 0 || p->ending || p->stage == STAGE_NONE ||
	    p->stage == STAGE_ANSWER ||
	    recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		return false;
	l->refusals--;
	return true;
}

static void
end(struct loop *l, struct peer *p)
{
	if (p->lingers || was_refused(l, p)) {
		if (p->watched) /* the copy would be watched, too */
			(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, p->fd, NULL);
		loop_linger(l, p->fd);
	}
	loop_peer_stage(l, p, STAGE_NONE);
	loop_handshake_end(l, p);
	count_out(l, p);
	l->fresh -= p->used ? 0 : 1;
	access_unref(p->access);
	mem_free(p);
}

void
loop_on_connection(void *cls, struct MHD_Connection *connection, void **context,
    enum MHD_ConnectionNotificationCode code)
{
	struct loop *l = cls;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*context = begin(l, connection);
		return;
	}
	end(l, *context);
	*context = NULL;
}
