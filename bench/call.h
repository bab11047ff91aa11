#ifndef BENCH_CALL_H
#define BENCH_CALL_H

/* One connection to a server on this machine, plain or TLS, and one HTTP
 * exchange after the other on it, without ever waiting. Whoever owns it has an
 * epoll descriptor, and asks call_go what an event of this connection means.
 * What the system refuses (descriptors, memory) ends the program. One thread. */

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { CALL_HEAD_MAX = 2048, CALL_FAULT_MAX = 96 };

enum call_state {
	CALL_CLOSED, /* as zero bytes make it */
	CALL_CONNECT,
	CALL_READY, /* nothing is asked; may last */
	CALL_HEAD,  /* an answer is awaited: what a held poll does */
	CALL_BODY
};

enum call_event {
	CALL_NOTHING,   /* go on waiting */
	CALL_CONNECTED, /* now it takes call_ask */
	CALL_ANSWERED,  /* status, head and received are the answer's */
	CALL_ENDED,     /* the other side closed it while nothing was asked */
	CALL_FAILED     /* fault says why */
};

struct call {
	enum call_state state;
	int fd;
	SSL *tls;
	bool reused; /* it has had an answer before */
	bool silent; /* of this answer nothing has come yet */
	int status;
	size_t head_len, left;
	uint64_t received; /* bytes of the body, once answered */
	char head[CALL_HEAD_MAX];
	char fault[CALL_FAULT_MAX];
};

/* Where to: tls is NULL for plain text. */
struct call_to {
	struct sockaddr_in server;
	SSL_CTX *tls;
	int epoll;
};

struct sockaddr_in call_address(const char *port); /* of loopback */
SSL_CTX *call_tls(void); /* TLS 1.3, no resumption, trusts anybody */

/* Begins to connect, from the number-th loopback address: each has ephemeral
 * ports of its own. Events come with owner. */
void call_open(struct call *c, const struct call_to *to, size_t number,
    void *owner);
/* Sends the whole request. False: the connection is of no use, see fault. */
bool call_ask(struct call *c, const struct call_to *to, const char *text,
    size_t len, void *owner) __attribute__((warn_unused_result));
enum call_event call_go(struct call *c, const struct call_to *to, void *owner);
void call_close(struct call *c);

/* A header's value into out; false: it is not there, or does not fit. */
bool call_header(const struct call *c, const char *name, char *out,
    size_t size);
/* The server will not take another request on it. */
bool call_is_last(const struct call *c);

#endif
