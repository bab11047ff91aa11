/* Clients that take their time, for bench/slow: they connect and go on for ever,
 * so slowly that nothing comes of it, each kind in its own way. Whom the server
 * ends is back with the next second. Says how many are connected when all are,
 * and, told to end (SIGTERM) or after LIMIT_S, how many the server ended. One
 * thread, loopback only. */

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/call.h"
#include "bench/series.h"
#include "core/mem.h"

enum {
	CLIENTS_MAX = 10000,
	ADDRESSES =
	    200, /* of their own: nobody shares one with who is honest */
	TEXT_MAX = 4096,
	LIMIT_S = 300,
	READ_BUFFER = 4096
};

static void
give_up(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_slow: %s: %s\n", what, why);
	exit(1);
}

/* What a kind sends: all at once, or a byte a second, over and over from some
 * point on, so that it never ends. */
struct kind {
	const char *name;
	bool trickles;
	char text[TEXT_MAX];
	size_t len, again;
};

enum { KIND_HEADERS, KIND_UNREAD, KIND_HALF, KIND_SILENT, KIND_COUNT_PLAIN };
enum { KIND_PART = 2, KIND_HELLO = 3 }; /* over TLS, besides the silent ones */

struct client {
	int fd; /* -1: none */
	const struct kind *kind;
	size_t sent;
};

struct slow {
	struct sockaddr_in server;
	struct kind kinds[KIND_COUNT_PLAIN];
	size_t kind_count;
	struct client *list;
	size_t count, ended;
};

static volatile sig_atomic_t is_over;

static void
on_signal(int number)
{
	(void)number;
	is_over = 1;
}

/* ---- kinds ---- */

static void
set(struct kind *k, const char *name, const char *text, size_t len)
{
	if (len > sizeof k->text)
		give_up(name, "too long");
	k->name = name;
	memcpy(k->text, text, len);
	k->len = len;
}

static void
make_plain(struct slow *s, const char *path, const char *token)
{
	static const char header[] = "X-Slow: 1234567890\r\n";
	AUTO_STR start =
	    mem_printf("GET %s HTTP/1.1\r\nHost: localhost\r\n", path);
	AUTO_STR endless = mem_printf("%s%s", start, header);
	AUTO_STR whole =
	    mem_printf("%sAuthorization: Bearer %s\r\n\r\n", start, token);

	set(&s->kinds[KIND_HEADERS], "headers", endless, strlen(endless));
	s->kinds[KIND_HEADERS].trickles = true;
	s->kinds[KIND_HEADERS].again = strlen(start);
	set(&s->kinds[KIND_UNREAD], "unread", whole, strlen(whole));
	set(&s->kinds[KIND_HALF], "half", start, strlen(start));
	set(&s->kinds[KIND_SILENT], "silent", "", 0);
	s->kind_count = KIND_COUNT_PLAIN;
}

/* What a client says first. */
static size_t
hello(char *out, size_t size)
{
	SSL_CTX *ctx = call_tls();
	SSL *tls = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *to = BIO_new(BIO_s_mem());
	int n;

	if (tls == NULL || in == NULL || to == NULL)
		give_up("TLS", "not to be had");
	SSL_set_bio(tls, in, to);
	SSL_set_connect_state(tls);
	(void)SSL_do_handshake(tls);
	n = BIO_read(to, out, (int)size);
	SSL_free(tls);
	SSL_CTX_free(ctx);
	if (n <= 0 || (size_t)n == size)
		give_up("TLS", "no client hello");
	return (size_t)n;
}

static void
make_tls(struct slow *s)
{
	char text[TEXT_MAX];
	size_t len = hello(text, sizeof text);

	set(&s->kinds[0], "trickled hello", text, len);
	s->kinds[0].trickles = true;
	s->kinds[0].again = len;
	set(&s->kinds[1], "silent", "", 0);
	set(&s->kinds[KIND_PART], "half a hello", text, len / 2);
	set(&s->kinds[KIND_HELLO], "hello", text, len);
	s->kind_count = KIND_HELLO + 1;
}

/* ---- clients ---- */

static void
open_client(const struct slow *s, struct client *c, size_t number)
{
	struct sockaddr_in from = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 0x10000 +
		    (uint32_t)(number % ADDRESSES)) };
	const int room = READ_BUFFER, on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		give_up("socket", strerror(errno));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	(void)setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
	    sizeof on);
	if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0)
		give_up("bind", strerror(errno));
	if (connect(c->fd, (const struct sockaddr *)&s->server,
		sizeof s->server) != 0)
		give_up("connect", strerror(errno));
	c->sent = 0;
}

static void
say(struct client *c)
{
	const struct kind *k = c->kind;
	size_t len = k->trickles ? 1 : k->len - c->sent;
	ssize_t n;

	if (k->trickles && c->sent == k->len)
		c->sent = k->again;
	if (c->sent == k->len)
		return;
	n = send(c->fd, k->text + c->sent, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	c->sent += n > 0 ? (size_t)n : 0;
}

/* An answer that is not read hides its end: a reset is what tells. */
static bool
is_ended(const struct client *c)
{
	char bytes[READ_BUFFER];
	int fault = 0;
	socklen_t size = sizeof fault;
	ssize_t n;

	(void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &fault, &size);
	if (fault != 0)
		return true;
	n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_PEEK);
	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* A 408 that came before the end is of no interest. */
static void
drop_refusal(const struct client *c)
{
	char bytes[READ_BUFFER];

	if (c->kind->name[0] != 'u')
		(void)recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
}

/* The second's work of all. */
static void
go_round(struct slow *s)
{
	for (size_t i = 0; i < s->count && !is_over; i++) {
		struct client *c = &s->list[i];

		if (c->fd >= 0 && is_ended(c)) {
			(void)close(c->fd);
			c->fd = -1;
			s->ended++;
		}
		if (c->fd < 0)
			open_client(s, c, i);
		else
			drop_refusal(c);
		say(c);
	}
}

static void
run(struct slow *s)
{
	const struct timespec step = { .tv_nsec = 10000000 };
	double begin = series_now_ms(), next = begin;
	bool told = false;

	while (!is_over && series_now_ms() < begin + LIMIT_S * 1e3) {
		if (series_now_ms() < next) {
			(void)nanosleep(&step, NULL);
			continue;
		}
		go_round(s);
		next += 1e3;
		if (!told)
			(void)printf("connected %zu\n", s->count);
		told = true;
		(void)fflush(stdout);
	}
	(void)printf("ended %zu\n", s->ended);
}

/* PORT CLIENTS plain|tls PATH; EDICT_TOKEN. */
int
main(int argc, char **argv)
{
	const struct sigaction end = { .sa_handler = on_signal };
	const char *token = getenv("EDICT_TOKEN");
	static struct slow s;

	if (argc != 5 || token == NULL)
		give_up("usage", "see bench/slow");
	(void)sigaction(SIGTERM, &end, NULL);
	s.server = call_address(argv[1]);
	s.count = strtoul(argv[2], NULL, 10);
	if (s.count == 0 || s.count > CLIENTS_MAX)
		give_up("usage", "too many clients, or none");
	if (strcmp(argv[3], "tls") == 0)
		make_tls(&s);
	else
		make_plain(&s, argv[4], token);
	s.list = mem_zalloc(s.count * sizeof *s.list);
	for (size_t i = 0; i < s.count; i++) {
		s.list[i].fd = -1;
		s.list[i].kind = &s.kinds[i % s.kind_count];
	}
	run(&s);
	return 0;
}
