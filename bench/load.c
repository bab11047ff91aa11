/* Polls as fast as answers come, over a number of connections, for some seconds
 * or answers: bench/serve compares servers with it, bench/instructions counts
 * what one executes. Each connection asks again when it was answered, on the
 * same connection or, as OPA does, on a new one. Prints
 * a line of numbers: requests, seconds, median and 99th percentile in
 * microseconds, the client's own processor seconds, bytes of bodies. Ends with 1
 * when anything but the expected status came. One thread, loopback only. */

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "series.h"

enum {
	CONNECTIONS_MAX = 19000,
	REQUEST_MAX = 4096,
	HEAD_MAX = 4096,
	EVENTS_MAX = 256,
	ADDRESSES = 64, /* each has its own ephemeral ports */
	SECONDS_MAX = 60,
	ANSWERS_MAX = 1000000,
	LATENCIES_MAX = 1 << 22 /* kept; more are not looked at */
};

static void
give_up(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_load: %s: %s\n", what, why);
	exit(1);
}

enum state { STATE_CONNECT, STATE_SEND, STATE_HEAD, STATE_BODY };

struct connection {
	int fd;
	SSL *tls;
	enum state state;
	double asked_ms;
	size_t number, head_len, left;
	char head[HEAD_MAX];
};

struct load {
	struct sockaddr_in server;
	SSL_CTX *tls;
	char request[REQUEST_MAX];
	size_t request_len;
	const char *status; /* "HTTP/1.1 304" */
	bool anew;          /* a connection for each request */
	int epoll;
	struct connection *list;
	size_t count, open;
	double *latency_us;
	size_t answers, answers_max; /* 0: for some seconds */
	uint64_t bytes;
	bool over;
};

/* ---- bytes, plain or not ---- */

/* -1: not now. */
static ssize_t
check_tls(const struct connection *c, int rc)
{
	int why = SSL_get_error(c->tls, rc);

	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return -1;
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	give_up("TLS", "broken off");
	return 0;
}

static ssize_t
check_plain(ssize_t n)
{
	if (n < 0 && errno != EAGAIN)
		give_up("connection", strerror(errno));
	return n;
}

static ssize_t
get(struct connection *c, void *to, size_t size)
{
	int n;

	if (c->tls == NULL)
		return check_plain(recv(c->fd, to, size, 0));
	n = SSL_read(c->tls, to, (int)size);
	return n > 0 ? n : check_tls(c, n);
}

static ssize_t
put(struct connection *c, const void *from, size_t len)
{
	int n;

	if (c->tls == NULL)
		return check_plain(send(c->fd, from, len, MSG_NOSIGNAL));
	n = SSL_write(c->tls, from, (int)len);
	return n > 0 ? n : check_tls(c, n);
}

/* ---- connections ---- */

static void
watch(struct load *l, struct connection *c, uint32_t events, int how)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(l->epoll, how, c->fd, &ev) != 0)
		give_up("epoll", strerror(errno));
}

static void
hang_up(struct load *l, struct connection *c)
{
	SSL_free(c->tls);
	c->tls = NULL;
	(void)close(c->fd);
	l->open--;
}

static void
call(struct load *l, struct connection *c)
{
	uint32_t host = 1 + (uint32_t)(c->number % ADDRESSES);
	struct sockaddr_in from = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + host) };
	const int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		give_up("socket", strerror(errno));
	(void)setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
	    sizeof on);
	(void)setsockopt(c->fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on,
	    sizeof on);
	if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0)
		give_up("bind", strerror(errno));
	if (connect(c->fd, (struct sockaddr *)&l->server, sizeof l->server) !=
		0 &&
	    errno != EINPROGRESS)
		give_up("connect", strerror(errno));
	if (l->tls != NULL) {
		c->tls = SSL_new(l->tls);
		(void)SSL_set_fd(c->tls, c->fd);
		SSL_set_connect_state(c->tls);
	}
	l->open++;
	c->state = STATE_CONNECT;
	watch(l, c, EPOLLOUT, EPOLL_CTL_ADD);
}

static bool
is_connected(struct load *l, struct connection *c)
{
	int rc;

	if (c->tls == NULL)
		return true;
	rc = SSL_do_handshake(c->tls);
	if (rc == 1)
		return true;
	(void)check_tls(c, rc);
	watch(l, c,
	    SSL_get_error(c->tls, rc) == SSL_ERROR_WANT_WRITE ? EPOLLOUT
							      : EPOLLIN,
	    EPOLL_CTL_MOD);
	return false;
}

static void
ask(struct load *l, struct connection *c)
{
	ssize_t n = put(c, l->request, l->request_len);

	if (n != (ssize_t)l->request_len)
		give_up("request", "not sent at once");
	c->state = STATE_HEAD;
	c->head_len = 0;
	watch(l, c, EPOLLIN, EPOLL_CTL_MOD);
}

static void
begin(struct load *l, struct connection *c)
{
	c->asked_ms = series_now_ms();
	if (l->anew)
		call(l, c);
	else
		ask(l, c);
}

static void
answered(struct load *l, struct connection *c)
{
	if (l->answers < LATENCIES_MAX)
		l->latency_us[l->answers] =
		    (series_now_ms() - c->asked_ms) * 1e3;
	l->answers++;
	l->over = l->answers_max > 0 && l->answers >= l->answers_max;
	if (l->anew || l->over)
		hang_up(l, c);
	if (!l->over)
		begin(l, c);
}

/* ---- answers ---- */

static size_t
body_length(const struct connection *c)
{
	static const char name[] = "\r\nContent-Length:";
	const char *at = strcasestr(c->head, name);

	return at != NULL ? strtoul(at + sizeof name - 1, NULL, 10) : 0;
}

static void
read_head(struct load *l, struct connection *c)
{
	ssize_t n =
	    get(c, c->head + c->head_len, sizeof c->head - 1 - c->head_len);
	char *end;
	size_t body;

	if (n < 0)
		return;
	if (n == 0)
		give_up("answer", "closed");
	c->head_len += (size_t)n;
	c->head[c->head_len] = '\0';
	end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
	if (end == NULL)
		return;
	*end = '\0';
	if (strncmp(c->head, l->status, strlen(l->status)) != 0)
		give_up("answer", c->head);
	c->left = strstr(l->status, "304") != NULL ? 0 : body_length(c);
	l->bytes += c->left;
	body = c->head_len - (size_t)(end + 4 - c->head);
	c->left -= body < c->left ? body : c->left;
	c->state = STATE_BODY;
	if (c->left == 0)
		answered(l, c);
}

static void
read_body(struct load *l, struct connection *c)
{
	static char sink[1 << 16];
	ssize_t n;

	/* TLS may hold more than the socket still says. */
	do {
		n = get(c, sink, sizeof sink);
		if (n == 0)
			give_up("body", "cut off");
		if (n > 0)
			c->left -= (size_t)n < c->left ? (size_t)n : c->left;
	} while (n > 0 && c->left > 0);
	if (c->left == 0)
		answered(l, c);
}

static void
handle(struct load *l, struct connection *c)
{
	if (c->state == STATE_CONNECT) {
		if (is_connected(l, c))
			ask(l, c);
		return;
	}
	if (c->state == STATE_HEAD)
		read_head(l, c);
	if (c->state == STATE_BODY && c->left > 0)
		read_body(l, c);
}

static void
step(struct load *l)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(l->epoll, events, EVENTS_MAX, 100);

	for (int i = 0; i < n; i++)
		handle(l, events[i].data.ptr);
}

/* ---- a run ---- */

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
print(const struct load *l, double wall_ms, double cpu_ms)
{
	size_t kept = l->answers < LATENCIES_MAX ? l->answers : LATENCIES_MAX;

	if (kept == 0)
		give_up("run", "no answers");
	qsort(l->latency_us, kept, sizeof *l->latency_us, compare);
	(void)printf("%zu %.3f %.0f %.0f %.3f %llu\n", l->answers,
	    wall_ms / 1e3, l->latency_us[kept / 2],
	    l->latency_us[kept * 99 / 100], cpu_ms / 1e3,
	    (unsigned long long)l->bytes);
}

static void
run(struct load *l, double seconds)
{
	double begin_ms = series_now_ms(), cpu_ms = series_cpu_ms();

	for (size_t i = 0; i < l->count; i++) {
		l->list[i].number = i;
		l->list[i].asked_ms = series_now_ms();
		call(l, &l->list[i]);
		if (i % 64 == 0)
			step(l);
	}
	while (series_now_ms() < begin_ms + seconds * 1e3 && !l->over)
		step(l);
	print(l, series_now_ms() - begin_ms, series_cpu_ms() - cpu_ms);
}

static void
add_text(struct load *l, const char *text)
{
	size_t len = strlen(text);

	if (len >= sizeof l->request - l->request_len)
		give_up("request", "too long");
	memcpy(l->request + l->request_len, text, len + 1);
	l->request_len += len;
}

static void
use_tls(struct load *l)
{
	l->tls = SSL_CTX_new(TLS_client_method());
	if (l->tls == NULL ||
	    SSL_CTX_set_min_proto_version(l->tls, TLS1_3_VERSION) != 1)
		give_up("TLS", "not to be had");
	/* Speed is what is asked for here: the server is ours. */
	SSL_CTX_set_verify(l->tls, SSL_VERIFY_NONE, NULL);
	(void)SSL_CTX_set_session_cache_mode(l->tls, SSL_SESS_CACHE_OFF);
}

/* "3", or "=10000": as many answers, within SECONDS_MAX. */
static double
read_length(struct load *l, const char *text)
{
	double seconds = SECONDS_MAX;

	if (*text == '=')
		l->answers_max = strtoul(text + 1, NULL, 10);
	else
		seconds = strtod(text, NULL);
	if (!(seconds > 0) || seconds > SECONDS_MAX ||
	    l->answers_max > ANSWERS_MAX)
		give_up("usage", "too many seconds or answers, or none");
	return seconds;
}

/* PORT PATH CONNECTIONS SECONDS|=ANSWERS STATUS keep|new plain|tls
 * [HEADER...] */
int
main(int argc, char **argv)
{
	struct load l = { 0 };
	double seconds;

	if (argc < 8)
		give_up("usage", "see bench/serve");
	l.server = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	l.count = strtoul(argv[3], NULL, 10);
	seconds = read_length(&l, argv[4]);
	if (l.count == 0 || l.count > CONNECTIONS_MAX)
		give_up("usage", "too many connections, or none");
	AUTO_STR status = mem_printf("HTTP/1.1 %s", argv[5]);
	l.status = status;
	l.anew = strcmp(argv[6], "new") == 0;
	if (strcmp(argv[7], "tls") == 0)
		use_tls(&l);
	/* To OPA by its name, edict says that the connection ends. */
	AUTO_STR line = mem_printf(
	    "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: %s\r\n"
	    "Prefer: modes=snapshot,delta\r\nAccept-Encoding: gzip\r\n",
	    argv[2],
	    l.anew ? "Open-Policy-Agent/1.19.1 (linux, amd64)" : "bench");
	add_text(&l, line);
	for (int i = 8; i < argc; i++) {
		add_text(&l, argv[i]);
		add_text(&l, "\r\n");
	}
	add_text(&l, "\r\n");
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	l.list = mem_zalloc(l.count * sizeof *l.list);
	l.latency_us = mem_zalloc(LATENCIES_MAX * sizeof *l.latency_us);
	run(&l, seconds);
	return 0;
}
