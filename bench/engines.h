#ifndef BENCH_ENGINES_H
#define BENCH_ENGINES_H

/* Engines by the ten thousand, as OPA makes them: they poll with the ETag of
 * what they run and a name of their own, take what comes, and say with the next
 * poll that they have it. One epoll loop in one thread; what it saw may be read
 * from another process. OPA's habits are options, because programs ask about
 * each. An engine that was not answered well asks again after a while, as OPA
 * does, and is counted. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "bench/call.h"

enum {
	ENGINES_MAX = 19900, /* with one descriptor each, of 20,000 */
	ENGINES_HABITS_MAX = 8,
	ENGINES_TOKENS_MAX = 1000,
	ENGINES_TOKEN_MAX = 128,
	ENGINES_FAULT_MAX = 160
};

struct engines_habit {
	bool keep;  /* the next poll goes over the same connection */
	bool leave; /* a new one each, the old one stays until the server ends
		     * it: OPA. (OPA itself gives up after 90 s.) */
	bool once;  /* one answer and no more */
	unsigned int wait_s; /* 0: plain polling, without a pause */
};

struct engines_tokens {
	char text[ENGINES_TOKENS_MAX][ENGINES_TOKEN_MAX];
	size_t count;
};

struct engines_seen {
	atomic_size_t got; /* engines with a bundle in this round */
	atomic_llong first_us, last_us; /* when; as series_now_ms counts */
	atomic_size_t polls;            /* answered well */
	atomic_size_t unchanged;        /* of them with 304 */
	atomic_size_t retried; /* on a connection that had ended meanwhile */
	atomic_size_t failed;
	atomic_size_t left; /* idle connections */
	atomic_size_t bytes;
	char fault[ENGINES_FAULT_MAX]; /* the first one; once failed > 0 */
};

struct engines;

/* Engines number first to first + count - 1. tokens and seen outlive it; engine
 * n has the n-th token and (engines_ask) the n-th habit, over and over. */
struct engines *engines_new(const char *bundle, size_t first, size_t count,
    const struct engines_tokens *tokens, SSL_CTX *tls,
    struct engines_seen *seen);
void engines_free(struct engines *g);

/* With nothing in hand, everybody asks. */
void engines_ask(struct engines *g, const struct sockaddr_in *server,
    const struct engines_habit *habits, size_t habit_count);
void engines_hang_up(struct engines *g); /* and forget what they have */
void engines_begin_round(struct engines *g);
void engines_step(struct engines *g, int timeout_ms);

void engines_read_tokens(struct engines_tokens *out, const char *path);

#endif
