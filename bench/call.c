#include "bench/call.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ADDRESSES = 64, SINK_SIZE = 1 << 16 };

static void
give_up(const char *what)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

struct sockaddr_in
call_address(const char *port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

SSL_CTX *
call_tls(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
		give_up("TLS");
	/* OpenSSL writes without MSG_NOSIGNAL: a connection that the server has
	 * ended is a fault of that one engine. */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		give_up("signal");
	/* The server is ours; what it costs is asked for here. */
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	return ctx;
}

/* ---- bytes, plain or not ---- */

static enum call_event
fail(struct call *c, const char *why)
{
	static const char *const doing[] = { "closed", "connect", "idle",
		"answer", "body" };

	(void)snprintf(c->fault, sizeof c->fault, "%s: %s", doing[c->state],
	    why);
	return CALL_FAILED;
}

/* -1 with EAGAIN: not now; 0: the end; -1 with another: broken. */
static ssize_t
tls_result(const struct call *c, int rc)
{
	int why = SSL_get_error(c->tls, rc);

	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		errno = EAGAIN;
	else if (why != SSL_ERROR_SYSCALL || errno == 0 || errno == EAGAIN)
		errno = ECONNRESET;
	return -1;
}

static ssize_t
get(struct call *c, void *to, size_t size)
{
	int n;

	if (c->tls == NULL)
		return recv(c->fd, to, size, 0);
	errno = 0;
	n = SSL_read(c->tls, to, (int)size);
	return n > 0 ? n : tls_result(c, n);
}

static ssize_t
put(struct call *c, const void *from, size_t len)
{
	int n;

	if (c->tls == NULL)
		return send(c->fd, from, len, MSG_NOSIGNAL);
	errno = 0;
	n = SSL_write(c->tls, from, (int)len);
	return n > 0 ? n : tls_result(c, n);
}

static void
watch(const struct call *c, const struct call_to *to, uint32_t events, int how,
    void *owner)
{
	struct epoll_event ev = { .events = events, .data.ptr = owner };

	if (epoll_ctl(to->epoll, how, c->fd, &ev) != 0)
		give_up("epoll");
}

/* ---- connections ---- */

static int
bound_socket(size_t number)
{
	struct sockaddr_in from = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 +
		    (uint32_t)(number % ADDRESSES)) };
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		give_up("socket");
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
	    sizeof on);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0)
		give_up("bind");
	return fd;
}

void
call_open(struct call *c, const struct call_to *to, size_t number, void *owner)
{
	c->fd = bound_socket(number);
	c->reused = false;
	c->state = CALL_CONNECT;
	/* Its failure is told by the first event. */
	(void)connect(c->fd, (const struct sockaddr *)&to->server,
	    sizeof to->server);
	if (to->tls != NULL) {
		c->tls = SSL_new(to->tls);
		if (c->tls == NULL)
			give_up("TLS");
		(void)SSL_set_fd(c->tls, c->fd);
		SSL_set_connect_state(c->tls);
	}
	watch(c, to, EPOLLOUT, EPOLL_CTL_ADD, owner);
}

void
call_close(struct call *c)
{
	if (c->state == CALL_CLOSED)
		return;
	SSL_free(c->tls);
	c->tls = NULL;
	(void)close(c->fd);
	c->state = CALL_CLOSED;
}

static enum call_event
go_on_connecting(struct call *c, const struct call_to *to, void *owner)
{
	int error = 0, rc;
	socklen_t len = sizeof error;

	(void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0)
		return fail(c, strerror(error));
	if (c->tls != NULL && !SSL_is_init_finished(c->tls)) {
		errno = 0;
		rc = SSL_do_handshake(c->tls);
		if (rc != 1 && (tls_result(c, rc) == 0 || errno != EAGAIN))
			return fail(c, "handshake broken off");
		if (rc != 1) {
			watch(c, to,
			    SSL_want_write(c->tls) ? EPOLLOUT : EPOLLIN,
			    EPOLL_CTL_MOD, owner);
			return CALL_NOTHING;
		}
	}
	c->state = CALL_READY;
	return CALL_CONNECTED;
}

bool
call_ask(struct call *c, const struct call_to *to, const char *text, size_t len,
    void *owner)
{
	ssize_t n = put(c, text, len);

	c->state = CALL_HEAD;
	c->silent = true;
	c->head_len = 0;
	c->received = 0;
	if (n != (ssize_t)len) {
		(void)fail(c, n < 0 ? strerror(errno) : "sent in part");
		return false;
	}
	if (!c->reused)
		watch(c, to, EPOLLIN, EPOLL_CTL_MOD, owner);
	return true;
}

/* ---- answers ---- */

bool
call_header(const struct call *c, const char *name, char *out, size_t size)
{
	const char *line = c->head;
	size_t len = strlen(name);

	while ((line = strstr(line, "\r\n")) != NULL) {
		line += 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
			line += len + 1;
			line += strspn(line, " ");
			return (size_t)snprintf(out, size, "%.*s",
				   (int)strcspn(line, "\r"), line) < size;
		}
	}
	return false;
}

bool
call_is_last(const struct call *c)
{
	char value[16];

	return call_header(c, "Connection", value, sizeof value) &&
	    strcasecmp(value, "close") == 0;
}

static enum call_event
answered(struct call *c)
{
	c->state = CALL_READY;
	c->reused = true;
	return CALL_ANSWERED;
}

static enum call_event
take_head(struct call *c, char *end)
{
	char length[24] = "0";
	size_t body = c->head_len - (size_t)(end + 4 - c->head);

	end[2] = '\0'; /* the last line keeps its end */
	if (strncmp(c->head, "HTTP/1.1 ", 9) != 0)
		return fail(c, "not HTTP/1.1");
	c->status = (int)strtol(c->head + 9, NULL, 10);
	if (c->status != 304 &&
	    !call_header(c, "Content-Length", length, sizeof length))
		return fail(c, "no Content-Length");
	c->received = strtoul(length, NULL, 10);
	if (body > c->received)
		return fail(c, "more than was announced");
	c->left = c->received - body;
	c->state = CALL_BODY;
	return c->left == 0 ? answered(c) : CALL_NOTHING;
}

static enum call_event
read_head(struct call *c)
{
	ssize_t n =
	    get(c, c->head + c->head_len, sizeof c->head - 1 - c->head_len);
	char *end;

	if (n < 0 && errno == EAGAIN)
		return CALL_NOTHING;
	if (n <= 0)
		return fail(c, n < 0 ? strerror(errno) : "closed");
	c->silent = false;
	c->head_len += (size_t)n;
	c->head[c->head_len] = '\0';
	end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
	if (end != NULL)
		return take_head(c, end);
	if (c->head_len == sizeof c->head - 1)
		return fail(c, "too long");
	return CALL_NOTHING;
}

/* TLS may hold more than the socket still says. */
static enum call_event
read_body(struct call *c)
{
	static char sink[SINK_SIZE];

	while (c->left > 0) {
		ssize_t n =
		    get(c, sink, c->left < sizeof sink ? c->left : sizeof sink);

		if (n < 0 && errno == EAGAIN)
			return CALL_NOTHING;
		if (n <= 0)
			return fail(c, n < 0 ? strerror(errno) : "cut off");
		c->left -= (size_t)n;
	}
	return answered(c);
}

/* Nothing is asked: an end, or what TLS has to say to itself. */
static enum call_event
look_idle(struct call *c)
{
	char byte;
	ssize_t n = get(c, &byte, 1);

	if (n < 0 && errno == EAGAIN)
		return CALL_NOTHING;
	return n <= 0 ? CALL_ENDED : fail(c, "an answer to no question");
}

enum call_event
call_go(struct call *c, const struct call_to *to, void *owner)
{
	enum call_event event = CALL_NOTHING;

	if (c->state == CALL_CONNECT)
		return go_on_connecting(c, to, owner);
	if (c->state == CALL_READY)
		return look_idle(c);
	if (c->state == CALL_HEAD)
		event = read_head(c);
	if (event == CALL_NOTHING && c->state == CALL_BODY)
		event = read_body(c);
	return event;
}
